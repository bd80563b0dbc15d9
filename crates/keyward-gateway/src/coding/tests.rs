//! Streams that come in any pieces, end anywhere, and are what they should not be.

use super::budget::CodingBudget;
use super::decoder::Decoder;
use super::encoder::{Encoder, Then};
use super::*;
use ContentCoding::{Brotli, Deflate, Gzip, Zstd};
use keyward_model::resource::coding::{CompressionLevels, ContentCoding};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

const OF_ANSWERS: [ContentCoding; 3] = [Gzip, Brotli, Zstd];
const MIB: usize = 1024 * 1024;
const GENEROUS: DecodeBounds = DecodeBounds {
    bytes: u64::MAX,
    ratio: u64::MAX,
};

/// A body that comes in these pieces; an empty one is a wait.
struct Script(VecDeque<Vec<u8>>);

impl Script {
    fn of<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> Self {
        Self(pieces.into_iter().map(<[u8]>::to_vec).collect())
    }
}

impl Pieces for Script {
    fn poll_piece(&mut self, _: &mut Context<'_>) -> Poll<Result<usize, BodyFailure>> {
        match self.0.front() {
            None => Poll::Ready(Ok(0)),
            Some(wait) if wait.is_empty() => {
                self.0.pop_front();
                Poll::Pending
            }
            Some(piece) => Poll::Ready(Ok(piece.len())),
        }
    }

    fn move_piece(&mut self, count: usize, out: &mut Vec<u8>) {
        if let Some(piece) = self.0.front_mut() {
            out.extend(piece.drain(..count));
            if piece.is_empty() {
                self.0.pop_front();
            }
        }
    }
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What comes between two waits, and how it ends.
fn spans(
    mut poll: impl FnMut(&mut Context<'_>, &mut Vec<u8>) -> Poll<Result<usize, BodyFailure>>,
) -> (Vec<Vec<u8>>, Result<(), BodyFailure>) {
    let mut spans = vec![Vec::new()];
    for _ in 0..1_000_000 {
        let span = spans.last_mut().unwrap();
        match poll(&mut Context::from_waker(Waker::noop()), span) {
            Poll::Pending => spans.push(Vec::new()),
            Poll::Ready(Ok(0)) => return (spans, Ok(())),
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(failure)) => return (spans, Err(failure)),
        }
    }
    panic!("it never ends");
}

fn compressed(coding: ContentCoding, mut script: Script) -> Vec<Vec<u8>> {
    let budget = CodingBudget::new();
    let levels = CompressionLevels::default();
    let mut compressing = Compressing::new(coding, &levels, &budget).unwrap();
    let (spans, end) = spans(|context, out| {
        let polled = compressing.poll_piece(context, &mut script);
        if let Poll::Ready(Ok(count)) = polled {
            compressing.move_piece(count, out);
        }
        polled
    });
    end.unwrap();
    spans
}

fn decompressed(
    coding: ContentCoding,
    script: Script,
    bounds: DecodeBounds,
) -> (Vec<u8>, Result<(), Undecodable>) {
    let budget = CodingBudget::new();
    let whole = budget.left();
    let mut body = Decompressing::new(script, coding, bounds, &budget);
    let (spans, end) = spans(|context, out| {
        let polled = body.poll_piece(context);
        if let Poll::Ready(Ok(count)) = polled {
            assert!(count <= ROOM, "{count} bytes at once");
            body.move_piece(count, out);
        }
        polled
    });
    drop(body);
    assert_eq!(budget.left(), whole);
    let end = end.map_err(|failure| {
        let BodyFailure::Undecodable(why) = failure else {
            panic!("{failure}");
        };
        why
    });
    (spans.concat(), end)
}

/// By others' decoders.
fn read(coding: ContentCoding, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match coding {
        Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut out),
        Deflate => flate2::read::ZlibDecoder::new(bytes).read_to_end(&mut out),
        Brotli => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out),
        Zstd => {
            out = vec![0; 64 * MIB];
            let length = zstd_safe::decompress(out.as_mut_slice(), bytes).unwrap();
            out.truncate(length);
            Ok(length)
        }
    }
    .unwrap();
    out
}

