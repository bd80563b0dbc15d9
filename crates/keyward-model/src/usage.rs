//! What one call was and what it cost.

use crate::clock::Timestamp;
use crate::fault::{Blame, Code};
use crate::id::{ApplicationId, CredentialId, NodeId, RequestId, TeamId};
use crate::name::Name;
use crate::revision::Revision;
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Money in units of 10⁻¹² US dollars: an integer, so that sums are exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PicoUsd(pub i64);

/// Tokens of an AI call, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TokenCounts {
    /// Read by the model.
    pub input: u64,
    /// Of `input`, those that came from a cache.
    pub cached_input: u64,
    /// Written to a cache.
    pub cache_write: u64,
    /// Written by the model.
    pub output: u64,
    /// Of `output`, those spent on reasoning.
    pub reasoning: u64,
}

/// What is counted of AI calls where tokens are not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct UnitCounts {
    /// Pictures that were made.
    pub images: u64,
    /// Letters that were read out.
    pub characters: u64,
    /// Sound that was listened to, in milliseconds.
    pub audio_ms: u64,
    /// Searches that a reranker counts.
    pub searches: u64,
}

/// What an AI call asked for and got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelUse {
    /// The model or alias that the caller named.
    pub asked: Box<str>,
    /// The model that answered.
    pub served: Box<str>,
    /// Who serves it.
    pub provider: Name,
    /// What it read and wrote.
    pub tokens: TokenCounts,
    /// What else is counted, where tokens are not.
    pub units: UnitCounts,
    /// Whether that was counted here, since the provider did not say it, or not all of it.
    pub estimated: bool,
    /// What that costs.
    pub cost: PicoUsd,
    /// The price list that said so.
    pub price_revision: u32,
}

impl ModelUse {
    /// Adds what another attempt took.
    pub fn add(&mut self, other: &Self) {
        let (own, more) = (&mut self.tokens, &other.tokens);
        own.input = own.input.saturating_add(more.input);
        own.cached_input = own.cached_input.saturating_add(more.cached_input);
        own.cache_write = own.cache_write.saturating_add(more.cache_write);
        own.output = own.output.saturating_add(more.output);
        own.reasoning = own.reasoning.saturating_add(more.reasoning);
        let (own, more) = (&mut self.units, &other.units);
        own.images = own.images.saturating_add(more.images);
        own.characters = own.characters.saturating_add(more.characters);
        own.audio_ms = own.audio_ms.saturating_add(more.audio_ms);
        own.searches = own.searches.saturating_add(more.searches);
        self.cost = PicoUsd(self.cost.0.saturating_add(other.cost.0));
        self.estimated |= other.estimated;
    }
}

/// Which version of which prompt was called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptLabels {
    /// The prompt.
    pub prompt: Name,
    /// Its version.
    pub version: Name,
}

/// The times of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// From the request's head to the end of the answer.
    pub total: Duration,
    /// Spent waiting for the upstream, connecting included.
    pub upstream: Duration,
    /// From the request's head to the first byte of the answer.
    pub first_byte: Duration,
}

/// The version of HTTP that a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HttpVersion {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2.
    Http2,
    /// HTTP/3.
    Http3,
}

impl HttpVersion {
    /// As logs have it, such as `HTTP/1.1`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
            Self::Http3 => "HTTP/3",
        }
    }
}

/// Which API, version and route a call went to. Shared by all records of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteLabels {
    /// The team that owns the API.
    pub team: TeamId,
    /// That team's name.
    pub team_name: Name,
    /// The API.
    pub api: Name,
    /// Its version.
    pub version: Name,
    /// The route within it: its path pattern.
    pub route: Box<str>,
}

/// One call: who, what, how long, at whose fault, at what cost. Written when the answer's body ends or
/// the client leaves.
#[derive(Clone, Debug)]
pub struct UsageRecord {
    /// As told in `request-id`.
    pub request_id: RequestId,
    /// The W3C trace id, when the call is traced.
    pub trace_id: Option<u128>,
    /// The process that served it.
    pub node: NodeId,
    /// The configuration it was served under.
    pub revision: Revision,
    /// When the head was read.
    pub started: Timestamp,
    /// What it was for; `None` when no route matched.
    pub route: Option<Arc<RouteLabels>>,
    /// The client's address.
    pub address: Option<IpAddr>,
    /// The application, when the credential names one.
    pub application: Option<ApplicationId>,
    /// The credential of ours that was used.
    pub credential: Option<CredentialId>,
    /// Who called, when known: subject, issuer, client.
    pub caller: Option<Arc<crate::Caller>>,
    /// What the client speaks.
    pub protocol: HttpVersion,
    /// The HTTP method.
    pub method: Cow<'static, str>,
    /// The path, without the query (which may hold secrets).
    pub path: Box<str>,
    /// The status told to the client; 0 when it left before there was one.
    pub status: u16,
    /// Of a call of gRPC, the status of gRPC that the client was told.
    pub grpc_status: Option<u32>,
    /// The problem's code, when it was refused or failed.
    pub code: Option<Code>,
    /// At whose fault.
    pub blame: Option<Blame>,
    /// What only the operator may read about the fault.
    pub because: Option<Box<str>>,
    /// The limit that refused it.
    pub limit: Option<Box<str>>,
    /// The access policies that let it pass or forbade it.
    pub policy: Option<Arc<str>>,
    /// The guardrails that fired, each with what it did: `pii=mask,words=flag`.
    pub guardrails: Option<Box<str>>,
    /// What the cache of AI answers did, where there is one: `hit`, `semantic-hit` or `miss`.
    pub answer_cache: Option<&'static str>,
    /// The AI part.
    pub model: Option<Box<ModelUse>>,
    /// The prompt that asked it, where one did.
    pub prompt: Option<Box<PromptLabels>>,
    /// Bytes of the request's body that were read.
    pub bytes_in: u64,
    /// Bytes of the answer's body that were written.
    pub bytes_out: u64,
    /// How long it took.
    pub times: Times,
}
