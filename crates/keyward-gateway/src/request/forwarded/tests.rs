use super::*;
use proptest::prelude::*;

fn networks() -> Vec<Network> {
    ["10.0.0.0/8", "fd00::/8"]
        .iter()
        .map(|network| network.parse().unwrap())
        .collect()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

const PROXY: &str = "10.0.0.1";

fn read(values: &[&str]) -> Result<Said, Malformed> {
    let values = values.iter().map(|value| value.as_bytes());
    Said::read(ip(PROXY), values, &networks())
}

#[test]
fn the_client_is_found_through_trusted_proxies_from_the_right() {
    for (values, address, proto, host) in [
        (&["for=192.0.2.7"][..], "192.0.2.7", None, None),
        (
            &["For=\"192.0.2.7:8080\";Proto=HTTPS;host=\"api.example:8443\";by=_us"],
            "192.0.2.7",
            Some("https"),
            Some("api.example:8443"),
        ),
        (&["for=192.0.2.7:_port"], "192.0.2.7", None, None),
        (&["for=\"[2001:db8::7]:1\""], "2001:db8::7", None, None),
        (&["for=\"[2001:db8::7]\""], "2001:db8::7", None, None),
        (&["for=\"[::ffff:192.0.2.7]\""], "192.0.2.7", None, None),
        // What stands left of a stranger is a stranger's word, also in a field of its own.
        (
            &["for=10.1.1.1;proto=https;host=admin, for=192.0.2.7;proto=http"],
            "192.0.2.7",
            Some("http"),
            None,
        ),
        (&["for=10.1.1.1", "for=192.0.2.7"], "192.0.2.7", None, None),
        // Through two proxies, with the word of the outer.
        (
            &["for=192.0.2.7;proto=https;host=a.example, for=\"[fd00::2]\";proto=http;host=b"],
            "192.0.2.7",
            Some("https"),
            Some("a.example"),
        ),
        (&["for=192.0.2.7", "for=10.0.0.2"], "192.0.2.7", None, None),
        // What names nobody ends the way at the nearest trusted proxy.
        (&["for=192.0.2.7, for=unknown"], PROXY, None, None),
        (
            &["for=192.0.2.7, for=_hidden;proto=https"],
            PROXY,
            Some("https"),
            None,
        ),
        (&["for=192.0.2.7, proto=https"], PROXY, Some("https"), None),
        (
            &["for=192.0.2.7, for=_x, for=10.0.0.2"],
            "10.0.0.2",
            None,
            None,
        ),
        (&["for=\"2001:db8::7\""], PROXY, None, None),
        (&["for=192.0.2.7:123456"], PROXY, None, None),
        (&["for=192.0.2"], PROXY, None, None),
        // Commas and quotes within quotes.
        (
            &["for=\"a, for=10.0.0.9\", for=192.0.2.7;x=\"\\\", for=10.0.0.8\""],
            "192.0.2.7",
            None,
            None,
        ),
        (
            &["", " , ;, for=192.0.2.7 ; proto=http ,"],
            "192.0.2.7",
            Some("http"),
            None,
        ),
        (
            &["for=192.0.2.7;proto=gopher;host=\"a b\""],
            "192.0.2.7",
            None,
            None,
        ),
        (&[""], PROXY, None, None),
    ] {
        let said = read(values).unwrap();
        let found = (said.address, said.proto, said.host.as_deref());
        assert_eq!(found, (ip(address), proto, host), "{values:?}");
    }
}

#[test]
fn what_is_not_written_by_the_rules_is_refused_whole() {
    for value in [
        "for",
        "=192.0.2.7",
        "for=",
        "for=\"192.0.2.7",
        "for=\"192.0.2.7\\",
        "for=\"192.0.2.7\"x",
        "for =192.0.2.7",
        "for= 192.0.2.7",
        "for=192.0.2.7;for=10.0.0.2",
        "for=192.0.2.7;FOR=10.0.0.2",
        "for=192.0.2.7 for=10.0.0.2",
        "for=192.0.2.7/24",
        "192.0.2.7",
        // A quote that a client has opened swallows nothing that a proxy adds.
        "for=10.0.0.9;x=\", for=\"[2001:db8::7]\"",
    ] {
        assert_eq!(read(&[value]).unwrap_err(), Malformed, "{value}");
        assert_eq!(read(&[value, "for=192.0.2.7"]).unwrap_err(), Malformed);
    }
}

#[test]
fn an_address_that_two_headers_tell_is_believed_where_they_agree() {
    let found = |peer: &str, forwarded: Option<&str>, other: Option<&str>| {
        let bytes = |value: Option<&'static str>| value.map(str::as_bytes).into_iter();
        let leak = |value: Option<&str>| value.map(|text| &*String::from(text).leak());
        let (forwarded, other) = (bytes(leak(forwarded)), bytes(leak(other)));
        client_address(ip(peer), forwarded, other, &networks()).to_string()
    };
    for (peer, forwarded, other, address) in [
        (PROXY, None, None, PROXY),
        (PROXY, None, Some("192.0.2.7"), "192.0.2.7"),
        (PROXY, Some("for=192.0.2.7"), None, "192.0.2.7"),
        (PROXY, Some("for=192.0.2.7"), Some("192.0.2.7"), "192.0.2.7"),
        (PROXY, Some("for=192.0.2.7"), Some("192.0.2.8"), PROXY),
        (PROXY, Some("for=\""), Some("192.0.2.8"), PROXY),
        (
            "192.0.2.1",
            Some("for=192.0.2.7"),
            Some("192.0.2.7"),
            "192.0.2.1",
        ),
    ] {
        assert_eq!(
            found(peer, forwarded, other),
            address,
            "{forwarded:?} {other:?}"
        );
    }
}

/// Whatever is like a `Forwarded`.
fn like_forwarded() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("for=".to_owned()),
        Just("proto=https".to_owned()),
        Just("10.0.0.2".to_owned()),
        Just("192.0.2.7".to_owned()),
        Just("\"[fd00::1]:80\"".to_owned()),
        "[;,=\"\\\\ \\[\\]:_a-z0-9]{0,3}",
        ".{0,4}",
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn nothing_that_comes_makes_it_fail_and_a_stranger_is_never_believed(
        values in proptest::collection::vec(like_forwarded(), 0..3),
        other in proptest::option::of(like_forwarded()),
    ) {
        let told = |peer: &str| {
            let forwarded = values.iter().map(String::as_bytes);
            client_address(ip(peer), forwarded, other.iter().map(String::as_bytes), &networks())
        };
        prop_assert_eq!(told("192.0.2.1"), ip("192.0.2.1"));
        told(PROXY);
    }

    #[test]
    fn what_a_client_wrote_before_a_proxy_s_own_word_does_not_choose_its_address(
        client in like_forwarded(),
    ) {
        // In a field of its own, or in front in the same field.
        for values in [vec![client.clone(), "for=192.0.2.7".to_owned()], vec![format!("{client}, for=192.0.2.7")]] {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            if let Ok(said) = read(&values) {
                prop_assert_eq!(said.address, ip("192.0.2.7"));
            }
        }
    }
}
