//! Connection IDs that lead to the worker whose connection it is.
//!
//! Each worker has a UDP socket of its own at the listener's address, and the kernel chooses one by the client's
//! address. A client that comes to another address (RFC 9000, section 9) may so come to another worker, which
//! knows nothing of its connection. By the ID in the packet that one sees whose it is, and hands it over.
//!
//! An ID is random, but for the worker's number and a check, which are masked by a keyed hash of the rest: who does
//! not have the key learns nothing from it, and can't tell two of one connection from others (RFC 9000, section
//! 5.1).

use quinn::{ConnectionId, ConnectionIdGenerator};
use siphasher::sip::SipHasher13;
use std::hash::Hasher as _;
use std::time::Duration;

/// Bytes of an ID that are random.
const RANDOM: usize = 8;
/// Bytes of an ID. As no client's own has as many by chance, few packets have to be looked at twice.
const LENGTH: usize = RANDOM + 4;
/// The first bit of a packet with a long header (RFC 8999, section 5.1), which says how long its ID is.
const LONG: u8 = 0x80;
/// Where that length stands.
const LONG_LENGTH_AT: usize = 5;

/// What the IDs of a listener are made by. One for all of its workers, and for one process alone.
#[derive(Clone)]
pub(super) struct IdKey([u8; 16]);

impl IdKey {
    pub(super) fn from_random(random: [u8; 16]) -> Self {
        Self(random)
    }

    fn mask(&self, random: &[u8]) -> [u8; 4] {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        hasher.write(random);
        let [a, b, c, d, ..] = hasher.finish().to_le_bytes();
        [a, b, c, d]
    }

    /// The worker whose connection has this ID; `None` when it was not made here.
    fn worker_of(&self, id: &[u8]) -> Option<usize> {
        let (random, masked) = id.split_first_chunk::<RANDOM>()?;
        let masked: [u8; 4] = masked.try_into().ok()?;
        let mask = self.mask(random);
        let [low, high, first, second]: [u8; 4] = std::array::from_fn(|at| {
            masked.get(at).copied().unwrap_or(0) ^ mask.get(at).copied().unwrap_or(0)
        });
        // One in 65,536 foreign IDs passes, and costs no more than a hand-over that leads nowhere.
        (first == 0 && second == 0).then_some(usize::from(u16::from_le_bytes([low, high])))
    }

    /// The worker whose connection a packet is for; `None` where its ID was not made here, as of those that begin a
    /// connection.
    pub(super) fn worker_of_packet(&self, packet: &[u8]) -> Option<usize> {
        let first = packet.first()?;
        let id = if first & LONG == 0 {
            packet.get(1..=LENGTH)?
        } else {
            let length = usize::from(*packet.get(LONG_LENGTH_AT)?);
            let begin = LONG_LENGTH_AT + 1;
            packet.get(begin..begin + length)?
        };
        self.worker_of(id)
    }
}

/// Makes the IDs of one worker's connections.
pub(super) struct Generator {
    key: IdKey,
    worker: u16,
}

impl Generator {
    pub(super) fn new(key: IdKey, worker: usize) -> Self {
        Self {
            key,
            worker: u16::try_from(worker).unwrap_or(u16::MAX),
        }
    }
}

impl ConnectionIdGenerator for Generator {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; LENGTH];
        if let Some((random, rest)) = id.split_first_chunk_mut::<RANDOM>() {
            // It fails only where the system has no random numbers at all, and then nothing else works either.
            let _filled = aws_lc_rs::rand::fill(random);
            let [low, high] = self.worker.to_le_bytes();
            let mask = self.key.mask(random);
            for ((byte, plain), mask) in rest.iter_mut().zip([low, high, 0, 0]).zip(mask) {
                *byte = plain ^ mask;
            }
        }
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        LENGTH
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: IdKey = IdKey([7; 16]);

    #[test]
    fn an_id_leads_to_its_worker_and_no_two_are_the_same() {
        for worker in [0, 1, 7, 1023] {
            let mut generator = Generator::new(KEY, worker);
            let (one, other) = (generator.generate_cid(), generator.generate_cid());
            assert_ne!(one, other);
            assert_eq!(KEY.worker_of(&one), Some(worker));
        }
    }

    #[test]
    fn an_id_of_another_key_is_nobodys() {
        let mut generator = Generator::new(IdKey([8; 16]), 1);
        let passed = (0..1000)
            .filter(|_| KEY.worker_of(&generator.generate_cid()).is_some())
            .count();
        assert!(passed < 3, "{passed}");
        for short in [&b""[..], b"1", &[0; LENGTH - 1], &[0; LENGTH + 1], &[0; 20]] {
            assert_eq!(KEY.worker_of(short), None);
        }
    }

    #[test]
    fn a_packet_is_told_by_its_id_in_either_form() {
        let id = Generator::new(KEY, 5).generate_cid();
        let short = [&[0x40][..], &id, b"payload"].concat();
        let length = u8::try_from(LENGTH).unwrap();
        let long = [&[0xe0, 0, 0, 0, 1, length][..], &id, &[0], b"payload"].concat();
        for packet in [&short, &long] {
            assert_eq!(KEY.worker_of_packet(packet), Some(5));
            assert_eq!(KEY.worker_of_packet(&packet[..6]), None);
        }
        // A client's first packet has an ID of its own.
        let first = [&[0xc0, 0, 0, 0, 1, 8][..], b"whatever", &[0]].concat();
        assert_eq!(KEY.worker_of_packet(&first), None);
    }

    proptest! {
        #[test]
        fn no_packet_breaks_it(packet in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _worker = KEY.worker_of_packet(&packet);
        }
    }
}
