//! Which header fields end here and which go on (RFC 9110, section 7.6).

use super::Client;
use http::Method;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// Takes out what ends at this hop. What `Connection` names goes too, before anything of ours is added,
/// so that a client can't have our own fields taken out further on.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
            // These decide where the message ends and who it is for: no option of a connection.
            .filter(|name| !matches!(*name, header::CONTENT_LENGTH | header::HOST))
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    strip(headers, ends_here);
}

/// Takes out the fields whose names are chosen: one look at each field there is, instead of a look-up of
/// each that might be.
fn strip(headers: &mut HeaderMap, chosen: impl Fn(&str) -> bool) {
    let chosen: Vec<HeaderName> = headers
        .keys()
        .filter(|name| chosen(name.as_str()))
        .cloned()
        .collect();
    for name in chosen {
        headers.remove(name);
    }
}

/// Fields that speak of this connection alone.
fn ends_here(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// What a client says about itself, or what would lead an upstream to another path than the one that was
/// checked. A trusted proxy passes on what it does not know, so its word does not make these good.
fn is_not_believed(name: &str) -> bool {
    matches!(
        name,
        "forwarded"
            | "x-real-ip"
            | "x-client-ip"
            | "true-client-ip"
            | "x-original-url"
            | "x-original-path"
            | "x-rewrite-url"
    )
}

/// What only a trusted proxy may say.
fn is_of_proxies(name: &str) -> bool {
    matches!(name, "x-forwarded-port" | "x-forwarded-prefix")
}

/// What the gateway itself says of a call.
fn is_set_here(name: &str) -> bool {
    matches!(
        name,
        "x-forwarded-for" | "x-forwarded-host" | "x-forwarded-proto" | "request-id" | "via"
    )
}

/// Fields that a trailer may not carry: they frame, route, authenticate or steer (RFC 9110, section 6.5.1).
fn stands_in_heads_alone(name: &str) -> bool {
    ends_here(name)
        || matches!(
            name,
            "authorization"
                | "cache-control"
                | "content-encoding"
                | "content-length"
                | "content-type"
                | "cookie"
                | "expect"
                | "host"
                | "location"
                | "set-cookie"
                | "trailer"
                | "www-authenticate"
        )
}

/// Takes out of trailers, either way, what may not stand there.
pub(crate) fn strip_trailers(trailers: &mut HeaderMap) {
    strip(trailers, is_ours);
}

/// Whether the gateway reads or sets the header of this name. In an odd spelling (`X_Forwarded_For`) it
/// would pass us by and still be taken for the real one by upstreams that fold names.
pub(crate) fn is_ours(name: &str) -> bool {
    stands_in_heads_alone(name) || is_not_believed(name) || is_of_proxies(name) || is_set_here(name)
}

/// Tells the upstream whom we speak for (RFC 7239's older siblings, which upstreams read).
pub(crate) fn set_forwarded(headers: &mut HeaderMap, client: &Client, from_trusted_proxy: bool) {
    let host = headers.get(header::HOST).cloned();
    let own = client.address_value().clone();
    strip(headers, |name| {
        is_not_believed(name) || (!from_trusted_proxy && is_of_proxies(name))
    });
    if from_trusted_proxy {
        let chain = headers
            .get_all(X_FORWARDED_FOR)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .chain(own.to_str().ok())
            .collect::<Vec<_>>()
            .join(", ");
        if let Ok(chain) = HeaderValue::from_str(&chain) {
            headers.insert(X_FORWARDED_FOR, chain);
        }
    } else {
        headers.insert(X_FORWARDED_FOR, own);
    }
    if !from_trusted_proxy || !headers.contains_key(X_FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(client.scheme()));
    }
    if !from_trusted_proxy || !headers.contains_key(X_FORWARDED_HOST) {
        match host {
            Some(host) => headers.insert(X_FORWARDED_HOST, host),
            None => headers.remove(X_FORWARDED_HOST),
        };
    }
    headers.append(header::VIA, HeaderValue::from_static("1.1 keyward"));
}

/// Whether the method promises to change nothing, so that it may be sent a second time (RFC 9110,
/// section 9.2.1).
pub(crate) fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn what_connection_names_ends_here_but_framing_does_not() {
        let mut headers = map(&[
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
        strip_hop_by_hop(&mut headers);
        assert_eq!(
            headers,
            map(&[("host", "a"), ("content-length", "0"), ("x-end", "1")])
        );
    }

    #[test]
    fn forwarded_fields_of_strangers_are_not_believed() {
        let client = Client::new("192.0.2.7:1234".parse().unwrap());
        let mut headers = map(&[
            ("host", "api.example"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-proto", "https"),
            ("forwarded", "for=10.0.0.1"),
            ("x-original-url", "/admin"),
        ]);
        set_forwarded(&mut headers, &client, false);
        assert_eq!(
            headers,
            map(&[
                ("host", "api.example"),
                ("x-forwarded-for", "192.0.2.7"),
                ("x-forwarded-proto", "http"),
                ("x-forwarded-host", "api.example"),
                ("via", "1.1 keyward"),
            ])
        );
    }

    #[test]
    fn a_trusted_proxys_chain_is_continued() {
        let client = Client::new("192.0.2.7:1234".parse().unwrap());
        let mut headers = map(&[
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-proto", "https"),
        ]);
        set_forwarded(&mut headers, &client, true);
        assert_eq!(headers["x-forwarded-for"], "203.0.113.9, 192.0.2.7");
        assert_eq!(headers["x-forwarded-proto"], "https");
    }
}
