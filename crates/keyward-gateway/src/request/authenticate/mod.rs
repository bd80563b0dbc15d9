//! Who calls: by whatever the route takes, in the order it says.
//!
//! **What is presented decides.** Of the API's methods, in their order, the first whose credential the call
//! carries is asked, and what it says is final: a wrong token is never tried as something else, and never becomes
//! a call without a name. A certificate counts as carried when the connection has one; a method of the
//! connection is therefore best the last one. Two credentials of one kind are refused as ambiguous. Credentials
//! of the methods that were not asked are taken out, so that the upstream believes nothing that nobody checked.

mod api_key;
mod argon2;
mod basic;
pub(crate) mod bearer;
mod binding;
mod challenge;
mod claims;
mod dpop;
mod nonce;
mod token;

#[cfg(feature = "fuzzing")]
pub(crate) use basic::read as read_basic;
#[cfg(feature = "fuzzing")]
pub(crate) use dpop::read_and_verify as read_proof;

pub(crate) use argon2::PasswordChecks;
pub(crate) use binding::{Binding, unbound};
pub(crate) use challenge::{insufficient_scope, of_all as all_challenges};
pub(crate) use claims::caller;
pub(crate) use dpop::REPLAY_WINDOW;
pub(crate) use nonce::Nonces;
pub(crate) use token::{refused, trusted};

use super::client_certificate::{self, ProxiedCertificate};
use super::screen::CallOrigin;
use super::verified_caller::VerifiedCaller;
use super::{Client, Refusal};
use crate::message::{Header, RequestHead};
use crate::record::CallRecord;
use crate::snapshot::{BudgetPlan, Credentials, MethodPolicy, Route};
use crate::worker::Worker;
use keyward_model::resource::TokenSource;
use keyward_model::{Caller, Code, Fault, Moment, Timestamp};
use keyward_state::limit::Cell as LimitCell;
use keyward_state::revocation::{Revocations, TokenIdentity};
use std::rc::Rc;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// What was verified is looked at again after this time at the latest, so that nothing that was concluded
/// from it outlives its reason for long.
const REMEMBERED_FOR: Duration = Duration::from_secs(300);

static ANONYMOUS: LazyLock<Arc<Caller>> = LazyLock::new(|| Arc::new(Caller::anonymous()));

/// What authentication found.
#[derive(Clone, Debug)]
pub(crate) enum Authenticated {
    /// The route asks for no credential, or lets in who has none.
    Open,
    /// A credential was verified.
    Caller(Rc<VerifiedCaller>),
}

impl Authenticated {
    pub(crate) fn caller(&self) -> &Arc<Caller> {
        match self {
            Self::Open => &ANONYMOUS,
            Self::Caller(verified) => &verified.caller,
        }
    }

    /// Whether the API lists the caller, where it lists any.
    pub(crate) fn is_listed(&self) -> bool {
        match self {
            Self::Open => true,
            Self::Caller(verified) => verified.listed,
        }
    }

    /// What is known of the caller, where there is one.
    pub(crate) fn verified(&self) -> Option<&Rc<VerifiedCaller>> {
        match self {
            Self::Open => None,
            Self::Caller(verified) => Some(verified),
        }
    }

    /// Limits in what calls of AI models with the caller's credential take, where it has some.
    pub(crate) fn budgets(&self) -> Option<&Arc<BudgetPlan>> {
        match self {
            Self::Open => None,
            Self::Caller(verified) => verified.budgets.as_ref(),
        }
    }

    /// The caller, where there is one to record.
    pub(crate) fn caller_of_record(&self) -> Option<Arc<Caller>> {
        match self {
            Self::Open => None,
            Self::Caller(verified) => Some(Arc::clone(&verified.caller)),
        }
    }

    /// The caller's cell of the route's limit at this place, if it was remembered.
    pub(crate) fn cell(&self, limit: usize) -> Option<Arc<LimitCell>> {
        match self {
            Self::Open => None,
            Self::Caller(verified) => verified.cells.borrow().get(limit).cloned().flatten(),
        }
    }

    pub(crate) fn remember_cell(&self, limit: usize, cell: &Arc<LimitCell>) {
        if let Self::Caller(verified) = self {
            let mut cells = verified.cells.borrow_mut();
            if cells.len() <= limit {
                let more = limit + 1 - cells.len();
                cells.reserve_exact(more);
                cells.resize(limit + 1, None);
            }
            if let Some(place) = cells.get_mut(limit) {
                *place = Some(Arc::clone(cell));
            }
        }
    }
}

/// A call whose caller is looked for.
#[derive(Clone, Copy)]
pub(crate) struct Attempt<'a> {
    pub(crate) worker: &'a Worker,
    pub(crate) route: &'a Route,
    pub(crate) client: &'a Client,
    pub(crate) origin: CallOrigin,
    /// What a trusted proxy says of the client's certificate, where the API believes it.
    pub(crate) certificate: Option<&'a ProxiedCertificate>,
    pub(crate) now: Timestamp,
    pub(crate) begun: Moment,
}

