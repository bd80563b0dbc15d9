//! Calls of gRPC, as far as a gateway has to know them: how a refusal is told, when a call has to be over, and
//! how it went. The messages pass as they are.
//!
//! What is meant here stands in gRPC's documents "gRPC over HTTP2" and "HTTP to gRPC Status Code Mapping".

use super::Answer;
use crate::body::{AnswerBody, BodyFailure};
use crate::message::{Fields, Header, RequestHead};
use bytes::Bytes;
use http::{Method, StatusCode};
use keyward_model::{Code, Fault};
use std::time::Duration;

/// The media type of gRPC, which may be followed by the encoding of its messages: `+proto`.
const MEDIA_TYPE: &[u8] = b"application/grpc";
/// Digits of a timeout.
const TIMEOUT_DIGITS_MAX: usize = 8;

/// gRPC's status codes, those that a gateway tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Status {
    Unknown = 2,
    DeadlineExceeded = 4,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

impl Status {
    pub(crate) const fn number(self) -> u32 {
        self as u32
    }

    /// What tells a refusal. Where the mapping has a row for the HTTP status, it is that row's; but that a time
    /// is over or a quota used up is told as such.
    pub(crate) const fn of(code: Code) -> Self {
        match code {
            Code::BadRequest
            | Code::AmbiguousPath
            | Code::TokenAmbiguous
            | Code::CredentialAmbiguous
            | Code::ExpectationFailed
            | Code::ValidationFailed
            | Code::UntransformableRequest
            | Code::IdempotencyKeyMissing
            | Code::IdempotencyKeyInvalid
            | Code::ModelCannot
            | Code::CallOverLimit
            | Code::GuardrailBlocked
            | Code::ProviderRefused
            | Code::Internal => Self::Internal,
            Code::TokenMissing
            | Code::TokenInvalid
            | Code::TokenExpired
            | Code::TokenRevoked
            | Code::CredentialMissing
            | Code::CredentialInvalid
            | Code::CredentialExpired
            | Code::ProofMissing
            | Code::ProofInvalid
            | Code::ProofReplayed
            | Code::NonceNeeded
            | Code::BindingMismatch
            | Code::CertificateMissing
            | Code::CertificateInvalid
            | Code::CertificateExpired
            | Code::CertificateRevoked
            | Code::DecisionUnauthorized => Self::Unauthenticated,
            Code::CallerNotAllowed
            | Code::InsufficientScope
            | Code::RoleMissing
            | Code::ClaimsRefused
            | Code::PolicyRefused
            | Code::ModelUnpriced
            | Code::OriginRefused
            | Code::PreflightRefused
            | Code::AddressRefused
            | Code::DecisionRefused => Self::PermissionDenied,
            Code::NotFound
            | Code::MethodNotAllowed
            | Code::ModelNotFound
            | Code::NotImplemented
            | Code::UnsupportedCoding
            | Code::UnsupportedMediaType => Self::Unimplemented,
            Code::RequestTimeout
            | Code::UpstreamTimeout
            | Code::ProviderTimeout
            | Code::NotCached => Self::DeadlineExceeded,
            // A quota does not come back soon: no client tries that again by itself.
            Code::BodyTooLarge | Code::UriTooLong | Code::HeadersTooLarge | Code::QuotaExceeded => {
                Self::ResourceExhausted
            }
            Code::RateLimited
            | Code::TooManyFailures
            | Code::TooManyCalls
            | Code::TooManyProofs
            | Code::ProofsUnavailable
            | Code::TooManyIdempotencyKeys
            | Code::IdempotencyMemoryFull
            | Code::IdempotencyUnavailable
            | Code::LimitsUnavailable
            | Code::UpstreamUnreachable
            | Code::UpstreamFailed
            | Code::ProviderBusy
            | Code::GuardrailUnavailable
            | Code::ProviderFailed
            | Code::UntransformableAnswer
            | Code::InvalidAnswer
            | Code::UpstreamBusy
            | Code::UpstreamSpared
            | Code::IssuerUnavailable
            | Code::DecisionUnavailable
            | Code::Overloaded
            | Code::ShuttingDown => Self::Unavailable,
            Code::ClientLeft
            | Code::UpgradeRequired
            | Code::IdempotencyKeyReused
            | Code::IdempotentCallUnderWay
            | Code::IdempotentAnswerLost => Self::Unknown,
        }
    }

    const fn of_failure(failure: BodyFailure) -> Self {
        match failure {
            BodyFailure::Client | BodyFailure::Coder => Self::Internal,
            BodyFailure::Undecodable(why) => Self::of(why.code()),
            BodyFailure::ClientLeft => Self::Unknown,
            BodyFailure::TooLarge => Self::ResourceExhausted,
            BodyFailure::Upstream => Self::Unavailable,
            BodyFailure::ClientIdle | BodyFailure::UpstreamIdle | BodyFailure::UpstreamLate => {
                Self::DeadlineExceeded
            }
        }
    }
}

/// Whether this is a call of gRPC. Its sibling for browsers, `application/grpc-web`, is another protocol.
pub(crate) fn is_call(head: &RequestHead) -> bool {
    head.method == Method::POST
        && head
            .fields
            .get(Header::ContentType)
            .and_then(|value| {
                let (begin, rest) = value.split_at_checked(MEDIA_TYPE.len())?;
                begin.eq_ignore_ascii_case(MEDIA_TYPE).then_some(rest)
            })
            .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' ' | b'\t')))
}

