//! What a refusal tells of how to do better: `WWW-Authenticate` (RFC 9110, section 11.6.1; RFC 6750, section 3; RFC
//! 7617; RFC 9449, section 7.1), with where the API's authorization servers are listed (RFC 9728, section 5.1).

use super::{Attempt, Authenticated, Binding};
use crate::message::{Fields, Header, RequestHead};
use crate::request::{Refusal, protected_resource};
use crate::snapshot::{ApiKeyPolicy, Credentials, MethodPolicy, TokenPolicy};
use keyward_model::resource::TokenSource;
use keyward_model::{Code, Fault};

/// The longest description of an error: it may name a path or a key that the caller has made up, and answers with
/// very long headers are refused by proxies and clients.
const DESCRIPTION_MAX: usize = 300;

/// What was wrong with a token.
#[derive(Clone, Copy)]
pub(super) struct TokenError<'a> {
    code: &'static str,
    description: &'a str,
}

impl<'a> TokenError<'a> {
    pub(super) fn of(code: &'static str, description: &'a str) -> Self {
        Self { code, description }
    }
}

/// A refusal of a token, with the challenge that says why.
pub(super) fn token_refused(
    attempt: &Attempt<'_>,
    policy: &TokenPolicy,
    head: &RequestHead,
    by_dpop: bool,
    fault: Fault,
) -> Refusal {
    let code = fault.code();
    let (code, by_dpop) = if matches!(code, Code::ProofInvalid | Code::ProofReplayed) {
        ("invalid_dpop_proof", true)
    } else if code == Code::ProofMissing {
        // Whatever the token came as: a proof is what is missing.
        ("invalid_token", true)
    } else if code == Code::NonceNeeded {
        ("use_dpop_nonce", true)
    } else if code.status() == 401 {
        // Where bound tokens alone are taken, `Bearer` would be the wrong thing to try next.
        ("invalid_token", by_dpop || policy.dpop.required)
    } else {
        return Refusal::from(fault);
    };
    let error = TokenError::of(code, fault.detail());
    let mut fields = of_token(attempt, policy, head, by_dpop, Some(error));
    if fault.code() == Code::NonceNeeded {
        let nonce = attempt.worker.shared.nonces.issue(attempt.now);
        fields.append_named("dpop-nonce", nonce.as_bytes());
        // RFC 9449, section 8: no cache may hand it to another.
        fields.append(Header::CacheControl, b"no-store");
    }
    Refusal::with(fault, fields)
}

/// The challenge of the scheme that a token came by.
pub(super) fn of_token(
    attempt: &Attempt<'_>,
    policy: &TokenPolicy,
    head: &RequestHead,
    by_dpop: bool,
    error: Option<TokenError<'_>>,
) -> Fields {
    let metadata = protected_resource::address(attempt.worker, attempt.route, head);
    let challenge = TokenChallenge {
        scheme: if by_dpop { "DPoP" } else { "Bearer" },
        error,
        scope: None,
        metadata: metadata.as_deref(),
        algorithms: by_dpop.then_some(&*policy.dpop.list),
    };
    let mut fields = Fields::new();
    challenge.append(&mut fields);
    fields
}

/// A challenge for each method that would do, in their order: for who has sent nothing.
pub(crate) fn of_all(attempt: &Attempt<'_>, head: &RequestHead) -> Fields {
    let mut fields = Fields::new();
    match &attempt.route.credentials {
        Credentials::None => {}
        Credentials::Token(policy) => token(attempt, policy, head, &mut fields),
        Credentials::Certificate(_) => certificate(&mut fields),
        Credentials::Methods(methods) => {
            for method in methods.iter() {
                match method {
                    MethodPolicy::Token(policy) => token(attempt, policy, head, &mut fields),
                    MethodPolicy::ApiKey(policy) => api_key(policy, &mut fields),
                    MethodPolicy::Basic(policy) => basic(&policy.method.realm, &mut fields),
                    MethodPolicy::Certificate(_) => certificate(&mut fields),
                    MethodPolicy::Anonymous => {}
                }
            }
        }
    }
    fields
}

fn token(attempt: &Attempt<'_>, policy: &TokenPolicy, head: &RequestHead, fields: &mut Fields) {
    let metadata = protected_resource::address(attempt.worker, attempt.route, head);
    let bearer = TokenChallenge {
        scheme: "Bearer",
        error: None,
        scope: non_empty(&attempt.route.scope_list),
        metadata: metadata.as_deref(),
        algorithms: None,
    };
    if !policy.dpop.required {
        bearer.append(fields);
    }
    if policy.source == TokenSource::Header {
        TokenChallenge {
            scheme: "DPoP",
            algorithms: Some(&policy.dpop.list),
            ..bearer
        }
        .append(fields);
    }
}

