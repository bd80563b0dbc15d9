//! The form of API keys.
//!
//! `kwk_`, 43 characters of base62 (256 random bits), 6 characters of base62 (their CRC-32). The prefix lets
//! scanners of code and logs find a key that got lost; the check tells a key that was cut or mistyped from one
//! that is unknown, so that it is refused without any look-up. It is no protection: anybody can compute it.

#[cfg(test)]
mod tests;

use crate::secret::Secret;
use std::fmt;

/// How a key of ours begins.
pub const PREFIX: &str = "kwk_";

/// What scanners of secrets may look for: a regular expression that keys of ours match, and hardly anything
/// else.
pub const PATTERN: &str = "kwk_[0-9A-Za-z]{49}";

/// 62⁴³ is more than 2²⁵⁶.
const RANDOM_LENGTH: usize = 43;
/// 62⁶ is more than 2³².
const CHECK_LENGTH: usize = 6;
/// Keys that were made elsewhere are no shorter: what is shorter can be guessed.
const FOREIGN_MIN: usize = 20;
/// And no longer: they come in a header.
const LENGTH_MAX: usize = 512;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// An API key: one of ours, or one that was made elsewhere and is taken over.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(Secret<String>);

/// Why a text is no API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoApiKey {
    /// It begins as a key of ours does, and has not its length or characters.
    #[error(
        "it begins with `kwk_`, and the rest is not 49 letters and digits: it was cut, or more was added"
    )]
    Cut,
    /// It has another check than its characters give.
    #[error("its last six characters do not fit the others: it was mistyped")]
    Mistyped,
    /// It was made elsewhere, and is no good.
    #[error("a key that was made elsewhere has 20 to 512 visible ASCII characters")]
    Unfit,
}

impl ApiKey {
    /// A key of these random bytes, which come from a secure generator.
    #[must_use]
    pub fn from_random(random: &[u8; 32]) -> Self {
        let mut text = String::with_capacity(PREFIX.len() + RANDOM_LENGTH + CHECK_LENGTH);
        text.push_str(PREFIX);
        push_base62(random, &mut text);
        let check = crc32fast::hash(text.as_bytes());
        push_number(check, &mut text);
        Self(Secret::new(text))
    }

    /// Reads a key. Nothing is looked up: what passes may still be nobody's.
    ///
    /// # Errors
    /// [`NoApiKey`] when it can be no key.
    pub fn parse(text: &str) -> Result<Self, NoApiKey> {
        check(text.as_bytes()).map(|()| Self(Secret::new(text.to_owned())))
    }

    /// The text, for the one who hashes or prints it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.reveal()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey([secret])")
    }
}

/// Whether these bytes can be a key.
///
/// # Errors
/// [`NoApiKey`] when they can't.
pub fn check(text: &[u8]) -> Result<(), NoApiKey> {
    let Some(rest) = text.strip_prefix(PREFIX.as_bytes()) else {
        let fit = (FOREIGN_MIN..=LENGTH_MAX).contains(&text.len())
            && text.iter().all(u8::is_ascii_graphic);
        return if fit { Ok(()) } else { Err(NoApiKey::Unfit) };
    };
    if rest.len() != RANDOM_LENGTH + CHECK_LENGTH || !rest.iter().all(u8::is_ascii_alphanumeric) {
        return Err(NoApiKey::Cut);
    }
    let (checked, check) = text.split_at(PREFIX.len() + RANDOM_LENGTH);
    let mut expected = String::with_capacity(CHECK_LENGTH);
    push_number(crc32fast::hash(checked), &mut expected);
    if expected.as_bytes() == check {
        Ok(())
    } else {
        Err(NoApiKey::Mistyped)
    }
}

/// Whether the text begins as a key of ours does.
#[must_use]
pub fn is_ours(text: &[u8]) -> bool {
    text.starts_with(PREFIX.as_bytes())
}

/// A number of 256 bits in 43 digits.
fn push_base62(bytes: &[u8; 32], out: &mut String) {
    let mut number = *bytes;
    let mut digits = [0_u8; RANDOM_LENGTH];
    for digit in digits.iter_mut().rev() {
        let mut remainder = 0_u32;
        for byte in &mut number {
            let value = (remainder << 8) | u32::from(*byte);
            // Below 62 × 256 / 62.
            *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
            remainder = value % 62;
        }
        *digit = of_value(remainder);
    }
    out.extend(digits.iter().map(|digit| char::from(*digit)));
}

/// A number of 32 bits in 6 digits.
fn push_number(number: u32, out: &mut String) {
    let mut rest = number;
    let mut digits = [0_u8; CHECK_LENGTH];
    for digit in digits.iter_mut().rev() {
        *digit = of_value(rest % 62);
        rest /= 62;
    }
    out.extend(digits.iter().map(|digit| char::from(*digit)));
}

fn of_value(value: u32) -> u8 {
    let index = usize::try_from(value).unwrap_or_default();
    DIGITS.get(index).copied().unwrap_or(b'0')
}
