//! Keyward's authority: what issues tokens, and the keys that they are signed with.
//!
//! [`key_set`] keeps key sets: that of the issuer `self`, and those that teams declare. The store remembers where each
//! key stands, the rotation of the JOSE crate decides what comes next, and a [`Keeper`] lets it happen in time, on as
//! many nodes as share a database.

mod error;
pub mod key_set;

pub use error::Error;
pub use key_set::{Keeper, KeeperContext, KeyModule, KeySet, KeySets, KeySink, Plan};
