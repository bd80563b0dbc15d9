mod attacks;
mod rfc;
mod round_trips;

use crate::base64url;
use crate::{Key, LocalSigner, SignatureAlgorithm as A};

/// A compact JWS with exactly this header, signed by this key whatever the header says.
pub(crate) fn forge(header: &str, payload: &[u8], key: &Key, algorithm: A) -> String {
    let message = [base64url::encode(header), base64url::encode(payload)].join(".");
    sign_text(message, key, algorithm)
}

/// The signature of this key appended to what stands before it.
pub(crate) fn sign_text(message: String, key: &Key, algorithm: A) -> String {
    let signer = LocalSigner::new(key, algorithm).unwrap();
    let signature = signer.sign_now(message.as_bytes()).unwrap();
    format!("{message}.{}", base64url::encode(signature))
}
