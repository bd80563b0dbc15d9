//! What callers show of themselves: proofs of possession, names and passwords, certificates that a proxy tells of; and
//! what issuers answer about tokens.

#![no_main]

use keyward_gateway::fuzzing::{is_active, is_certificate, is_proof, name_and_password};
use keyward_jose::SignatureAlgorithm;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else {
        return;
    };
    match choice % 4 {
        0 => {
            let text = String::from_utf8_lossy(rest);
            // Nobody finds a signature by chance, and with no algorithm nothing passes at all.
            assert!(!is_proof(&text, &[]));
            let _read = is_proof(&text, SignatureAlgorithm::ALL);
        }
        1 => {
            if let Some((name, password)) = name_and_password(rest) {
                assert!(!name.contains(':'));
                assert!(name.len() + 1 + password.len() <= rest.len());
            }
        }
        2 => {
            let (certificate, chain) = rest.split_at(rest.len() / 2);
            let _read = is_certificate(certificate, chain);
        }
        _ => {
            let said = |word: &[u8]| rest.windows(word.len()).any(|part| part == word);
            match is_active(rest) {
                Some(true) => assert!(said(b"true")),
                Some(false) => assert!(said(b"false")),
                None => {}
            }
        }
    }
});
