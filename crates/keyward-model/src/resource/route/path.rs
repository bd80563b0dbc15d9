//! The paths that routes match and the paths they make.

use super::super::BasePath;
use std::fmt::{self, Write as _};

/// The most parameters of one path: what they hold is kept in a place of this size during a call.
pub const PARAMETERS_MAX: usize = 8;
/// The longest path, in bytes.
const PATH_MAX: usize = 1024;
/// The most segments of one path: matching goes one step deeper with each.
const SEGMENTS_MAX: usize = 64;
/// The longest name of a parameter.
const PARAMETER_NAME_MAX: usize = 32;

/// A part of a path between slashes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// These unreserved characters (RFC 3986, section 2.3), so that no spelling passes them by.
    Literal(Box<str>),
    /// `{name}`: any one segment that isn't empty.
    Parameter(Box<str>),
}

/// How much of a path a pattern speaks of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathKind {
    /// The whole of it. A slash at the end makes no difference: many servers see none, and a route that
    /// asks for more than its neighbour must not be passed by with one.
    Whole,
    /// It, and everything that continues it after a slash.
    #[default]
    Prefix,
}

/// A path below an API's base path. The default is the prefix `/`: everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PathPattern {
    kind: PathKind,
    segments: Box<[Segment]>,
}

/// Why a text is no path of a route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathProblem {
    /// It does not begin with a slash.
    #[error("begins with `/`")]
    Start,
    /// It ends with a slash.
    #[error("ends with a slash: write it without, it is matched with and without one")]
    End,
    /// A star.
    #[error("has a `*`: write `prefix` for a path and all below it, or `{{name}}` for one segment")]
    Star,
    /// Braces that are no parameter.
    #[error(
        "has braces that are no parameter: one is a whole segment, such as `{{id}}`, named with a to z, 0 to 9 and `_`"
    )]
    Braces,
    /// One name twice.
    #[error("has the parameter `{{{0}}}` twice")]
    Twice(Box<str>),
    /// A segment that isn't plain.
    #[error(
        "has a segment that isn't plain: use letters, digits, `-`, `.`, `_`, `~` alone, none of them `.` or `..`"
    )]
    Segment,
    /// A character that can't stand in a path.
    #[error(
        "has a character that can't stand in a path as it is, or an empty, `.` or `..` segment"
    )]
    Character,
    /// A parameter that the matched path does not have.
    #[error("names the parameter `{{{0}}}`, which the matched path does not have")]
    Unknown(Box<str>),
    /// It is too long.
    #[error(
        "is too long: {PATH_MAX} bytes, {SEGMENTS_MAX} segments and {PARAMETERS_MAX} parameters are the most"
    )]
    TooLong,
}

/// What stands in braces, if the segment is a parameter.
fn parameter(segment: &str) -> Result<Option<&str>, PathProblem> {
    let Some(name) = segment
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
    else {
        return if segment.contains(['{', '}']) {
            Err(PathProblem::Braces)
        } else {
            Ok(None)
        };
    };
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if name.is_empty() || name.len() > PARAMETER_NAME_MAX || !name.bytes().all(plain) {
        return Err(PathProblem::Braces);
    }
    Ok(Some(name))
}

fn is_unreserved(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~')
}

