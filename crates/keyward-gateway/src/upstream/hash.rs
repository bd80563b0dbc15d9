//! Hashes that are the same on every node and after every start, so that what is alike goes to the same
//! target everywhere. Nothing secret is in them: who knows them can choose keys that meet at one target,
//! as with any consistent hash that nodes share without talking.

/// The hash of a key (FNV-1a, then mixed, for keys that differ in their last byte alone).
pub(crate) fn of(key: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    for byte in key {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    mix(hash)
}

/// Spreads every bit over all others (the finalizer of SplitMix64).
pub(crate) fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
