//! Which codings a client takes (RFC 9110, section 12.5.3).

use keyward_model::resource::coding::ContentCoding;
use smallvec::SmallVec;

/// A whole weight: weights have three digits behind the point.
const WHOLE: u16 = 1000;

/// What a client takes of what we have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Acceptable {
    /// Of our codings, those that the client rather has than none, the best first.
    pub(crate) codings: SmallVec<[ContentCoding; 3]>,
    /// Whether the client refuses what has no coding.
    pub(crate) must: bool,
}

/// Reads `Accept-Encoding`. `ours` are in our order, which decides between equals. A client that says nothing
/// takes anything (RFC 9110), but those that say nothing are those that know nothing: it gets no coding.
pub(crate) fn acceptable<'v>(
    values: impl Iterator<Item = &'v [u8]>,
    ours: &[ContentCoding],
) -> Acceptable {
    let (mut star, mut identity) = (None, None);
    let mut named: SmallVec<[(ContentCoding, u16); 4]> = SmallVec::new();
    let members = values.flat_map(|value| value.split(|byte| *byte == b','));
    for member in members {
        let mut parts = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        // What has no weight that can be read says nothing.
        let Some(weight) = weight(parts) else {
            continue;
        };
        if name == b"*" {
            star = Some(weight);
        } else if name.eq_ignore_ascii_case(b"identity") {
            identity = Some(weight);
        } else if let Some(coding) = coding(name) {
            named.push((coding, weight));
        }
    }
    // A client that takes anything was written with gzip in mind.
    if let Some(weight) = star
        && !named
            .iter()
            .any(|(coding, _)| *coding == ContentCoding::Gzip)
    {
        named.push((ContentCoding::Gzip, weight));
    }
    let mut ranked: SmallVec<[(ContentCoding, u16); 3]> = ours
        .iter()
        .filter_map(|ours| named.iter().find(|(coding, _)| coding == ours).copied())
        .filter(|(_, weight)| *weight > 0 && *weight >= identity.unwrap_or_default())
        .collect();
    ranked.sort_by_key(|(_, weight)| WHOLE.saturating_sub(*weight));
    Acceptable {
        codings: ranked.into_iter().map(|(coding, _)| coding).collect(),
        must: identity.or(star.filter(|weight| *weight == 0)) == Some(0),
    }
}

/// The coding of this name. `x-gzip` is the same as `gzip` (RFC 9110, section 8.4.1.3).
pub(crate) fn coding(name: &[u8]) -> Option<ContentCoding> {
    let name = std::str::from_utf8(name).ok()?;
    let known = ContentCoding::ALL.into_iter();
    let mut known = known.filter(|coding| name.eq_ignore_ascii_case(coding.as_str()));
    known.next().or_else(|| {
        name.eq_ignore_ascii_case("x-gzip")
            .then_some(ContentCoding::Gzip)
    })
}

/// `q=0.5`, in thousandths (RFC 9110, section 12.4.2); whole where nothing is said.
fn weight<'p>(parameters: impl Iterator<Item = &'p [u8]>) -> Option<u16> {
    let mut weight = WHOLE;
    for parameter in parameters {
        let value = parameter
            .strip_prefix(b"q=")
            .or_else(|| parameter.strip_prefix(b"Q="))?;
        let (whole, digits) = match value {
            [whole] => (*whole, &[][..]),
            [whole, b'.', digits @ ..] => (*whole, digits),
            _ => return None,
        };
        if digits.len() > 3 || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let thousandths = digits
            .iter()
            .chain(b"000")
            .take(3)
            .fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
        weight = match (whole, thousandths) {
            (b'0', thousandths) => thousandths,
            (b'1', 0) => WHOLE,
            _ => return None,
        };
    }
    Some(weight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ContentCoding::{Brotli, Gzip, Zstd};
    use proptest::prelude::*;

    fn read(value: &str) -> (Vec<ContentCoding>, bool) {
        let read = acceptable([value.as_bytes()].into_iter(), &[Zstd, Brotli, Gzip]);
        (read.codings.to_vec(), read.must)
    }

    #[test]
    fn the_best_that_both_know_is_chosen() {
        for (value, codings, must) in [
            ("", &[][..], false),
            ("gzip", &[Gzip], false),
            ("GZIP", &[Gzip], false),
            ("x-gzip", &[Gzip], false),
            ("gzip, deflate, br, zstd", &[Zstd, Brotli, Gzip], false),
            ("gzip;q=1.0, br;q=0.5", &[Gzip, Brotli], false),
            ("gzip;q=0.001, br;q=0", &[Gzip], false),
            ("br ; q=0.9 , gzip ; q=0.91", &[Gzip, Brotli], false),
            ("*", &[Gzip], false),
            ("*;q=0", &[], true),
            ("gzip, *;q=0", &[Gzip], true),
            ("identity;q=0", &[], true),
            ("identity;q=0, *", &[Gzip], true),
            ("br, identity;q=0", &[Brotli], true),
            ("identity, gzip;q=0.5", &[], false),
            ("identity;q=0.5, gzip;q=0.5", &[Gzip], false),
            ("identity, *;q=0", &[], false),
            ("compress, deflate", &[], false),
            // What can't be read says nothing.
            ("gzip;q=2", &[], false),
            ("gzip;q=0.5555", &[], false),
            ("gzip;q=", &[], false),
            ("gzip;level=9", &[], false),
            ("gzip br", &[], false),
            (",,gzip,,", &[Gzip], false),
        ] {
            assert_eq!(read(value), (codings.to_vec(), must), "{value}");
        }
    }

    #[test]
    fn several_fields_are_one_list() {
        let values = ["gzip;q=0.5", "br"];
        let values = values.iter().map(|value| value.as_bytes());
        let read = acceptable(values, &[Zstd, Brotli, Gzip]);
        assert_eq!(read.codings.as_slice(), [Brotli, Gzip]);
    }

    proptest! {
        /// Whatever comes, nothing is chosen that was not named or meant by a star.
        #[test]
        fn nothing_is_chosen_that_was_refused(value in "[a-z*;=,0-9. -]{0,40}") {
            let (codings, _) = read(&value);
            for coding in codings {
                let named = value.contains(coding.as_str()) || value.contains('*');
                prop_assert!(named, "{value} {coding:?}");
            }
        }
    }
}
