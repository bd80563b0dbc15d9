//! JSON in the spelling that nearly all tokens have, walked once and not built.
//!
//! Plain is a text without white space, escapes, fractions, exponents and signs, where no object has a
//! member twice. A walk takes nothing that the strict reading of [`super`] refuses, and sees in it the same;
//! what is not plain, good or bad, is left to the strict reading. So nothing here reports errors.

use super::DEPTH_MAX;

/// How many names the open objects may have in all. Names are held against each other pair by pair, which
/// for more of them is slower than a map.
const NAMES_MAX: usize = 64;

/// Longer numbers are left to the strict reading: these fit any integer and any float exactly.
const DIGITS_MAX: usize = 15;

/// A member's value, as far as somebody asks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value {
    /// A text: the place between its quotes. What stands there is what it says.
    Text(Place),
    /// A list that holds texts and nothing else, with its brackets: see [`texts`].
    Texts(Place),
    /// A whole number.
    Integer(i64),
    /// Anything else.
    Other,
}

/// A part of the text that was walked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    start: u32,
    end: u32,
}

impl Place {
    fn new(start: usize, end: usize) -> Option<Self> {
        Some(Self {
            start: start.try_into().ok()?,
            end: end.try_into().ok()?,
        })
    }

    /// What stands there, in the same text.
    pub(crate) fn of(self, text: &str) -> &str {
        text.get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }

    /// The place of a [`Value::Text`] with its quotes.
    pub(crate) fn with_quotes(self) -> Self {
        Self {
            start: self.start.saturating_sub(1),
            end: self.end.saturating_add(1),
        }
    }
}

/// A member of an object: its name, which stands at that place, and its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member<'a> {
    pub(crate) name: &'a str,
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// Walks an object and shows its members to `member`, which may refuse one by `None`. `None` if it did, or
/// if the text is not a plain object.
pub(crate) fn object<'a>(
    text: &'a str,
    member: impl FnMut(Member<'a>) -> Option<()>,
) -> Option<()> {
    let mut walk = Walk {
        text,
        at: 0,
        names: [0; NAMES_MAX],
        held: 0,
    };
    walk.expect(b'{')?;
    walk.members(DEPTH_MAX.checked_sub(1)?, member)?;
    (walk.at == text.len()).then_some(())
}

/// The texts of a plain text in quotes, or of a plain list of texts. Nothing plain has a quote inside a
/// text, so every second piece between quotes is one.
pub(crate) fn texts(plain: &str) -> impl Iterator<Item = &str> {
    plain.split('"').skip(1).step_by(2)
}

/// Whether this text stands between quotes in JSON as it is.
pub(crate) fn is_text(text: &str) -> bool {
    special(text.as_bytes()).is_none()
}

struct Walk<'a> {
    text: &'a str,
    /// Where the next byte stands.
    at: usize,
    /// A [`mark`] for each name in the objects that are open.
    names: [u64; NAMES_MAX],
    /// How many marks there are.
    held: usize,
}

impl<'a> Walk<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, wanted: u8) -> Option<()> {
        (self.next()? == wanted).then_some(())
    }

    fn word(&mut self, word: &str) -> Option<Value> {
        let rest = self.text.as_bytes().get(self.at..)?;
        rest.starts_with(word.as_bytes()).then(|| {
            self.at += word.len();
            Value::Other
        })
    }

    /// The members of an object whose brace was read, and the brace that ends it.
    fn members(
        &mut self,
        depth: usize,
        mut member: impl FnMut(Member<'a>) -> Option<()>,
    ) -> Option<()> {
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        let outside = self.held;
        loop {
            self.expect(b'"')?;
            let start = self.at;
            let name = self.string()?;
            let place = Place::new(start, self.at - 1)?;
            self.hold(outside, mark(name))?;
            self.expect(b':')?;
            let value = self.value(depth)?;
            member(Member { name, place, value })?;
            match self.next()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        self.held = outside;
        Some(())
    }

    /// Marks that differ belong to names that differ. Where two are alike, the strict reading decides.
    fn hold(&mut self, outside: usize, mark: u64) -> Option<()> {
        if self.names.get(outside..self.held)?.contains(&mark) {
            return None;
        }
        *self.names.get_mut(self.held)? = mark;
        self.held += 1;
        Some(())
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        match self.peek()? {
            b'"' => {
                self.at += 1;
                let start = self.at;
                self.string()?;
                Place::new(start, self.at - 1).map(Value::Text)
            }
            b'0'..=b'9' => self.integer().map(Value::Integer),
            b'{' => {
                self.at += 1;
                self.members(depth.checked_sub(1)?, |_| Some(()))?;
                Some(Value::Other)
            }
            b'[' => self.list(depth.checked_sub(1)?),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => None,
        }
    }

    fn list(&mut self, depth: usize) -> Option<Value> {
        let start = self.at;
        self.at += 1;
        let mut only_texts = true;
        if self.peek()? == b']' {
            self.at += 1;
        } else {
            loop {
                only_texts &= matches!(self.value(depth)?, Value::Text(_));
                match self.next()? {
                    b',' => {}
                    b']' => break,
                    _ => return None,
                }
            }
        }
        Some(if only_texts {
            Value::Texts(Place::new(start, self.at)?)
        } else {
            Value::Other
        })
    }

    /// The rest of a text whose first quote was read.
    fn string(&mut self) -> Option<&'a str> {
        let rest = self.text.get(self.at..)?;
        let (content, _) = rest.split_at_checked(special(rest.as_bytes())?)?;
        self.at += content.len();
        self.expect(b'"')?;
        Some(content)
    }

    fn integer(&mut self) -> Option<i64> {
        let start = self.at;
        let mut number = 0;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            if self.at - start == DIGITS_MAX {
                return None;
            }
            number = number * 10 + i64::from(digit - b'0');
            self.at += 1;
        }
        let leading_zero = self.at - start > 1 && self.text.as_bytes().get(start) == Some(&b'0');
        (!leading_zero).then_some(number)
    }
}

/// A number of a name: equal for equal names. Others may share it, which costs time and no more.
fn mark(name: &str) -> u64 {
    /// An odd number without a pattern: it carries every bit of a word into the upper ones.
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let (words, rest) = name.as_bytes().as_chunks::<8>();
    let last = rest
        .iter()
        .fold(0, |word, byte| word << 8 | u64::from(*byte));
    let spread = |mark: u64, word: u64| (mark.rotate_left(29) ^ word).wrapping_mul(SPREAD);
    words
        .iter()
        .fold(last, |mark, word| spread(mark, u64::from_le_bytes(*word)))
}

/// Where the first byte stands that is a quote, a backslash or a control character: eight bytes at a time.
fn special(bytes: &[u8]) -> Option<usize> {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = EACH << 7;
    let (words, rest) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // The high bit of a byte is set where the byte is below the bound. A borrow may set it in bytes
        // that come later, never in the first that counts.
        let below =
            |word: u64, bound: u8| word.wrapping_sub(EACH * u64::from(bound)) & !word & HIGH;
        let found = below(word, 0x20)
            | below(word ^ (EACH * u64::from(b'"')), 1)
            | below(word ^ (EACH * u64::from(b'\\')), 1);
        if found != 0 {
            return Some(at * 8 + (found.trailing_zeros() / 8) as usize);
        }
    }
    rest.iter()
        .position(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\'))
        .map(|at| words.len() * 8 + at)
}
