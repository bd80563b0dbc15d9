//! The paths that teams publish below.

use super::Api;
use super::api::BasePath;
use super::route::{HostPattern, PathKind, PathPattern, Segment};
use std::fmt;
use std::str::FromStr;

/// A path with all below it, at a host or at every one: what a team may own, so that nobody else takes its calls.
/// Written `/pay`, `gw.example.com/pay` or `*.example.com/`.
///
/// ```
/// use keyward_model::resource::TeamPath;
/// let whole: TeamPath = "/pay".parse().unwrap();
/// let part: TeamPath = "gw.example.com/pay/login".parse().unwrap();
/// assert!(whole.overlaps(&part) && part.overlaps(&whole));
/// assert!(!whole.overlaps(&"/payments".parse().unwrap()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TeamPath {
    /// `None`: at every host.
    pub host: Option<HostPattern>,
    /// The path. What continues it after a slash is below it.
    pub path: BasePath,
}

/// Why a text is no path of a team.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is a path such as `/pay`, or one at a host such as `gw.example.com/pay` or `*.example.com/`"
)]
pub struct NoTeamPath;

impl FromStr for TeamPath {
    type Err = NoTeamPath;
    fn from_str(text: &str) -> Result<Self, NoTeamPath> {
        let slash = text.find('/').ok_or(NoTeamPath)?;
        let (host, path) = text.split_at_checked(slash).ok_or(NoTeamPath)?;
        let host = match host {
            "" => None,
            host => Some(host.parse().map_err(|_| NoTeamPath)?),
        };
        let path = path.parse().map_err(|_| NoTeamPath)?;
        Ok(Self { host, path })
    }
}

impl fmt::Display for TeamPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host) = &self.host {
            host.fmt(f)?;
        }
        self.path.fmt(f)
    }
}

impl TeamPath {
    /// Whether there are calls that both stand for.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let (one, two) = (self.host.as_ref(), other.host.as_ref());
        (covers(one, two) || covers(two, one))
            && (is_below(&self.path, &other.path) || is_below(&other.path, &self.path))
    }

    /// Whether all that an API with this base path at this host (`None`: at every one) may take is of this path.
    #[must_use]
    pub fn holds(&self, host: Option<&HostPattern>, base_path: &BasePath) -> bool {
        covers(self.host.as_ref(), host) && is_below(base_path, &self.path)
    }

    /// Whether one of an API's routes takes calls of this path from whoever owns it: it is at or below the path, or
    /// at a host that is looked at before the path's own.
    #[must_use]
    pub fn is_entered_by(&self, api: &Api) -> bool {
        let mut hosts =
            super::conflict::hosts(api).filter(|host| covers(self.host.as_ref(), *host));
        hosts.any(|host| {
            let narrower = host != self.host.as_ref();
            let routes = api.routes.iter();
            let mut paths = routes.map(|route| &route.matching.path);
            paths.any(|path| self.is_reached(&api.base_path, path, narrower))
        })
    }

    /// `narrower`: the route's host comes first, so that whatever it matches of the path it takes. At the same host a
    /// literal comes before a parameter, and the longer path before the shorter.
    fn is_reached(&self, base_path: &BasePath, path: &PathPattern, narrower: bool) -> bool {
        let mut own = self.path.segments();
        let before = base_path.segments().map(Some);
        let after = path.segments().iter().map(|segment| match segment {
            Segment::Literal(text) => Some(&**text),
            Segment::Parameter(_) => None,
        });
        for segment in before.chain(after) {
            let Some(wanted) = own.next() else {
                return true;
            };
            let fits = segment.map_or(narrower, |segment| segment == wanted);
            if !fits {
                return false;
            }
        }
        own.next().is_none() || (narrower && path.kind() == PathKind::Prefix)
    }
}

/// Whether each call at `inner` is one at `outer`.
fn covers(outer: Option<&HostPattern>, inner: Option<&HostPattern>) -> bool {
    let is_under = |name: &str, above: &str| {
        let rest = name.strip_suffix(above);
        rest.is_some_and(|rest| rest.ends_with('.'))
    };
    match (outer, inner) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(HostPattern::Exact(one)), Some(HostPattern::Exact(other))) => one == other,
        (Some(HostPattern::Exact(_)), Some(HostPattern::Below(_))) => false,
        (Some(HostPattern::Below(above)), Some(HostPattern::Exact(name))) => is_under(name, above),
        (Some(HostPattern::Below(above)), Some(HostPattern::Below(name))) => {
            name == above || is_under(name, above)
        }
    }
}