/// By others' coders.
fn packed(coding: ContentCoding, bytes: &[u8]) -> Vec<u8> {
    match coding {
        Gzip => {
            let mut coder = flate2::GzBuilder::new()
                .filename("a")
                .comment("b")
                .write(Vec::new(), flate2::Compression::best());
            coder.write_all(bytes).unwrap();
            coder.finish().unwrap()
        }
        Deflate => {
            let mut coder =
                flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
            coder.write_all(bytes).unwrap();
            coder.finish().unwrap()
        }
        Brotli => {
            let mut coder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22);
            coder.write_all(bytes).unwrap();
            coder.into_inner()
        }
        Zstd => {
            let mut out = vec![0; zstd_safe::compress_bound(bytes.len())];
            let length = zstd_safe::compress(out.as_mut_slice(), bytes, 3).unwrap();
            out.truncate(length);
            out
        }
    }
}

fn sample() -> Vec<u8> {
    (0..200).fold(Vec::new(), |mut text, number: u32| {
        writeln!(text, "{{\"id\":{},\"name\":\"n{number}\"}}", number * 7919).unwrap();
        text
    })
}

#[test]
fn what_is_compressed_is_read_by_others() {
    let sample = sample();
    for coding in OF_ANSWERS {
        let pieces: [&[&[u8]]; 4] = [&[&sample], &[&sample, b"", &sample], &[b""], &[]];
        for pieces in pieces {
            let whole = compressed(coding, Script::of(pieces.iter().copied())).concat();
            assert_eq!(read(coding, &whole), pieces.concat(), "{coding:?}");
        }
        let packed = compressed(coding, Script::of([sample.as_slice()])).concat();
        assert!(
            packed.len() * 3 < sample.len(),
            "{coding:?} {}",
            packed.len()
        );
    }
}

#[test]
fn what_waits_for_nothing_is_not_held_back() {
    let events: [&[u8]; 3] = [b"data: one\n\n", b"data: two\n\n", b"data: three\n\n"];
    for coding in OF_ANSWERS {
        // The first wait lets out what is held, the second is felt by whoever takes the pieces.
        let script = events
            .iter()
            .flat_map(|event| [*event, b"".as_slice(), b""]);
        let script = Script::of(script);
        let spans = compressed(coding, script);
        assert_eq!(spans.len(), events.len() + 1, "{coding:?}");
        let mut decoder = Decoder::new(coding).unwrap();
        for (span, event) in spans.iter().zip(events) {
            let mut out = Vec::new();
            let step = decoder.decode(span, &mut out, ROOM).unwrap();
            assert_eq!((out.as_slice(), step.ended), (event, false), "{coding:?}");
        }
    }
}

#[test]
fn others_have_their_turn_while_much_is_coded() {
    let zeros = vec![0; 4 * MIB];
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    for coding in OF_ANSWERS {
        let mut script = Script::of([zeros.as_slice()]);
        let budget = CodingBudget::new();
        let levels = CompressionLevels::default();
        let mut compressing = Compressing::new(coding, &levels, &budget).unwrap();
        let before = woken.0.load(Ordering::Relaxed);
        let mut waits = 0;
        loop {
            match compressing.poll_piece(&mut context, &mut script) {
                Poll::Pending => waits += 1,
                Poll::Ready(Ok(0)) => break,
                Poll::Ready(Ok(count)) => compressing.move_piece(count, &mut Vec::new()),
                Poll::Ready(Err(failure)) => panic!("{failure}"),
            }
        }
        assert_eq!(waits, 4 * MIB / WORK_MAX, "{coding:?}");
        assert_eq!(woken.0.load(Ordering::Relaxed) - before, waits);
    }
}

