//! A text as rules see it: with the escapes of JSON read, look-alike characters taken for what they look like, capitals
//! for small letters; and the way back to where each part stands in the text itself.

use std::borrow::Cow;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// How a rule sees a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// Look-alike characters are taken for what they look like, invisible ones for nothing.
    pub(super) normalise: bool,
    /// Capitals are small letters.
    pub(super) fold: bool,
    /// White space in a row, of whatever kind, is one space.
    pub(super) one_space: bool,
}

/// More white space in a row is no longer one: what could go on behind it is held back.
const SPACES_MAX: usize = 256;

/// A text as it is seen.
#[derive(Debug)]
pub(super) struct View<'t> {
    text: Cow<'t, str>,
    /// Where what is seen lies, in its order; the first begins at 0.
    parts: Vec<Part>,
    /// Where what was seen ends in the text itself: half of an escape is not seen yet.
    raw_end: usize,
}

/// From here on, up to the next.
#[derive(Clone, Copy, Debug)]
struct Part {
    seen: usize,
    raw: usize,
    /// Whether each byte stands for itself; else all of it stands for all of the raw.
    same: bool,
}

/// Whether a text is JSON, and where in it one stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Json {
    /// It is none.
    Not,
    /// It is, and this is no string.
    Outside,
    /// It is, and this is within a string.
    Inside,
}

/// One unit of a text: a character, or an escape that stands for one.
struct Unit {
    character: char,
    length: usize,
}

impl Json {
    /// The next unit and what follows it; `None` for the end, or for half of an escape where more may come.
    fn next(&mut self, rest: &str, last: bool) -> Option<Unit> {
        let character = rest.chars().next()?;
        let plain = Unit {
            character,
            length: character.len_utf8(),
        };
        match (*self, character) {
            (Self::Outside, '"') => *self = Self::Inside,
            (Self::Inside, '"') => *self = Self::Outside,
            (Self::Inside, '\\') => {
                return match escape(rest) {
                    Escape::Read(unit) => Some(unit),
                    Escape::Half if !last => None,
                    Escape::Half | Escape::None => Some(plain),
                };
            }
            (Self::Not | Self::Outside | Self::Inside, _) => {}
        }
        Some(plain)
    }

    /// Where one stands behind the first `to` bytes of a text, and how many of them are whole units.
    pub(super) fn after(mut self, text: &str, to: usize) -> (Self, usize) {
        let mut at = 0;
        while let Some(unit) = self.next_before(text, at, to) {
            at += unit;
        }
        (self, at)
    }

    /// Whether a text leads out of the string that it begins in.
    pub(super) fn leaves(mut self, text: &str) -> bool {
        let mut at = 0;
        while let Some(unit) = self.next(text.get(at..).unwrap_or_default(), true) {
            if self == Self::Outside {
                return true;
            }
            at += unit.length;
        }
        false
    }

    fn next_before(&mut self, text: &str, at: usize, to: usize) -> Option<usize> {
        let mut state = *self;
        let unit = state.next(text.get(at..)?, true)?;
        if at + unit.length > to {
            return None;
        }
        *self = state;
        Some(unit.length)
    }
}

enum Escape {
    Read(Unit),
    Half,
    None,
}

fn escape(rest: &str) -> Escape {
    let Some(kind) = rest.as_bytes().get(1) else {
        return Escape::Half;
    };
    let character = match kind {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode_escape(rest),
        _ => return Escape::None,
    };
    Escape::Read(Unit {
        character,
        length: 2,
    })
}

fn unicode_escape(rest: &str) -> Escape {
    let hex = |from: usize| -> Result<u32, Escape> {
        let digits = rest.as_bytes().iter().skip(from).take(4);
        let digits: Vec<u8> = digits.copied().collect();
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(Escape::None);
        }
        if digits.len() < 4 {
            return Err(Escape::Half);
        }
        let digits = std::str::from_utf8(&digits).unwrap_or_default();
        u32::from_str_radix(digits, 16).map_err(|_| Escape::None)
    };
    let first = match hex(2) {
        Ok(code) => code,
        Err(other) => return other,
    };
    if let Some(character) = char::from_u32(first) {
        return Escape::Read(Unit {
            character,
            length: 6,
        });
    }
    let behind = rest
        .as_bytes()
        .get(6..8.min(rest.len()))
        .unwrap_or_default();
    if !b"\\u".starts_with(behind) || first >= 0xdc00 {
        return Escape::None;
    }
    if behind.len() < 2 {
        return Escape::Half;
    }
    let second = match hex(8) {
        Ok(code) => code,
        Err(other) => return other,
    };
    if !(0xdc00..0xe000).contains(&second) {
        return Escape::None;
    }
    match char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)) {
        Some(character) => Escape::Read(Unit {
            character,
            length: 12,
        }),
        None => Escape::None,
    }
}

