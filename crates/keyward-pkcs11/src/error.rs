//! What can go wrong with a token.

use cryptoki::error::{Error as ModuleError, RvError};
use std::path::PathBuf;

/// Why a token does not do what is asked of it. Messages name the token and what to do, and never the PIN.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// This program can load no module.
    #[error(
        "this keyward is linked statically, as that of the image is, and can load no PKCS#11 module: run one that is linked dynamically"
    )]
    Static,
    /// The module can't be loaded.
    #[error("the PKCS#11 module {} can't be loaded: {why}", module.display())]
    Module {
        /// Its file.
        module: PathBuf,
        /// What the system says.
        why: String,
    },
    /// The module knows no such token, now.
    #[error(
        "the PKCS#11 module has no token `{token}` now: look whether it is plugged in, switched on and initialized"
    )]
    TokenAbsent {
        /// Its label.
        token: String,
    },
    /// The module knows several.
    #[error(
        "the PKCS#11 module has more than one token `{token}`: give one another label, so that it is known which is meant"
    )]
    TokenAmbiguous {
        /// Their label.
        token: String,
    },
    /// The token is there and can't be used now, or not in this way: another try may find it well.
    #[error("the PKCS#11 token failed to {doing}: {why}")]
    Away {
        /// What it was to do.
        doing: &'static str,
        /// What the module says.
        why: String,
    },
    /// The token says no, and will say so again.
    #[error("the PKCS#11 token refuses to {doing}: {why}")]
    Refused {
        /// What it was to do.
        doing: &'static str,
        /// What the module says.
        why: String,
    },
    /// The PIN is wrong.
    #[error(
        "the PKCS#11 token `{token}` does not take the PIN (`pkcs11.pin`), which is not tried again, since tokens lock themselves: set the right one and start anew"
    )]
    PinRefused {
        /// The token.
        token: String,
    },
    /// One more wrong PIN would lock the token.
    #[error(
        "the PKCS#11 token `{token}` has been given wrong PINs and would lock itself after one more: sign in by its own program once, then start anew"
    )]
    PinLastTry {
        /// The token.
        token: String,
    },
    /// Too many wrong PINs were given.
    #[error(
        "the PKCS#11 token `{token}` is locked after too many wrong PINs: its security officer sets a new one"
    )]
    PinLocked {
        /// The token.
        token: String,
    },
    /// There is no such key in the token.
    #[error("the PKCS#11 token `{token}` has no {key}")]
    KeyAbsent {
        /// The token.
        token: String,
        /// The key.
        key: String,
    },
    /// There are several.
    #[error(
        "the PKCS#11 token `{token}` has more than one {key}: take away, or name differently, those that are not meant"
    )]
    KeyAmbiguous {
        /// The token.
        token: String,
        /// The key.
        key: String,
    },
    /// There is one already.
    #[error("the PKCS#11 token `{token}` has a {key} already")]
    KeyExists {
        /// The token.
        token: String,
        /// The key.
        key: String,
    },
    /// The token would give the key away, or let others use it.
    #[error(
        "the {key} of the PKCS#11 token `{token}` is not kept as it has to be ({why}): it protects nothing; make another"
    )]
    KeyExposed {
        /// The token.
        token: String,
        /// The key.
        key: String,
        /// The attribute.
        why: &'static str,
    },
    /// The key is another one than it was taken for.
    #[error(
        "what the PKCS#11 token `{token}` made is no signature by the {key}: it was thrown away"
    )]
    KeyMixedUp {
        /// The token.
        token: String,
        /// The key.
        key: String,
    },
    /// The reference is to no key of this token.
    #[error("`{reference}` is no key of the PKCS#11 token `{token}`")]
    Elsewhere {
        /// The token.
        token: String,
        /// As stored.
        reference: String,
    },
    /// No key for this is made in tokens.
    #[error("no key for {algorithm} is made in a PKCS#11 token")]
    Unfit {
        /// The algorithm.
        algorithm: &'static str,
    },
    /// Nothing came in time.
    #[error("the PKCS#11 token `{token}` does not answer: it was waited for {seconds} s")]
    Silent {
        /// The token.
        token: String,
        /// How long.
        seconds: u64,
    },
    /// What the token said can't be understood, or this machine failed.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// A name that does not change.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Static => "pkcs11_static",
            Self::Module { .. } => "pkcs11_module",
            Self::TokenAbsent { .. } => "pkcs11_token_absent",
            Self::TokenAmbiguous { .. } => "pkcs11_token_ambiguous",
            Self::Away { .. } => "pkcs11_away",
            Self::Refused { .. } => "pkcs11_refused",
            Self::PinRefused { .. } => "pkcs11_pin_refused",
            Self::PinLastTry { .. } => "pkcs11_pin_last_try",
            Self::PinLocked { .. } => "pkcs11_pin_locked",
            Self::KeyAbsent { .. } => "pkcs11_key_absent",
            Self::KeyAmbiguous { .. } => "pkcs11_key_ambiguous",
            Self::KeyExists { .. } => "pkcs11_key_exists",
            Self::KeyExposed { .. } => "pkcs11_key_exposed",
            Self::KeyMixedUp { .. } => "pkcs11_key_mixed_up",
            Self::Elsewhere { .. } => "pkcs11_elsewhere",
            Self::Unfit { .. } => "pkcs11_unfit",
            Self::Silent { .. } => "pkcs11_silent",
            Self::Internal(_) => "internal",
        }
    }

    /// Whether it is of the token as a whole, and not of the one key: another would fare no better now.
    #[must_use]
    pub fn is_of_the_token(&self) -> bool {
        match self {
            Self::Static
            | Self::Module { .. }
            | Self::TokenAbsent { .. }
            | Self::TokenAmbiguous { .. }
            | Self::Away { .. }
            | Self::PinRefused { .. }
            | Self::PinLastTry { .. }
            | Self::PinLocked { .. }
            | Self::Silent { .. } => true,
            Self::Refused { .. }
            | Self::KeyAbsent { .. }
            | Self::KeyAmbiguous { .. }
            | Self::KeyExists { .. }
            | Self::KeyExposed { .. }
            | Self::KeyMixedUp { .. }
            | Self::Elsewhere { .. }
            | Self::Unfit { .. }
            | Self::Internal(_) => false,
        }
    }

    /// Whether opening all anew may help: the token was taken away and put back, the module lost its connection, or it
    /// does not see what is there again.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Away { .. } | Self::TokenAbsent { .. } | Self::KeyAbsent { .. } => true,
            Self::Static
            | Self::Module { .. }
            | Self::TokenAmbiguous { .. }
            | Self::Refused { .. }
            | Self::PinRefused { .. }
            | Self::PinLastTry { .. }
            | Self::PinLocked { .. }
            | Self::KeyAmbiguous { .. }
            | Self::KeyExists { .. }
            | Self::KeyExposed { .. }
            | Self::KeyMixedUp { .. }
            | Self::Elsewhere { .. }
            | Self::Unfit { .. }
            | Self::Silent { .. }
            | Self::Internal(_) => false,
        }
    }
}

