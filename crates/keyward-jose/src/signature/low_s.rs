//! The smaller of the two values of `s` that sign the same on secp256k1.
//!
//! With (r, s) also (r, n − s) is a signature of the message. RFC 8812 takes both, and so do we; but
//! libraries that come from the world of ledgers take the smaller alone, so that is what we make.

use std::cmp::Ordering;

/// The group's order n (SEC 2, section 2.4.1).
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe,
    0xba, 0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x41,
];

/// Makes `s` of r‖s the smaller one. A signature is public: nothing here need take constant time.
pub(super) fn lower(signature: &mut [u8]) {
    let Some(s) = signature.last_chunk_mut::<32>() else {
        return;
    };
    let other = complement(s);
    if (*s).cmp(&other) == Ordering::Greater {
        *s = other;
    }
}

/// n − s, for s below n.
fn complement(s: &[u8; 32]) -> [u8; 32] {
    let mut other = [0; 32];
    let mut borrow = false;
    let digits = ORDER.iter().zip(s).zip(&mut other).rev();
    for ((order, s), digit) in digits {
        let (difference, under) = order.overflowing_sub(*s);
        let (difference, under_again) = difference.overflowing_sub(u8::from(borrow));
        *digit = difference;
        borrow = under || under_again;
    }
    other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_of_both_values_is_kept() {
        let mut one = [0; 32];
        one[31] = 1;
        let largest = complement(&one);
        assert_eq!(largest[31], 0x40);
        assert_eq!(complement(&largest), one);
        let mut signature = [7; 64];
        signature[32..].copy_from_slice(&largest);
        lower(&mut signature);
        assert_eq!(signature[32..], one);
        assert_eq!(signature[..32], [7; 32]);
        lower(&mut signature);
        assert_eq!(signature[32..], one);
    }
}
