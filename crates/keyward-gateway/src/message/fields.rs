//! The header fields of one message: the bytes in which they came, and where each stands.
//!
//! A field that is removed loses its place, one that is added is written behind the others: no field is
//! copied, hashed or allocated on its own on a call's way.

use super::header::{Class, Header};

/// Where something stands in the bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    length: u32,
}

impl Span {
    /// Heads are bounded far below the four gigabytes that this can address.
    pub(crate) fn new(start: usize, end: usize) -> Self {
        let small = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self {
            start: small(start),
            length: small(end.saturating_sub(start)),
        }
    }

    /// Where it begins.
    pub(super) fn start(self) -> usize {
        self.start as usize
    }

    pub(super) fn length(self) -> usize {
        self.length as usize
    }

    /// Where it ends.
    fn end(self) -> usize {
        self.start as usize + self.length as usize
    }

    /// A part of it.
    pub(crate) fn part(self, start: usize, end: usize) -> Self {
        let begin = self.start as usize;
        Self::new(begin + start, begin + end)
    }

    /// The same in bytes that stand behind so many others.
    fn moved(self, by: usize) -> Self {
        let start = u32::try_from(by).unwrap_or(u32::MAX);
        Self {
            start: self.start.saturating_add(start),
            length: self.length,
        }
    }

    /// From here to the end of `later`, where only one byte stands between the two.
    pub(crate) fn up_to(self, later: Self) -> Option<Self> {
        (self.start + self.length + 1 == later.start).then_some(Self {
            start: self.start,
            length: self.length + 1 + later.length,
        })
    }

    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        let start = self.start as usize;
        bytes
            .get(start..start + self.length as usize)
            .unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug)]
struct Place {
    header: Header,
    name: Span,
    value: Span,
}

/// One field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'a> {
    pub(crate) header: Header,
    /// In lower case.
    pub(crate) name: &'a [u8],
    /// Without the white space around it; no control character but tabs.
    pub(crate) value: &'a [u8],
}

impl Field<'_> {
    pub(crate) fn is(&self, class: Class) -> bool {
        self.header.class().meets(class)
    }
}

/// Header fields in their order. Names are in lower case; several fields may have one name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields {
    bytes: Vec<u8>,
    places: Vec<Place>,
}

