//! An issuer's metadata, where it names the address of its keys: OpenID Connect Discovery 1.0, section 4,
//! and RFC 8414.

use super::error::IssuerError;
use keyward_egress::Url;
use serde::Deserialize;

/// Where OpenID Connect appends its metadata (Discovery 1.0, section 4).
const OPENID: &str = "/.well-known/openid-configuration";
/// What RFC 8414, section 3, inserts before the issuer's path.
const OAUTH: &str = "/.well-known/oauth-authorization-server";

#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
}

/// Where to look for the metadata of `issuer`, in order: where the resource says; and where that is the
/// address of OpenID Connect, at that of RFC 8414 as well, since an authorization server need not be an
/// OpenID provider.
pub(super) fn addresses(url: &str, issuer: &str) -> Vec<String> {
    let mut addresses = vec![url.to_owned()];
    let issuer = issuer.trim_end_matches('/');
    if url.strip_suffix(OPENID) == Some(issuer)
        && let Ok(parsed) = Url::parse(issuer)
    {
        let path = parsed.path_and_query().trim_end_matches('/');
        addresses.push(format!(
            "{}://{}{OAUTH}{path}",
            parsed.scheme().as_str(),
            parsed.authority()
        ));
    }
    addresses
}

/// The address of the keys.
///
/// # Errors
/// [`IssuerError::Metadata`] when it is no metadata, or not that of `issuer`: the two are compared exactly
/// (RFC 8414, section 3.3), since metadata that one issuer serves must not speak for another.
pub(super) fn jwks_uri(url: &str, body: &[u8], issuer: &str) -> Result<Url, IssuerError> {
    let refuse = |why: String| IssuerError::Metadata {
        url: url.to_owned(),
        why,
    };
    let document: Document = serde_json::from_slice(body).map_err(|error| {
        refuse(format!(
            "it is no JSON object with `issuer` and `jwks_uri`: {error}"
        ))
    })?;
    if document.issuer != issuer {
        let theirs: String = document.issuer.chars().take(120).collect();
        return Err(refuse(format!(
            "it is that of the issuer `{theirs}`, not of `{issuer}`"
        )));
    }
    Url::parse(&document.jwks_uri).map_err(|error| refuse(format!("its jwks_uri: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_looked_for_at_both_addresses() {
        for (url, issuer, expected) in [
            (
                "https://a.example/.well-known/openid-configuration",
                "https://a.example",
                &[
                    "https://a.example/.well-known/openid-configuration",
                    "https://a.example/.well-known/oauth-authorization-server",
                ] as &[&str],
            ),
            (
                "https://a.example/t/1/.well-known/openid-configuration",
                "https://a.example/t/1/",
                &[
                    "https://a.example/t/1/.well-known/openid-configuration",
                    "https://a.example/.well-known/oauth-authorization-server/t/1",
                ],
            ),
            (
                "https://b.example/metadata",
                "https://a.example",
                &["https://b.example/metadata"],
            ),
            (
                "https://b.example/.well-known/openid-configuration",
                "https://a.example",
                &["https://b.example/.well-known/openid-configuration"],
            ),
        ] {
            assert_eq!(addresses(url, issuer), expected, "{url}");
        }
    }

    #[test]
    fn metadata_of_another_issuer_is_refused() {
        let issuer = "https://a.example";
        for (body, good) in [
            (
                r#"{"issuer":"https://a.example","jwks_uri":"https://k.example/j","x":[1]}"#,
                true,
            ),
            (
                r#"{"issuer":"https://a.example/","jwks_uri":"https://k.example/j"}"#,
                false,
            ),
            (
                r#"{"issuer":"https://A.example","jwks_uri":"https://k.example/j"}"#,
                false,
            ),
            (
                r#"{"issuer":["https://a.example"],"jwks_uri":"https://k.example/j"}"#,
                false,
            ),
            (
                r#"{"issuer":"https://b.example","issuer":"https://a.example","jwks_uri":"https://k.example/j"}"#,
                false,
            ),
            (r#"{"issuer":"https://a.example"}"#, false),
            (
                r#"{"issuer":"https://a.example","jwks_uri":"file:///etc/keys"}"#,
                false,
            ),
            (
                r#"{"issuer":"https://a.example","jwks_uri":"/keys"}"#,
                false,
            ),
            ("<html>", false),
            ("", false),
        ] {
            assert_eq!(
                jwks_uri("u", body.as_bytes(), issuer).is_ok(),
                good,
                "{body}"
            );
        }
    }
}