impl Attempt<'_> {
    /// Whether somebody at the client's address may make us compute anything. Asked when that is needed and
    /// not before: a token that this worker has verified passes however many wrong ones come from its address,
    /// so that nobody locks out those who share it and are known.
    fn may_try(&self) -> Result<(), Fault> {
        let attempts = &self.worker.shared.failed_attempts;
        attempts
            .check(self.origin.address, self.begun)
            .map_err(|_wait| {
                Fault::new(
                    Code::TooManyFailures,
                    "Too many credentials from your address were not good; wait, then send a good one",
                )
            })
    }

    /// Counts what failed, and tells when another attempt may be made.
    fn refused(&self, mut refusal: Refusal) -> Refusal {
        let code = refusal.fault().code();
        let counts = matches!(
            code,
            Code::TokenInvalid
                | Code::TokenExpired
                | Code::TokenRevoked
                | Code::CredentialInvalid
                | Code::CredentialExpired
                | Code::ProofInvalid
                | Code::ProofReplayed
                | Code::BindingMismatch
        );
        if counts {
            let attempts = &self.worker.shared.failed_attempts;
            attempts.failed(self.origin.address, 1, self.begun);
        }
        if code == Code::TooManyFailures {
            let attempts = &self.worker.shared.failed_attempts;
            let wait = attempts.check(self.origin.address, self.begun);
            let wait = wait.err().unwrap_or_default();
            // Rounded up: who comes a moment too early would be refused again.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            let fields = refusal.fields_mut();
            fields.append(Header::RetryAfter, seconds.max(1).to_string().as_bytes());
        }
        refusal
    }
}

/// Finds out who calls, by whatever the route asks for.
pub(crate) async fn authenticate(
    attempt: &Attempt<'_>,
    head: &mut RequestHead,
    record: &mut CallRecord,
) -> Result<Authenticated, Refusal> {
    let found = match &attempt.route.credentials {
        Credentials::None => return Ok(Authenticated::Open),
        Credentials::Token(policy) => token::authenticate(attempt, policy, head, record).await,
        Credentials::Certificate(policy) => client_certificate::authenticate(attempt, policy),
        Credentials::Methods(methods) => Box::pin(by_methods(attempt, methods, head, record)).await,
    };
    found.map_err(|refusal| attempt.refused(refusal))
}

/// The first method whose credential the call carries.
async fn by_methods(
    attempt: &Attempt<'_>,
    methods: &[MethodPolicy],
    head: &mut RequestHead,
    record: &mut CallRecord,
) -> Result<Authenticated, Refusal> {
    let carried = methods
        .iter()
        .position(|method| is_carried(attempt, method, head));
    // Something stands where a method looks, and none of them can read it: not the same as nothing.
    let unread = head.fields.has(Header::Authorization)
        && methods.iter().any(reads_authorization)
        && !methods
            .iter()
            .any(|method| reads_authorization(method) && is_carried(attempt, method, head));
    let stray = stray_token(methods, head);
    let Some(index) = carried.filter(|index| {
        let anonymous = matches!(methods.get(*index), Some(MethodPolicy::Anonymous));
        !(anonymous && (unread || stray.is_some()))
    }) else {
        let detail = if let Some(place) = stray {
            place.where_none_is_taken()
        } else if unread {
            "`Authorization` holds nothing that this API takes; `WWW-Authenticate` lists what it does"
        } else {
            "Send a credential; `WWW-Authenticate` lists those that this API takes"
        };
        let fault = Fault::new(Code::CredentialMissing, detail);
        return Err(Refusal::with(fault, challenge::of_all(attempt, head)));
    };
    // Tokens see to it themselves.
    if let Some(place) = stray
        && !matches!(methods.get(index), Some(MethodPolicy::Token(_)))
    {
        let fault = Fault::new(Code::CredentialAmbiguous, place.beside_another());
        return Err(fault.into());
    }
    let authenticated = match methods.get(index) {
        Some(MethodPolicy::Token(policy)) => {
            token::authenticate(attempt, policy, head, record).await?
        }
        Some(MethodPolicy::ApiKey(policy)) => api_key::authenticate(attempt, policy, head)?,
        Some(MethodPolicy::Basic(policy)) => basic::authenticate(attempt, policy, head).await?,
        Some(MethodPolicy::Certificate(policy)) => {
            client_certificate::authenticate(attempt, policy)?
        }
        Some(MethodPolicy::Anonymous) | None => Authenticated::Open,
    };
    // The method that was asked has dealt with `Authorization` itself, if it reads that.
    let dealt_with = methods.get(index).is_some_and(reads_authorization);
    for (other, method) in methods.iter().enumerate() {
        let has_more = matches!(method, MethodPolicy::ApiKey(_));
        if other != index && (has_more || !(dealt_with && reads_authorization(method))) {
            take_out(method, head);
        }
    }
    Ok(authenticated)
}

