use super::tree::PathTree;
use super::*;
use http::Method;
use keyward_model::resource::BasePath;
use keyward_model::resource::route::{PathKind, PathPattern, RouteMatch, Segment};
use proptest::prelude::*;

/// What the parameters of one pattern hold.
pub(crate) fn parameters_of(base: &BasePath, pattern: &PathPattern, path: &str) -> Parameters {
    let matching = RouteMatch {
        path: pattern.clone(),
        ..RouteMatch::default()
    };
    let mut tree = PathTree::default();
    tree.insert(base, &matching, 0, |_| None).unwrap();
    let found = find(&tree, path);
    found.unwrap_or_else(|| panic!("{path} is not matched")).1
}

fn find(tree: &PathTree, path: &str) -> Option<(usize, Parameters)> {
    let header = |_: &str| Occurrence::Absent;
    let view = RequestView {
        host: None,
        path,
        method: &Method::GET,
        header: &header,
        query: None,
    };
    let mut other_method = false;
    let found = tree.find(&view, &mut other_method);
    assert!(!other_method);
    found
}

/// `/a/{x}` is whole, `/a/{x}/*` a prefix.
fn pattern(text: &str) -> PathPattern {
    match text.strip_suffix("/*") {
        Some("") => PathPattern::default(),
        Some(prefix) => PathPattern::parse(prefix, PathKind::Prefix).unwrap(),
        None => PathPattern::parse(text, PathKind::Whole).unwrap(),
    }
}

fn tree(patterns: &[&str]) -> PathTree {
    let base = "/".parse().unwrap();
    let mut tree = PathTree::default();
    for (index, text) in patterns.iter().enumerate() {
        let matching = RouteMatch {
            path: pattern(text),
            ..RouteMatch::default()
        };
        tree.insert(&base, &matching, index, |_| None).unwrap();
    }
    tree
}

#[test]
fn from_the_left_a_literal_comes_before_a_parameter_and_that_before_a_prefix() {
    let patterns = [
        "/*",
        "/orders/*",
        "/orders",
        "/orders/{id}",
        "/orders/new",
        "/orders/{id}/lines/{line}",
        "/orders/new/*",
        "/{any}/settings",
    ];
    let tree = tree(&patterns);
    for (path, expected, parameters) in [
        ("/", "/*", &[][..]),
        ("/other", "/*", &[]),
        ("/orders", "/orders", &[]),
        ("/orders/", "/orders", &[]),
        ("/orders/7", "/orders/{id}", &["7"]),
        ("/orders/7/", "/orders/{id}", &["7"]),
        ("/orders/new", "/orders/new", &[]),
        ("/orders/new/x", "/orders/new/*", &[]),
        (
            "/orders/7/lines/8",
            "/orders/{id}/lines/{line}",
            &["7", "8"],
        ),
        // A literal that leads nowhere is left for the parameter beside it.
        ("/orders/new/lines/8", "/orders/new/*", &[]),
        ("/orders/7/lines", "/orders/*", &[]),
        ("/orders/7/other/8", "/orders/*", &[]),
        // The first segment decides: `orders` is a literal, `{any}` is not.
        ("/orders/settings", "/orders/{id}", &["settings"]),
        ("/things/settings", "/{any}/settings", &["things"]),
        ("/orders;v=1/7;x=y", "/orders/{id}", &["7"]),
        ("/orders/a%20b", "/orders/{id}", &["a%20b"]),
        ("/ordersx", "/*", &[]),
    ] {
        let (route, found) = find(&tree, path).unwrap();
        assert_eq!(patterns[route], expected, "{path}");
        for (index, value) in parameters.iter().enumerate() {
            assert_eq!(found.of(path, index), *value, "{path}");
        }
        assert_eq!(found.of(path, parameters.len()), "", "{path}");
    }
}

#[test]
fn a_path_without_a_route_leads_nowhere() {
    let tree = tree(&["/a/b/*", "/c/{x}"]);
    for path in ["/", "/a", "/a/", "/a/bc", "/b/a/b", "/c", "/c/", "/c/d/e"] {
        assert_eq!(find(&tree, path), None, "{path}");
    }
}

#[test]
fn a_route_that_no_rule_tells_from_another_is_not_taken_in() {
    let base: BasePath = "/a".parse().unwrap();
    let matching = |text: &str| RouteMatch {
        path: pattern(text),
        ..RouteMatch::default()
    };
    let first = matching("/{x}");
    let mut tree = PathTree::default();
    tree.insert(&base, &first, 7, |_| None).unwrap();
    let other = matching("/{y}");
    let inserted = tree.insert(&base, &other, 8, |route| (route == 7).then_some(&first));
    assert_eq!(inserted, Err(7));
}

/// The documented rule, said again without a tree: the best of all that match.
fn best<'p>(patterns: &'p [PathPattern], path: &str) -> Option<&'p PathPattern> {
    let segments: Vec<&str> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .collect();
    let matches = |pattern: &&PathPattern| {
        let length = pattern.segments().len();
        let fits = match pattern.kind() {
            PathKind::Whole => length == segments.len(),
            PathKind::Prefix => length <= segments.len(),
        };
        fits && pattern
            .segments()
            .iter()
            .zip(&segments)
            .all(|(pattern, segment)| match pattern {
                Segment::Literal(literal) => **literal == **segment,
                Segment::Parameter(_) => true,
            })
    };
    let rank = |pattern: &&PathPattern| {
        let mut ranks: Vec<u8> = pattern
            .segments()
            .iter()
            .map(|segment| match segment {
                Segment::Literal(_) => 3,
                Segment::Parameter(_) => 2,
            })
            .collect();
        ranks.push(match pattern.kind() {
            PathKind::Whole => 1,
            PathKind::Prefix => 0,
        });
        ranks
    };
    patterns.iter().filter(matches).max_by_key(rank)
}

proptest! {
    #[test]
    fn the_tree_finds_what_the_rule_says(
        texts in prop::collection::btree_set("(/(a|b|c|\\{x\\})){0,4}(/\\*)?", 1..12),
        paths in prop::collection::vec("(/[a-d]){0,5}/?", 1..8),
    ) {
        let mut tree = PathTree::default();
        let base = "/".parse().unwrap();
        let mut patterns: Vec<PathPattern> = Vec::new();
        for text in texts {
            // A name is there once.
            let mut named = String::new();
            for (number, part) in text.split("{x}").enumerate() {
                if number > 0 {
                    named.push_str(&format!("{{p{number}}}"));
                }
                named.push_str(part);
            }
            let pattern = if named.is_empty() { pattern("/") } else { pattern(&named) };
            let matching = RouteMatch { path: pattern.clone(), ..RouteMatch::default() };
            if tree.insert(&base, &matching, patterns.len(), |_| Some(&matching)).is_ok() {
                patterns.push(pattern);
            }
        }
        for path in paths {
            let path = if path.is_empty() { "/".to_owned() } else { path };
            if path.contains("//") {
                continue;
            }
            let found = find(&tree, &path).map(|(route, _)| &patterns[route]);
            prop_assert_eq!(found, best(&patterns, &path), "{}", path);
        }
    }

    /// Whatever bytes come as a host, and as a path, something is answered.
    #[test]
    fn no_request_breaks_the_table(host in ".{0,40}", path in "/.{0,40}") {
        let tree = tree(&["/{x}/*", "/{x}/{y}"]);
        let found = find(&tree, &path);
        if let Some((_, parameters)) = found {
            prop_assert!(!parameters.of(&path, 0).contains('/'));
        }
        if let Some(name) = HostName::of(&host) {
            prop_assert!(!name.as_str().is_empty());
        }
    }
}
