//! What can be seen of a URL's host without asking anyone.

/// Whether the URL is one of plain HTTP, and its host.
pub(super) fn plain_and_host(url: &str) -> (bool, &str) {
    let (plain, rest) = match url.strip_prefix("http://") {
        Some(rest) => (true, rest),
        None => (false, url.strip_prefix("https://").unwrap_or(url)),
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    (plain, host)
}

/// Whether the host is on this machine or in a private network.
pub(super) fn is_local(host: &str) -> bool {
    match host.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(v4)) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        Ok(std::net::IpAddr::V6(v6)) => {
            v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local()
        }
        Err(_) => host == "localhost" || host.ends_with(".localhost") || !host.contains('.'),
    }
}
