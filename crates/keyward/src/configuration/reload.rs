//! What of a configuration takes effect while the node runs, and what needs a new process.

use super::NodeConfiguration;
use super::listener::Listener;
use super::pkcs11::is_same;

/// Whether listeners differ in no more than what those that speak TLS agree on with their clients: that can be
/// another for the next connection. Certificates that are obtained have tasks of their own since the start.
pub(crate) fn listeners_can_follow(running: &[Listener], read: &[Listener]) -> bool {
    let pairs = running.iter().zip(read);
    let follows = |(mine, other): (&Listener, &Listener)| match (&mine.tls, &other.tls) {
        (Some(tls), Some(new)) if tls.acme == new.acme => {
            let as_before = Listener {
                tls: mine.tls.clone(),
                protocols: mine.protocols,
                ..other.clone()
            };
            as_before == *mine
        }
        (Some(_) | None, _) => mine == other,
    };
    running.len() == read.len() && pairs.into_iter().all(follows)
}

/// The keys at the top of `keyward.yaml` whose values differ between what a process was started with and
/// what was read now, and that only a new process can follow: sockets, threads and the database are made
/// when it starts.
pub(crate) fn needing_restart(
    running: &NodeConfiguration,
    read: &NodeConfiguration,
) -> Vec<&'static str> {
    // Written out in full, so that whoever adds a setting says here on which side it stands.
    let NodeConfiguration {
        listeners,
        gateway_url,
        site_url: _,
        data_dir,
        postgres,
        pkcs11,
        master_key,
        workers,
        trusted_proxies,
        failed_attempts,
        site,
        limits,
        access_log: _,
        audit_kept,
        tracing,
        captures,
        egress_allow,
        upstreams_allow,
        shared_state,
        resources: _,
    } = running;
    [
        (
            "listeners",
            !listeners_can_follow(listeners, &read.listeners),
        ),
        ("gateway_url", *gateway_url != read.gateway_url),
        ("data_dir", *data_dir != read.data_dir),
        ("database", *postgres != read.postgres),
        ("pkcs11", !is_same(pkcs11.as_ref(), read.pkcs11.as_ref())),
        ("master_key", *master_key != read.master_key),
        ("workers", *workers != read.workers),
        ("trusted_proxies", *trusted_proxies != read.trusted_proxies),
        ("failed_attempts", *failed_attempts != read.failed_attempts),
        ("site", *site != read.site),
        ("limits", *limits != read.limits),
        ("audit", *audit_kept != read.audit_kept),
        // Whether there is any is decided at the start; all else of them can change.
        ("tracing", tracing.is_some() != read.tracing.is_some()),
        ("captures", captures.is_some() != read.captures.is_some()),
        ("egress", *egress_allow != read.egress_allow),
        ("shared_state", *shared_state != read.shared_state),
        ("network", *upstreams_allow != read.upstreams_allow),
    ]
    .into_iter()
    .filter_map(|(key, differs)| differs.then_some(key))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn what_is_made_at_the_start_needs_another_start() {
        let running = NodeConfiguration::default();
        assert!(needing_restart(&running, &running).is_empty());

        let mut read = running.clone();
        read.workers = Some(7);
        read.data_dir = PathBuf::from("elsewhere");
        read.listeners.pop();
        read.postgres = keyward_store::PostgresSettings::parse("postgres://u@h/db").ok();
        assert_eq!(
            needing_restart(&running, &read),
            ["listeners", "data_dir", "database", "workers"]
        );
    }

    #[test]
    fn what_is_read_on_each_call_does_not() {
        let running = NodeConfiguration::default();
        let mut read = running.clone();
        read.site_url = "https://login.example".into();
        read.access_log.format = crate::configuration::access_log::LogFormat::Json;
        assert!(needing_restart(&running, &read).is_empty());
    }
}
