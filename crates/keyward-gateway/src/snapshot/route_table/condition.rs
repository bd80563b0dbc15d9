//! What a route asks of a request besides host and path, ready to be compared.

use super::view::{Occurrence, RequestView, decodes_to, look_up};
use http::Method;
use keyward_model::resource::route::{Condition, Conditions, RouteMatch};

/// The methods that most routes speak of, each a bit.
const STANDARD: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// A route's methods and conditions.
#[derive(Debug)]
pub(super) struct Matcher {
    methods: Methods,
    conditions: ConditionPlan,
}

/// Whether a matcher takes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Takes,
    /// All is well but the method.
    OtherMethod,
    Refuses,
}

impl Matcher {
    pub(super) fn new(matching: &RouteMatch) -> Self {
        Self {
            methods: Methods::new(&matching.methods),
            conditions: ConditionPlan::new(&matching.conditions),
        }
    }

    pub(super) fn judge(&self, request: &RequestView<'_>) -> Verdict {
        if !self.conditions.hold(request) {
            Verdict::Refuses
        } else if self.methods.have(request.method) {
            Verdict::Takes
        } else {
            Verdict::OtherMethod
        }
    }

    /// The methods it takes, for `Allow`.
    pub(super) fn methods(&self) -> impl Iterator<Item = &str> {
        let standard = STANDARD.iter().enumerate();
        let standard = standard.filter(|(place, _)| self.methods.standard & (1 << place) != 0);
        standard
            .map(|(_, name)| *name)
            .chain(self.methods.others.iter().map(AsRef::as_ref))
    }
}

/// A set of methods; the empty one has all.
#[derive(Debug)]
struct Methods {
    standard: u8,
    others: Box<[Box<str>]>,
}

impl Methods {
    fn new(methods: &[Box<str>]) -> Self {
        let bit = |method: &str| STANDARD.iter().position(|name| *name == method);
        let standard = methods.iter().filter_map(|method| bit(method));
        Self {
            standard: standard.fold(0, |bits, place| bits | (1 << place)),
            others: methods
                .iter()
                .filter(|method| bit(method).is_none())
                .cloned()
                .collect(),
        }
    }

    fn have(&self, method: &Method) -> bool {
        if self.standard == 0 && self.others.is_empty() {
            return true;
        }
        let name = method.as_str();
        match STANDARD.iter().position(|standard| *standard == name) {
            Some(place) => self.standard & (1 << place) != 0,
            None => self.others.iter().any(|other| **other == *name),
        }
    }
}

/// Conditions on headers and the query.
#[derive(Debug)]
pub(crate) struct ConditionPlan {
    headers: Box<[(Box<str>, Condition)]>,
    query: Box<[(Box<str>, Condition)]>,
}

impl ConditionPlan {
    pub(crate) fn new(conditions: &Conditions) -> Self {
        Self {
            headers: conditions.headers.clone().into(),
            query: conditions.query.clone().into(),
        }
    }

    /// Whether a request meets all of them.
    pub(crate) fn hold(&self, request: &RequestView<'_>) -> bool {
        let header = |(name, condition): &(Box<str>, Condition)| {
            holds(condition, (request.header)(name), |sent, wanted| {
                sent == wanted
            })
        };
        let query = |(name, condition): &(Box<str>, Condition)| {
            holds(condition, look_up(request.query, name), decodes_to)
        };
        self.headers.iter().all(header) && self.query.iter().all(query)
    }
}

fn holds(
    condition: &Condition,
    found: Occurrence<'_>,
    same: impl Fn(&[u8], &[u8]) -> bool,
) -> bool {
    match (condition, found) {
        (Condition::Equals(wanted), Occurrence::Once(sent)) => same(sent, wanted.as_bytes()),
        (Condition::Equals(_), Occurrence::Absent | Occurrence::Several)
        | (Condition::Present, Occurrence::Absent)
        | (Condition::Absent, Occurrence::Once(_) | Occurrence::Several) => false,
        (Condition::Present, Occurrence::Once(_) | Occurrence::Several)
        | (Condition::Absent, Occurrence::Absent) => true,
    }
}