impl<'t> View<'t> {
    /// A text as it is seen. `last` says that nothing follows it.
    pub(super) fn of(raw: &'t str, json: Json, look: Look, last: bool) -> Self {
        if json == Json::Not && look == Look::default() {
            return Self {
                text: Cow::Borrowed(raw),
                parts: vec![Part {
                    seen: 0,
                    raw: 0,
                    same: true,
                }],
                raw_end: raw.len(),
            };
        }
        let mut view = Self {
            text: Cow::Owned(String::with_capacity(raw.len())),
            parts: Vec::new(),
            raw_end: 0,
        };
        let mut json = json;
        let mut spaces = 0;
        let mut seen = String::new();
        while let Some(unit) = json.next(raw.get(view.raw_end..).unwrap_or_default(), last) {
            seen.clear();
            see_next(unit.character, look, &mut spaces, &mut seen);
            let same = seen.len() == unit.length;
            let begins = view.parts.last().is_none_or(|part| !(part.same && same));
            if begins {
                view.parts.push(Part {
                    seen: view.text.len(),
                    raw: view.raw_end,
                    same,
                });
            }
            view.text.to_mut().push_str(&seen);
            view.raw_end += unit.length;
        }
        view
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Where the character that is seen at `at` begins in the text itself.
    pub(super) fn raw_start(&self, at: usize) -> usize {
        if at >= self.text.len() {
            return self.raw_end;
        }
        let behind = self.parts.partition_point(|part| part.seen <= at);
        let part = behind
            .checked_sub(1)
            .and_then(|place| self.parts.get(place));
        part.map_or(0, |part| {
            part.raw + if part.same { at - part.seen } else { 0 }
        })
    }

    /// Where the character that is seen before `at` ends in the text itself.
    pub(super) fn raw_end(&self, at: usize) -> usize {
        let behind = self.parts.partition_point(|part| part.seen < at);
        let part = behind
            .checked_sub(1)
            .and_then(|place| self.parts.get(place));
        let Some(part) = part else { return 0 };
        if part.same {
            return part.raw + (at - part.seen);
        }
        self.parts.get(behind).map_or(self.raw_end, |next| next.raw)
    }

    /// Where what stands at `raw` in the text itself is seen.
    pub(super) fn seen_at(&self, raw: usize) -> usize {
        let behind = self.parts.partition_point(|part| part.raw <= raw);
        let part = behind
            .checked_sub(1)
            .and_then(|place| self.parts.get(place));
        let Some(part) = part else { return 0 };
        let next = self
            .parts
            .get(behind)
            .map_or(self.text.len(), |next| next.seen);
        if part.same {
            return (part.seen + (raw - part.raw)).min(next);
        }
        if raw == part.raw { part.seen } else { next }
    }
}

/// A whole text as it is seen, where nobody asks where its parts stand.
pub(super) fn seen(text: &str, look: Look) -> String {
    let mut out = String::with_capacity(text.len());
    let mut spaces = 0;
    for character in text.chars() {
        see_next(character, look, &mut spaces, &mut out);
    }
    out
}

/// Sees a character behind so much white space.
fn see_next(character: char, look: Look, spaces: &mut usize, out: &mut String) {
    if !look.one_space || !character.is_whitespace() {
        // Nobody sees what is invisible between two spaces.
        if !(look.normalise && is_invisible(character)) {
            *spaces = 0;
        }
        return see(character, look, out);
    }
    if *spaces == 0 {
        out.push(' ');
    }
    *spaces = (*spaces + 1) % SPACES_MAX;
}

fn see(character: char, look: Look, out: &mut String) {
    if character.is_ascii() {
        let folded = if look.fold {
            character.to_ascii_lowercase()
        } else {
            character
        };
        out.push(folded);
        return;
    }
    if !look.normalise {
        return fold_into(character, look, out);
    }
    if is_invisible(character) || is_combining_mark(character) {
        return;
    }
    // A letter with marks is that letter where that is one of ASCII: `é`, and `Ａ` of full width.
    let mut decomposed = std::iter::once(character).nfkd();
    if decomposed.clone().any(|part| part.is_ascii_graphic())
        && decomposed.all(|part| part.is_ascii() || is_combining_mark(part))
    {
        for part in std::iter::once(character).nfkd().filter(char::is_ascii) {
            fold_into(part, look, out);
        }
        return;
    }
    // A letter of another script that looks like one of ASCII.
    let shape = character.to_string();
    let mut shape = unicode_security::skeleton(&shape);
    if let (Some(alike), None) = (shape.next(), shape.next())
        && alike.is_ascii_alphanumeric()
    {
        return fold_into(alike, look, out);
    }
    for part in std::iter::once(character).nfkc() {
        fold_into(part, look, out);
    }
}

fn fold_into(character: char, look: Look, out: &mut String) {
    if look.fold {
        out.extend(character.to_lowercase());
    } else {
        out.push(character);
    }
}

/// Characters that nobody sees and that stand within words to hide them.
const fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: Look = Look {
        normalise: true,
        fold: true,
        one_space: false,
    };

