//! What is looked for in one text after the other: regular expressions, words, what tells of a person.

use super::pii::Pii;
use super::view::{Look, seen};
use aho_corasick::{AhoCorasick, Input, MatchKind};
use keyward_model::resource::guardrail::{
    GuardAction, KeywordsCheck, PiiCheck, PiiKind, RegexCheck,
};
use regex::{Regex, RegexBuilder};
use regex_syntax::ParserBuilder;

/// The automaton of one expression, in bytes.
const REGEX_BYTES_MAX: usize = 1 << 20;
/// The longest match of an expression that looks at answers: a stream is held back by as much.
const MATCH_MAX: usize = 1_024;
/// What must be known behind a match: one character, and half of another.
const BEHIND: usize = 8;

/// One rule of a guardrail.
#[derive(Debug)]
pub(super) struct TextRule {
    /// The guardrail's place.
    pub(super) guard: usize,
    pub(super) action: GuardAction,
    /// Which of the looks it has.
    pub(super) look: usize,
    /// Whether what it masks becomes itself again in the answer.
    pub(super) gives_back: bool,
    /// What its marks begin with, where what it finds does not say it.
    label: Box<str>,
    matcher: Matcher,
}

#[derive(Debug)]
enum Matcher {
    Regex(Box<Regex>),
    Words {
        words: Box<AhoCorasick>,
        whole: bool,
    },
    Pii(Pii),
}

/// The rules that look at one side of calls.
#[derive(Debug, Default)]
pub(super) struct Rules {
    pub(super) rules: Vec<TextRule>,
    /// How they see texts, and how much of what follows each of them must know.
    pub(super) looks: Vec<(Look, Window)>,
}

/// How much of a text must be known behind a place before it is clear whether something begins there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Window {
    Bytes(usize),
    /// All of it.
    Whole,
}

/// What a rule needs to be told of itself.
pub(super) struct Place<'a> {
    pub(super) guard: usize,
    pub(super) action: GuardAction,
    pub(super) name: &'a str,
    /// Whether it looks at answers too, which may be streamed.
    pub(super) of_answers: bool,
}

impl Rules {
    fn add(&mut self, place: &Place<'_>, look: Look, longest: Option<usize>, matcher: Matcher) {
        let window = longest.map_or(Window::Whole, |bytes| Window::Bytes(bytes + BEHIND));
        let known = self.looks.iter().position(|(known, _)| *known == look);
        let look = known.unwrap_or_else(|| {
            self.looks.push((look, Window::Bytes(0)));
            self.looks.len() - 1
        });
        if let Some((_, widest)) = self.looks.get_mut(look) {
            *widest = match (*widest, window) {
                (Window::Bytes(one), Window::Bytes(two)) => Window::Bytes(one.max(two)),
                (Window::Whole, _) | (_, Window::Whole) => Window::Whole,
            };
        }
        let label = place.name.to_ascii_uppercase();
        let label: String = label
            .chars()
            .map(|character| {
                if character.is_ascii_alphanumeric() {
                    character
                } else {
                    '_'
                }
            })
            .collect();
        self.rules.push(TextRule {
            guard: place.guard,
            action: place.action,
            look,
            gives_back: false,
            label: label.into(),
            matcher,
        });
    }

    pub(super) fn add_regex(
        &mut self,
        place: &Place<'_>,
        check: &RegexCheck,
    ) -> Result<(), String> {
        let look = Look {
            normalise: check.normalise,
            fold: false,
            // Expressions say themselves how much space they take.
            one_space: false,
        };
        for pattern in &check.patterns {
            let (regex, longest) = compile(pattern, check.ignore_case, place.of_answers)?;
            self.add(place, look, longest, Matcher::Regex(Box::new(regex)));
        }
        Ok(())
    }

    pub(super) fn add_words(
        &mut self,
        place: &Place<'_>,
        check: &KeywordsCheck,
    ) -> Result<(), String> {
        let look = Look {
            normalise: check.normalise,
            fold: check.ignore_case,
            one_space: check.normalise,
        };
        let mut words = Vec::with_capacity(check.words.len());
        for word in &check.words {
            let seen = seen(word, look);
            if seen.trim().is_empty() {
                return Err(format!(
                    "`words`: nothing of `{}` can be seen, so that it would be found everywhere",
                    word.escape_debug()
                ));
            }
            words.push(seen);
        }
        let longest = words.iter().map(String::len).max();
        let words = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .build(&words)
            .map_err(|error| format!("`words`: {error}"))?;
        let matcher = Matcher::Words {
            words: Box::new(words),
            whole: check.whole_words,
        };
        self.add(place, look, longest, matcher);
        Ok(())
    }

