//! Requests that come compressed (RFC 9110, section 8.4) to routes that take the work off their upstreams.

use super::Refusal;
use crate::body::RequestBody;
use crate::coding;
use crate::message::{Fields, Header, RequestHead};
use crate::snapshot::DecompressionPlan;
use crate::worker::Worker;
use keyward_model::{Code, Fault};

/// The body as the upstream gets it, with a head that speaks of that one. From here on nobody sees the
/// compressed form: what is kept for another attempt, and what is copied, is what the upstream gets.
pub(super) fn decompress(
    worker: &Worker,
    plan: &DecompressionPlan,
    head: &mut RequestHead,
    body: RequestBody,
) -> Result<RequestBody, Refusal> {
    let mut codings = head
        .fields
        .all(Header::ContentEncoding)
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case(b"identity"));
    let (Some(first), second) = (codings.next(), codings.next()) else {
        return Ok(body);
    };
    if second.is_some() {
        // What is packed twice is packed to be a bomb.
        return Err(refusal(
            plan,
            "The body is in several codings; send it in one of those that `Accept-Encoding` lists",
        ));
    }
    let coding = coding::named(first).filter(|coding| plan.codings.contains(coding));
    let Some(coding) = coding else {
        return Err(refusal(
            plan,
            "The body's coding is not taken here; send it in one of those that `Accept-Encoding` lists, or in none",
        ));
    };
    drop(codings);
    head.fields.remove(Header::ContentEncoding);
    // What was said of the bytes as they came is not true of those that go on (RFC 9530).
    for digest in ["content-digest", "content-md5"] {
        head.fields.remove_named(digest.as_bytes());
    }
    if body.left() == Some(0) {
        return Ok(body);
    }
    Ok(body.decompressed(coding, plan.bounds, &worker.coding))
}

fn refusal(plan: &DecompressionPlan, detail: &str) -> Refusal {
    let mut fields = Fields::new();
    // RFC 7694, section 3.
    fields.append(Header::AcceptEncoding, plan.list.as_bytes());
    Refusal::with(Fault::new(Code::UnsupportedCoding, detail), fields)
}
