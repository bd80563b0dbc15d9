//! Keys in a PKCS#11 token: a hardware security module, a smart card, or SoftHSM.
//!
//! A [`Token`] is what a configuration names by its module, its label and its PIN. Nothing is loaded before it is
//! first asked for something, and what was lost (a session, the login, the token itself) is opened anew by the next
//! call. The one thing that is never tried again is a PIN that was refused: some tokens lock themselves after three.
//!
//! Two things are kept there:
//! - a **master key** ([`Token::master_key`]): a secret key that the token does not give away. What seals the database
//!   is derived from it by the token, and only that is ever in memory here.
//! - **signing keys** ([`Token::make_signing_key`], [`Token::signer`]): made in the token, used in the token, destroyed
//!   in the token. Only public parts come out.
//!
//! A module's functions may take long and may hang. They are called on threads where nobody else waits, so many at a
//! time and no more, and whoever asks waits so long and no longer.

mod error;
mod master_key;
mod public_key;
mod reference;
mod signing_key;
mod token;

pub use error::Error;
pub use reference::Reference;
pub use signing_key::{TokenSigner, is_made_for};
pub use token::{Token, TokenSettings};
