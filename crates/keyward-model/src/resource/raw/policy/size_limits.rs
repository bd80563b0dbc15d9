//! Reading `size_limits`.

use super::super::field::Field;
use super::super::problem::Problems;
use super::is_off;
use crate::resource::policy::SizeLimits;
use std::num::NonZeroU64;

/// More fields than any node takes.
const HEADER_FIELDS_MAX: u64 = 10_000;

/// The inner `None`: it is off.
pub(super) fn read(field: Field<'_>, problems: &mut Problems) -> Option<Option<SizeLimits>> {
    if is_off(field) {
        return Some(None);
    }
    let fields = field.fields(&["body", "url", "headers", "header_fields"], problems)?;
    let body = match fields.optional("body") {
        Some(field) => Some(field.byte_size(problems)?),
        None => None,
    };
    let mut size = |key: &str| match fields.optional(key) {
        Some(field) => {
            let size = NonZeroU64::new(field.byte_size(problems)?);
            if size.is_none() {
                field.refuse("lets no call through: every call has one", problems);
            }
            size.map(Some)
        }
        None => Some(None),
    };
    let (url, headers) = (size("url"), size("headers"));
    let header_fields = match fields.optional("header_fields") {
        Some(field) => NonZeroU64::new(field.whole(1..=HEADER_FIELDS_MAX, problems)?),
        None => None,
    };
    let limits = SizeLimits {
        body,
        url: url?,
        headers: headers?,
        header_fields,
    };
    if limits == SizeLimits::default() {
        field.refuse(
            "bounds nothing: say `body`, `url`, `headers` or `header_fields`",
            problems,
        );
        return None;
    }
    Some(Some(limits))
}
