//! Values that must never be seen.

use std::fmt;
use zeroize::{Zeroize, Zeroizing};

/// A secret: wiped when dropped, printed as `[secret]`, never serialized.
#[derive(Clone)]
pub struct Secret<T: Zeroize>(Zeroizing<T>);

impl<T: Zeroize> Secret<T> {
    /// Takes the value in.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The value, for the one who uses it. Copy it into nothing that outlives the use.
    #[must_use]
    pub fn reveal(&self) -> &T {
        &self.0
    }
}

/// In a time that tells nothing of where two of the same length differ.
impl<T: Zeroize + AsRef<[u8]>> PartialEq for Secret<T> {
    fn eq(&self, other: &Self) -> bool {
        let (one, other): (&[u8], &[u8]) = (self.reveal().as_ref(), other.reveal().as_ref());
        let differs = one.iter().zip(other).fold(0, |differs, (one, other)| {
            std::hint::black_box(differs | (one ^ other))
        });
        one.len() == other.len() && differs == 0
    }
}

impl<T: Zeroize + AsRef<[u8]>> Eq for Secret<T> {}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_the_same_when_all_of_them_is() {
        let secret = |text: &str| Secret::new(text.to_owned());
        assert_eq!(secret("hunter2"), secret("hunter2"));
        for other in ["", "hunter", "hunter3", "iunter2", "hunter22"] {
            assert_ne!(secret("hunter2"), secret(other), "{other}");
        }
    }

    #[test]
    fn a_secret_does_not_print() {
        assert_eq!(
            format!("{:?}", Secret::new("hunter2".to_owned())),
            "[secret]"
        );
    }
}