/// No scheme is registered for keys; this one says where the key goes.
pub(super) fn api_key(policy: &ApiKeyPolicy, fields: &mut Fields) {
    let mut headers = policy.place.headers();
    let (place, name) = match (headers.next(), &policy.place.query) {
        (Some(header), _) => ("header", header),
        (None, Some(query)) => ("query", &**query),
        (None, None) => return,
    };
    let text = format!("ApiKey realm=\"keyward\", in=\"{place}\", name=\"{name}\"");
    fields.append(Header::WwwAuthenticate, text.as_bytes());
}

/// RFC 7617, sections 2 and 2.1.
pub(super) fn basic(realm: &str, fields: &mut Fields) {
    let text = format!("Basic realm=\"{realm}\", charset=\"UTF-8\"");
    fields.append(Header::WwwAuthenticate, text.as_bytes());
}

/// None is registered for certificates of TLS: this is the one that was proposed for HTTP/2.
pub(super) fn certificate(fields: &mut Fields) {
    fields.append(
        Header::WwwAuthenticate,
        b"ClientCertificate realm=\"keyward\"",
    );
}

/// What lacks is a scope (RFC 6750, section 3.1).
pub(crate) fn insufficient_scope(
    attempt: &Attempt<'_>,
    head: &RequestHead,
    authenticated: &Authenticated,
    fault: &Fault,
    asked: &str,
) -> Fields {
    let metadata = protected_resource::address(attempt.worker, attempt.route, head);
    let binding = authenticated
        .verified()
        .and_then(|verified| verified.binding.as_deref());
    let by_dpop = binding.is_some_and(Binding::has_key);
    let algorithms = attempt.route.credentials.token().filter(|_| by_dpop);
    let mut fields = Fields::new();
    TokenChallenge {
        scheme: if by_dpop { "DPoP" } else { "Bearer" },
        error: Some(TokenError::of("insufficient_scope", fault.detail())),
        scope: Some(asked),
        metadata: metadata.as_deref(),
        algorithms: algorithms.map(|policy| &*policy.dpop.list),
    }
    .append(&mut fields);
    fields
}

#[derive(Clone, Copy)]
struct TokenChallenge<'a> {
    scheme: &'static str,
    error: Option<TokenError<'a>>,
    scope: Option<&'a str>,
    metadata: Option<&'a str>,
    algorithms: Option<&'a str>,
}

impl TokenChallenge<'_> {
    fn append(self, fields: &mut Fields) {
        let mut text = format!("{} realm=\"keyward\"", self.scheme);
        let parameters = [
            ("error", self.error.map(|error| error.code)),
            (
                "error_description",
                self.error.map(|error| error.description),
            ),
            ("scope", self.scope),
            ("algs", self.algorithms),
            ("resource_metadata", self.metadata),
        ];
        for (name, value) in parameters {
            if let Some(value) = value {
                text.push_str(", ");
                text.push_str(name);
                text.push_str("=\"");
                // RFC 6750 allows neither quotes nor backslashes here, nor anything but printable ASCII.
                let shown = match name {
                    "error_description" => DESCRIPTION_MAX,
                    _ => usize::MAX,
                };
                text.extend(value.chars().take(shown).map(|c| match c {
                    '"' | '\\' => '\'',
                    ' '..='~' => c,
                    _ => '?',
                }));
                text.push('"');
            }
        }
        fields.append(Header::WwwAuthenticate, text.as_bytes());
    }
}

fn non_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_caller_made_up_neither_ends_a_challenge_nor_bloats_it() {
        let description = format!("\"a\\b\r\n\u{e4}{}", "x".repeat(10_000));
        let mut fields = Fields::new();
        TokenChallenge {
            scheme: "Bearer",
            error: Some(TokenError::of("invalid_token", &description)),
            scope: Some("read"),
            metadata: None,
            algorithms: None,
        }
        .append(&mut fields);
        let value = fields.get(Header::WwwAuthenticate).unwrap();
        let value = std::str::from_utf8(value).unwrap();
        let (shown, end) = ("x".repeat(DESCRIPTION_MAX - 7), "\", scope=\"read\"");
        assert_eq!(
            value,
            format!(
                "Bearer realm=\"keyward\", error=\"invalid_token\", error_description=\"'a'b???{shown}{end}"
            )
        );
    }
}
