//! What each limit counts a call by.

use crate::message::RequestHead;
use crate::snapshot::Route;
use keyward_model::Caller;
use keyward_model::limit::LimitSubject;
use keyward_state::limit::Counted;
use serde_json::Value;
use smallvec::SmallVec;
use std::net::IpAddr;

/// Nearly every limit counts by one thing.
const FEW: usize = 2;

/// What a call brings that limits may count by.
#[derive(Clone, Copy)]
pub(crate) struct Counting<'a> {
    pub(crate) caller: &'a Caller,
    /// The client's.
    pub(crate) address: IpAddr,
    pub(crate) head: &'a RequestHead,
    pub(crate) route: &'a Route,
    /// The AI model that is asked for, where one is.
    pub(crate) model: Option<&'a str>,
}

impl Counting<'_> {
    /// What a limit counts this call by, handed to `look`; and whether that is the same at each call of the
    /// caller's.
    pub(crate) fn with<T>(
        &self,
        by: &[LimitSubject],
        look: impl FnOnce(&[Counted<'_>]) -> T,
    ) -> (T, bool) {
        // Claims are read from the token's text: what is read lives as long as the look-up.
        let claims: SmallVec<[Option<String>; FEW]> = by
            .iter()
            .map(|subject| match subject {
                LimitSubject::Claim(name) => self.caller.claim(name).and_then(text),
                LimitSubject::Address
                | LimitSubject::Subject
                | LimitSubject::Client
                | LimitSubject::Team
                | LimitSubject::Issuer
                | LimitSubject::Key
                | LimitSubject::Header(_)
                | LimitSubject::Model
                | LimitSubject::Route
                | LimitSubject::Api => None,
            })
            .collect();
        let mut of_caller = true;
        let counted: SmallVec<[Counted<'_>; FEW]> = by
            .iter()
            .zip(&claims)
            .map(|(subject, claim)| {
                let found = self.found(subject, claim.as_deref());
                let counted = match subject {
                    // Not by the caller: who sends no header shall not be told apart by what it is.
                    LimitSubject::Header(_) => found,
                    LimitSubject::Address
                    | LimitSubject::Subject
                    | LimitSubject::Client
                    | LimitSubject::Team
                    | LimitSubject::Issuer
                    | LimitSubject::Key
                    | LimitSubject::Claim(_)
                    | LimitSubject::Model
                    | LimitSubject::Route
                    | LimitSubject::Api => found.or_else(|| self.subject()),
                };
                counted.unwrap_or_else(|| {
                    of_caller = false;
                    Counted::address(self.address)
                })
            })
            .collect();
        (look(&counted), of_caller)
    }

    fn found<'s>(
        &'s self,
        subject: &'s LimitSubject,
        claim: Option<&'s str>,
    ) -> Option<Counted<'s>> {
        let caller = self.caller;
        match subject {
            LimitSubject::Address => Some(Counted::address(self.address)),
            LimitSubject::Subject => self.subject(),
            LimitSubject::Client => Some(Counted::Client {
                issuer: caller.issuer.as_deref()?,
                client: caller.client()?,
            }),
            LimitSubject::Team => caller.team.map(Counted::Team),
            LimitSubject::Issuer => caller.issuer.as_deref().map(Counted::Issuer),
            LimitSubject::Key => caller.credential.map(Counted::Key),
            LimitSubject::Claim(name) => Some(Counted::Claim {
                issuer: caller.issuer.as_deref().unwrap_or_default(),
                name,
                value: claim?,
            }),
            LimitSubject::Header(name) => {
                let value = self.head.fields.all_named(name).next()?;
                Some(Counted::Header { name, value })
            }
            // What asks for none, such as the list of models, is counted together.
            LimitSubject::Model => Some(Counted::Model(self.model.unwrap_or_default())),
            LimitSubject::Route => Some(Counted::Route(&self.route.labels.route)),
            LimitSubject::Api => Some(Counted::Api),
        }
    }

    /// The caller by itself.
    fn subject(&self) -> Option<Counted<'_>> {
        let caller = self.caller;
        match (caller.issuer.as_deref(), caller.subject()) {
            (Some(issuer), Some(subject)) => Some(Counted::Subject { issuer, subject }),
            (_, _) => caller.credential.map(Counted::Key),
        }
    }
}

/// A claim's value: a string as it is, anything else as JSON.
fn text(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Some(other.to_string())
        }
    }
}
