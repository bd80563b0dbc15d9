//! The one way out for anything but proxied traffic: key sets, metadata documents, later webhooks and
//! imports.
//!
//! What is fetched here is named by people (an issuer's `jwks_uri`, a redirect), so that whoever names it
//! could make Keyward ask what only Keyward can reach: the cloud's metadata service, a database's admin
//! page, its own operations listener. [`Egress`] therefore looks at the very address that it dials, after
//! names are resolved and again at every redirect, and bounds what comes back in bytes and time.
//!
//! What is not here, on purpose: no switch that turns the checks of TLS off, no proxy from the
//! environment, no cookies, no decompression, no connection kept between two fetches.
//!
//! ```no_run
//! # async fn example() -> Result<(), keyward_egress::Error> {
//! use keyward_egress::{Egress, Limits, Policy, Request};
//! let egress = Egress::new(Policy::default())?;
//! let request = Request::get("https://issuer.example/jwks.json")?.accept("application/json");
//! let response = egress.fetch(request, Limits::DOCUMENT).await?;
//! assert_eq!(response.status, 200);
//! # Ok(())
//! # }
//! ```

mod connect;
mod egress;
mod error;
mod policy;
mod request;
mod resolver;
mod url;

pub use egress::{Egress, Limits, Response};
pub use error::Error;
pub use keyward_model::network::{AllowRule, NoRule, Refusal};
pub use policy::Policy;
pub use request::Request;
pub use resolver::{Resolve, Resolving, SystemResolver};
pub use url::{Host, Scheme, Url};

#[cfg(test)]
mod tests;
