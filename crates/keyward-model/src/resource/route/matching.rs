//! Which calls a route takes, and which of two routes is the more specific.

use super::path::PathPattern;

/// What a call must be to be taken. What is empty asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteMatch {
    /// The path below the API's base path.
    pub path: PathPattern,
    /// One of these, in upper case. `GET` is here with `HEAD` always (RFC 9110, section 9.3.2).
    pub methods: Vec<Box<str>>,
    /// All of these.
    pub conditions: Conditions,
}

/// What a call's headers and query must be, all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// (name in lower case, condition), each name once.
    pub headers: Vec<(Box<str>, Condition)>,
    /// (name, condition) of the query, decoded, each name once.
    pub query: Vec<(Box<str>, Condition)>,
}

/// What is asked of one header or of one part of the query. What comes several times equals nothing: who
/// reads the first and who reads the last would see two calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// It comes once and is this, byte by byte.
    Equals(Box<str>),
    /// It comes, whatever it is.
    Present,
    /// It does not come.
    Absent,
}

/// How specific a route's conditions are: the greater wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank {
    methods: bool,
    headers: usize,
    query: usize,
}

impl RouteMatch {
    /// How specific it is among routes with the same host and path.
    #[must_use]
    pub fn rank(&self) -> Rank {
        Rank {
            methods: !self.methods.is_empty(),
            headers: self.conditions.headers.len(),
            query: self.conditions.query.len(),
        }
    }

    /// Whether one call could meet the conditions of both, paths aside.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let methods = self.methods.is_empty()
            || other.methods.is_empty()
            || self
                .methods
                .iter()
                .any(|method| other.methods.contains(method));
        methods && self.conditions.overlap(&other.conditions)
    }
}

impl Conditions {
    /// Whether nothing is asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.headers.is_empty() && self.query.is_empty()
    }

    fn overlap(&self, other: &Self) -> bool {
        all_agree(&self.headers, &other.headers) && all_agree(&self.query, &other.query)
    }
}

fn all_agree(these: &[(Box<str>, Condition)], those: &[(Box<str>, Condition)]) -> bool {
    these.iter().all(|(name, this)| {
        those
            .iter()
            .find(|(other, _)| other == name)
            .is_none_or(|(_, that)| this.agrees_with(that))
    })
}

impl Condition {
    fn agrees_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Equals(this), Self::Equals(that)) => this == that,
            (Self::Absent, Self::Equals(_) | Self::Present)
            | (Self::Equals(_) | Self::Present, Self::Absent) => false,
            (Self::Equals(_) | Self::Present, Self::Present)
            | (Self::Present, Self::Equals(_))
            | (Self::Absent, Self::Absent) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(
        methods: &[&str],
        headers: &[(&str, Condition)],
        query: &[(&str, Condition)],
    ) -> RouteMatch {
        let conditions = |list: &[(&str, Condition)]| {
            list.iter()
                .map(|(name, condition)| ((*name).into(), condition.clone()))
                .collect()
        };
        RouteMatch {
            path: PathPattern::default(),
            methods: methods.iter().map(|method| (*method).into()).collect(),
            conditions: Conditions {
                headers: conditions(headers),
                query: conditions(query),
            },
        }
    }

    #[test]
    fn routes_that_no_call_can_meet_both_do_not_overlap() {
        let is = |value: &str| Condition::Equals(value.into());
        let (present, absent) = (Condition::Present, Condition::Absent);
        for (left, right, expected) in [
            (route(&[], &[], &[]), route(&[], &[], &[]), true),
            (route(&["GET"], &[], &[]), route(&["POST"], &[], &[]), false),
            (
                route(&["GET", "PUT"], &[], &[]),
                route(&["PUT"], &[], &[]),
                true,
            ),
            (route(&["GET"], &[], &[]), route(&[], &[], &[]), true),
            (
                route(&[], &[("a", is("1"))], &[]),
                route(&[], &[("a", is("2"))], &[]),
                false,
            ),
            (
                route(&[], &[("a", is("1"))], &[]),
                route(&[], &[("b", is("2"))], &[]),
                true,
            ),
            (
                route(&[], &[("a", is("1"))], &[]),
                route(&[], &[("a", present.clone())], &[]),
                true,
            ),
            (
                route(&[], &[("a", is("1"))], &[]),
                route(&[], &[("a", absent.clone())], &[]),
                false,
            ),
            (
                route(&[], &[], &[("a", present)]),
                route(&[], &[], &[("a", absent)]),
                false,
            ),
        ] {
            assert_eq!(left.overlaps(&right), expected, "{left:?} {right:?}");
            assert_eq!(right.overlaps(&left), expected, "{right:?} {left:?}");
        }
    }

    #[test]
    fn methods_count_before_headers_and_headers_before_the_query() {
        let is = |value: &str| Condition::Equals(value.into());
        let ranks = [
            route(&[], &[], &[]),
            route(&[], &[], &[("a", is("1"))]),
            route(&[], &[], &[("a", is("1")), ("b", is("1"))]),
            route(&[], &[("a", is("1"))], &[]),
            route(&[], &[("a", is("1"))], &[("a", is("1"))]),
            route(&["GET"], &[], &[]),
            route(&["GET"], &[], &[("a", is("1"))]),
        ]
        .map(|route| route.rank());
        assert!(ranks.is_sorted_by(|less, more| less < more), "{ranks:?}");
    }
}
