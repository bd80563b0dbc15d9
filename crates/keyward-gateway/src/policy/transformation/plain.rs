//! Templates that only name something of the call, as most for headers do: filled in without running anything.
//!
//! What they give is what the template language would give; whatever is not that simple is left to it.

/// What can be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    Subject,
    Issuer,
    Method,
    Path,
    Query,
}

/// Text, and what stands between.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plain(Box<[Part]>);

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Fact(Fact),
}

impl Plain {
    /// `None` for a template that needs more than this.
    pub(super) fn parse(template: &str) -> Option<Self> {
        // The language takes line breaks at the end away, and knows other marks than `{{`.
        if template.contains(['\n', '\r']) || template.contains("{%") || template.contains("{#") {
            return None;
        }
        let mut parts = Vec::new();
        let mut rest = template;
        while let Some((text, after)) = rest.split_once("{{") {
            let (name, after) = after.split_once("}}")?;
            if !text.is_empty() {
                parts.push(Part::Text(text.into()));
            }
            parts.push(Part::Fact(match name.trim_matches(' ') {
                "caller.subject" => Fact::Subject,
                "caller.issuer" => Fact::Issuer,
                "request.method" => Fact::Method,
                "request.path" => Fact::Path,
                "request.query" => Fact::Query,
                _ => return None,
            }));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        Some(Self(parts.into()))
    }

    /// The text; `None` where something is not there, or more than `most` bytes would come out: the language has
    /// words for both.
    pub(super) fn fill<'f>(
        &self,
        fact: impl Fn(Fact) -> Option<&'f str>,
        most: usize,
    ) -> Option<String> {
        let mut out = String::new();
        for part in &self.0 {
            out.push_str(match part {
                Part::Text(text) => text,
                Part::Fact(named) => fact(*named)?,
            });
        }
        (out.len() <= most).then_some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_simple_is_known() {
        for template in [
            "",
            "eu",
            "{{ caller.subject }}",
            "{{caller.issuer}}/{{  caller.subject  }}",
            "a {{ request.method }} b }} c",
        ] {
            assert!(Plain::parse(template).is_some(), "{template}");
        }
        for template in [
            "{{ caller.subject }",
            "{{- caller.subject }}",
            "{{ caller.subject | upper }}",
            "{{ caller['subject'] }}",
            "{{ caller.subject }}\n",
            "{{ body.a }}",
            "{{ 'caller.subject' }}",
            "{{ '}}' }}",
            "{# caller #}a",
            "{% if caller %}a{% endif %}",
        ] {
            assert_eq!(Plain::parse(template), None, "{template}");
        }
    }
}
