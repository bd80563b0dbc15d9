//! Numbers by which states know people.

use super::digits::Digits;
use super::ends;

/// Exactly so many digits, of which the first do not go on.
fn exactly(bytes: &[u8], at: usize, separators: &[u8], count: usize) -> Option<Digits> {
    let digits = Digits::read(bytes, at, separators, 1, count)?;
    (digits.len() == count && bytes.get(at)?.is_ascii_digit() && ends(bytes, digits.end()))
        .then_some(digits)
}

/// The number that some digits are.
fn number(digits: &[u8]) -> u64 {
    let digits = digits.iter();
    digits.fold(0, |number, digit| number * 10 + u64::from(*digit))
}

fn weighted(digits: &[u8], weights: &[u32]) -> u32 {
    let pairs = digits.iter().zip(weights);
    pairs
        .map(|(digit, weight)| u32::from(*digit) * weight)
        .sum()
}

fn is_date(month: u64, day: u64) -> bool {
    (1..=12).contains(&month) && (1..=31).contains(&day)
}

/// `123-45-6789`: without its separators it can't be told from any other number.
pub(super) fn us_ssn(bytes: &[u8], at: usize) -> Option<usize> {
    let text = bytes.get(at..at + 11)?;
    let separator = *text.get(3)?;
    let formed = text.iter().enumerate().all(|(place, byte)| match place {
        3 | 6 => *byte == separator && matches!(byte, b'-' | b' '),
        _ => byte.is_ascii_digit(),
    });
    let value = |from: usize, to: usize| -> u64 {
        let digits = text.get(from..to).unwrap_or_default().iter();
        digits.fold(0, |number, byte| {
            number * 10 + u64::from(byte.wrapping_sub(b'0'))
        })
    };
    let issued = !matches!(value(0, 3), 0 | 666 | 900..) && value(4, 6) != 0 && value(7, 11) != 0;
    (formed && issued && ends(bytes, at + 11)).then_some(at + 11)
}

/// GB 11643-1999: a date of birth, and a last character by ISO 7064, mod 11-2.
pub(super) fn cn_id(bytes: &[u8], at: usize) -> Option<usize> {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    const CHECKS: &[u8; 11] = b"10X98765432";
    let text = bytes.get(at..at + 18)?;
    let (digits, last) = text.split_at_checked(17)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits: Vec<u8> = digits.iter().map(|byte| byte - b'0').collect();
    let part = |from: usize, to: usize| number(digits.get(from..to).unwrap_or_default());
    let born = (1_800..2_200).contains(&part(6, 10)) && is_date(part(10, 12), part(12, 14));
    let check = usize::try_from(weighted(&digits, &WEIGHTS) % 11).ok()?;
    let right = CHECKS.get(check) == last.first().map(u8::to_ascii_uppercase).as_ref();
    (born && right && ends(bytes, at + 18)).then_some(at + 18)
}

/// The eleven test.
pub(super) fn nl_bsn(bytes: &[u8], at: usize) -> Option<usize> {
    let digits = exactly(bytes, at, b". ", 9)?;
    let front = digits.front(9);
    let sum = weighted(front, &[9, 8, 7, 6, 5, 4, 3, 2]);
    let last = u32::from(digits.get(8)?);
    (sum >= last && (sum - last).is_multiple_of(11) && number(front) != 0).then(|| digits.end())
}

/// A date of birth, whose month tells the century, and a check digit.
pub(super) fn pl_pesel(bytes: &[u8], at: usize) -> Option<usize> {
    let digits = exactly(bytes, at, b"", 11)?;
    let front = digits.front(11);
    let sum = weighted(front, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]);
    let month = number(front.get(2..4)?) % 20;
    let born = is_date(month, number(front.get(4..6)?));
    (sum.is_multiple_of(10) && born).then(|| digits.end())
}

/// A date of birth, a serial number, and 97 less what both leave of 97; with a 2 before them for those born since 2000.
pub(super) fn be_nrn(bytes: &[u8], at: usize) -> Option<usize> {
    let digits = exactly(bytes, at, b".- ", 11)?;
    let front = digits.front(11);
    let (base, check) = (number(front.get(..9)?), number(front.get(9..)?));
    let born = is_date(number(front.get(2..4)?), number(front.get(4..6)?));
    let right = |base: u64| 97 - base % 97 == check;
    (born && (right(base) || right(2_000_000_000 + base))).then(|| digits.end())
}

