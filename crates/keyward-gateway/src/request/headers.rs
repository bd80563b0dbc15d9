//! Which header fields end here and which go on (RFC 9110, section 7.6).

use super::Client;
use crate::message::header::OURS;
use crate::message::{Class, Fields, Header, Version};
use http::Method;

/// Takes out what ends at this hop, and what `Connection` says does.
pub(crate) fn strip_hop_by_hop(fields: &mut Fields) {
    strip_connection_options(fields);
    fields.retain(|field| !field.is(Class::HOP));
}

/// Takes out the fields that `Connection` names, but for those of the hop itself. Of a request it is done before
/// anything reads its fields or adds to them: else a client could have ours taken out, and have its own read here
/// and not by the upstream.
pub(crate) fn strip_connection_options(fields: &mut Fields) {
    if !fields.has(Header::Connection) {
        return;
    }
    let named: Vec<Vec<u8>> = fields
        .all(Header::Connection)
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(|name| name.trim_ascii().to_ascii_lowercase())
        .filter(|name| {
            let header = Header::of(name);
            // These decide where the message ends and who it is for: no option of a connection.
            !header.class().meets(Class::HOP)
                && !matches!(header, Header::ContentLength | Header::Host)
        })
        .collect();
    if !named.is_empty() {
        fields.retain(|field| !named.iter().any(|name| **name == *field.name));
    }
}

/// Whether upstreams that can't tell `-` from `_` would take the one for the other.
pub(crate) fn is_spelling_of(sent: &[u8], name: &[u8]) -> bool {
    let folded = |byte: &u8| if *byte == b'_' { b'-' } else { *byte };
    sent.len() == name.len() && sent.iter().map(folded).eq(name.iter().map(folded))
}

/// Whether who sent these fields says that it takes trailers (RFC 9110, section 10.1.4).
pub(crate) fn takes_trailers(fields: &Fields) -> bool {
    let mut members = fields
        .all(Header::Te)
        .flat_map(|value| value.split(|byte| *byte == b','));
    members.any(|member| member.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// Takes out of trailers, either way, what may not stand there.
pub(crate) fn strip_trailers(trailers: &mut Fields) {
    trailers.retain(|field| !field.is(OURS));
}

/// Whether the gateway reads or sets the header of this name. In an odd spelling (`X_Forwarded_For`) it
/// would pass us by and still be taken for the real one by upstreams that fold names.
pub(crate) fn is_ours(name: &str) -> bool {
    Header::of(name.as_bytes()).class().meets(OURS)
}

/// Tells the upstream whom we speak for (RFC 7239's older siblings, which upstreams read). `host` is what
/// the client asked for, in this `version`.
pub(crate) fn set_forwarded(
    fields: &mut Fields,
    version: Version,
    client: &Client,
    from_trusted_proxy: bool,
) {
    if from_trusted_proxy {
        fields.retain(|field| !field.is(Class::NOT_BELIEVED));
        let mut chain = Vec::new();
        for value in fields.all(Header::XForwardedFor) {
            chain.extend_from_slice(value);
            chain.extend_from_slice(b", ");
        }
        chain.extend_from_slice(client.address_text());
        fields.set(Header::XForwardedFor, &chain);
    } else {
        let strangers = Class::NOT_BELIEVED.or(Class::OF_PROXIES);
        fields.retain(|field| {
            !field.is(strangers)
                && !matches!(
                    field.header,
                    Header::XForwardedFor | Header::XForwardedProto | Header::XForwardedHost
                )
        });
        client.tell(version, fields);
        tell_host(fields);
        return;
    }
    if !fields.has(Header::XForwardedProto) {
        fields.append(Header::XForwardedProto, client.scheme().as_bytes());
    }
    if !fields.has(Header::XForwardedHost) {
        tell_host(fields);
    }
    fields.append(Header::Via, version.of_via());
}

fn tell_host(fields: &mut Fields) {
    if let Some(host) = fields.place(Header::Host) {
        fields.append_copy(Header::XForwardedHost, host);
    }
}

/// Adds a name, which is in lower case, to `Vary`, unless that is said (RFC 9110, section 12.5.5).
pub(crate) fn vary(fields: &mut Fields, name: &[u8]) {
    let said = fields
        .all(Header::Vary)
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .any(|known| known == b"*" || known.eq_ignore_ascii_case(name));
    if !said {
        fields.append(Header::Vary, name);
    }
}

/// Whether the method promises to change nothing, so that it may be sent a second time (RFC 9110,
/// section 9.2.1).
pub(crate) fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_connection_names_ends_here_but_framing_does_not() {
        let mut fields = Fields::from([
            ("connection", "close, X-Hop"),
            ("connection", "host, content-length, te"),
            ("x-hop", "1"),
            ("te", "trailers"),
            ("keep-alive", "timeout=5"),
            ("upgrade", "h2c"),
            ("host", "a"),
            ("content-length", "0"),
            ("x-end", "1"),
        ]);
        strip_hop_by_hop(&mut fields);
        assert_eq!(
            fields,
            Fields::from([("host", "a"), ("content-length", "0"), ("x-end", "1")])
        );
    }

    #[test]
    fn forwarded_fields_of_strangers_are_not_believed() {
        let client = Client::new("192.0.2.7:1234".parse().unwrap());
        let mut fields = Fields::from([
            ("host", "api.example"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-proto", "https"),
            ("forwarded", "for=10.0.0.1"),
            ("x-original-url", "/admin"),
        ]);
        set_forwarded(&mut fields, Version::Http11, &client, false);
        assert_eq!(
            fields,
            Fields::from([
                ("host", "api.example"),
                ("x-forwarded-for", "192.0.2.7"),
                ("x-forwarded-proto", "http"),
                ("via", "1.1 keyward"),
                ("x-forwarded-host", "api.example"),
            ])
        );
    }

    #[test]
    fn a_trusted_proxys_chain_is_continued() {
        let client = Client::new("192.0.2.7:1234".parse().unwrap());
        let mut fields = Fields::from([
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-proto", "https"),
        ]);
        set_forwarded(&mut fields, Version::Http11, &client, true);
        assert_eq!(
            fields.get(Header::XForwardedFor),
            Some(&b"203.0.113.9, 192.0.2.7"[..])
        );
        assert_eq!(fields.get(Header::XForwardedProto), Some(&b"https"[..]));
    }
}
