//! The path that an upstream gets in place of the one that was sent.

use crate::request::path::RequestPath;
use crate::snapshot::route_table::Parameters;
use keyward_model::resource::route::{PathTemplate, Rewrite, TemplatePiece};

/// A path that a route has matched.
#[derive(Clone, Copy)]
pub(crate) struct MatchedPath<'p> {
    pub(crate) path: &'p RequestPath<'p>,
    pub(crate) parameters: &'p Parameters,
}

/// A rewrite.
#[derive(Debug)]
pub(crate) struct RewritePlan {
    template: PathTemplate,
    /// Whether what follows the matched prefix stays.
    keeps_rest: bool,
}

impl RewritePlan {
    pub(crate) fn new(rewrite: &Rewrite) -> Self {
        let (template, keeps_rest) = match rewrite {
            Rewrite::Path(template) => (template, false),
            Rewrite::Prefix(template) => (template, true),
        };
        Self {
            template: template.clone(),
            keeps_rest,
        }
    }

    /// Adds the new path to `out`: it begins with one slash and has no two in a row, as the template and
    /// the path that was sent have none. Parameters go in as they were matched: whole segments, their
    /// reserved characters still encoded.
    pub(crate) fn apply(&self, matched: &MatchedPath<'_>, segments: usize, out: &mut String) {
        let path = matched.path.for_matching();
        for piece in self.template.pieces() {
            match piece {
                TemplatePiece::Text(text) => out.push_str(text),
                TemplatePiece::Parameter(index) => {
                    out.push_str(matched.parameters.of(path, *index));
                }
            }
        }
        if self.keeps_rest {
            let rest = matched.path.path_after(segments);
            // The template `/` with `/evil.example` behind it must not become `//evil.example`, which
            // is another host (RFC 3986, section 4.2).
            if rest.starts_with('/') && out.ends_with('/') {
                out.pop();
            }
            out.push_str(rest);
        }
    }
}