/// Sixteen letters and digits, the last of which is a check letter.
pub(super) fn it_cf(bytes: &[u8], at: usize) -> Option<usize> {
    const ODD: [u32; 26] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24,
        23,
    ];
    let text = bytes.get(at..at + 16)?.to_ascii_uppercase();
    let formed = text.iter().enumerate().all(|(place, byte)| match place {
        0..=5 | 8 | 11 | 15 => byte.is_ascii_uppercase(),
        // Letters stand for digits where two people have the same.
        _ => byte.is_ascii_digit() || b"LMNPQRSTUV".contains(byte),
    });
    if !formed || !ends(bytes, at + 16) {
        return None;
    }
    let value = |byte: u8| usize::from(byte - if byte.is_ascii_digit() { b'0' } else { b'A' });
    let sum: u32 = text
        .iter()
        .take(15)
        .enumerate()
        .map(|(place, byte)| {
            let value = value(*byte);
            if place % 2 == 0 {
                ODD.get(value).copied().unwrap_or_default()
            } else {
                u32::try_from(value).unwrap_or_default()
            }
        })
        .sum();
    let right = text.last().map(|byte| u32::from(byte - b'A')) == Some(sum % 26);
    right.then_some(at + 16)
}

/// A DNI of eight digits, or a NIE with a letter in front, and the letter that the number leaves of 23.
pub(super) fn es_dni(bytes: &[u8], at: usize) -> Option<usize> {
    const LETTERS: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";
    let first = bytes.get(at)?.to_ascii_uppercase();
    let (begin, count, front) = match first {
        b'X' => (at + 1, 7, 0),
        b'Y' => (at + 1, 7, 10_000_000),
        b'Z' => (at + 1, 7, 20_000_000),
        _ => (at, 8, 0),
    };
    let begin = begin + usize::from(count == 7 && bytes.get(begin) == Some(&b'-'));
    let digits = Digits::read(bytes, begin, b"", 0, count)?;
    if digits.len() != count {
        return None;
    }
    let mut end = digits.end();
    if matches!(bytes.get(end), Some(b'-' | b' ')) {
        end += 1;
    }
    let letter = bytes.get(end)?.to_ascii_uppercase();
    let left = usize::try_from((front + number(digits.front(count))) % 23).ok()?;
    (LETTERS.get(left) == Some(&letter) && ends(bytes, end + 1)).then_some(end + 1)
}

/// Sex, year and month of birth, place (of Corsica with a letter), serial number, and 97 less what is left of 97.
pub(super) fn fr_nir(bytes: &[u8], at: usize) -> Option<usize> {
    let mut digits = Vec::with_capacity(15);
    let mut less = 0;
    let mut end = at;
    while digits.len() < 15 {
        let byte = *bytes.get(end)?;
        match byte.to_ascii_uppercase() {
            b'0'..=b'9' => digits.push(byte - b'0'),
            // As the rule for the check digits has them: 19 and 18 in their place.
            b'A' if digits.len() == 6 => {
                less = 1_000_000;
                digits.push(0);
            }
            b'B' if digits.len() == 6 => {
                less = 2_000_000;
                digits.push(0);
            }
            b' ' if !digits.is_empty() && bytes.get(end - 1) != Some(&b' ') => {}
            _ => return None,
        }
        end += 1;
    }
    let base = number(digits.get(..13)?).checked_sub(less)?;
    let sex = matches!(digits.first(), Some(1..=4 | 7 | 8));
    let month = number(digits.get(3..5)?);
    let born = matches!(month, 1..=12 | 20..=42 | 50..=99);
    let right = 97 - base % 97 == number(digits.get(13..)?);
    (sex && born && right && ends(bytes, end)).then_some(end)
}

/// Eleven digits by ISO 7064, mod 11,10, of whose first ten one comes twice or three times and the others once at most.
pub(super) fn de_tin(bytes: &[u8], at: usize) -> Option<usize> {
    let digits = exactly(bytes, at, b" ", 11)?;
    let front = digits.front(10);
    let mut counts = [0_u8; 10];
    for digit in front {
        *counts.get_mut(usize::from(*digit))? += 1;
    }
    let repeated = counts.iter().filter(|count| **count > 1).count();
    if digits.first() == Some(0) || repeated != 1 || counts.iter().any(|count| *count > 3) {
        return None;
    }
    let product = front.iter().fold(10_u32, |product, digit| {
        let sum = (u32::from(*digit) + product) % 10;
        (if sum == 0 { 10 } else { sum } * 2) % 11
    });
    let check = (11 - product) % 10;
    (u32::from(digits.get(10)?) == check).then(|| digits.end())
}

/// Ten digits, the last of which is 11 less what the others, weighted, leave of 11.
pub(super) fn uk_nhs(bytes: &[u8], at: usize) -> Option<usize> {
    let digits = exactly(bytes, at, b" -", 10)?;
    let front = digits.front(9);
    let left = 11 - weighted(front, &[10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11;
    let check = if left == 11 { 0 } else { left };
    (u32::from(digits.get(9)?) == check && number(front) != 0).then(|| digits.end())
}