/// What the module says when it was to do something.
pub(crate) fn failed(doing: &'static str) -> impl FnOnce(ModuleError) -> Error {
    move |error| match error {
        ModuleError::Pkcs11(value, _) => {
            let why = format!("{value:?}");
            if is_final(&value) {
                Error::Refused { doing, why }
            } else {
                Error::Away { doing, why }
            }
        }
        ModuleError::LibraryLoading(_)
        | ModuleError::NotSupported
        | ModuleError::TryFromInt(_)
        | ModuleError::TryFromSlice(_)
        | ModuleError::ParseInt(_)
        | ModuleError::Utf8(_)
        | ModuleError::NulError(_)
        | ModuleError::NullFunctionPointer
        | ModuleError::MissingSymbol(_)
        | ModuleError::InvalidValue
        | ModuleError::PinNotSet => Error::Refused {
            doing,
            why: error.to_string(),
        },
    }
}

/// What says something of the request itself. Everything else may be of the connection, the session or the device: a
/// list of those would not be whole, since modules choose freely among them.
fn is_final(value: &RvError) -> bool {
    matches!(
        value,
        RvError::ArgumentsBad
            | RvError::AttributeReadOnly
            | RvError::AttributeSensitive
            | RvError::AttributeTypeInvalid
            | RvError::AttributeValueInvalid
            | RvError::ActionProhibited
            | RvError::CurveNotSupported
            | RvError::DataInvalid
            | RvError::DataLenRange
            | RvError::DeviceMemory
            | RvError::FunctionNotSupported
            | RvError::KeyFunctionNotPermitted
            | RvError::KeySizeRange
            | RvError::KeyTypeInconsistent
            | RvError::MechanismInvalid
            | RvError::MechanismParamInvalid
            | RvError::TemplateIncomplete
            | RvError::TemplateInconsistent
            | RvError::TokenWriteProtected
            | RvError::UserPinNotInitialized
    )
}
