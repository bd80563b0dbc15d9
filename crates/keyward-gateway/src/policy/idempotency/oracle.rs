//! For fuzz targets: what is read of strangers' keys, held against what has to be true of it.

use super::key::{IdempotencyKey, KEY_MAX};

/// Reads the value as `Idempotency-Key`.
///
/// # Panics
/// When a key is taken that is no text of the right length, or that is another one once it is written in quotes.
pub fn read_idempotency_key(value: &[u8]) {
    let Ok(key) = IdempotencyKey::parse(value) else {
        return;
    };
    let bytes = key.as_bytes();
    assert!((1..=KEY_MAX).contains(&bytes.len()));
    assert!(bytes.iter().all(|byte| (b' '..=b'~').contains(byte)));
    let mut quoted = vec![b'"'];
    for byte in bytes {
        if matches!(byte, b'"' | b'\\') {
            quoted.push(b'\\');
        }
        quoted.push(*byte);
    }
    quoted.push(b'"');
    assert_eq!(IdempotencyKey::parse(&quoted).as_ref(), Ok(&key));
}
