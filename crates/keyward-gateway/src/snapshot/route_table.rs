//! Which route a path leads to: the longest base path that it begins with, segment by segment.

use hashbrown::HashMap;
use keyward_model::resource::BasePath;

/// A tree of path segments. Looking up costs one hash per segment, however many routes there are.
#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    route: Option<usize>,
    children: HashMap<Box<str>, Node>,
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Match {
    pub(crate) route: usize,
    /// How many segments of the path the base path has.
    pub(crate) segments: usize,
}

impl RouteTable {
    /// Adds a route; when the base path is taken, tells by whom.
    pub(crate) fn insert(&mut self, base: &BasePath, route: usize) -> Result<(), usize> {
        let mut node = &mut self.root;
        for segment in base.segments() {
            node = node.children.entry_ref(segment).or_default();
        }
        match node.route {
            Some(taken) => Err(taken),
            None => {
                node.route = Some(route);
                Ok(())
            }
        }
    }

    /// The longest match of an absolute path, whose percent-encoded unreserved characters are decoded.
    pub(crate) fn find(&self, path: &str) -> Option<Match> {
        let mut node = &self.root;
        let mut found = node.route.map(|route| Match { route, segments: 0 });
        for (index, segment) in path.split('/').skip(1).enumerate() {
            // Parameters of a segment (RFC 3986, section 3.3) are no part of its name to many servers:
            // `/closed;v=1` must not be another route than `/closed`.
            let name = segment.split(';').next().unwrap_or_default();
            let Some(child) = node.children.get(name) else {
                break;
            };
            node = child;
            if let Some(route) = node.route {
                found = Some(Match {
                    route,
                    segments: index + 1,
                });
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(paths: &[&str]) -> RouteTable {
        let mut table = RouteTable::default();
        for (index, path) in paths.iter().enumerate() {
            assert_eq!(table.insert(&path.parse().unwrap(), index), Ok(()));
        }
        table
    }

    #[test]
    fn the_longest_base_path_wins() {
        let table = table(&["/a", "/a/b/c", "/"]);
        for (path, route, segments) in [
            ("/a", 0, 1),
            ("/a/", 0, 1),
            ("/a/b", 0, 1),
            ("/a/b/c", 1, 3),
            ("/a/b/c/d", 1, 3),
            ("/a/b/cd", 0, 1),
            ("/ab", 2, 0),
            ("/a;v=1/b;x/c", 1, 3),
            ("/", 2, 0),
        ] {
            assert_eq!(table.find(path), Some(Match { route, segments }), "{path}");
        }
    }

    #[test]
    fn a_path_without_a_route_leads_nowhere() {
        let table = table(&["/a/b"]);
        for path in ["/", "/a", "/a/", "/a/bc", "/b/a/b"] {
            assert_eq!(table.find(path), None, "{path}");
        }
    }

    #[test]
    fn a_base_path_is_taken_once() {
        let mut table = table(&["/a"]);
        assert_eq!(table.insert(&"/a".parse().unwrap(), 7), Err(0));
    }
}