#[test]
fn a_stream_is_decoded_wherever_it_is_cut() {
    let sample = sample();
    for coding in ContentCoding::ALL {
        let packed = packed(coding, &sample);
        for at in 0..=packed.len() {
            let (head, tail) = packed.split_at(at);
            let script = Script::of([head, b"", tail]);
            let (out, end) = decompressed(coding, script, GENEROUS);
            assert_eq!(end, Ok(()), "{coding:?} at {at}");
            assert_eq!(out, sample, "{coding:?} at {at}");
        }
        let script = Script::of(packed.chunks(1).flat_map(|byte| [byte, b"".as_slice()]));
        let (out, end) = decompressed(coding, script, GENEROUS);
        assert_eq!(
            (out, end),
            (sample.clone(), Ok(())),
            "{coding:?} byte by byte"
        );
    }
}

#[test]
fn a_stream_that_ends_early_is_told_from_one_that_is_whole() {
    let sample = sample();
    for coding in ContentCoding::ALL {
        let packed = packed(coding, &sample);
        for at in 1..packed.len() {
            let script = Script::of([packed.get(..at).unwrap()]);
            let (out, end) = decompressed(coding, script, GENEROUS);
            assert_eq!(end, Err(Undecodable::Truncated), "{coding:?} at {at}");
            assert!(sample.starts_with(&out));
        }
    }
}

#[test]
fn what_follows_a_stream_is_refused() {
    for coding in ContentCoding::ALL {
        let packed = packed(coding, b"small");
        for more in [b"\0".to_vec(), packed.clone(), b"x".repeat(100)] {
            let in_one = [packed.clone(), more.clone()].concat();
            for script in [
                Script::of([in_one.as_slice()]),
                Script::of([packed.as_slice(), b"", &more]),
            ] {
                let (out, end) = decompressed(coding, script, GENEROUS);
                assert_eq!(end, Err(Undecodable::Trailing), "{coding:?}");
                assert_eq!(out, b"small");
            }
        }
    }
}

#[test]
fn what_is_in_another_coding_is_refused() {
    let sample = sample();
    for coding in ContentCoding::ALL {
        for other in ContentCoding::ALL
            .into_iter()
            .filter(|other| *other != coding)
        {
            let script = Script::of([packed(other, &sample).as_slice()]);
            let (_, end) = decompressed(coding, script, GENEROUS);
            let refused = matches!(end, Err(Undecodable::Malformed | Undecodable::Window));
            assert!(refused, "{other:?} as {coding:?}: {end:?}");
        }
    }
    // Without zlib's header.
    let mut coder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    coder.write_all(&sample).unwrap();
    let script = Script::of([coder.finish().unwrap().as_slice()]);
    let (_, end) = decompressed(Deflate, script, GENEROUS);
    assert_eq!(end, Err(Undecodable::Malformed));
}

#[test]
fn a_bomb_is_put_out_before_it_is_large() {
    let zeros = vec![0; 32 * MIB];
    for coding in ContentCoding::ALL {
        let packed = packed(coding, &zeros);
        for (bytes, ratio, why) in [
            (MIB as u64, u64::MAX, Undecodable::TooLarge),
            (u64::MAX, 100, Undecodable::Ratio),
        ] {
            let script = Script::of([packed.as_slice()]);
            let bounds = DecodeBounds { bytes, ratio };
            let (out, end) = decompressed(coding, script, bounds);
            assert_eq!(end, Err(why), "{coding:?}");
            // What went in until then is at most one piece.
            let most = if why == Undecodable::TooLarge {
                MIB
            } else {
                64 * 1024 + 100 * INPUT_MAX + ROOM
            };
            assert!(out.len() <= most, "{coding:?} {}", out.len());
        }
    }
}

#[test]
fn a_body_just_within_its_bounds_passes() {
    let sample = sample();
    let bounds = |bytes| DecodeBounds {
        bytes,
        ratio: u64::MAX,
    };
    for coding in ContentCoding::ALL {
        let packed = packed(coding, &sample);
        let length = sample.len() as u64;
        let (_, end) = decompressed(coding, Script::of([packed.as_slice()]), bounds(length));
        assert_eq!(end, Ok(()));
        let (_, end) = decompressed(coding, Script::of([packed.as_slice()]), bounds(length - 1));
        assert_eq!(end, Err(Undecodable::TooLarge));
    }
}

