//! Secrets that a provider repeats in the words of its errors, as in `Incorrect API key provided: sk-…`: those words are for
//! the log, and the secret is not.

use keyward_llm::form::Failure;
use zeroize::Zeroizing;

/// What stands in place of a secret, or of a piece of one.
const MASK: &str = "[…]";
/// So many letters of a secret in a row are a piece of it: fewer are in any text by chance.
const PIECE: usize = 8;
/// What is shorter is no secret, and stands in every other word.
const LEAST: usize = 4;

/// What was sent to prove who calls.
#[derive(Default)]
pub(in super::super) struct Sent(Vec<Zeroizing<String>>);

impl Sent {
    pub(in super::super) fn add(&mut self, secret: &str) {
        if secret.len() >= LEAST {
            self.0.push(Zeroizing::new(secret.to_owned()));
        }
    }

    /// Takes it out of what a provider said.
    pub(in super::super) fn out_of(&self, failure: &mut Failure) {
        if self.0.is_empty() {
            return;
        }
        let Failure {
            kind: _,
            status: _,
            message,
            code,
            field,
            because,
        } = failure;
        let others = [code, field, because].into_iter().flatten();
        for text in std::iter::once(message).chain(others) {
            if let Some(masked) = self.masked(text) {
                *text = masked;
            }
        }
    }

    /// The text without; `None` where there is nothing of it.
    fn masked(&self, text: &str) -> Option<String> {
        let bytes = text.as_bytes();
        let mut hidden = vec![false; bytes.len()];
        for secret in &self.0 {
            let piece = PIECE.min(secret.len());
            for (at, window) in bytes.windows(piece).enumerate() {
                if memchr::memmem::find(secret.as_bytes(), window).is_some()
                    && let Some(hidden) = hidden.get_mut(at..at + piece)
                {
                    hidden.fill(true);
                }
            }
        }
        if !hidden.contains(&true) {
            return None;
        }
        let mut out = String::with_capacity(text.len());
        let mut within = false;
        for (at, letter) in text.char_indices() {
            let hides = hidden.get(at) == Some(&true);
            match (hides, within) {
                (true, false) => out.push_str(MASK),
                (true, true) => {}
                (false, _) => out.push(letter),
            }
            within = hides;
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyward_llm::form::FailureKind;

    #[test]
    fn a_secret_and_its_pieces_are_taken_out_of_every_text() {
        let mut sent = Sent::default();
        sent.add("sk-0123456789abcdefghij");
        sent.add("k");
        for (text, expected) in [
            ("key sk-0123456789abcdefghij: no", "key […]: no"),
            ("key sk-01234*****cdefghij: no", "key […]*****[…]: no"),
            ("é 9abcdefg é 9abcdef", "é […] é 9abcdef"),
            ("like this", "like this"),
        ] {
            let mut failure = Failure {
                because: Some(text.to_owned()),
                field: Some(text.to_owned()),
                ..Failure::new(FailureKind::Authentication, text).with_code(text)
            };
            sent.out_of(&mut failure);
            assert_eq!(failure.message, expected);
            let others = [failure.because, failure.field, failure.code];
            assert!(
                others
                    .into_iter()
                    .all(|other| other.as_deref() == Some(expected))
            );
        }
    }
}
