//! What tells of a person: found by its form, and by its check digits where it has some.
//!
//! All of it is of ASCII; whoever writes digits in another script is seen by a rule that normalises.

mod digits;
mod national;

#[cfg(test)]
mod tests;

use super::rule::joins;
use digits::Digits;
use keyward_model::resource::guardrail::PiiKind;

/// The longest of each kind, in bytes: streams are held back by as much.
const EMAIL_MAX: usize = LOCAL_MAX + 1 + DOMAIN_MAX;
/// RFC 5321, section 4.5.3.1.1.
const LOCAL_MAX: usize = 64;
/// RFC 5321 has 255; what is longer than this is no one's address, and would hold streams back for nothing.
const DOMAIN_MAX: usize = 128;
const PHONE_MAX: usize = 40;
const NUMBER_MAX: usize = 48;

/// What is looked for.
#[derive(Debug)]
pub(super) struct Pii {
    kinds: Box<[PiiKind]>,
}

impl Pii {
    pub(super) fn new(kinds: &[PiiKind]) -> Self {
        Self {
            kinds: kinds.into(),
        }
    }

    /// The most bytes of one match.
    pub(super) fn longest(&self) -> usize {
        let longest = |kind: &PiiKind| match kind {
            PiiKind::Email => EMAIL_MAX,
            PiiKind::Phone => PHONE_MAX,
            PiiKind::Card
            | PiiKind::Iban
            | PiiKind::UsSsn
            | PiiKind::CnId
            | PiiKind::NlBsn
            | PiiKind::PlPesel
            | PiiKind::BeNrn
            | PiiKind::ItCf
            | PiiKind::EsDni
            | PiiKind::FrNir
            | PiiKind::DeTin
            | PiiKind::UkNhs => NUMBER_MAX,
        };
        self.kinds.iter().map(longest).max().unwrap_or_default()
    }

    /// Finds all that begins from `from` on and before `limit`.
    pub(super) fn find(
        &self,
        text: &str,
        from: usize,
        limit: usize,
        found: &mut dyn FnMut(usize, usize, PiiKind),
    ) {
        let bytes = text.as_bytes();
        let mut before = from.checked_sub(1).and_then(|at| bytes.get(at)).copied();
        for (at, byte) in bytes.iter().enumerate().take(limit).skip(from) {
            let begins_local = !before.is_some_and(is_local);
            let may = byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'(');
            let begins = may && before.is_none_or(|before| sets_apart(text, at, before));
            before = Some(*byte);
            for kind in &self.kinds {
                if *kind != PiiKind::Email && !begins {
                    continue;
                }
                let end = match kind {
                    PiiKind::Email if begins_local => email(bytes, at),
                    PiiKind::Email => None,
                    PiiKind::Phone => phone(bytes, at),
                    PiiKind::Card => card(bytes, at),
                    PiiKind::Iban => iban(bytes, at),
                    PiiKind::UsSsn => national::us_ssn(bytes, at),
                    PiiKind::CnId => national::cn_id(bytes, at),
                    PiiKind::NlBsn => national::nl_bsn(bytes, at),
                    PiiKind::PlPesel => national::pl_pesel(bytes, at),
                    PiiKind::BeNrn => national::be_nrn(bytes, at),
                    PiiKind::ItCf => national::it_cf(bytes, at),
                    PiiKind::EsDni => national::es_dni(bytes, at),
                    PiiKind::FrNir => national::fr_nir(bytes, at),
                    PiiKind::DeTin => national::de_tin(bytes, at),
                    PiiKind::UkNhs => national::uk_nhs(bytes, at),
                };
                if let Some(end) = end {
                    found(at, end, *kind);
                }
            }
        }
    }
}

/// Whether what begins at `at`, behind this byte, is no part of what stands before it: behind a letter it is, but not
/// behind a quotation mark, a space of another kind, or a letter of a script that sets no words apart.
fn sets_apart(text: &str, at: usize, before: u8) -> bool {
    if before.is_ascii() {
        return !before.is_ascii_alphanumeric();
    }
    let before = text.get(..at).and_then(|text| text.chars().next_back());
    !before.is_some_and(joins)
}

/// Whether nothing that belongs to it stands behind: a number goes on with digits or letters, and with a point and a
/// digit.
fn ends(bytes: &[u8], at: usize) -> bool {
    match bytes.get(at) {
        None => true,
        Some(byte) if byte.is_ascii_alphanumeric() || *byte == b'_' => false,
        Some(b'.') => !bytes.get(at + 1).is_some_and(u8::is_ascii_digit),
        Some(_) => true,
    }
}

/// What may stand before the `@` (RFC 5322, section 3.2.3).
fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte)
}

