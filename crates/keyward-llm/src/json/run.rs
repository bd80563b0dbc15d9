//! Runs of characters that mean themselves in a string: what a large request is made of, so that what they cost is what
//! a large request costs.

/// Bytes that are looked at together: enough to fill a processor's wide registers, few enough for short texts.
const TOGETHER: usize = 32;

/// How many bytes of a string's inside, from its beginning on, mean themselves: up to a quote, a backslash or a control
/// character, each of which is escaped when it is written (RFC 8259, section 7).
pub(super) fn length(inside: &[u8]) -> usize {
    let mut at = 0;
    let mut rest = inside;
    while let Some((block, behind)) = rest.split_first_chunk::<TOGETHER>() {
        // Without a branch a byte, which the compiler makes a few wide comparisons of.
        if block.iter().fold(false, |any, byte| any | ends(*byte)) {
            break;
        }
        (at, rest) = (at + TOGETHER, behind);
    }
    while let Some((word, behind)) = rest.split_first_chunk::<8>() {
        let marks = marks(u64::from_le_bytes(*word));
        if marks != 0 {
            return at + marks.trailing_zeros() as usize / 8;
        }
        (at, rest) = (at + 8, behind);
    }
    at + rest
        .iter()
        .position(|byte| ends(*byte))
        .unwrap_or(rest.len())
}

const fn ends(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

/// The highest bit of the lowest byte of a word that ends a run, and of none below that. Bytes above it may be marked
/// without cause, since a borrow runs upwards.
const fn marks(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = ONES * 0x80;
    const fn below(word: u64, bound: u8) -> u64 {
        word.wrapping_sub(ONES * bound as u64) & !word
    }
    let quote = below(word ^ (ONES * b'"' as u64), 1);
    let backslash = below(word ^ (ONES * b'\\' as u64), 1);
    (below(word, 0x20) | quote | backslash) & HIGHS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_byte_ends_a_run_or_does_not_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            for at in 0..80 {
                let mut text = vec![b'x'; 80];
                text[at] = byte;
                let expected = if ends(byte) { at } else { 80 };
                assert_eq!(length(&text), expected, "{byte:#x} at {at}");
            }
        }
    }

    proptest! {
        #[test]
        fn it_is_what_looking_byte_by_byte_says(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let expected = text.iter().position(|byte| ends(*byte)).unwrap_or(text.len());
            prop_assert_eq!(length(&text), expected);
        }
    }
}
