//! Asking an issuer about its tokens (RFC 7662).
//!
//! Its answers are kept for a short while, good ones and bad ones, by the token's hash: calls with one token that
//! come at once are one question. The question is asked by a task of the control plane, so that a client who
//! leaves takes nobody else's answer along. An issuer that fails is left alone for a while, longer each time: its
//! tokens are refused at once then (503), and what is known counts until its time is over.

#[cfg(test)]
mod tests;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hashbrown::HashMap;
use http::header::AUTHORIZATION;
use http::{HeaderValue, header::CONTENT_TYPE};
use keyward_egress::{Egress, Limits, Request};
use keyward_jose::jwt::Claims;
use keyward_model::resource::issuer::Introspection;
use keyward_model::{Clock, Code, Fault, Moment, Timestamp};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// The largest answer. Claims beyond this fit in no token either.
const ANSWER_MAX: usize = 64 * 1024;

/// What a question may cost: an issuer that is well answers in some milliseconds, and a call waits for it.
const LIMITS: Limits = Limits {
    max_bytes: ANSWER_MAX,
    total: Duration::from_secs(3),
    connect: Duration::from_secs(2),
    max_redirects: 0,
};

/// Answers that are kept in each of two generations; what is in use moves to the younger.
const ANSWERS_MAX: usize = 8_192;
/// Questions at once, over all workers.
const QUESTIONS_MAX: usize = 256;
/// A token that is no good is asked about again after this time: so long a new one that is not everywhere at its
/// issuer yet is refused.
const REFUSED_FOR: Duration = Duration::from_secs(5);
/// How long an issuer is left alone after so many failures in a row, then twice that, and so on.
const FAILURES: u32 = 3;
const SPARED_MIN: Duration = Duration::from_secs(1);
const SPARED_MAX: Duration = Duration::from_secs(30);

/// A good token, as its issuer sees it.
#[derive(Clone, Debug)]
pub(crate) struct Introspected {
    /// What it says.
    pub(crate) claims: Claims,
    /// Until when that counts.
    pub(crate) until: Timestamp,
}

/// An issuer that is asked.
pub(super) struct Introspector {
    request: Request,
    egress: Egress,
    runtime: Handle,
    clock: Arc<dyn Clock>,
    cache_for: Duration,
    host: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    young: HashMap<[u8; 32], Entry>,
    old: HashMap<[u8; 32], Entry>,
    questions: usize,
    failures: u32,
    spared_until: Moment,
    /// Whether somebody tries if the issuer is well again.
    trying: bool,
}

#[derive(Clone)]
enum Entry {
    Asking(watch::Receiver<Option<Outcome>>),
    Known(Outcome, Timestamp),
}

/// A question that was not answered.
struct Unanswered {
    fault: Fault,
    /// Whether the next one would most likely fare no better. Else it is about this token: whoever has one that
    /// the issuer can't deal with must not make us leave the issuer alone, and refuse everybody.
    is_down: bool,
}

/// What a question led to.
type Outcome = Result<Arc<Introspected>, Fault>;

