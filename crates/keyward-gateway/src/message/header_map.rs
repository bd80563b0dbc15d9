//! Fields as the `h2` crate has them, and back.

use super::fields::Fields;
use super::{Header, Span};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

impl Fields {
    /// The fields as a map, with room for so many `more`. All values share one copy of the bytes. A field that
    /// is none in HTTP/2 is left out; there is none, for both readers refuse what the map would.
    pub(crate) fn to_header_map(&self, more: usize) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(self.len() + more);
        let bytes = Bytes::copy_from_slice(self.bytes());
        for (header, name, value) in self.places() {
            let Ok(name) = HeaderName::from_bytes(name.of(&bytes)) else {
                continue;
            };
            let Ok(mut value) = HeaderValue::from_maybe_shared(value.of_shared(&bytes)) else {
                continue;
            };
            // It is another one in each answer: kept out of the table that repeated values are taken from
            // (RFC 7541, section 6.2.3), so that it does not push out those that are worth a place.
            value.set_sensitive(header == Header::RequestId);
            // A map has room for more fields than any head may have.
            let _room = map.try_append(name, value);
        }
        map
    }

    /// The fields of a map.
    pub(crate) fn of_header_map(map: &HeaderMap) -> Self {
        let mut fields = Self::new();
        for (name, value) in map {
            fields.append_named(name.as_str(), value.as_bytes());
        }
        fields
    }
}

impl Span {
    /// The same of bytes that are shared, without a copy.
    fn of_shared(self, bytes: &Bytes) -> Bytes {
        let place = self.of(bytes);
        if place.is_empty() {
            Bytes::new()
        } else {
            bytes.slice_ref(place)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_from_a_map_as_they_were() {
        let fields = Fields::from([
            ("content-type", "text/plain"),
            ("x-empty", ""),
            ("x-many", "1"),
            ("x-many", "2"),
            ("request-id", "0123"),
        ]);
        let map = fields.to_header_map(1);
        assert_eq!(map.len(), 5);
        assert!(map.get("request-id").unwrap().is_sensitive());
        assert!(!map.get("content-type").unwrap().is_sensitive());
        assert_eq!(Fields::of_header_map(&map), fields);
    }

    #[test]
    fn removed_fields_are_in_no_map() {
        let mut fields = Fields::from([("x-one", "1"), ("x-two", "2")]);
        fields.remove_named(b"x-one");
        let map = fields.to_header_map(0);
        assert_eq!(map.keys().collect::<Vec<_>>(), ["x-two"]);
    }
}