fn email(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    let local = rest
        .iter()
        .take(LOCAL_MAX + 1)
        .take_while(|byte| is_local(**byte))
        .count();
    if local == 0 || local > LOCAL_MAX || rest.get(local) != Some(&b'@') {
        return None;
    }
    let domain = rest.get(local + 1..)?;
    let longest = domain
        .iter()
        .take(DOMAIN_MAX)
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
        .count();
    // A full stop behind it ends a sentence.
    let mut domain = domain.get(..longest)?;
    while let [front @ .., b'.' | b'-'] = domain {
        domain = front;
    }
    let mut labels = domain.rsplit(|byte| *byte == b'.');
    let top = labels.next()?;
    let named =
        top.len() >= 2 && top.iter().all(u8::is_ascii_alphabetic) || top.starts_with(b"xn--");
    let mut labels = labels.peekable();
    let whole = labels.peek().is_some() && labels.all(|label| !label.is_empty());
    (named && whole).then(|| at + local + 1 + domain.len())
}

/// International (`+`), of North America, of China's mobiles, and with the `0` before it that most of Europe has.
fn phone(bytes: &[u8], at: usize) -> Option<usize> {
    let first = *bytes.get(at)?;
    if first == b'+' {
        let digits = Digits::read(bytes, at + 1, b" .-/()", 2, 15)?;
        let fits = digits.first() != Some(0) && (7..=15).contains(&digits.len());
        return (fits && ends(bytes, digits.end())).then(|| digits.end());
    }
    let digits = Digits::read(bytes, at, b" .-/()", 2, 13)?;
    let end = digits.end();
    let grouped = digits.is_grouped();
    let at_place = |place| digits.get(place).unwrap_or_default();
    let china = digits.len() == 11 && at_place(0) == 1 && at_place(1) >= 3;
    let america = |from: usize| grouped && at_place(from) >= 2 && at_place(from + 3) >= 2;
    let fits = match (digits.len(), at_place(0)) {
        (10, 2..) => america(0),
        (11, 1) => china || america(1),
        (9..=12, 0) => at_place(1) != 0,
        _ => false,
    };
    let opened = first == b'(';
    let closed = bytes.get(at..end)?.contains(&b')');
    (fits && opened == closed && ends(bytes, end)).then_some(end)
}

/// 13 to 19 digits of an issuer that there is, whose last makes them right (ISO/IEC 7812, Luhn).
fn card(bytes: &[u8], at: usize) -> Option<usize> {
    let digits = Digits::read(bytes, at, b" -", 1, 19)?;
    for length in (13..=digits.len()).rev() {
        let (end, number) = (digits.end_of(length)?, digits.front(length));
        if ends(bytes, end) && is_of_issuer(number) && luhn(number) {
            return Some(end);
        }
    }
    None
}

/// Beginnings of the large issuers, with the lengths that their numbers have.
fn is_of_issuer(digits: &[u8]) -> bool {
    let prefix = |count: usize| {
        let digits = digits.iter().take(count);
        digits.fold(0_u32, |number, digit| number * 10 + u32::from(*digit))
    };
    match digits.len() {
        // American Express.
        15 => matches!(prefix(2), 34 | 37),
        // Diners Club.
        14 => matches!(prefix(2), 36 | 38 | 39) || matches!(prefix(3), 300..=305),
        // Visa, and Maestro and UnionPay in their other lengths.
        13 | 17..=19 => prefix(1) == 4 || matches!(prefix(2), 50 | 56..=58 | 62 | 63 | 67),
        // Visa, Mastercard, Discover, JCB, UnionPay, Mir, Diners Club.
        16 => {
            prefix(1) == 4
                || matches!(prefix(2), 36 | 38 | 39 | 50..=58 | 60 | 62..=65 | 67)
                || matches!(prefix(4), 2_200..=2_204 | 2_221..=2_720 | 3_528..=3_589)
        }
        _ => false,
    }
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, u32::from(*digit)) {
            (0, digit) => digit,
            (_, digit) if digit > 4 => 2 * digit - 9,
            (_, digit) => 2 * digit,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// The lengths of account numbers by country (ISO 13616, registry of 2025).
const IBAN_LENGTHS: &[(&[u8; 2], usize)] = &[
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BI", 27),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FK", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HN", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NI", 28),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SO", 23),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
    (b"YE", 30),
];

fn iban(bytes: &[u8], at: usize) -> Option<usize> {
    let country = [
        bytes.get(at)?.to_ascii_uppercase(),
        bytes.get(at + 1)?.to_ascii_uppercase(),
    ];
    let (_, length) = IBAN_LENGTHS.iter().find(|(known, _)| **known == country)?;
    let mut end = at;
    let mut characters = Vec::with_capacity(*length);
    while characters.len() < *length {
        let byte = *bytes.get(end)?;
        if byte.is_ascii_alphanumeric() {
            characters.push(byte.to_ascii_uppercase());
        } else if !matches!(byte, b' ' | b'-') || characters.len() < 4 {
            return None;
        }
        end += 1;
        if end - at > NUMBER_MAX {
            return None;
        }
    }
    if !ends(bytes, end) {
        return None;
    }
    // ISO 7064, mod 97-10: the first four go to the end, letters are 10 to 35.
    let (front, rest) = characters.split_at_checked(4)?;
    let rotated = rest.iter().chain(front);
    let remainder = rotated.fold(0_u32, |sum, byte| match byte {
        b'0'..=b'9' => (sum * 10 + u32::from(byte - b'0')) % 97,
        _ => (sum * 100 + u32::from(byte - b'A') + 10) % 97,
    });
    (remainder == 1).then_some(end)
}