impl PathPattern {
    /// Reads a path such as `/orders/{id}`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, kind: PathKind) -> Result<Self, PathProblem> {
        let rest = text.strip_prefix('/').ok_or(PathProblem::Start)?;
        if text.len() > PATH_MAX {
            return Err(PathProblem::TooLong);
        }
        if rest.is_empty() {
            return Ok(Self {
                kind,
                segments: Box::default(),
            });
        }
        if rest.ends_with('/') {
            return Err(PathProblem::End);
        }
        let mut segments: Vec<Segment> = Vec::new();
        for segment in rest.split('/') {
            if segment.contains('*') {
                return Err(PathProblem::Star);
            }
            segments.push(match parameter(segment)? {
                Some(name) => {
                    let known =
                        |other: &Segment| matches!(other, Segment::Parameter(n) if **n == *name);
                    if segments.iter().any(known) {
                        return Err(PathProblem::Twice(name.into()));
                    }
                    Segment::Parameter(name.into())
                }
                None if matches!(segment, "" | "." | "..")
                    || !segment.bytes().all(is_unreserved) =>
                {
                    return Err(PathProblem::Segment);
                }
                None => Segment::Literal(segment.into()),
            });
        }
        let pattern = Self {
            kind,
            segments: segments.into(),
        };
        if pattern.segments.len() > SEGMENTS_MAX || pattern.parameters().count() > PARAMETERS_MAX {
            return Err(PathProblem::TooLong);
        }
        Ok(pattern)
    }

    /// How much of a path it speaks of.
    #[must_use]
    pub fn kind(&self) -> PathKind {
        self.kind
    }

    /// Its segments, none for `/`.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The names of its parameters, in order.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Literal(_) => None,
            Segment::Parameter(name) => Some(&**name),
        })
    }

    /// The path with the base path before it, for people: a prefix ends with `/*`.
    #[must_use]
    pub fn below(&self, base_path: &BasePath) -> String {
        self.joined(base_path, |name, text| {
            // Writing to a string does not fail.
            let _infallible = write!(text, "{{{name}}}");
        })
    }

    /// The same with nameless parameters: two paths that match the same have one shape.
    #[must_use]
    pub fn shape_below(&self, base_path: &BasePath) -> String {
        self.joined(base_path, |_, text| text.push_str("{}"))
    }

    fn joined(&self, base_path: &BasePath, parameter: impl Fn(&str, &mut String)) -> String {
        let mut text = String::new();
        for segment in base_path.segments() {
            text.push('/');
            text.push_str(segment);
        }
        for segment in &self.segments {
            text.push('/');
            match segment {
                Segment::Literal(literal) => text.push_str(literal),
                Segment::Parameter(name) => parameter(name, &mut text),
            }
        }
        match self.kind {
            PathKind::Prefix => text.push_str("/*"),
            PathKind::Whole if text.is_empty() => text.push('/'),
            PathKind::Whole => {}
        }
        text
    }
}

/// A path that is made for a call, such as `/internal/{tenant}/orders`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTemplate {
    pieces: Box<[TemplatePiece]>,
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplatePiece {
    /// Text, slashes included.
    Text(Box<str>),
    /// What the parameter at this place of the matched path holds: always a whole segment here too, so
    /// that no two of them can make `..` together.
    Parameter(usize),
}

impl PathTemplate {
    /// Reads a template whose parameters are those of `matched`. With `prefix`, something may follow it,
    /// so that it does not end with a slash.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, matched: &PathPattern, prefix: bool) -> Result<Self, PathProblem> {
        let rest = text.strip_prefix('/').ok_or(PathProblem::Start)?;
        if text.len() > PATH_MAX {
            return Err(PathProblem::TooLong);
        }
        if prefix && rest.ends_with('/') {
            return Err(PathProblem::End);
        }
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let last = rest.matches('/').count();
        for (index, segment) in rest.split('/').enumerate() {
            literal.push('/');
            if let Some(name) = parameter(segment)? {
                let place = matched.parameters().position(|known| known == name);
                let place = place.ok_or_else(|| PathProblem::Unknown(name.into()))?;
                pieces.push(TemplatePiece::Text(std::mem::take(&mut literal).into()));
                pieces.push(TemplatePiece::Parameter(place));
                continue;
            }
            let allowed = |b: u8| {
                is_unreserved(b)
                    || matches!(
                        b,
                        b':' | b'@' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'+' | b',' | b'='
                    )
            };
            let empty = segment.is_empty() && index != last;
            if empty || matches!(segment, "." | "..") || !segment.bytes().all(allowed) {
                return Err(PathProblem::Character);
            }
            literal.push_str(segment);
        }
        if !literal.is_empty() {
            pieces.push(TemplatePiece::Text(literal.into()));
        }
        Ok(Self {
            pieces: pieces.into(),
        })
    }

    /// Its parts, in order. Together they begin with a slash and have no two in a row.
    #[must_use]
    pub fn pieces(&self) -> &[TemplatePiece] {
        &self.pieces
    }
}

