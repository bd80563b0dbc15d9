//! A master key that is derived by the token.

use crate::error::failed;
use crate::token::{Opened, Token};
use crate::{Error, reference};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use keyward_model::Secret;
use std::sync::Arc;
use zeroize::Zeroizing;

/// What is derived: another text gives another master key, so that a second way may stand beside this one later. It
/// never changes: the database would not open.
const DERIVED: &[u8] = b"keyward master key 1";

/// As long as the hash.
const MASTER_KEY_BYTES: usize = 32;

impl Token {
    /// HMAC-SHA-256 of a fixed text under the secret key of this label, computed by the token: 32 bytes that nobody
    /// can tell from random ones without the token and its PIN.
    ///
    /// # Errors
    /// [`Error::KeyAbsent`], [`Error::KeyAmbiguous`]; [`Error::KeyExposed`] for a key that the token gives away; what
    /// keeps the token from answering.
    pub async fn master_key(
        self: &Arc<Self>,
        label: &str,
    ) -> Result<Secret<[u8; MASTER_KEY_BYTES]>, Error> {
        let label = label.to_owned();
        self.work(move |opened| {
            let key = found(opened, &label)?;
            let mac = opened
                .session()
                .sign(&Mechanism::Sha256Hmac, key, DERIVED)
                .map(Zeroizing::new)
                .map_err(failed("derive the master key (CKM_SHA256_HMAC)"))?;
            let mut master = Zeroizing::new([0; MASTER_KEY_BYTES]);
            if mac.len() != MASTER_KEY_BYTES {
                return Err(Error::Internal(
                    "the PKCS#11 token made an HMAC-SHA-256 that is not 32 bytes long".to_owned(),
                ));
            }
            master.copy_from_slice(&mac);
            Ok(Secret::new(*master))
        })
        .await
    }

    /// Makes a secret key of this label in the token, which will not give it away, for
    /// [`master_key`](Self::master_key).
    ///
    /// # Errors
    /// [`Error::KeyExists`]; what keeps the token from making it.
    pub async fn make_master_key(self: &Arc<Self>, label: &str) -> Result<(), Error> {
        let label = label.to_owned();
        self.make(move |opened| {
            match found(opened, &label) {
                Err(Error::KeyAbsent { .. }) => {}
                Ok(_) | Err(Error::KeyExposed { .. } | Error::KeyAmbiguous { .. }) => {
                    return Err(Error::KeyExists {
                        token: opened.token().to_owned(),
                        key: named(&label),
                    });
                }
                Err(other) => return Err(other),
            }
            let mut id = vec![0; reference::ID_BYTES];
            aws_lc_rs::rand::fill(&mut id)
                .map_err(|_| Error::Internal("the system has no random numbers".to_owned()))?;
            let length = u64::try_from(MASTER_KEY_BYTES).unwrap_or_default();
            let key = opened
                .session()
                .generate_key(
                    &Mechanism::GenericSecretKeyGen,
                    &[
                        Attribute::Token(true),
                        Attribute::Private(true),
                        Attribute::Sensitive(true),
                        Attribute::Extractable(false),
                        Attribute::Sign(true),
                        Attribute::ValueLen(length.into()),
                        Attribute::Label(label.clone().into_bytes()),
                        Attribute::Id(id),
                    ],
                )
                .map_err(failed("make a secret key (CKM_GENERIC_SECRET_KEY_GEN)"))?;
            check(opened, key, &label)
        })
        .await
    }
}

fn named(label: &str) -> String {
    format!("secret key `{label}`")
}

fn found(opened: &Opened<'_>, label: &str) -> Result<ObjectHandle, Error> {
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::Token(true),
        Attribute::Label(label.as_bytes().to_vec()),
    ];
    let key = opened.only(&template, || named(label))?;
    check(opened, key, label)?;
    Ok(key)
}

/// That the token keeps it for itself, and for whoever has the PIN. One that was ever able to leave, or was brought in from outside, may be anywhere;
/// that is said by `CKA_NEVER_EXTRACTABLE`, which is not asked for: a key that is moved from an old module into a new
/// one has to be brought in.
fn check(opened: &Opened<'_>, key: ObjectHandle, label: &str) -> Result<(), Error> {
    let asked = [
        AttributeType::Sensitive,
        AttributeType::Extractable,
        AttributeType::Private,
    ];
    let told = opened
        .session()
        .get_attributes(key, &asked)
        .map_err(failed("tell a key's attributes"))?;
    let exposed = |why| {
        Err(Error::KeyExposed {
            token: opened.token().to_owned(),
            key: named(label),
            why,
        })
    };
    if !told.contains(&Attribute::Sensitive(true)) {
        return exposed("CKA_SENSITIVE is not true");
    }
    if !told.contains(&Attribute::Extractable(false)) {
        return exposed("CKA_EXTRACTABLE is not false");
    }
    // Else it derives for whoever reaches the token, without the PIN.
    if !told.contains(&Attribute::Private(true)) {
        return exposed("CKA_PRIVATE is not true");
    }
    Ok(())
}
