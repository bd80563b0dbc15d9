//! The routes of one host as a tree of path segments.
//!
//! Looking up costs one hash per segment, however many routes there are. At each node the literal child
//! is tried first, then the parameter, then the prefix that ends there: that is the documented rule, read
//! from the left. What a branch refuses after all is looked for in the next, so that the first hit is the
//! most specific route that takes the request.

use super::condition::{Matcher, Verdict};
use super::view::RequestView;
use hashbrown::HashMap;
use keyward_model::resource::BasePath;
use keyward_model::resource::route::{
    PARAMETERS_MAX, PathKind, Rank, RouteMatch, Segment as PatternSegment,
};

/// Routes by their paths, each a number.
#[derive(Debug, Default)]
pub(super) struct PathTree {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, Node>,
    parameter: Option<Box<Node>>,
    /// Routes whose whole path ends here, the most specific first.
    whole: Vec<Leaf>,
    /// Routes whose prefix ends here, the most specific first.
    prefix: Vec<Leaf>,
}

#[derive(Debug)]
struct Leaf {
    route: usize,
    rank: Rank,
    matcher: Matcher,
}

/// What the parameters of a path hold: places in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parameters {
    places: [(usize, usize); PARAMETERS_MAX],
    count: usize,
}

impl Parameters {
    /// What the parameter at this place of the pattern holds, of the path that was looked up.
    pub(crate) fn of<'p>(&self, path: &'p str, index: usize) -> &'p str {
        let place = self
            .places
            .get(..self.count)
            .and_then(|places| places.get(index));
        place
            .and_then(|(from, to)| path.get(*from..*to))
            .unwrap_or_default()
    }

    fn push(&mut self, from: usize, to: usize) {
        if let Some(place) = self.places.get_mut(self.count) {
            *place = (from, to);
            self.count += 1;
        }
    }
}

/// A way through the tree.
struct Walk<'a, 'r> {
    request: &'a RequestView<'r>,
    parameters: Parameters,
    /// Whether a route took everything but the method.
    other_method: bool,
}

impl PathTree {
    /// Adds a route, unless no rule tells it from one that is there: that one is the error. `of` gives what
    /// a route that is there asks for.
    pub(super) fn insert<'m>(
        &mut self,
        base: &BasePath,
        matching: &RouteMatch,
        route: usize,
        of: impl Fn(usize) -> Option<&'m RouteMatch>,
    ) -> Result<(), usize> {
        let mut node = &mut self.root;
        for segment in base.segments() {
            node = node.literals.entry_ref(segment).or_default();
        }
        for segment in matching.path.segments() {
            node = match segment {
                PatternSegment::Literal(literal) => {
                    node.literals.entry_ref(&**literal).or_default()
                }
                PatternSegment::Parameter(_) => node.parameter.get_or_insert_default(),
            };
        }
        let leaves = match matching.path.kind() {
            PathKind::Whole => &mut node.whole,
            PathKind::Prefix => &mut node.prefix,
        };
        let rank = matching.rank();
        let rival = leaves.iter().find(|leaf| {
            leaf.rank == rank && of(leaf.route).is_some_and(|other| other.overlaps(matching))
        });
        if let Some(rival) = rival {
            return Err(rival.route);
        }
        let place = leaves.partition_point(|leaf| leaf.rank > rank);
        leaves.insert(
            place,
            Leaf {
                route,
                rank,
                matcher: Matcher::new(matching),
            },
        );
        Ok(())
    }

    /// The most specific route that takes the request, and what its parameters hold. Sets `other_method`
    /// when a route would have taken it with another method.
    pub(super) fn find(
        &self,
        request: &RequestView<'_>,
        other_method: &mut bool,
    ) -> Option<(usize, Parameters)> {
        let mut walk = Walk {
            request,
            parameters: Parameters::default(),
            other_method: false,
        };
        let found = walk.descend(&self.root, 0);
        *other_method |= walk.other_method;
        found.map(|route| (route, walk.parameters))
    }

    /// The methods of all routes that the request would match with another one.
    pub(super) fn methods<'t>(&'t self, request: &RequestView<'_>, methods: &mut Vec<&'t str>) {
        self.root.methods(request, 0, methods);
    }
}

impl Walk<'_, '_> {
    /// Looks below a node that the path led to as far as `at`.
    fn descend(&mut self, node: &Node, at: usize) -> Option<usize> {
        match segment_at(self.request.path, at) {
            None => {
                if let Some(found) = self.first(&node.whole) {
                    return Some(found);
                }
            }
            Some(Segment { name, from, end }) => {
                if let Some(child) = node.literals.get(name)
                    && let Some(found) = self.descend(child, end)
                {
                    return Some(found);
                }
                if let Some(child) = node.parameter.as_deref()
                    && !name.is_empty()
                {
                    let before = self.parameters.count;
                    self.parameters.push(from, from + name.len());
                    if let Some(found) = self.descend(child, end) {
                        return Some(found);
                    }
                    self.parameters.count = before;
                }
            }
        }
        self.first(&node.prefix)
    }

    fn first(&mut self, leaves: &[Leaf]) -> Option<usize> {
        for leaf in leaves {
            match leaf.matcher.judge(self.request) {
                Verdict::Takes => return Some(leaf.route),
                Verdict::OtherMethod => self.other_method = true,
                Verdict::Refuses => {}
            }
        }
        None
    }
}

impl Node {
    fn methods<'t>(&'t self, request: &RequestView<'_>, at: usize, methods: &mut Vec<&'t str>) {
        let mut add = |leaves: &'t [Leaf]| {
            for leaf in leaves {
                if leaf.matcher.judge(request) == Verdict::OtherMethod {
                    methods.extend(leaf.matcher.methods());
                }
            }
        };
        add(&self.prefix);
        match segment_at(request.path, at) {
            None => add(&self.whole),
            Some(Segment { name, end, .. }) => {
                if let Some(child) = self.literals.get(name) {
                    child.methods(request, end, methods);
                }
                if let Some(child) = self.parameter.as_deref()
                    && !name.is_empty()
                {
                    child.methods(request, end, methods);
                }
            }
        }
    }
}

/// A segment of a path.
struct Segment<'p> {
    /// Without its own parameters (RFC 3986, section 3.3), which are no part of its name to many servers:
    /// `/closed;v=1` must not be another route than `/closed`.
    name: &'p str,
    from: usize,
    end: usize,
}

/// The segment behind the slash at `at`; `None` at the end, where a last slash makes no difference.
fn segment_at(path: &str, at: usize) -> Option<Segment<'_>> {
    let rest = path.get(at..)?.strip_prefix('/')?;
    if rest.is_empty() {
        return None;
    }
    let length = memchr::memchr(b'/', rest.as_bytes()).unwrap_or(rest.len());
    let whole = rest.get(..length)?;
    let name = match memchr::memchr(b';', whole.as_bytes()) {
        Some(semicolon) => whole.get(..semicolon)?,
        None => whole,
    };
    Some(Segment {
        name,
        from: at + 1,
        end: at + 1 + length,
    })
}