impl Fields {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// No fields, and room for so many bytes of them and so many of them.
    pub(crate) fn with_room(bytes: usize, fields: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            places: Vec::with_capacity(fields),
        }
    }

    /// The same, and as much room for more as there is here.
    pub(crate) fn clone_with_room(&self) -> Self {
        let mut clone = Self::with_room(self.bytes.capacity(), self.places.capacity());
        clone.bytes.extend_from_slice(&self.bytes);
        clone.places.extend_from_slice(&self.places);
        clone
    }

    /// The memory of fields that are no longer needed: for the places of others, and for bytes.
    pub(crate) fn recycle(self) -> (Self, Vec<u8>) {
        let Self {
            mut bytes,
            mut places,
        } = self;
        bytes.clear();
        places.clear();
        let empty = Self {
            bytes: Vec::new(),
            places,
        };
        (empty, bytes)
    }

    /// The bytes that spans are places in.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Takes the bytes of a head, after the places of its fields were noted.
    pub(super) fn set_bytes(&mut self, bytes: Vec<u8>) {
        self.bytes = bytes;
    }

    /// The same for a copy of them.
    pub(crate) fn set_copy(&mut self, bytes: &[u8]) {
        self.bytes = bytes.to_vec();
    }

    /// Notes a field that stands in the bytes: the name in lower case, the value trimmed and checked.
    pub(crate) fn note(&mut self, header: Header, name: Span, value: Span) {
        self.places.push(Place {
            header,
            name,
            value,
        });
    }

    fn field(&self, place: &Place) -> Field<'_> {
        Field {
            header: place.header,
            name: place.name.of(&self.bytes),
            value: place.value.of(&self.bytes),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        self.places.iter().map(|place| self.field(place))
    }

    /// Where the fields stand in the bytes: what they are, their names, their values.
    pub(super) fn places(&self) -> impl Iterator<Item = (Header, Span, Span)> {
        self.places
            .iter()
            .map(|place| (place.header, place.name, place.value))
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// The values of the fields of this name.
    pub(crate) fn all(&self, header: Header) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.places
            .iter()
            .filter(move |place| place.header == header)
            .map(|place| place.value.of(&self.bytes))
    }

    /// The value of the first field of this name.
    pub(crate) fn get(&self, header: Header) -> Option<&[u8]> {
        self.all(header).next()
    }

    pub(crate) fn has(&self, header: Header) -> bool {
        self.places.iter().any(|place| place.header == header)
    }

    /// The values of the fields of this name, which is in lower case.
    pub(crate) fn all_named(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let name = name.to_owned();
        self.iter()
            .filter(move |field| field.name == name.as_bytes())
            .map(|field| field.value)
    }

    /// The value of the first field of this name, which is in lower case.
    pub(crate) fn get_named(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter()
            .find(|field| field.name == name)
            .map(|field| field.value)
    }

    /// How much memory they take.
    pub(crate) fn footprint(&self) -> usize {
        self.bytes.capacity() + self.places.capacity() * size_of::<Place>()
    }

    /// The same without what was removed, and without room for more.
    pub(crate) fn compact(mut self) -> Self {
        let bytes = self
            .iter()
            .map(|field| field.name.len() + field.value.len())
            .sum();
        let mut compact = Self::with_room(bytes, self.len());
        compact.append_all(&self);
        self.places.clear();
        compact
    }

    /// Keeps the fields that `keep` says yes to.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(Field<'_>) -> bool) {
        let bytes = &self.bytes;
        self.places.retain(|place| {
            keep(Field {
                header: place.header,
                name: place.name.of(bytes),
                value: place.value.of(bytes),
            })
        });
    }

    /// Removes all fields of this name.
    pub(crate) fn remove(&mut self, header: Header) {
        self.places.retain(|place| place.header != header);
    }

    /// Removes all fields of this name, which is in lower case.
    pub(crate) fn remove_named(&mut self, name: &[u8]) {
        self.retain(|field| field.name != name);
    }

    /// Adds a field behind the others. A value with a control character is not added: it would end the
    /// field.
    pub(crate) fn append(&mut self, header: Header, value: &[u8]) {
        self.append_as(header, header.as_bytes(), value);
    }

    /// The same for any name, which is in lower case and was checked.
    pub(crate) fn append_named(&mut self, name: &str, value: &[u8]) {
        self.append_as(Header::of(name.as_bytes()), name.as_bytes(), value);
    }

    /// The same for a field of another message.
    pub(crate) fn append_field(&mut self, field: Field<'_>) {
        self.append_as(field.header, field.name, field.value);
    }

    /// Adds all of another's fields behind these: its bytes as they are, which were checked when they came in.
    pub(crate) fn append_all(&mut self, others: &Self) {
        let by = self.bytes.len();
        self.bytes.extend_from_slice(&others.bytes);
        self.places.extend(others.places.iter().map(|place| Place {
            header: place.header,
            name: place.name.moved(by),
            value: place.value.moved(by),
        }));
    }

    fn append_as(&mut self, header: Header, name: &[u8], value: &[u8]) {
        if name.is_empty() || has_control(value) {
            return;
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name);
        let middle = self.bytes.len();
        self.bytes.extend_from_slice(value);
        let end = self.bytes.len();
        self.note(header, Span::new(start, middle), Span::new(middle, end));
    }

    /// Adds a field whose value is that of another one, which stands at this place.
    pub(crate) fn append_copy(&mut self, header: Header, value: Span) {
        let start = self.bytes.len();
        let name = header.as_bytes();
        self.bytes.reserve(name.len() + value.length as usize);
        self.bytes.extend_from_slice(name);
        let middle = self.bytes.len();
        let range = value.start()..value.end();
        if range.end <= start {
            self.bytes.extend_from_within(range);
        }
        let end = self.bytes.len();
        self.note(header, Span::new(start, middle), Span::new(middle, end));
    }

    /// Keeps bytes that are no field beside the others.
    pub(crate) fn keep(&mut self, bytes: &[u8]) -> Span {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        Span::new(start, self.bytes.len())
    }

    /// The place of the value of the first field of this name, which stays after the field is removed.
    pub(crate) fn place(&self, header: Header) -> Option<Span> {
        self.places
            .iter()
            .find(|place| place.header == header)
            .map(|place| place.value)
    }

    /// Puts one field in the place of all of this name.
    pub(crate) fn set(&mut self, header: Header, value: &[u8]) {
        self.remove(header);
        self.append(header, value);
    }

    /// Puts one field in the place of all of this name, which is in lower case and was checked.
    pub(crate) fn set_named(&mut self, name: &str, value: &[u8]) {
        self.remove_named(name.as_bytes());
        self.append_named(name, value);
    }

    /// Writes them as HTTP/1.1 has them, each with its line end. Fields that still stand as they came, line behind
    /// line, are copied in one piece.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut places = self.places.iter().peekable();
        while let Some(place) = places.next() {
            if !self.is_line(place) {
                write_field(out, place.name.of(&self.bytes), place.value.of(&self.bytes));
                continue;
            }
            let begin = place.name.start();
            let mut end = place.value.end() + 2;
            while let Some(next) =
                places.next_if(|next| next.name.start() == end && self.is_line(next))
            {
                end = next.value.end() + 2;
            }
            out.extend_from_slice(self.bytes.get(begin..end).unwrap_or_default());
        }
    }

    /// Whether the field stands in the bytes just as it is written: `name: value` and the end of the line.
    fn is_line(&self, place: &Place) -> bool {
        let (colon, end) = (place.name.end(), place.value.end());
        place.value.start() == colon + 2
            && self.bytes.get(colon..colon + 2) == Some(b": ")
            && self.bytes.get(end..end + 2) == Some(b"\r\n")
    }
}

