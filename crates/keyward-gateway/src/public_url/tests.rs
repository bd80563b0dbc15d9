use super::*;

fn url(text: &str) -> PublicUrl {
    PublicUrl::parse(text).unwrap()
}

#[test]
fn addresses_are_compared_in_their_normal_form() {
    for (public, path, uri, same) in [
        (
            "https://api.example",
            "/a/b",
            "https://api.example/a/b",
            true,
        ),
        (
            "https://api.example",
            "/a/b",
            "HTTPS://API.example:443/a/b",
            true,
        ),
        (
            "https://api.example",
            "/a/b",
            "https://api.example:/a/b",
            true,
        ),
        (
            "https://api.example",
            "/a/b",
            "https://api.example/a/b?c=d#e",
            true,
        ),
        (
            "https://api.example",
            "/a%2db",
            "https://api.example/a-b",
            true,
        ),
        (
            "https://api.example",
            "/a%c3%a4",
            "https://api.example/a%C3%A4",
            true,
        ),
        ("https://api.example", "/", "https://api.example", true),
        (
            "https://api.example/gw",
            "/a",
            "https://api.example/gw/a",
            true,
        ),
        ("http://[::1]:8080", "/a", "http://[::1]:8080/a", true),
        (
            "http://localhost:8080",
            "/a",
            "http://localhost:8080/a",
            true,
        ),
        // Case counts in paths, and a slash at the end too.
        (
            "https://api.example",
            "/a/b",
            "https://api.example/A/b",
            false,
        ),
        ("https://api.example", "/a", "https://api.example/a/", false),
        (
            "https://api.example",
            "/a%2Fb",
            "https://api.example/a/b",
            false,
        ),
        ("https://api.example", "/a", "http://api.example/a", false),
        (
            "https://api.example",
            "/a",
            "https://api.example:8443/a",
            false,
        ),
        (
            "https://api.example",
            "/a",
            "https://api.example.evil/a",
            false,
        ),
        (
            "https://api.example",
            "/a",
            "https://evil@api.example/a",
            false,
        ),
        (
            "https://api.example",
            "/a",
            "https://api.example\\@evil/a",
            false,
        ),
        (
            "https://api.example/gw",
            "/a",
            "https://api.example/a",
            false,
        ),
        (
            "https://api.example/gw",
            "/a",
            "https://api.example/gwx/a",
            false,
        ),
        ("https://api.example", "/a", "/a", false),
        ("https://api.example", "/a", "ftp://api.example/a", false),
        ("https://api.example", "/a", "", false),
        ("https://api.example", "/a", "https:///a", false),
    ] {
        let found = url(public).is_address_of(path, uri);
        assert_eq!(found, same, "{public} {path} {uri}");
    }
}

#[test]
fn what_names_no_place_is_no_public_address() {
    for text in [
        "",
        "api.example",
        "https://",
        "https://a/?b",
        "https://a#b",
        "ws://a",
        "https://a b",
    ] {
        assert_eq!(PublicUrl::parse(text), None, "{text}");
    }
    assert_eq!(
        url("https://api.example:443/").to_string(),
        "https://api.example"
    );
    assert_eq!(
        url("http://api.example:443/gw/").to_string(),
        "http://api.example:443/gw"
    );
}

#[test]
fn another_host_has_the_same_scheme_and_prefix() {
    let other = url("https://api.example/gw")
        .with_host("Pets.example:443")
        .unwrap();
    assert_eq!(other.to_string(), "https://pets.example/gw");
    assert_eq!(url("https://a").with_host("evil/path"), None);
}