/// How long the client gives the call. What is no timeout is the upstream's to judge.
pub(crate) fn timeout(fields: &Fields) -> Option<Duration> {
    let (unit, digits) = fields.get(Header::GrpcTimeout)?.split_last()?;
    let plain = (1..=TIMEOUT_DIGITS_MAX).contains(&digits.len());
    if !plain || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count = digits
        .iter()
        .fold(0u64, |count, digit| count * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(count * 3600),
        b'M' => Duration::from_secs(count * 60),
        b'S' => Duration::from_secs(count),
        b'm' => Duration::from_millis(count),
        b'u' => Duration::from_micros(count),
        b'n' => Duration::from_nanos(count),
        _ => return None,
    })
}

/// The status that a head or trailers tell.
pub(crate) fn status_in(fields: &Fields) -> Option<u32> {
    let text = std::str::from_utf8(fields.get(Header::GrpcStatus)?).ok()?;
    text.parse().ok()
}

/// The HTTP status that says the same of a target as an answer does whose head tells a status of gRPC: one that
/// is not available has failed, whatever else it says.
pub(crate) fn http_status(status: u16, told: Option<u32>) -> u16 {
    if told == Some(Status::Unavailable.number()) {
        StatusCode::SERVICE_UNAVAILABLE.as_u16()
    } else {
        status
    }
}

/// The answer to a call that is refused: a head alone, with what else the refusal says.
pub(crate) fn answer(fault: &Fault, mut fields: Fields) -> Answer {
    fields.append(Header::ContentType, MEDIA_TYPE);
    tell(&mut fields, Status::of(fault.code()), fault.detail());
    Answer::own(StatusCode::OK, fields, AnswerBody::full(Bytes::new()))
}

/// The end of an answer that was cut.
pub(crate) fn trailers(failure: BodyFailure) -> (u32, Fields) {
    let status = Status::of_failure(failure);
    let mut fields = Fields::new();
    tell(&mut fields, status, &failure.to_string());
    (status.number(), fields)
}

fn tell(fields: &mut Fields, status: Status, message: &str) {
    fields.append(Header::GrpcStatus, status.number().to_string().as_bytes());
    fields.append(Header::GrpcMessage, &encoded(message));
}

/// A message as a field's value: what is not plain ASCII is percent-encoded.
fn encoded(message: &str) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut value = Vec::with_capacity(message.len());
    for byte in message.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            value.push(byte);
        } else {
            value.push(b'%');
            for digit in [byte >> 4, byte & 0xf] {
                value.extend(DIGITS.get(usize::from(digit)));
            }
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_told_by_its_method_and_media_type() {
        for (method, media_type, is) in [
            ("POST", "application/grpc", true),
            ("POST", "application/grpc+proto", true),
            ("POST", "Application/GRPC;charset=utf-8", true),
            ("POST", "application/grpc-web+proto", false),
            ("POST", "application/grpcx", false),
            ("POST", "application/json", false),
            ("POST", "application/grp", false),
            ("GET", "application/grpc", false),
        ] {
            let head =
                format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Type: {media_type}\r\n\r\n");
            assert_eq!(is_call(&RequestHead::parsed(&head)), is, "{head}");
        }
        assert!(!is_call(&RequestHead::parsed(
            "POST / HTTP/1.1\r\nHost: a\r\n\r\n"
        )));
    }

    #[test]
    fn timeouts_are_read_in_every_unit() {
        for (text, expected) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("4m", Some(Duration::from_millis(4))),
            ("5u", Some(Duration::from_micros(5))),
            ("6n", Some(Duration::from_nanos(6))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("0S", Some(Duration::ZERO)),
            ("123456789S", None),
            ("S", None),
            ("1", None),
            ("1s", None),
            ("-1S", None),
            ("1.5S", None),
            (" 1S", None),
            ("", None),
        ] {
            let fields = Fields::from([("grpc-timeout", text)]);
            assert_eq!(timeout(&fields), expected, "{text}");
        }
        assert_eq!(timeout(&Fields::new()), None);
    }

    #[test]
    fn refusals_are_told_as_the_mapping_has_them() {
        for code in Code::ALL {
            let status = Status::of(*code);
            let mapped = match code.status() {
                400 => Some(Status::Internal),
                401 => Some(Status::Unauthenticated),
                403 => Some(Status::PermissionDenied),
                404 => Some(Status::Unimplemented),
                429 | 502 | 503 => Some(Status::Unavailable),
                _ => None,
            };
            // Told as such: a client that is told `UNAVAILABLE` tries again by itself, for which a quota is
            // no better.
            let mapped = if *code == Code::QuotaExceeded {
                Some(Status::ResourceExhausted)
            } else {
                mapped
            };
            assert_eq!(mapped.unwrap_or(status), status, "{code}");
        }
        assert_eq!(Status::of(Code::UpstreamTimeout), Status::DeadlineExceeded);
    }

    #[test]
    fn a_message_is_one_fields_value_whatever_it_says() {
        let fault = Fault::new(Code::NotFound, "100 % of\r\ngrpc-status: 0 für");
        let answer = answer(&fault, Fields::from([("x-why", "1")]));
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(
            answer.fields,
            Fields::from([
                ("x-why", "1"),
                ("content-type", "application/grpc"),
                ("grpc-status", "12"),
                ("grpc-message", "100 %25 of%0D%0Agrpc-status: 0 f%C3%BCr"),
            ])
        );
        assert_eq!(status_in(&answer.fields), Some(12));
        assert_eq!(status_in(&Fields::from([("grpc-status", "no")])), None);
    }
}