#[test]
fn memory_is_bounded_and_given_back() {
    let levels = CompressionLevels::default();
    for coding in OF_ANSWERS {
        let each = encoder::memory(coding, &levels);
        let budget = CodingBudget::of(2 * each);
        let first = Compressing::new(coding, &levels, &budget);
        let second = Compressing::new(coding, &levels, &budget);
        assert!(first.is_some() && second.is_some());
        assert!(Compressing::new(coding, &levels, &budget).is_none());
        drop(first);
        assert!(Compressing::new(coding, &levels, &budget).is_some());
    }
    let budget = CodingBudget::of(1024);
    let packed = packed(Gzip, b"a");
    let mut body = Decompressing::new(Script::of([packed.as_slice()]), Gzip, GENEROUS, &budget);
    let polled = body.poll_piece(&mut Context::from_waker(Waker::noop()));
    let expected = BodyFailure::Undecodable(Undecodable::NoMemory);
    assert_eq!(polled, Poll::Ready(Err(expected)));
    assert_eq!(budget.left(), 1024);
}

fn coding() -> impl Strategy<Value = ContentCoding> {
    prop::sample::select(ContentCoding::ALL.to_vec())
}

proptest! {
    /// Whatever is written, in whatever pieces and with whatever waits, is read again.
    #[test]
    fn a_stream_survives_the_way_there_and_back(
        coding in prop::sample::select(OF_ANSWERS.to_vec()),
        pieces in prop::collection::vec(prop::collection::vec(0u8..4, 0..300), 0..20),
        cut in 1usize..50,
    ) {
        let script = Script::of(pieces.iter().map(Vec::as_slice));
        let packed = compressed(coding, script).concat();
        prop_assert_eq!(read(coding, &packed), pieces.concat());
        let script = Script::of(packed.chunks(cut));
        let (out, end) = decompressed(coding, script, GENEROUS);
        prop_assert_eq!((out, end), (pieces.concat(), Ok(())));
    }

    /// Bytes that are no stream do no harm.
    #[test]
    fn nonsense_ends(coding in coding(), bytes in prop::collection::vec(any::<u8>(), 1..2000)) {
        let bounds = DecodeBounds { bytes: 1_000_000, ratio: 100 };
        let (out, _) = decompressed(coding, Script::of([bytes.as_slice()]), bounds);
        prop_assert!(out.len() <= 1_000_000);
    }

    /// A stream with a changed bit is decoded to something, or not, and ends.
    #[test]
    fn a_damaged_stream_ends(coding in coding(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut packed = packed(coding, &sample());
        let at = at.index(packed.len());
        packed[at] ^= 1 << bit;
        let bounds = DecodeBounds { bytes: 1_000_000, ratio: 1000 };
        let (out, end) = decompressed(coding, Script::of([packed.as_slice()]), bounds);
        prop_assert!(out.len() <= 1_000_000);
        // gzip and zlib carry a checksum of what they hold, which is in every bit but the head's.
        if matches!(coding, Deflate) {
            prop_assert!(end.is_err() || out == sample());
        }
    }
}

#[test]
fn every_level_works() {
    let sample = sample();
    for level in 1..=9 {
        let levels = CompressionLevels {
            gzip: level,
            brotli: level,
            zstd: level,
        };
        for coding in OF_ANSWERS {
            let mut encoder = Encoder::new(coding, &levels).unwrap();
            let mut out = Vec::new();
            encoder.encode(&sample, Then::More, &mut out).unwrap();
            encoder.encode(b"", Then::Finish, &mut out).unwrap();
            assert_eq!(read(coding, &out), sample, "{coding:?} {level}");
        }
    }
}