impl Introspector {
    pub(super) fn new(
        asked: &Introspection,
        egress: Egress,
        runtime: Handle,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, keyward_egress::Error> {
        // RFC 6749, section 2.3.1: both are form-encoded first.
        let credentials = format!(
            "{}:{}",
            form_encoded(&asked.client_id),
            form_encoded(asked.client_secret.reveal())
        );
        let mut value = format!("Basic {}", STANDARD.encode(credentials));
        let header = HeaderValue::try_from(std::mem::take(&mut value));
        let mut header = header.unwrap_or(HeaderValue::from_static(""));
        header.set_sensitive(true);
        let request = Request::get(&asked.url)?
            .accept("application/json")
            .header(AUTHORIZATION, header)?;
        let host = asked.url.split('/').nth(2).unwrap_or_default().to_owned();
        Ok(Self {
            request,
            egress,
            runtime,
            clock,
            cache_for: asked.cache_for,
            host,
            state: Mutex::default(),
        })
    }

    /// What the issuer says of the token.
    pub(super) async fn ask(self: &Arc<Self>, token: &str) -> Outcome {
        let mut answer = match self.begin(token)? {
            Entry::Known(outcome, _) => return outcome,
            Entry::Asking(answer) => answer,
        };
        let told = answer.wait_for(Option::is_some).await;
        match told.map(|told| told.clone()) {
            Ok(Some(outcome)) => outcome,
            // The task has ended without an answer: the process is shutting down.
            Ok(None) | Err(_) => Err(self.unavailable("the question was given up")),
        }
    }

    /// What is known, or the question that is being asked, begun now if there was none.
    fn begin(self: &Arc<Self>, token: &str) -> Result<Entry, Fault> {
        let key = hash(token);
        let (now, moment) = (self.clock.now(), self.clock.moment());
        let mut state = self.state();
        if let Some(entry) = state.get(&key, now) {
            return Ok(entry);
        }
        if moment < state.spared_until || (state.failures >= FAILURES && state.trying) {
            return Err(
                self.unavailable("it has failed several times and is left alone for a while")
            );
        }
        if state.questions >= QUESTIONS_MAX {
            return Err(self.unavailable("too many questions are being asked"));
        }
        state.questions += 1;
        state.trying = true;
        let (tell, answer) = watch::channel(None);
        state.insert(key, Entry::Asking(answer.clone()));
        drop(state);
        let (this, token) = (Arc::clone(self), zeroize::Zeroizing::new(token.to_owned()));
        self.runtime.spawn(async move {
            let outcome = this.question(&token).await;
            let outcome = this.answered(key, outcome);
            let _nobody_waits = tell.send(Some(outcome));
        });
        Ok(Entry::Asking(answer))
    }

    /// Keeps the answer.
    fn answered(&self, key: [u8; 32], outcome: Result<Option<Claims>, Unanswered>) -> Outcome {
        let (now, moment) = (self.clock.now(), self.clock.moment());
        let mut state = self.state();
        state.questions = state.questions.saturating_sub(1);
        state.trying = false;
        let (outcome, until) = match outcome {
            Ok(claims) => {
                state.failures = 0;
                match claims {
                    Some(claims) => {
                        let mut until = now.plus(self.cache_for);
                        if let Some(expiry) = claims.expiry() {
                            until = until.min(Timestamp::from_seconds(expiry.0));
                        }
                        (Ok(Arc::new(Introspected { claims, until })), until)
                    }
                    None => {
                        let fault = Fault::new(
                            Code::TokenInvalid,
                            "The token is not valid, its issuer says; get a new one",
                        );
                        (Err(fault), now.plus(REFUSED_FOR))
                    }
                }
            }
            Err(Unanswered {
                fault,
                is_down: false,
            }) => (Err(fault), now.plus(REFUSED_FOR)),
            Err(Unanswered {
                fault,
                is_down: true,
            }) => {
                state.failures = state.failures.saturating_add(1);
                if let Some(more) = state.failures.checked_sub(FAILURES) {
                    let spared = SPARED_MIN.saturating_mul(1 << more.min(8));
                    state.spared_until = moment.plus(spared.min(SPARED_MAX));
                }
                (Err(fault), now)
            }
        };
        if until > now {
            state.insert(key, Entry::Known(outcome.clone(), until));
        } else {
            state.remove(&key);
        }
        outcome
    }

    /// The claims of a good token; `None` of one that is not.
    async fn question(&self, token: &str) -> Result<Option<Claims>, Unanswered> {
        let body = format!("token={}&token_type_hint=access_token", form_encoded(token));
        let request = self
            .request
            .clone()
            .post("application/x-www-form-urlencoded", Bytes::from(body));
        let response = self
            .egress
            .fetch(request, LIMITS)
            .await
            .map_err(|error| self.unanswered(true, &error.to_string()))?;
        if response.status != 200 {
            // That it does not know us, or has enough of us, is no matter of the token.
            let of_token = matches!(response.status, 400..500)
                && !matches!(response.status, 401 | 403 | 404 | 408 | 429);
            let why = format!("it answered {}", response.status);
            return Err(self.unanswered(!of_token, &why));
        }
        let kind = response.headers.get(CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            let why = format!("it answered in `{essence}`, not in JSON");
            return Err(self.unanswered(true, &why));
        }
        read(&response.body).map_err(|why| {
            // An object that we can't read as claims is about the token; anything else is no answer.
            let object: Result<serde_json::Map<_, serde_json::Value>, _> =
                serde_json::from_slice(&response.body);
            self.unanswered(object.is_err(), &why)
        })
    }

    fn unanswered(&self, is_down: bool, why: &str) -> Unanswered {
        let fault = self.unavailable(why);
        Unanswered { fault, is_down }
    }

    fn unavailable(&self, why: &str) -> Fault {
        Fault::new(
            Code::IssuerUnavailable,
            "The token's issuer can't be asked about it just now; try again in a moment",
        )
        .because(format_args!("{}: {why}", self.host))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Introspector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introspector")
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

impl State {
    fn get(&mut self, key: &[u8; 32], now: Timestamp) -> Option<Entry> {
        if let Some(entry) = self.young.get(key) {
            if entry.counts(now) {
                return Some(entry.clone());
            }
            self.young.remove(key);
            return None;
        }
        let entry = self.old.remove(key)?;
        if !entry.counts(now) {
            return None;
        }
        self.insert(*key, entry.clone());
        Some(entry)
    }

    fn insert(&mut self, key: [u8; 32], entry: Entry) {
        if self.young.len() >= ANSWERS_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, entry);
    }

    fn remove(&mut self, key: &[u8; 32]) {
        self.young.remove(key);
        self.old.remove(key);
    }
}

impl Entry {
    fn counts(&self, now: Timestamp) -> bool {
        match self {
            // One whose task is gone never gets an answer.
            Self::Asking(answer) => answer.has_changed().is_ok() || answer.borrow().is_some(),
            Self::Known(_, until) => now < *until,
        }
    }
}

/// Reads an answer (RFC 7662, section 2.2): the claims of a token that is active, `None` of one that isn't.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read(body: &[u8]) -> Result<Option<Claims>, String> {
    let claims = Claims::parse(body, ANSWER_MAX)
        .map_err(|error| format!("its answer can't be read: {error}"))?;
    match claims.get("active") {
        Some(serde_json::Value::Bool(true)) => Ok(Some(claims)),
        Some(serde_json::Value::Bool(false)) => Ok(None),
        Some(_) | None => Err("its answer does not say whether the token is `active`".to_owned()),
    }
}

fn hash(token: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    for (to, from) in hash
        .iter_mut()
        .zip(digest(&SHA256, token.as_bytes()).as_ref())
    {
        *to = *from;
    }
    hash
}

/// A value of `application/x-www-form-urlencoded` (URL Standard, section 5.2).
pub(crate) fn form_encoded(text: &str) -> String {
    use fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            _ if byte.is_ascii_alphanumeric() || matches!(byte, b'*' | b'-' | b'.' | b'_') => {
                out.push(char::from(byte));
            }
            _ => {
                // Writing to a text that grows does not fail.
                let _infallible = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}