impl fmt::Display for PathKind {
    /// As written in `match`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Whole => "path",
            Self::Prefix => "prefix",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_have_one_spelling() {
        let base = "/shop".parse().unwrap();
        for (text, expected) in [
            ("/", Ok("/shop")),
            ("/orders", Ok("/shop/orders")),
            (
                "/orders/{id}/lines/{line_2}",
                Ok("/shop/orders/{id}/lines/{line_2}"),
            ),
            ("orders", Err(PathProblem::Start)),
            ("", Err(PathProblem::Start)),
            ("/orders/", Err(PathProblem::End)),
            ("//", Err(PathProblem::End)),
            ("/a//b", Err(PathProblem::Segment)),
            ("/a/../b", Err(PathProblem::Segment)),
            ("/a%20b", Err(PathProblem::Segment)),
            ("/a;b", Err(PathProblem::Segment)),
            ("/\u{e4}", Err(PathProblem::Segment)),
            ("/orders/*", Err(PathProblem::Star)),
            ("/orders/{id}.json", Err(PathProblem::Braces)),
            ("/orders/{}", Err(PathProblem::Braces)),
            ("/orders/{Id}", Err(PathProblem::Braces)),
            ("/{a}/{a}", Err(PathProblem::Twice("a".into()))),
            (
                "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}",
                Err(PathProblem::TooLong),
            ),
            (&"/a".repeat(65), Err(PathProblem::TooLong)),
            (&format!("/{}", "a".repeat(1024)), Err(PathProblem::TooLong)),
        ] {
            let read = PathPattern::parse(text, PathKind::Whole);
            let shown = read.map(|pattern| pattern.below(&base));
            assert_eq!(shown, expected.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn paths_that_match_the_same_have_one_shape() {
        let shape = |base: &str, text: &str, kind| {
            let pattern = PathPattern::parse(text, kind).unwrap();
            pattern.shape_below(&base.parse().unwrap())
        };
        let (whole, prefix) = (PathKind::Whole, PathKind::Prefix);
        assert_eq!(shape("/a", "/b/{x}", whole), shape("/a/b", "/{y}", whole));
        assert_eq!(shape("/", "/a", prefix), shape("/a", "/", prefix));
        assert_ne!(shape("/a", "/", whole), shape("/a", "/", prefix));
        assert_eq!(shape("/", "/", whole), "/");
    }

    #[test]
    fn templates_name_parameters_of_the_matched_path() {
        let matched = PathPattern::parse("/{tenant}/orders/{id}", PathKind::Whole).unwrap();
        for (text, prefix, expected) in [
            ("/", false, Ok(1)),
            ("/v2/orders/{id}", false, Ok(2)),
            ("/v2/{id}/of/{tenant}", false, Ok(4)),
            ("/v2/", false, Ok(1)),
            ("/v2/", true, Err(PathProblem::End)),
            ("/v2", true, Ok(1)),
            ("/", true, Ok(1)),
            ("/actions:run", false, Ok(1)),
            ("v2", false, Err(PathProblem::Start)),
            ("/{no}", false, Err(PathProblem::Unknown("no".into()))),
            ("/{id}.", false, Err(PathProblem::Braces)),
            ("/a//b", false, Err(PathProblem::Character)),
            ("//evil.example", false, Err(PathProblem::Character)),
            ("/a/..", false, Err(PathProblem::Character)),
            ("/a?b", false, Err(PathProblem::Character)),
            ("/a;b", false, Err(PathProblem::Character)),
            ("/a%2fb", false, Err(PathProblem::Character)),
        ] {
            let read = PathTemplate::parse(text, &matched, prefix);
            assert_eq!(
                read.map(|template| template.pieces().len()),
                expected,
                "{text}"
            );
        }
    }
}
