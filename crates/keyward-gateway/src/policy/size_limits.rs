//! How large a call may be, below the bounds of the listener.

use crate::body::RequestBody;
use crate::message::RequestHead;
use keyward_model::resource::policy::SizeLimits;
use keyward_model::{Code, Fault};

/// What HTTP/1.1 writes around each field: a colon, a space and the line's end.
const AROUND_FIELD: usize = 4;

/// Refuses what is larger than the route takes. A body that does not tell its length is counted as it comes, by
/// whoever sends it on.
pub(super) fn check(
    limits: &SizeLimits,
    head: &RequestHead,
    body: &RequestBody,
) -> Result<(), Fault> {
    if let Some(most) = limits.url {
        let query = head.query().map_or(0, |query| query.len() + 1);
        let bytes = (head.path().len() + query) as u64;
        if bytes > most.get() {
            return Err(Fault::new(
                Code::UriTooLong,
                format!("The address has {bytes} bytes of path and query; this API takes {most}"),
            ));
        }
    }
    if let Some(most) = limits.header_fields {
        let count = head.fields.len() as u64;
        if count > most.get() {
            return Err(Fault::new(
                Code::HeadersTooLarge,
                format!("The request has {count} header fields; this API takes {most}"),
            ));
        }
    }
    if let Some(most) = limits.headers {
        let sizes = head
            .fields
            .iter()
            .map(|field| field.name.len() + field.value.len() + AROUND_FIELD);
        let bytes = sizes.sum::<usize>() as u64;
        if bytes > most.get() {
            return Err(Fault::new(
                Code::HeadersTooLarge,
                format!("The header section has {bytes} bytes; this API takes {most}"),
            ));
        }
    }
    // The route has the bound as its own too, for bodies that are counted as they come.
    if let (Some(most), Some(bytes)) = (limits.body, body.left())
        && bytes > most
    {
        return Err(Fault::new(
            Code::BodyTooLarge,
            format!("The body has {bytes} bytes; this API takes {most}"),
        ));
    }
    Ok(())
}
