//! What a token is asked to do once more, after a failure of which nobody knows how far it had come.

use super::token::{MODULE, PIN, SoftToken};
use keyward_jose::{SignatureAlgorithm, Signer as _, Verifier};
use keyward_model::{Secret, SystemClock};
use keyward_pkcs11::{Token, TokenSettings};
use std::process::Command;
use std::sync::Arc;

#[expect(
    clippy::disallowed_methods,
    reason = "what is asked is whether this is the test's second process"
)]
fn has_token() -> bool {
    std::env::var_os("SOFTHSM2_CONF").is_some()
}

/// Runs the test of this name again in a process of its own, which has the token in its environment; says whether this
/// is that process.
fn is_inside(test: &str, token: impl FnOnce() -> SoftToken) -> bool {
    if has_token() {
        return true;
    }
    let token = token();
    let name = format!("{}::{test}", module_path!().split_once("::").unwrap().1);
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &name])
        .envs(token.environment())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("1 passed"), "{told}");
    // Seen by a program of others, too.
    assert_eq!(token.private_keys().len(), 1);
    false
}

#[tokio::test]
async fn a_key_that_is_made_twice_under_one_reference_is_one_key_and_signs() {
    let test = "a_key_that_is_made_twice_under_one_reference_is_one_key_and_signs";
    if !is_inside(test, SoftToken::new) {
        return;
    }
    let settings = TokenSettings {
        module: MODULE.into(),
        label: "keyward".into(),
        pin: Secret::new(PIN.to_owned()),
    };
    let token = Token::new(settings, Arc::new(SystemClock::new()));
    let reference = token.reference_for_new().unwrap();
    let algorithm = SignatureAlgorithm::Es256;
    let first = token.make_signing_key(&reference, algorithm, "one").await;
    let second = token.make_signing_key(&reference, algorithm, "one").await;
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_ne!(first.thumbprint(), second.thumbprint());
    let signer = token.signer(&reference, &second, algorithm).unwrap();
    let signature = signer.sign(b"message").await.unwrap();
    let verifier = Verifier::new(&second, algorithm).unwrap();
    verifier.verify(b"message", &signature).unwrap();
}
