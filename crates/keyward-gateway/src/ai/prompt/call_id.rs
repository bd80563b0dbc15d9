//! The ids of answers: whoever got one can say what they think of it, and nobody else.
//!
//! An id has the call's own id, when it was made and the version that answered, and a MAC over these with the prompt and
//! the caller, under a key that all nodes of a database share. Nothing is remembered for it.

use super::plan::{PromptPlan, PromptVersion};
use aws_lc_rs::{constant_time, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyward_model::id::{RequestId, TeamId};
use keyward_model::{Caller, Name, Secret, Timestamp};
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// What an id begins with, so that people see what it is.
const PREFIX: &str = "pa_";
/// Half of a SHA-256: nobody tries 2¹²⁸ of them.
const TAG_LENGTH: usize = 16;
const REQUEST_LENGTH: usize = 16;
const TIME_LENGTH: usize = 8;
/// An id with the longest of names has less.
const ID_MAX: usize = 256;

/// How long an answer can be rated: a day, as people sleep over things.
pub(crate) const FEEDBACK_WITHIN: Duration = Duration::from_secs(24 * 3_600);

/// Makes ids, and reads them.
pub(crate) struct CallIds(hmac::Key);

impl CallIds {
    /// Under a key of its own that is derived from this one.
    pub(crate) fn new(key: &Secret<[u8; 32]>) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.reveal());
        let derived = hmac::sign(&key, b"keyward answers of prompts\0");
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    /// The id of an answer.
    pub(super) fn issue(
        &self,
        request: RequestId,
        version: &PromptVersion,
        caller: Option<&[u8]>,
        now: Timestamp,
    ) -> String {
        let compiled = &version.compiled;
        let payload = payload(request, now, compiled.version());
        let tag = self.tag((compiled.team(), compiled.name()), caller, &payload);
        let mut bytes = tag.as_ref().get(..TAG_LENGTH).unwrap_or_default().to_vec();
        bytes.extend_from_slice(&payload);
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The version that gave the answer of this id to this caller; `None` of any other id, of one that is too old, and of
    /// one from before what is `known`, which ends now. An id has one spelling.
    pub(super) fn read<'p>(
        &self,
        id: &str,
        prompt: &'p PromptPlan,
        caller: Option<&[u8]>,
        known: RangeInclusive<Timestamp>,
    ) -> Option<&'p Arc<PromptVersion>> {
        if id.len() > ID_MAX {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(id.strip_prefix(PREFIX)?).ok()?;
        let (tag, payload) = bytes.split_first_chunk::<TAG_LENGTH>()?;
        let (_, rest) = payload.split_first_chunk::<REQUEST_LENGTH>()?;
        let (time, version) = rest.split_first_chunk::<TIME_LENGTH>()?;
        let version = prompt.version(std::str::from_utf8(version).ok()?)?;
        let compiled = &version.compiled;
        let expected = self.tag((compiled.team(), compiled.name()), caller, payload);
        let expected = expected.as_ref().get(..TAG_LENGTH)?;
        constant_time::verify_slices_are_equal(expected, tag).ok()?;
        let at = Timestamp::from_micros(i64::from_be_bytes(*time));
        if at < *known.start() {
            return None;
        }
        let age = known.end().as_seconds().saturating_sub(at.as_seconds());
        let within = u64::try_from(age).is_ok_and(|age| age <= FEEDBACK_WITHIN.as_secs());
        within.then_some(version)
    }

    /// Each part with its length before it, so that other parts are other bytes.
    fn tag(
        &self,
        (team, prompt): (TeamId, &Name),
        caller: Option<&[u8]>,
        payload: &[u8],
    ) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&team.as_u128().to_be_bytes());
        for part in [
            prompt.as_str().as_bytes(),
            caller.unwrap_or_default(),
            payload,
        ] {
            let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
            context.update(&length.to_be_bytes());
            context.update(part);
        }
        context.sign()
    }
}

fn payload(request: RequestId, now: Timestamp, version: &Name) -> Vec<u8> {
    let mut payload = request.as_u128().to_be_bytes().to_vec();
    payload.extend_from_slice(&now.as_micros().to_be_bytes());
    payload.extend_from_slice(version.as_str().as_bytes());
    payload
}

/// Who calls, as bytes that are the same at each call of theirs; `None` where nothing is known.
pub(super) fn identity(caller: Option<&Caller>) -> Option<Vec<u8>> {
    let caller = caller?;
    let mut bytes = Vec::with_capacity(96);
    let mut known = false;
    let credential = caller.credential.map(|credential| credential.to_string());
    for part in [
        caller.issuer.as_deref(),
        caller.subject(),
        caller.client(),
        credential.as_deref(),
    ] {
        if let Some(part) = part {
            known = true;
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes.push(0);
    }
    known.then_some(bytes)
}

impl fmt::Debug for CallIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallIds([secret])")
    }
}
