//! Where frames of WebSocket end (RFC 6455, section 5.2): as much as is needed to say something between two of them.

/// A server's frame that ends the connection because it goes away (section 7.4.1: 1001).
pub(super) const GOING_AWAY: [u8; 4] = [0x88, 0x02, 0x03, 0xe9];

/// Two bytes, a length of eight at most, and the key of a mask.
const HEAD_MAX: usize = 14;

/// The frames that pass in one direction.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: [u8; HEAD_MAX],
    /// How much of a frame's head has come.
    have: usize,
    /// How many bytes of a frame's payload are to come.
    payload: u64,
}

impl Frames {
    /// Whether the next byte begins a frame.
    pub(super) fn are_at_border(&self) -> bool {
        self.have == 0 && self.payload == 0
    }

    /// These have passed.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let count = self.step(bytes);
            bytes = bytes.get(count..).unwrap_or_default();
        }
    }

    /// Takes bytes up to where a frame ends, all of them where none does: how many.
    pub(super) fn pass_to_border(&mut self, bytes: &[u8]) -> usize {
        let mut passed = 0;
        while !self.are_at_border() && passed < bytes.len() {
            passed += self.step(bytes.get(passed..).unwrap_or_default());
        }
        passed
    }

    /// Takes bytes of a head, or of a payload: how many. There is one at least.
    fn step(&mut self, bytes: &[u8]) -> usize {
        if self.payload > 0 {
            let count = bytes
                .len()
                .min(usize::try_from(self.payload).unwrap_or(usize::MAX));
            self.payload -= count as u64;
            return count;
        }
        if let (Some(place), Some(byte)) = (self.head.get_mut(self.have), bytes.first()) {
            *place = *byte;
        }
        self.have += 1;
        if let Some(payload) = self.payload_of_head() {
            self.payload = payload;
            self.have = 0;
        }
        1
    }

    /// The length of the payload, once the head is whole.
    fn payload_of_head(&self) -> Option<u64> {
        let [_, second, rest @ ..] = &self.head;
        if self.have < 2 {
            return None;
        }
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        let (more, length) = match (second & 0x7f, rest) {
            (126, [a, b, ..]) => (2, u64::from(u16::from_be_bytes([*a, *b]))),
            (127, [a, b, c, d, e, f, g, h, ..]) => {
                (8, u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]))
            }
            (length, _) => (0, u64::from(length)),
        };
        (self.have >= 2 + more + mask).then_some(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A frame with this payload, masked or not.
    fn frame(length: usize, masked: bool) -> Vec<u8> {
        let mark = if masked { 0x80 } else { 0 };
        let mut bytes = vec![0x82];
        match length {
            0..=125 => bytes.push(mark | u8::try_from(length).unwrap()),
            126..=0xffff => {
                bytes.push(mark | 126);
                bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                bytes.push(mark | 127);
                bytes.extend(u64::try_from(length).unwrap().to_be_bytes());
            }
        }
        bytes.extend(std::iter::repeat_n(0xff, if masked { 4 } else { 0 }));
        bytes.extend(std::iter::repeat_n(0x88, length));
        bytes
    }

    #[test]
    fn frames_of_every_length_end_where_they_end() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
            for masked in [false, true] {
                let frame = frame(length, masked);
                let mut frames = Frames::default();
                let (last, rest) = frame.split_last().unwrap();
                frames.pass(rest);
                assert!(!frames.are_at_border(), "{length} {masked}");
                frames.pass(&[*last]);
                assert!(frames.are_at_border(), "{length} {masked}");
            }
        }
    }

    proptest! {
        /// However the bytes are cut, the border that is found is that of the frame under way.
        #[test]
        fn a_border_is_found_however_bytes_come(
            lengths in prop::collection::vec((0usize..300, any::<bool>()), 1..6),
            before in 0usize..600,
            piece in 1usize..50,
        ) {
            let mut ends = vec![0];
            let mut bytes = Vec::new();
            for (length, masked) in lengths {
                bytes.extend(frame(length, masked));
                ends.push(bytes.len());
            }
            let before = before.min(bytes.len());
            let mut frames = Frames::default();
            frames.pass(&bytes[..before]);
            let mut at = before;
            while at < bytes.len() && !frames.are_at_border() {
                let end = (at + piece).min(bytes.len());
                at += frames.pass_to_border(&bytes[at..end]);
            }
            prop_assert_eq!(Some(at), ends.into_iter().find(|end| *end >= before));
        }
    }
}
