//! The Huffman code of header compression (RFC 7541, appendix B), which QPACK uses too.
//!
//! The code is canonical: of two codes of one length, that of the smaller symbol is the smaller number. So the
//! lengths are the whole table, and what decodes by them is made when this is compiled.

/// How many bits each symbol's code has. The last symbol marks the end of a string, and is never sent.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

/// The longest code.
const LONGEST: usize = 30;

/// What is looked at first, in bits: the codes of nearly all that stands in headers are no longer.
const SHORT: u32 = 8;

const CODE: Code = Code::new();

/// The code, as it is decoded by.
struct Code {
    /// By the next bits: the symbol and its code's length; none where that is longer.
    short: [(u8, u8); 1 << SHORT],
    /// The symbols by their codes' length and, within it, by the codes.
    symbols: [u16; 257],
    /// Of each length, the first code, its place among the symbols, and how many there are.
    lengths: [(u32, usize, u32); LONGEST + 1],
}

impl Code {
    #[expect(
        clippy::indexing_slicing,
        clippy::cast_possible_truncation,
        reason = "run by the compiler, which refuses what is out of bounds"
    )]
    const fn new() -> Self {
        let mut code = Self {
            short: [(0, 0); 1 << SHORT],
            symbols: [0; 257],
            lengths: [(0, 0, 0); LONGEST + 1],
        };
        let (mut next, mut place, mut length) = (0_u32, 0, 1);
        while length <= LONGEST {
            next <<= 1;
            code.lengths[length] = (next, place, 0);
            let mut symbol = 0;
            while symbol < LENGTHS.len() {
                if LENGTHS[symbol] as usize == length {
                    if length <= SHORT as usize {
                        let free = SHORT as usize - length;
                        let mut low = 0;
                        while low < 1 << free {
                            let at = ((next as usize) << free) | low;
                            code.short[at] = (symbol as u8, length as u8);
                            low += 1;
                        }
                    }
                    code.symbols[place] = symbol as u16;
                    code.lengths[length].2 += 1;
                    place += 1;
                    next += 1;
                }
                symbol += 1;
            }
            length += 1;
        }
        code
    }
}

/// The string is not one that the code makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Undecodable;

/// Decodes a string behind what `out` has.
pub(super) fn decode(coded: &[u8], out: &mut Vec<u8>) -> Result<(), Undecodable> {
    let mut rest = coded.iter();
    // The bits that were taken from the input and not used, the next one first.
    let (mut bits, mut count) = (0_u64, 0_u32);
    loop {
        while count <= 48
            && let Some(byte) = rest.next()
        {
            bits = bits << 8 | u64::from(*byte);
            count += 8;
        }
        let left = bits & ((1 << count) - 1);
        let first = if count >= SHORT {
            left >> (count - SHORT)
        } else {
            // Filled up with ones, as an encoder would.
            left << (SHORT - count) | ((1 << (SHORT - count)) - 1)
        };
        let first = usize::try_from(first).map_err(|_| Undecodable)?;
        let (symbol, length) = *CODE.short.get(first).ok_or(Undecodable)?;
        if length > 0 && u32::from(length) <= count {
            out.push(symbol);
            count -= u32::from(length);
            continue;
        }
        if count < SHORT {
            // At most seven ones fill the last byte up (RFC 7541, section 5.2).
            let all_ones = left == (1 << count) - 1;
            return if all_ones { Ok(()) } else { Err(Undecodable) };
        }
        let (symbol, length) = long(left, count).ok_or(Undecodable)?;
        out.push(symbol);
        count -= length;
    }
}

/// The symbol of a code that is longer than what is looked at first, and that length.
fn long(bits: u64, count: u32) -> Option<(u8, u32)> {
    let lengths = CODE.lengths.iter().zip(0_u32..);
    for ((first, place, number), length) in lengths.skip(SHORT as usize + 1) {
        let code = u32::try_from(bits >> count.checked_sub(length)?).ok()?;
        let at = code.checked_sub(*first)?;
        if at < *number {
            let symbol = CODE.symbols.get(place + at as usize)?;
            // The mark of a string's end is refused with what is no symbol.
            return Some((u8::try_from(*symbol).ok()?, length));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Encodes, for the tests alone: answers are sent without it.
    fn encode(text: &[u8]) -> Vec<u8> {
        let code_of = |symbol: u8| {
            let at = CODE
                .symbols
                .iter()
                .position(|other| *other == u16::from(symbol))
                .unwrap();
            let length = LENGTHS[usize::from(symbol)];
            let (first, place, _) = CODE.lengths[usize::from(length)];
            (first as usize + at - place, length)
        };
        let mut bits: Vec<bool> = Vec::new();
        for symbol in text {
            let (code, length) = code_of(*symbol);
            bits.extend((0..length).rev().map(|bit| code >> bit & 1 == 1));
        }
        while !bits.len().is_multiple_of(8) {
            bits.push(true);
        }
        bits.chunks(8)
            .map(|byte| byte.iter().fold(0, |all, bit| all << 1 | u8::from(*bit)))
            .collect()
    }

    fn decoded(coded: &[u8]) -> Result<Vec<u8>, Undecodable> {
        let mut out = b"before ".to_vec();
        decode(coded, &mut out)?;
        Ok(out.split_off(7))
    }

    #[test]
    fn the_rfcs_examples_are_decoded() {
        // RFC 7541, appendix C.4 and C.6.
        for (coded, text) in [
            (
                &[
                    0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff,
                ][..],
                "www.example.com",
            ),
            (&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf], "no-cache"),
            (
                &[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f],
                "custom-key",
            ),
            (&[0x64, 0x02], "302"),
            (
                &[
                    0xd0, 0x7a, 0xbe, 0x94, 0x10, 0x54, 0xd4, 0x44, 0xa8, 0x20, 0x05, 0x95, 0x04,
                    0x0b, 0x81, 0x66, 0xe0, 0x82, 0xa6, 0x2d, 0x1b, 0xff,
                ],
                "Mon, 21 Oct 2013 20:13:21 GMT",
            ),
            (&[], ""),
        ] {
            assert_eq!(decoded(coded).unwrap(), text.as_bytes());
        }
    }

    #[test]
    fn the_code_has_no_gap_and_no_overlap() {
        // Kraft's sum of a full code is one.
        let sum: u64 = LENGTHS
            .iter()
            .map(|length| 1 << (LONGEST - usize::from(*length)))
            .sum();
        assert_eq!(sum, 1 << LONGEST);
        let every: Vec<u8> = (0..=255).collect();
        assert_eq!(decoded(&encode(&every)).unwrap(), every);
    }

    #[test]
    fn what_no_encoder_makes_is_refused() {
        for coded in [
            // The mark of the end.
            &[0xff, 0xff, 0xff, 0xff][..],
            // More than seven bits that fill up.
            &[0x1f, 0xff],
            // Filled up with zeros: `0` and three bits of another code.
            &[0x00],
            // A long code that breaks off.
            &[0xff, 0xfe],
        ] {
            assert_eq!(decoded(coded), Err(Undecodable), "{coded:x?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(decoded(&encode(&text)).unwrap(), text);
        }

        #[test]
        fn no_bytes_break_it(coded in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut out = Vec::new();
            let _decoded = decode(&coded, &mut out);
            prop_assert!(out.len() <= coded.len() * 8 / 5);
        }
    }
}