fn is_below(path: &BasePath, above: &BasePath) -> bool {
    let mut segments = path.segments();
    above
        .segments()
        .all(|segment| segments.next() == Some(segment))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::TeamId;
    use crate::resource::{Spec, raw};
    use crate::revision::Origin;
    use serde_json::json;

    fn path(text: &str) -> TeamPath {
        text.parse().unwrap()
    }

    #[test]
    fn paths_of_teams_are_read_as_they_are_written() {
        for good in ["/", "/pay", "gw.example.com/pay", "*.example.com/"] {
            assert_eq!(path(good).to_string(), good);
        }
        for bad in [
            "",
            "pay",
            "gw.example.com",
            "/pay/",
            "*/pay",
            "gw:80/pay",
            "gw/../x",
            "a b/",
        ] {
            assert!(bad.parse::<TeamPath>().is_err(), "{bad}");
        }
    }

    #[test]
    fn paths_overlap_where_both_stand_for_a_call() {
        for (one, other, expected) in [
            ("/pay", "/pay", true),
            ("/pay", "/pay/login", true),
            ("/", "/pay", true),
            ("/pay", "/payments", false),
            ("/pay", "/orders", false),
            ("/pay", "gw.example.com/pay", true),
            ("gw.example.com/", "gw.example.com/pay", true),
            ("gw.example.com/pay", "other.example.com/pay", false),
            ("*.example.com/pay", "gw.example.com/pay", true),
            ("*.example.com/pay", "example.com/pay", false),
            ("*.example.com/pay", "*.eu.example.com/pay", true),
            ("*.example.com/pay", "badexample.com/pay", false),
        ] {
            assert_eq!(path(one).overlaps(&path(other)), expected, "{one} {other}");
            assert_eq!(path(other).overlaps(&path(one)), expected, "{other} {one}");
        }
    }

    #[test]
    fn an_api_is_held_where_all_of_it_is_of_the_path() {
        for (owned, host, base, expected) in [
            ("/pay", None, "/pay", true),
            ("/pay", None, "/pay/v2", true),
            ("/pay", Some("gw.example.com"), "/pay", true),
            ("/pay", None, "/", false),
            ("/pay", None, "/payments", false),
            ("gw.example.com/pay", None, "/pay", false),
            ("gw.example.com/pay", Some("gw.example.com"), "/pay", true),
            ("gw.example.com/pay", Some("*.example.com"), "/pay", false),
            ("*.example.com/", Some("gw.example.com"), "/any", true),
        ] {
            let host: Option<HostPattern> = host.map(|host| host.parse().unwrap());
            let holds = path(owned).holds(host.as_ref(), &base.parse().unwrap());
            assert_eq!(holds, expected, "{owned} {host:?}{base}");
        }
    }

    /// An API of these hosts, this base path and this route.
    fn api(hosts: &[&str], base_path: &str, matching: serde_json::Value) -> Api {
        let mut body = json!({
            "kind": "api", "name": "a", "version": "v1", "state": "published", "base_path": base_path,
            "upstream": "u", "authentication": "none", "routes": [{ "match": matching }],
        });
        if !hosts.is_empty() {
            body["hosts"] = json!(hosts);
        }
        let (node, _) = raw::Node::numbered(&body, 0);
        let mut problems = raw::Problems::new();
        let team = (TeamId::DEFAULT, &crate::Name::default_team());
        let read = raw::read_team_resource(node, Origin::Database, team, &mut problems);
        let read = read.unwrap_or_else(|| panic!("{:?}", problems.as_slice()));
        let Spec::Api(api) = read.resource.spec else {
            panic!("not an API");
        };
        api
    }

    #[test]
    fn an_api_enters_a_path_where_it_would_take_its_calls() {
        for (owned, hosts, base, matching, expected) in [
            ("/pay", &[][..], "/pay", json!({ "prefix": "/" }), true),
            ("/pay", &[], "/", json!({ "prefix": "/pay" }), true),
            ("/pay", &[], "/", json!({ "path": "/pay/{id}/login" }), true),
            (
                "/pay",
                &[],
                "/pay",
                json!({ "path": "/", "methods": ["POST"] }),
                true,
            ),
            // Whatever is more special comes first.
            ("/pay", &[], "/", json!({ "prefix": "/" }), false),
            ("/pay", &[], "/", json!({ "path": "/{any}/login" }), false),
            ("/pay", &[], "/payments", json!({ "prefix": "/" }), false),
            // So does a host that is named.
            (
                "/pay",
                &["gw.example.com"],
                "/",
                json!({ "prefix": "/" }),
                true,
            ),
            (
                "/pay",
                &["gw.example.com"],
                "/",
                json!({ "path": "/{any}/login" }),
                true,
            ),
            (
                "/pay",
                &["gw.example.com"],
                "/",
                json!({ "path": "/other" }),
                false,
            ),
            (
                "/pay/v1",
                &["gw.example.com"],
                "/",
                json!({ "path": "/pay" }),
                false,
            ),
            (
                "gw.example.com/pay",
                &[],
                "/pay",
                json!({ "prefix": "/" }),
                false,
            ),
            (
                "gw.example.com/pay",
                &["other.example.com"],
                "/pay",
                json!({ "prefix": "/" }),
                false,
            ),
            (
                "gw.example.com/",
                &["gw.example.com"],
                "/any",
                json!({ "prefix": "/" }),
                true,
            ),
            (
                "*.example.com/pay",
                &["gw.example.com"],
                "/pay",
                json!({ "prefix": "/" }),
                true,
            ),
        ] {
            let entered = path(owned).is_entered_by(&api(hosts, base, matching.clone()));
            assert_eq!(entered, expected, "{owned} {hosts:?}{base} {matching}");
        }
    }
}