/// Where a token stands that no method reads.
#[derive(Clone, Copy)]
enum StrayToken {
    Query,
    Header,
}

impl StrayToken {
    const fn where_none_is_taken(self) -> &'static str {
        match self {
            Self::Query => {
                "A token stands in the query, where this API takes none; send it as `WWW-Authenticate` says"
            }
            Self::Header => {
                "A token stands in `Authorization`, where this API takes none; send it in the cookie that it reads, or none"
            }
        }
    }

    const fn beside_another(self) -> &'static str {
        match self {
            Self::Query => {
                "A token stands in the query beside another credential; send one of them, and no token in the query"
            }
            Self::Header => {
                "A token stands in `Authorization` beside another credential; send one of them, and no token there"
            }
        }
    }
}

/// A token that stands in another place than where the API takes tokens: in the query (RFC 6750, section 2.3), or in
/// `Authorization` where it takes them from a cookie. The upstream, which knows that tokens are checked before it,
/// could believe what nobody checked. Of an API that takes no tokens, it is the upstream's own.
fn stray_token(methods: &[MethodPolicy], head: &RequestHead) -> Option<StrayToken> {
    let takes_tokens = methods
        .iter()
        .any(|method| matches!(method, MethodPolicy::Token(_)));
    if !takes_tokens {
        return None;
    }
    // Unless that is what the API calls its keys.
    let is_key = methods.iter().any(|method| match method {
        MethodPolicy::ApiKey(policy) => policy.place.query.as_deref() == Some("access_token"),
        MethodPolicy::Token(_)
        | MethodPolicy::Basic(_)
        | MethodPolicy::Certificate(_)
        | MethodPolicy::Anonymous => false,
    });
    if !is_key && head.query().is_some_and(bearer::has_token) {
        return Some(StrayToken::Query);
    }
    let unread = !methods.iter().any(reads_authorization) && bearer::in_authorization(&head.fields);
    unread.then_some(StrayToken::Header)
}

/// Whether the call carries what the method asks for, good or not.
fn is_carried(attempt: &Attempt<'_>, method: &MethodPolicy, head: &RequestHead) -> bool {
    match method {
        MethodPolicy::Token(policy) => match &policy.source {
            TokenSource::Header => bearer::has_scheme(head, &[b"bearer", b"dpop"]),
            TokenSource::Cookie(name) => bearer::has_cookie(head, name),
        },
        MethodPolicy::ApiKey(policy) => api_key::is_carried(policy, head),
        MethodPolicy::Basic(_) => bearer::has_scheme(head, &[b"basic"]),
        MethodPolicy::Certificate(_) => {
            attempt.client.certificate().is_some() || attempt.certificate.is_some()
        }
        MethodPolicy::Anonymous => true,
    }
}

fn reads_authorization(method: &MethodPolicy) -> bool {
    match method {
        MethodPolicy::Token(policy) => match policy.source {
            TokenSource::Header => true,
            TokenSource::Cookie(_) => false,
        },
        MethodPolicy::Basic(_) => true,
        MethodPolicy::ApiKey(policy) => policy.place.sdk,
        MethodPolicy::Certificate(_) | MethodPolicy::Anonymous => false,
    }
}

/// Takes out a credential that was not looked at.
fn take_out(method: &MethodPolicy, head: &mut RequestHead) {
    match method {
        MethodPolicy::Token(policy) => match &policy.source {
            TokenSource::Header => bearer::remove(&mut head.fields),
            TokenSource::Cookie(name) => bearer::remove_cookie(name, &mut head.fields),
        },
        // Whatever it holds: what we don't read as a name and password, another server may.
        MethodPolicy::Basic(_) => bearer::remove(&mut head.fields),
        MethodPolicy::ApiKey(policy) => api_key::take_out(policy, head),
        MethodPolicy::Certificate(_) | MethodPolicy::Anonymous => {}
    }
}

/// Looks the caller up among what was revoked, unless nothing was since the last time.
pub(crate) fn check_revocations(
    revocations: &Revocations,
    verified: &VerifiedCaller,
    now: Timestamp,
) -> Result<(), Fault> {
    let epoch = revocations.epoch();
    if verified.revocation_epoch.get() == epoch {
        return Ok(());
    }
    let index = revocations.load();
    let revoked =
        TokenIdentity::of(&verified.caller).and_then(|identity| index.covers(&identity, now));
    match revoked {
        Some(kind) => Err(
            Fault::new(Code::TokenRevoked, "The token was revoked; get a new one")
                .because(format_args!("revoked by {}", kind.as_str())),
        ),
        None => {
            verified.revocation_epoch.set(index.epoch());
            Ok(())
        }
    }
}
