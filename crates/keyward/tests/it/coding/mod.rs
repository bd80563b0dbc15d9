//! Bodies that are compressed or decompressed on their way, met by coders and decoders of others.

mod answers;
mod requests;

use std::io::{Read as _, Write as _};
use std::time::Duration;

/// Some text that has something to be compressed.
pub(crate) fn text() -> String {
    (0..500)
        .map(|number| format!("{{\"id\":{},\"name\":\"n{number}\"}}\n", number * 7919))
        .collect()
}

pub(crate) fn packed(coding: &str, bytes: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" => {
            let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            coder.write_all(bytes).unwrap();
            coder.finish().unwrap()
        }
        "deflate" => {
            let mut coder =
                flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
            coder.write_all(bytes).unwrap();
            coder.finish().unwrap()
        }
        "br" => {
            let mut coder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22);
            coder.write_all(bytes).unwrap();
            coder.into_inner()
        }
        "zstd" => {
            let mut out = vec![0; zstd_safe::compress_bound(bytes.len())];
            let length = zstd_safe::compress(out.as_mut_slice(), bytes, 3).unwrap();
            out.truncate(length);
            out
        }
        other => panic!("{other}"),
    }
}

pub(crate) fn unpacked(coding: Option<&str>, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match coding {
        None => return bytes.to_vec(),
        Some("gzip") => flate2::read::GzDecoder::new(bytes).read_to_end(&mut out),
        Some("br") => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out),
        Some("zstd") => {
            out = vec![0; 16 * 1024 * 1024];
            let length = zstd_safe::decompress(out.as_mut_slice(), bytes).unwrap();
            out.truncate(length);
            Ok(length)
        }
        Some(other) => panic!("{other}"),
    }
    .unwrap();
    out
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), waiting).await;
    assert!(waited.is_ok(), "{what} did not come");
}
