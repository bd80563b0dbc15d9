//! Keyward's site: what stands at the listener where people and machines manage it.
//!
//! A call goes one way: [`server`] takes it in, `guard` refuses what no page and no client of ours sends, the
//! table of endpoints (`management/endpoint.rs`) says what it is, who calls is found out, and whether they may is
//! decided before anything of the endpoint runs. Resources are described once for each kind (`management/kind/`): the
//! endpoints, what is checked of a call, and the OpenAPI document are all made from that.
//!
//! What the site needs of the process around it stands in [`node`].

mod answer;
mod explorer;
mod guard;
mod limiter;
mod management;
pub mod node;
mod problem;
pub mod server;
mod site;

pub use limiter::SiteLimits;
pub use site::{Site, SiteSettings};
