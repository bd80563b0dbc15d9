//! What a decision depends on, in bytes: two calls of one caller to one route that are alike in it are decided alike.

use crate::call::{Call, HeaderValue};
use crate::context::{hour, segment, weekday};
use crate::reads::Reads;

/// The longest that is remembered: calls that differ in long texts are seldom made twice.
const BYTES_MAX: usize = 128;

/// Everything of a call that some policies read.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    bytes: [u8; BYTES_MAX],
    length: usize,
}

impl Facts {
    /// What policies that read this see of the call; `None` where it is not worth remembering: each call has a time
    /// of its own, and long texts.
    pub(crate) fn of(
        reads: &Reads,
        parameters: &[(Box<str>, usize)],
        call: &Call<'_>,
    ) -> Option<Self> {
        if reads.needs("time") {
            return None;
        }
        let mut facts = Self {
            bytes: [0; BYTES_MAX],
            length: 0,
        };
        // The action, always; each text with its length before it, so that none can end in another's beginning.
        facts.text(call.method.as_bytes())?;
        if reads.needs("path") {
            facts.text(call.path.as_bytes())?;
        }
        if reads.needs("host") {
            facts.text(call.host.as_bytes())?;
        }
        if reads.needs("address") {
            match call.address.to_canonical() {
                std::net::IpAddr::V4(address) => facts.text(&address.octets())?,
                std::net::IpAddr::V6(address) => facts.text(&address.octets())?,
            }
        }
        if reads.needs("hour") {
            facts.push(u8::try_from(hour(call.time)).ok()?)?;
        }
        if reads.needs("weekday") {
            facts.push(u8::try_from(weekday(call.time)).ok()?)?;
        }
        for name in &reads.headers {
            match (call.header)(name) {
                HeaderValue::Absent => facts.push(0)?,
                HeaderValue::Once(value) => {
                    facts.push(1)?;
                    facts.text(value.as_bytes())?;
                }
                // Refused, with words of its own.
                HeaderValue::Several | HeaderValue::NotText => return None,
            }
        }
        for (name, number) in parameters {
            if !reads.parameters.contains(name) {
                continue;
            }
            match segment(call.path, *number) {
                None => facts.push(0)?,
                Some(encoded) => {
                    facts.push(1)?;
                    facts.text(encoded.as_bytes())?;
                }
            }
        }
        Some(facts)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    fn text(&mut self, text: &[u8]) -> Option<()> {
        self.push(u8::try_from(text.len()).ok()?)?;
        let end = self.length.checked_add(text.len())?;
        self.bytes.get_mut(self.length..end)?.copy_from_slice(text);
        self.length = end;
        Some(())
    }

    fn push(&mut self, byte: u8) -> Option<()> {
        *self.bytes.get_mut(self.length)? = byte;
        self.length += 1;
        Some(())
    }
}
