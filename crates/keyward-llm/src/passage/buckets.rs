//! Files in Google's buckets: Google reads them as the account that calls, which is the operator's. What that account may
//! read is not therefore everybody's who may ask a model.

use super::other_models::hides_letters;
use crate::dialect::Dialect;
use crate::error::Error;
use crate::form::Feature;
use crate::json::{Members, Spanned};

/// Refuses a request of Gemini's dialect that names a file in a bucket.
///
/// # Errors
/// [`Error::Unsupported`]; [`Error::Json`] for what is none.
pub(crate) fn check_buckets(members: &Members<'_>) -> Result<(), Error> {
    for value in members.names().filter_map(|name| members.get(name)) {
        if may_name_a_bucket(value) && names_a_bucket(&Spanned::parse(value)?) {
            return Err(Error::Unsupported {
                feature: Feature::DocumentAddress,
                dialect: Dialect::Gemini,
                why: "a file at `gs://` would be read with what this gateway may read: send its content as `inlineData`, or an address that anyone can read",
            });
        }
    }
    Ok(())
}

/// Whether there may be such an address, looked for without reading the request: most have none.
fn may_name_a_bucket(text: &[u8]) -> bool {
    let begins = memchr::memchr_iter(b':', text).any(|at| {
        let scheme = at.checked_sub(2).and_then(|from| text.get(from..at));
        scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"gs"))
    });
    begins || hides_letters(text)
}

/// Whether a file's address is one, wherever files stand: in parts, in instructions, in what a tool gave.
fn names_a_bucket(value: &Spanned) -> bool {
    value.items().iter().any(names_a_bucket)
        || value.members().iter().any(|member| {
            let name = member.name.replace('_', "");
            let address = member.value.as_str().unwrap_or_default().trim_start();
            let scheme = address.split_once(':').map(|(scheme, _)| scheme);
            (name.eq_ignore_ascii_case("fileuri")
                && scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("gs")))
                || names_a_bucket(&member.value)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_a_bucket_is_refused_however_it_is_written() {
        for (part, refused) in [
            (r#"{"fileData":{"fileUri":"gs://b/secret.pdf"}}"#, true),
            (r#"{"file_data":{"file_uri":"GS://b/secret.pdf"}}"#, true),
            (r#"{"fileData":{"f\u0069leUri":"\u0067s:\/\/b/o"}}"#, true),
            (r#"{"fileData":{"fileUri":"gs\u003a//b/o"}}"#, true),
            (
                r#"{"functionResponse":{"parts":[{"fileData":{"fileUri":" gs://b/o"}}]}}"#,
                true,
            ),
            (r#"{"fileData":{"fileUri":"https://example.com/a"}}"#, false),
            (r#"{"text":"what is gs://b/o? \u0041"}"#, false),
        ] {
            let body = format!(r#"{{"contents":[{{"parts":[{part}]}}]}}"#);
            let checked = check_buckets(&Members::read(body.as_bytes()).unwrap());
            let code = checked.err().map(|error| error.code());
            let expected = refused.then_some("unsupported_document_url");
            assert_eq!(code, expected, "{part}");
        }
    }
}