    pub(super) fn add_pii(&mut self, place: &Place<'_>, check: &PiiCheck) {
        let look = Look {
            normalise: check.normalise,
            fold: false,
            // The end of a line ends a number, too.
            one_space: false,
        };
        let pii = Pii::new(&check.kinds);
        let longest = pii.longest();
        self.add(place, look, Some(longest), Matcher::Pii(pii));
        if let Some(rule) = self.rules.last_mut() {
            rule.gives_back = check.reversible;
        }
    }

    /// Whether texts can be looked at piece by piece.
    pub(super) fn is_bounded(&self) -> bool {
        !self
            .looks
            .iter()
            .any(|(_, window)| *window == Window::Whole)
    }
}

/// An expression and the most bytes that it matches.
fn compile(
    pattern: &str,
    ignore_case: bool,
    of_answers: bool,
) -> Result<(Regex, Option<usize>), String> {
    let shown = || pattern.escape_debug().take(80).collect::<String>();
    let parsed = ParserBuilder::new()
        .case_insensitive(ignore_case)
        .build()
        .parse(pattern)
        .map_err(|error| {
            let text = error.to_string();
            let why = text.lines().last().unwrap_or_default();
            let why = why.trim_start_matches("error: ").to_owned();
            format!("`patterns`: `{}` is no regular expression: {why}", shown())
        })?;
    let properties = parsed.properties();
    if properties.minimum_len().unwrap_or_default() == 0 {
        return Err(format!(
            "`patterns`: `{}` finds nothing at all, which is everywhere: let it need a character",
            shown()
        ));
    }
    let longest = properties.maximum_len();
    if of_answers && longest.is_none_or(|longest| longest > MATCH_MAX) {
        return Err(format!(
            "`patterns`: `{}` can match more than {MATCH_MAX} bytes, for which a streamed answer would be held back: bound its repetitions, such as `.{{0,100}}` for `.*`, or write `on: request`",
            shown()
        ));
    }
    let regex = RegexBuilder::new(pattern)
        .case_insensitive(ignore_case)
        .size_limit(REGEX_BYTES_MAX)
        .dfa_size_limit(REGEX_BYTES_MAX)
        .build()
        .map_err(|error| format!("`patterns`: `{}` can't be used: {error}", shown()))?;
    Ok((regex, longest))
}

impl TextRule {
    /// Finds all that begins from `from` on and before `limit`, and says from where to go on.
    pub(super) fn find(
        &self,
        text: &str,
        from: usize,
        limit: usize,
        found: &mut dyn FnMut(usize, usize, Option<PiiKind>),
    ) -> usize {
        match &self.matcher {
            Matcher::Regex(regex) => {
                let mut at = from;
                while at < limit
                    && let Some(matched) = regex.find_at(text, at)
                    && matched.start() < limit
                {
                    found(matched.start(), matched.end(), None);
                    at = matched.end();
                }
                at.max(limit)
            }
            Matcher::Words { words, whole } => {
                // What begins before the limit ends within its word's length behind it, which is known to be there.
                let input = Input::new(text).range(from..);
                let matches = words.try_find_overlapping_iter(input);
                for matched in matches.into_iter().flatten() {
                    let (start, end) = (matched.start(), matched.end());
                    if start < limit && (!whole || is_whole(text, start, end)) {
                        found(start, end, None);
                    }
                }
                from.max(limit)
            }
            Matcher::Pii(pii) => {
                pii.find(text, from, limit, &mut |start, end, kind| {
                    found(start, end, Some(kind));
                });
                from.max(limit)
            }
        }
    }

    /// What its marks begin with.
    pub(super) fn label(&self, kind: Option<PiiKind>) -> &str {
        match kind {
            Some(kind) => kind.label(),
            None => &self.label,
        }
    }
}

/// Whether what stands around a word does not make it a part of another.
fn is_whole(text: &str, start: usize, end: usize) -> bool {
    let inside = text.get(start..end).unwrap_or_default();
    let before = text.get(..start).and_then(|text| text.chars().next_back());
    let behind = text.get(end..).and_then(|text| text.chars().next());
    let joined = |one: Option<char>, two: Option<char>| match (one, two) {
        (Some(one), Some(two)) => joins(one) && joins(two),
        (None, _) | (_, None) => false,
    };
    !joined(before, inside.chars().next()) && !joined(inside.chars().next_back(), behind)
}

/// Whether a character is a part of a word that is set apart by what stands around it. Of Chinese, Japanese and Thai
/// nothing is set apart.
pub(super) fn joins(character: char) -> bool {
    let unspaced = matches!(
        character,
        '\u{e00}'..='\u{eff}'
            | '\u{1000}'..='\u{109f}'
            | '\u{1780}'..='\u{17ff}'
            | '\u{2e80}'..='\u{9fff}'
            | '\u{ac00}'..='\u{d7af}'
            | '\u{f900}'..='\u{faff}'
            | '\u{ff66}'..='\u{ff9f}'
            | '\u{20000}'..='\u{3ffff}'
    );
    (character.is_alphanumeric() || character == '_') && !unspaced
}
