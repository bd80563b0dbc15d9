//! What a provider answers when it does not answer.

use keyward_model::Blame;

/// An error of a provider, or one of ours that a caller reads in their own dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Of what kind.
    pub kind: FailureKind,
    /// The status it came with, or would have.
    pub status: u16,
    /// What happened, for people.
    pub message: String,
    /// The provider's own code for it, or ours.
    pub code: Option<String>,
    /// The field at fault, where that is told.
    pub field: Option<String>,
    /// The provider's own words where the caller is told others: for the operator's log alone.
    pub because: Option<String>,
}

/// The kinds of errors that dialects tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The request is wrong.
    InvalidRequest,
    /// What is asked does not fit the model's context.
    ContextLength,
    /// A filter of the provider's refuses to answer.
    Filtered,
    /// The key is not good.
    Authentication,
    /// The key is good, and may not do this.
    Permission,
    /// There is no such model or address.
    NotFound,
    /// The request has too many bytes.
    TooLarge,
    /// Too many calls or tokens at the moment.
    RateLimited,
    /// Nothing is left to spend, whatever is asked.
    QuotaExhausted,
    /// What is left to spend is not enough for this call. It may be for a smaller one.
    Unpaid,
    /// This one request is over what its account may take at once: it alone is at fault, whoever else calls.
    OverLimit,
    /// The provider has too much to do.
    Overloaded,
    /// It took too long.
    Timeout,
    /// The provider failed.
    Server,
    /// The stream ended before the answer did.
    Cut,
}

impl FailureKind {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::InvalidRequest,
        Self::ContextLength,
        Self::Filtered,
        Self::Authentication,
        Self::Permission,
        Self::NotFound,
        Self::TooLarge,
        Self::RateLimited,
        Self::QuotaExhausted,
        Self::Unpaid,
        Self::OverLimit,
        Self::Overloaded,
        Self::Timeout,
        Self::Server,
        Self::Cut,
    ];

    /// The kind that a status alone tells.
    #[must_use]
    pub const fn of_status(status: u16) -> Self {
        match status {
            401 => Self::Authentication,
            402 => Self::Unpaid,
            403 => Self::Permission,
            404 => Self::NotFound,
            408 | 504 => Self::Timeout,
            413 => Self::TooLarge,
            429 => Self::RateLimited,
            503 | 529 => Self::Overloaded,
            // A conflict is between calls of the provider's own: the same request may do well.
            409 => Self::Server,
            400..=499 => Self::InvalidRequest,
            0..=399 | 500.. => Self::Server,
        }
    }

    /// The status that goes with it.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::InvalidRequest | Self::ContextLength | Self::Filtered => 400,
            Self::Authentication => 401,
            Self::QuotaExhausted | Self::Unpaid | Self::RateLimited => 429,
            Self::Permission => 403,
            Self::NotFound => 404,
            Self::TooLarge | Self::OverLimit => 413,
            Self::Timeout => 504,
            Self::Overloaded => 503,
            Self::Server => 500,
            Self::Cut => 502,
        }
    }

    /// Who is at fault: only what is the upstream's may be tried again elsewhere. The key for the provider is the
    /// operator's, so that a wrong one is none of the caller's doing.
    #[must_use]
    pub const fn blame(self) -> Blame {
        match self {
            Self::InvalidRequest
            | Self::Filtered
            | Self::TooLarge
            | Self::OverLimit
            | Self::ContextLength => Blame::Caller,
            Self::Authentication | Self::Permission | Self::NotFound => Blame::Us,
            Self::RateLimited
            | Self::QuotaExhausted
            | Self::Unpaid
            | Self::Overloaded
            | Self::Timeout
            | Self::Server
            | Self::Cut => Blame::Upstream,
        }
    }
}

impl Failure {
    /// One of a kind, with what to tell.
    #[must_use]
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            status: kind.status(),
            message: message.into(),
            code: None,
            field: None,
            because: None,
        }
    }

    /// With a code.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// An answer that can't be read, or can't be written for the caller: not the caller's fault.
    #[must_use]
    pub fn of_answer(error: &crate::Error) -> Self {
        Self::new(
            FailureKind::Server,
            format!("The provider's answer can't be told: {error}"),
        )
        .with_code(error.code())
    }

    /// A stream that ended before its answer did.
    #[must_use]
    pub fn cut() -> Self {
        Self::new(
            FailureKind::Cut,
            "The provider's stream ended before the answer did",
        )
    }
}

impl From<&crate::Error> for Failure {
    /// A request that could not be read or translated.
    fn from(error: &crate::Error) -> Self {
        let field = match error {
            crate::Error::Field { field, .. }
            | crate::Error::UnknownField { field }
            | crate::Error::OtherModel { field } => Some(field.clone()),
            crate::Error::Json { .. }
            | crate::Error::TooLarge { .. }
            | crate::Error::Unsupported { .. }
            | crate::Error::Framing(_)
            | crate::Error::Catalogue { .. }
            | crate::Error::ModelName(_) => None,
        };
        Self {
            field,
            ..Self::new(FailureKind::InvalidRequest, error.to_string()).with_code(error.code())
        }
    }
}