    #[test]
    fn look_alike_and_invisible_characters_are_seen_for_what_they_hide() {
        let check = |text: &str, expected: &str| {
            let view = View::of(text, Json::Not, ALL, true);
            assert_eq!(view.text(), expected, "{text}");
            assert_eq!(seen(text, ALL), expected);
        };
        check("PassWord", "password");
        check("p\u{200b}a\u{ad}ss\u{2060}word", "password");
        // Cyrillic and Greek letters.
        check("p\u{430}ssw\u{43e}rd \u{3bf}k", "password ok");
        check("ｐａｓｓｗｏｒｄ", "password");
        check("pássw\u{6f}\u{308}rd", "password");
        check("𝐩𝐚𝐬𝐬", "pass");
        check("密码 한글", "密码 한글");
    }

    #[test]
    fn white_space_in_a_row_is_one_space_where_that_is_asked_for() {
        let look = Look {
            one_space: true,
            ..ALL
        };
        for text in ["a b", "a  b", "a\t\u{200b}\r\n b", "a\u{a0}\u{3000}b"] {
            let view = View::of(text, Json::Not, look, true);
            assert_eq!(view.text(), "a b", "{text:?}");
            assert_eq!(seen(text, look), "a b");
            assert_eq!(view.raw_start(2), text.len() - 1);
            assert_eq!(view.raw_end(3), text.len());
        }
        let view = View::of(r#""a\n\tb""#, Json::Outside, look, true);
        assert_eq!(view.text(), "\"a b\"");
    }

    #[test]
    fn escapes_of_json_are_read_within_strings_alone() {
        let check = |text: &str, last, expected: &str, end: usize| {
            let view = View::of(text, Json::Outside, Look::default(), last);
            assert_eq!(view.text(), expected, "{text}");
            assert_eq!(view.raw_end, end, "{text}");
        };
        check(r#"{"a":"x\u0040y\n"}"#, true, "{\"a\":\"x@y\n\"}", 18);
        check(r#""\ud83d\ude00""#, true, "\"😀\"", 14);
        // Half of one waits for the rest.
        check(r#""a\u00"#, false, "\"a", 2);
        check(r#""a\ud83d"#, false, "\"a", 2);
        check(r#""a\ud83d\u"#, false, "\"a", 2);
        check(r#""a\"#, false, "\"a", 2);
        check(r#""a\u00"#, true, r#""a\u00"#, 6);
        check(r#""a\q""#, true, r#""a\q""#, 5);
        check(r#"\n"#, true, r#"\n"#, 2);
    }

    #[test]
    fn what_is_seen_leads_back_to_where_it_stands() {
        let text = r#"{"k":"a\u0040\u200bb.c é"}"#;
        let view = View::of(text, Json::Outside, ALL, true);
        let at = view.text().find("a@b").unwrap();
        let raw = view.raw_start(at)..view.raw_end(at + 3);
        assert_eq!(&text[raw.clone()], r#"a\u0040\u200bb"#);
        assert_eq!(view.seen_at(raw.start), at);
        let sign = view.raw_start(at + 1)..view.raw_end(at + 2);
        assert_eq!(&text[sign], r#"\u0040"#);
        let e = view.text().find(" e").unwrap() + 1;
        assert_eq!(&text[view.raw_start(e)..view.raw_end(e + 1)], "é");
    }

    proptest! {
        #[test]
        fn places_lie_within_the_text_and_in_order(text in r#"[a-c"\\u0-9é\u{200b}Я{}]{0,20}"#, json in any::<bool>()) {
            let json = if json { Json::Outside } else { Json::Not };
            let view = View::of(&text, json, ALL, true);
            prop_assert_eq!(view.raw_end, text.len());
            let mut before = 0;
            for (at, character) in view.text().char_indices() {
                let (start, end) = (view.raw_start(at), view.raw_end(at + character.len_utf8()));
                prop_assert!(before <= start && start < end && end <= text.len());
                prop_assert!(text.is_char_boundary(start) && text.is_char_boundary(end));
                before = start;
            }
        }
    }
}
