//! What no page and no client of ours sends, refused before anything else is looked at.
//!
//! A page of another origin can make a browser send calls here (cross-site request forgery), and a name that
//! somebody else owns can be made to point here (DNS rebinding). There is no CORS: no other origin ever reads an
//! answer. Tokens come in `Authorization`, which no page sends by itself; these checks stand in front all the same,
//! since sessions will come in cookies.

use crate::problem::{Problem, ProblemKind};
use http::header::{HOST, ORIGIN};
use http::{HeaderMap, Method, Uri};

const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// What the site is called.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    /// Scheme, host and port.
    origin: Box<str>,
    /// Hosts with their ports that calls may name.
    hosts: Vec<Box<str>>,
}

impl Guard {
    /// For a site of this address, which may also be called by what stands in `hosts`.
    pub(crate) fn new(site_url: &str, hosts: &[String]) -> Self {
        let (scheme, rest) = site_url.split_once("://").unwrap_or(("http", site_url));
        let authority = rest.split('/').next().unwrap_or_default();
        let authority = authority.to_ascii_lowercase();
        // A browser leaves out the port that the scheme has anyway.
        let usual = if scheme == "https" { ":443" } else { ":80" };
        let short = authority.strip_suffix(usual).unwrap_or(&authority);
        let mut all: Vec<Box<str>> = vec![short.into(), format!("{short}{usual}").into()];
        if short
            .rsplit_once(':')
            .is_some_and(|(_, port)| is_port(port))
        {
            all.truncate(1);
        }
        all.extend(hosts.iter().map(|host| host.to_ascii_lowercase().into()));
        Self {
            origin: format!("{scheme}://{short}").into(),
            hosts: all,
        }
    }

    /// Refuses calls to another host, and unsafe ones of pages of another origin.
    pub(crate) fn check(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<(), Problem> {
        self.check_host(uri, headers)?;
        if method.is_safe() {
            return Ok(());
        }
        let refused = |why: &str| Err(Problem::new(ProblemKind::CrossSite, why));
        // `none`: somebody's own doing, such as an address that was typed in; no page could make it unsafe.
        let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
        if sites.any(|site| site != "same-origin" && site != "none") {
            return refused("A page of another origin sent this: nothing is changed for it");
        }
        let mut origins = headers.get_all(ORIGIN).iter();
        if origins.any(|origin| origin.as_bytes() != self.origin.as_bytes()) {
            return refused(
                "The call comes from a page of another origin: nothing is changed for it",
            );
        }
        Ok(())
    }

    fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        let mut named = headers.get_all(HOST).iter();
        let (Some(host), None) = (named.next(), named.next()) else {
            return Err(Problem::of_member(
                ProblemKind::Malformed,
                "header:host",
                "host",
                "A call names its host once",
            ));
        };
        let known = |host: &str| {
            let host = host.to_ascii_lowercase();
            self.hosts.iter().any(|known| **known == *host)
        };
        let of_target = uri.authority().is_none_or(|host| known(host.as_str()));
        if of_target && host.to_str().is_ok_and(known) {
            return Ok(());
        }
        Err(Problem::new(
            ProblemKind::UnknownHost,
            "The site is not called by this host: call it by its `site_url`",
        ))
    }
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    fn status(guard: &Guard, method: Method, headers: &[(&'static str, &'static str)]) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        match guard.check(&method, &Uri::from_static("/api/v1/me"), &map) {
            Ok(()) => StatusCode::OK.as_u16(),
            Err(problem) => problem.kind().status().as_u16(),
        }
    }

    #[test]
    fn calls_name_a_host_that_the_site_has() {
        let https = Guard::new("https://Keyward.example", &[]);
        let local = Guard::new("http://localhost:8090", &["127.0.0.1:8090".to_owned()]);
        for (guard, host, expected) in [
            (&https, "keyward.example", 200),
            (&https, "KEYWARD.example:443", 200),
            (&https, "keyward.example:80", 421),
            (&https, "evil.example", 421),
            (&local, "localhost:8090", 200),
            (&local, "127.0.0.1:8090", 200),
            (&local, "localhost", 421),
            (&local, "localhost:8090:80", 421),
            (&local, "", 421),
        ] {
            assert_eq!(
                status(guard, Method::GET, &[("host", host)]),
                expected,
                "{host}"
            );
        }
        assert_eq!(status(&https, Method::GET, &[]), 400);
        let twice = [("host", "keyward.example"), ("host", "keyward.example")];
        assert_eq!(status(&https, Method::GET, &twice), 400);
    }

    #[test]
    fn pages_of_other_origins_change_nothing() {
        let guard = Guard::new("https://keyward.example", &[]);
        for (method, name, value, expected) in [
            (Method::POST, "origin", "https://keyward.example", 200),
            (Method::POST, "origin", "https://keyward.example:443", 403),
            (Method::POST, "origin", "http://keyward.example", 403),
            (Method::POST, "origin", "https://evil.example", 403),
            (Method::DELETE, "origin", "null", 403),
            (Method::PATCH, "sec-fetch-site", "same-origin", 200),
            (Method::PATCH, "sec-fetch-site", "none", 200),
            (Method::PUT, "sec-fetch-site", "same-site", 403),
            (Method::PUT, "sec-fetch-site", "cross-site", 403),
            (Method::GET, "sec-fetch-site", "cross-site", 200),
            (Method::GET, "origin", "https://evil.example", 200),
            (Method::HEAD, "origin", "https://evil.example", 200),
        ] {
            let headers = [("host", "keyward.example"), (name, value)];
            let shown = format!("{method} {name}: {value}");
            assert_eq!(status(&guard, method, &headers), expected, "{shown}");
        }
    }
}