/// Writes one field with its line end.
pub(crate) fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Whether a control character other than a tab is in it.
pub(crate) fn has_control(value: &[u8]) -> bool {
    if let Some(end) = value.last_chunk::<LANES>() {
        // Of what is long, such as a token, the compiler makes instructions that look at sixteen bytes each.
        let mut found = [0; LANES];
        let (whole, _) = value.as_chunks::<LANES>();
        // The last ones overlap with those before: looked at twice is looked at.
        for lanes in whole.iter().chain([end]) {
            for (found, byte) in found.iter_mut().zip(lanes) {
                *found |= u8::from((*byte < b' ') & (*byte != b'\t')) | u8::from(*byte == 0x7f);
            }
        }
        return found.iter().fold(0, |all, one| all | one) != 0;
    }
    match value.last_chunk::<8>() {
        Some(end) => {
            let (eights, _) = value.as_chunks::<8>();
            let found = eights.iter().chain([end]).fold(0, |found, eight| {
                found | controls(u64::from_le_bytes(*eight))
            });
            found != 0
        }
        None => value
            .iter()
            .any(|byte| byte.is_ascii_control() && *byte != b'\t'),
    }
}

/// How many bytes of a long value are looked at in one go.
const LANES: usize = 32;

/// Not zero if any of the eight bytes is a control character other than a tab.
const fn controls(bytes: u64) -> u64 {
    /// A byte in each place.
    const fn all(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    // Of bytes with seven bits, the eighth is set by what is added where they are at least as large as meant;
    // bytes with the eighth bit are no control characters.
    let low = bytes & all(0x7f);
    let printable = low + all(0x80 - 0x20);
    let deleted = low + all(1);
    let tab = !((low ^ all(b'\t')) + all(0x7f));
    ((!printable & !tab) | deleted) & !bytes & all(0x80)
}

impl PartialEq for Fields {
    /// The same names and values in the same order, wherever they stand.
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self
                .iter()
                .zip(other.iter())
                .all(|(one, two)| one.name == two.name && one.value == two.value)
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Fields {
    fn from(list: [(&str, &str); N]) -> Self {
        let mut fields = Self::new();
        for (name, value) in list {
            fields.append_named(name, value.as_bytes());
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::RequestHead;

    #[test]
    fn fields_keep_their_order_and_lose_only_what_is_removed() {
        let mut fields = Fields::from([
            ("host", "a"),
            ("x-one", "1"),
            ("cookie", "b=c"),
            ("x-one", "2"),
        ]);
        fields.remove_named(b"x-one");
        fields.set(Header::Host, b"d");
        fields.append_named("x-two", b"3");
        assert_eq!(
            fields,
            Fields::from([("cookie", "b=c"), ("host", "d"), ("x-two", "3")])
        );
        let mut out = Vec::new();
        fields.write(&mut out);
        assert_eq!(out, b"cookie: b=c\r\nhost: d\r\nx-two: 3\r\n");
    }

    #[test]
    fn what_stands_as_it_came_is_written_as_it_is_and_all_else_is_put_right() {
        let text = "GET / HTTP/1.1\r\nHost: a\r\nX-One:1\r\nX-Two:  2 \r\nX-Three: 3\r\nx-Four: 4\r\nX-Five:\r\n\r\n";
        let mut fields = RequestHead::parsed(text).fields;
        let written = |fields: &Fields| {
            let mut out = Vec::new();
            fields.write(&mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            written(&fields),
            "host: a\r\nx-one: 1\r\nx-two: 2\r\nx-three: 3\r\nx-four: 4\r\nx-five: \r\n"
        );
        fields.remove_named(b"x-three");
        fields.append_named("x-six", b"6");
        let host = fields.place(Header::Host).unwrap();
        fields.append_copy(Header::XForwardedHost, host);
        fields.append_named("x-seven", b"7");
        assert_eq!(
            written(&fields),
            "host: a\r\nx-one: 1\r\nx-two: 2\r\nx-four: 4\r\nx-five: \r\nx-six: 6\r\n\
             x-forwarded-host: a\r\nx-seven: 7\r\n"
        );
        // What a field's own bytes look like makes no line of them.
        let odd = Fields::from([("a", "b: c"), ("b", ": c\td")]);
        assert_eq!(written(&odd), "a: b: c\r\nb: : c\td\r\n");
    }

    #[test]
    fn control_characters_are_found_wherever_they_stand() {
        for length in (1..=20).chain(31..=50) {
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    let mut value = vec![b'~'; length];
                    value[at] = byte;
                    let control = byte.is_ascii_control() && byte != b'\t';
                    assert_eq!(
                        has_control(&value),
                        control,
                        "{byte:#x} at {at} of {length}"
                    );
                }
            }
        }
        assert!(!has_control(b""));
    }

    #[test]
    fn fields_are_the_same_behind_others() {
        let mut fields = Fields::from([("host", "a"), ("x-gone", "1")]);
        fields.remove_named(b"x-gone");
        let mut others = Fields::from([("x-one", "1"), ("x-gone", "2"), ("via", "c")]);
        others.remove_named(b"x-gone");
        fields.append_all(&others);
        assert_eq!(
            fields,
            Fields::from([("host", "a"), ("x-one", "1"), ("via", "c")])
        );
        assert_eq!(fields.get(Header::Via), Some(&b"c"[..]));
    }

    #[test]
    fn a_value_that_would_end_the_field_is_not_added() {
        let mut fields = Fields::new();
        for value in ["a\r\nb: c", "a\nb", "\0", "\x7f"] {
            fields.append_named("x", value.as_bytes());
        }
        assert_eq!(fields, Fields::new());
    }
}
