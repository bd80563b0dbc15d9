//! `traceparent` and `tracestate` (W3C Trace Context, level 2).

use crate::message::{Fields, Header};

/// Bits of the flags (section 3.2.2.5).
const SAMPLED: u8 = 1;
const RANDOM: u8 = 2;

/// The length of version 00.
const LENGTH: usize = 55;

/// The most members of a `tracestate` (section 3.3.1.1).
const MEMBERS_MAX: usize = 32;
/// The longest key and the longest value of one (sections 3.3.1.3.1 and 3.3.1.3.2).
const PART_MAX: usize = 256;

/// Which span called, and of which trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceParent {
    /// Not 0.
    pub(crate) trace_id: u128,
    /// Not 0.
    pub(crate) span_id: u64,
    pub(crate) sampled: bool,
    /// Whether the trace's id was made at random.
    pub(crate) random: bool,
}

impl TraceParent {
    /// Reads the header's value (section 3.2); `None` when it is none. Of later versions the parts that this
    /// one knows are read (section 4.3).
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        let (known, rest) = text.split_at_checked(LENGTH)?;
        let mut parts = known.split('-');
        let version = u8::try_from(digits(parts.next()?, 2)?).ok()?;
        let trace_id = digits(parts.next()?, 32)?;
        let span_id = u64::try_from(digits(parts.next()?, 16)?).ok()?;
        let flags = u8::try_from(digits(parts.next()?, 2)?).ok()?;
        let ends = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => rest.is_empty() || rest.starts_with('-'),
        };
        let whole = ends && parts.next().is_none() && trace_id != 0 && span_id != 0;
        whole.then_some(Self {
            trace_id,
            span_id,
            sampled: flags & SAMPLED != 0,
            random: flags & RANDOM != 0,
        })
    }

    /// The header's value.
    pub(crate) fn to_value(self) -> [u8; LENGTH] {
        let mut value = [b'-'; LENGTH];
        let mut put = |at: usize, count: usize, number: u128| {
            for place in 0..count {
                let digit = (number >> (4 * (count - 1 - place))) & 0xf;
                if let (Some(to), Some(digit)) = (
                    value.get_mut(at + place),
                    b"0123456789abcdef".get(digit as usize),
                ) {
                    *to = *digit;
                }
            }
        };
        put(0, 2, 0);
        put(3, 32, self.trace_id);
        put(36, 16, self.span_id.into());
        put(53, 2, self.flags().into());
        value
    }

    /// The flags of version 00.
    pub(crate) fn flags(self) -> u8 {
        (if self.sampled { SAMPLED } else { 0 }) | (if self.random { RANDOM } else { 0 })
    }
}

/// So many hexadecimal digits, in lower case.
fn digits(text: &str, count: usize) -> Option<u128> {
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != count || !text.bytes().all(lower) {
        return None;
    }
    u128::from_str_radix(text, 16).ok()
}

/// The states of other systems, from all fields of that name, in their order (section 3.3); `None` where
/// there are none or they can't be read: then what they say is lost, and the trace is not.
pub(crate) fn trace_state(fields: &Fields) -> Option<Box<[u8]>> {
    let mut state: Vec<u8> = Vec::new();
    let mut keys: Vec<&[u8]> = Vec::new();
    let values = fields.all(Header::Tracestate);
    for member in values.flat_map(|value| value.split(|byte| *byte == b',')) {
        let member = member.trim_ascii();
        if member.is_empty() {
            continue;
        }
        let at = member.iter().position(|byte| *byte == b'=')?;
        let (key, value) = (member.get(..at)?, member.get(at + 1..)?);
        if !is_key(key) || !is_value(value) || keys.contains(&key) || keys.len() == MEMBERS_MAX {
            return None;
        }
        keys.push(key);
        if !state.is_empty() {
            state.push(b',');
        }
        state.extend_from_slice(member);
    }
    (!state.is_empty()).then(|| state.into_boxed_slice())
}

fn is_key(key: &[u8]) -> bool {
    let begins = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    key.first().is_some_and(begins)
        && key.len() <= PART_MAX
        && key
            .iter()
            .all(|byte| begins(byte) || b"_-*/@".contains(byte))
}

fn is_value(value: &[u8]) -> bool {
    !value.is_empty()
        && value.len() <= PART_MAX
        && value
            .iter()
            .all(|byte| (0x20..0x7f).contains(byte) && !b",=".contains(byte))
}
