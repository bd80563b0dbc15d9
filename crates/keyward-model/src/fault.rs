//! What went wrong, in two texts: one for the caller, one for the operator.

use std::fmt;

/// Who is at fault. Only what an [`Upstream`](Self::Upstream) did may be tried again elsewhere; only
/// what is ours wakes someone up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The one who called: a bad request, a missing token, a limit.
    Caller,
    /// What stands behind us: an API, an issuer, a provider.
    Upstream,
    /// Keyward or its configuration.
    Us,
}

impl Blame {
    /// As it is written in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Upstream => "upstream",
            Self::Us => "us",
        }
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $status:literal, $blame:ident, $title:literal;)+) => {
        /// A stable code: programs may compare it, and it is never renamed. It is also the last part of the
        /// problem's `type` (RFC 9457, section 3.1.1).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])* $variant,)+
        }

        impl Code {
            /// All codes, for the documents.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// As written in `code`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// The HTTP status it answers with.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)+ }
            }

            /// Who is at fault.
            #[must_use]
            pub const fn blame(self) -> Blame {
                match self { $(Self::$variant => Blame::$blame,)+ }
            }

            /// The problem's title: the same for every occurrence.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ }
            }
        }
    };
}

codes! {
    /// The message's framing or a header is malformed.
    BadRequest = "bad_request", 400, Caller, "The request is malformed";
    /// The path could be read in two ways.
    AmbiguousPath = "ambiguous_path", 400, Caller, "The path is ambiguous";
    /// The request does not fit the API's description.
    ValidationFailed = "validation_failed", 400, Caller, "The request does not fit the API's description";
    /// The route asks for a key by which the call may be sent again, and none came.
    IdempotencyKeyMissing = "idempotency_key_missing", 400, Caller, "An idempotency key is needed";
    /// The idempotency key can't be read, or can't be kept for this caller.
    IdempotencyKeyInvalid = "idempotency_key_invalid", 400, Caller, "The idempotency key is not valid";
    /// The idempotency key was used for another request.
    IdempotencyKeyReused = "idempotency_key_reused", 422, Caller, "The idempotency key was used for another request";
    /// The first call with this idempotency key is not answered yet.
    IdempotentCallUnderWay = "idempotent_call_under_way", 409, Caller, "The first call with this key is under way";
    /// The call with this idempotency key was done, or may have been, and its answer is not there any more.
    IdempotentAnswerLost = "idempotent_answer_lost", 409, Caller, "The answer to this key is not kept";
    /// The caller has more idempotency keys than are remembered for one.
    TooManyIdempotencyKeys = "too_many_idempotency_keys", 429, Caller, "Too many idempotency keys are remembered for this caller";
    /// There is no memory for another idempotency key.
    IdempotencyMemoryFull = "idempotency_memory_full", 503, Us, "No more idempotency keys can be remembered";
    /// Where several nodes remember idempotency keys can't be reached, and no call with a key is done then.
    IdempotencyUnavailable = "idempotency_unavailable", 503, Us, "Idempotency keys can't be checked just now";
    /// The request lacks what the upstream's is made from.
    UntransformableRequest = "untransformable_request", 400, Caller, "The request can't be made into the upstream's";
    /// A credential is needed and none came.
    TokenMissing = "token_missing", 401, Caller, "A token is needed";
    /// The token can't be read, or its signature, issuer, audience or type is wrong.
    TokenInvalid = "token_invalid", 401, Caller, "The token is not valid";
    /// The token's time is over.
    TokenExpired = "token_expired", 401, Caller, "The token has expired";
    /// The token was revoked.
    TokenRevoked = "token_revoked", 401, Caller, "The token was revoked";
    /// Two credentials came where one may (RFC 6750, section 2).
    TokenAmbiguous = "token_ambiguous", 400, Caller, "More than one credential was sent";
    /// A credential is needed, of several kinds, and none came.
    CredentialMissing = "credential_missing", 401, Caller, "A credential is needed";
    /// The API key, or the name and password, is nobody's.
    CredentialInvalid = "credential_invalid", 401, Caller, "The credential is not valid";
    /// The time of the API key or password is over.
    CredentialExpired = "credential_expired", 401, Caller, "The credential has expired";
    /// Two credentials of one kind came where one may.
    CredentialAmbiguous = "credential_ambiguous", 400, Caller, "More than one credential was sent";
    /// The token is bound to a key, and no proof of that came (RFC 9449).
    ProofMissing = "proof_missing", 401, Caller, "A proof of possession is needed";
    /// The proof can't be read, or is of another call.
    ProofInvalid = "proof_invalid", 401, Caller, "The proof of possession is not valid";
    /// The proof was used before.
    ProofReplayed = "proof_replayed", 401, Caller, "The proof of possession was used before";
    /// The proof has to carry a nonce that this gateway has told (RFC 9449, section 9).
    NonceNeeded = "nonce_needed", 401, Caller, "The proof of possession needs a nonce";
    /// The token is bound to another key or certificate than the caller's (RFC 7800).
    BindingMismatch = "binding_mismatch", 401, Caller, "The token is bound to another holder";
    /// Too many credentials from this address were not good.
    TooManyFailures = "too_many_failures", 429, Caller, "Too many failed attempts";
    /// A client's certificate is needed and the connection has none.
    CertificateMissing = "certificate_missing", 401, Caller, "A client certificate is needed";
    /// The client's certificate is not of an authority that counts here, or has no name to call by.
    CertificateInvalid = "certificate_invalid", 401, Caller, "The client certificate is not taken here";
    /// The time of the client's certificate is over.
    CertificateExpired = "certificate_expired", 401, Caller, "The client certificate has expired";
    /// The client's certificate was revoked, or its authority is no longer trusted.
    CertificateRevoked = "certificate_revoked", 401, Caller, "The client certificate is no longer trusted";
    /// The caller is known, and not among those that may call.
    CallerNotAllowed = "caller_not_allowed", 403, Caller, "The caller may not call this";
    /// The caller lacks a scope that the route asks for.
    InsufficientScope = "insufficient_scope", 403, Caller, "The caller's scopes do not allow this";
    /// The caller lacks a role that the route asks for.
    RoleMissing = "role_missing", 403, Caller, "The caller's roles do not allow this";
    /// A claim of the caller's token is not what the route asks for.
    ClaimsRefused = "claims_refused", 403, Caller, "The caller's claims do not allow this";
    /// An access policy forbids the call, or none permits it.
    PolicyRefused = "policy_refused", 403, Caller, "A policy does not allow this";
    /// A page of this origin may not open a tunnel (RFC 6455, section 10.2).
    OriginRefused = "origin_refused", 403, Caller, "Pages of this origin may not do this";
    /// A page asks for a method or a header that it may not use (Fetch standard, CORS protocol).
    PreflightRefused = "preflight_refused", 403, Caller, "Pages may not make this call";
    /// Calls from the client's address are not taken.
    AddressRefused = "address_refused", 403, Caller, "Calls from this address are not taken";
    /// The service that decides about the call asks for a credential.
    DecisionUnauthorized = "decision_unauthorized", 401, Caller, "A credential is needed";
    /// The service that decides about the call has refused it.
    DecisionRefused = "decision_refused", 403, Caller, "The call was refused";
    /// The service that decides about the call gives no answer.
    DecisionUnavailable = "decision_unavailable", 503, Upstream, "Nobody can decide about the call";
    /// Nothing is published at this address.
    NotFound = "not_found", 404, Caller, "Nothing is published here";
    /// The route does not take this method.
    MethodNotAllowed = "method_not_allowed", 405, Caller, "The method is not allowed";
    /// The client took too long to send its request.
    RequestTimeout = "request_timeout", 408, Caller, "The request took too long to arrive";
    /// The body is larger than the route takes.
    BodyTooLarge = "body_too_large", 413, Caller, "The body is too large";
    /// The body is in a coding that the route does not take (RFC 9110, section 15.5.16).
    UnsupportedCoding = "unsupported_coding", 415, Caller, "The body's coding is not taken here";
    /// The body is of a media type that the call does not take (RFC 9110, section 15.5.16).
    UnsupportedMediaType = "unsupported_media_type", 415, Caller, "The body's media type is not taken here";
    /// The URL is longer than this listener takes.
    UriTooLong = "uri_too_long", 414, Caller, "The address is too long";
    /// The header section is larger than this listener takes.
    HeadersTooLarge = "headers_too_large", 431, Caller, "The header section is too large";
    /// Another version of WebSocket is spoken here (RFC 6455, section 4.4).
    UpgradeRequired = "upgrade_required", 426, Caller, "Another version is spoken here";
    /// A rate limit is used up.
    RateLimited = "rate_limited", 429, Caller, "The rate limit is used up";
    /// A quota is used up until its window ends.
    QuotaExceeded = "quota_exceeded", 429, Caller, "The quota is used up";
    /// As many calls are under way as may be at one time.
    TooManyCalls = "too_many_calls", 429, Caller, "Too many calls are under way";
    /// A call may take more than a limit in tokens or money ever has at once.
    CallOverLimit = "call_over_limit", 400, Caller, "The call may take more than a limit has";
    /// A limit in money can't say what the call may cost.
    ModelUnpriced = "model_unpriced", 403, Caller, "The price of the call is not known";
    /// This holder of a key has used as many proofs as are remembered of one.
    TooManyProofs = "too_many_proofs", 429, Caller, "Too many proofs were used";
    /// Where several nodes remember which proofs were used can't be reached, and none is taken then.
    ProofsUnavailable = "proofs_unavailable", 503, Us, "Proofs can't be checked just now";
    /// What limits are counted in by several nodes can't be reached, and a limit lets nothing pass then.
    LimitsUnavailable = "limits_unavailable", 503, Us, "Limits can't be checked just now";
    /// The client closed the connection before the answer was there. Never sent, only recorded.
    ClientLeft = "client_left", 499, Caller, "The client left";
    /// An expectation other than 100-continue (RFC 9110, section 10.1.1).
    ExpectationFailed = "expectation_failed", 417, Caller, "The expectation can't be met";
    /// A method or feature that is not served here.
    NotImplemented = "not_implemented", 501, Caller, "This is not supported here";
    /// No connection to the upstream could be made.
    UpstreamUnreachable = "upstream_unreachable", 502, Upstream, "The upstream can't be reached";
    /// The upstream broke the protocol or the connection.
    UpstreamFailed = "upstream_failed", 502, Upstream, "The upstream's answer could not be read";
    /// The upstream's answer lacks what the API's is made from.
    UntransformableAnswer = "untransformable_answer", 502, Upstream, "The upstream's answer can't be made into this API's";
    /// The upstream's answer does not fit the API's description.
    InvalidAnswer = "invalid_answer", 502, Upstream, "The upstream's answer does not fit the API's description";
    /// The upstream did not answer in time.
    UpstreamTimeout = "upstream_timeout", 504, Upstream, "The upstream did not answer in time";
    /// The upstream has as many connections as it may, and as many calls wait for one as may.
    UpstreamBusy = "upstream_busy", 503, Upstream, "The upstream is busy";
    /// The upstream has failed too often, so that it is left alone for a while.
    UpstreamSpared = "upstream_spared", 503, Upstream, "The upstream is left alone for a while";
    /// No AI model of this name is offered here.
    ModelNotFound = "model_not_found", 404, Caller, "There is no such model";
    /// No model behind the name can do what is asked.
    ModelCannot = "model_cannot", 400, Caller, "The model can't do what is asked";
    /// A guardrail does not let the request, or the answer, pass.
    GuardrailBlocked = "guardrail_blocked", 400, Caller, "A guardrail does not let this pass";
    /// What a guardrail asks gives no answer.
    GuardrailUnavailable = "guardrail_unavailable", 503, Upstream, "A guardrail gives no answer just now";
    /// The model's provider refused the request for what it is.
    ProviderRefused = "provider_refused", 400, Caller, "The model's provider refused the request";
    /// The model's providers take no more calls just now.
    ProviderBusy = "provider_busy", 429, Upstream, "The model's providers take no more calls just now";
    /// The model's providers failed, or their answer can't be told.
    ProviderFailed = "provider_failed", 502, Upstream, "The model's providers failed";
    /// The model's providers did not answer in time.
    ProviderTimeout = "provider_timeout", 504, Upstream, "The model's providers did not answer in time";
    /// The client wants a kept answer alone, and none is kept that would do (RFC 9111, section 5.2.1.7).
    NotCached = "not_cached", 504, Caller, "No answer is kept";
    /// The issuer's keys can't be had, so that its tokens can't be checked.
    IssuerUnavailable = "issuer_unavailable", 503, Upstream, "The token's issuer can't be reached";
    /// Too much to do just now.
    Overloaded = "overloaded", 503, Us, "The gateway is busy";
    /// A shutdown cut the call, whose time to finish was over. Never sent, only recorded.
    ShuttingDown = "shutting_down", 503, Us, "The gateway is shutting down";
    /// A mistake of ours.
    Internal = "internal", 500, Us, "Something went wrong here";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A fault: its code, what the caller is told, and what only the operator's log sees.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail} [{code}]")]
pub struct Fault {
    code: Code,
    detail: Box<str>,
    because: Option<Box<str>>,
}

impl Fault {
    /// A fault with the text for the caller: what happened, to what, and what to do next.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<Box<str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
            because: None,
        }
    }

    /// Adds what only the operator may know. It is logged under the same request id.
    #[must_use]
    pub fn because(mut self, reason: impl fmt::Display) -> Self {
        self.because = Some(reason.to_string().into_boxed_str());
        self
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// The text for the caller.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The text for the operator.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.because.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_distinct() {
        let distinct: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(distinct.len(), Code::ALL.len());
    }

    #[test]
    fn the_operators_reason_is_not_in_what_the_caller_reads() {
        let fault = Fault::new(Code::UpstreamUnreachable, "The upstream did not answer")
            .because("10.0.0.7:9000 refused");
        assert!(!fault.to_string().contains("10.0.0.7"));
        assert_eq!(fault.reason(), Some("10.0.0.7:9000 refused"));
    }
}
