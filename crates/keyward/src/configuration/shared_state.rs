//! Reading `shared_state`: what several nodes count limits in together.

use super::NodeConfiguration;
use super::address::is_local;
use super::database::password_in_clear;
use super::file;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use keyward_model::Secret;
use keyward_model::limit::OnOutage;
use keyward_model::resource::Spec;
use keyward_model::resource::raw::{Declared, Field, Problems};
use keyward_state::shared::{PREFIX_DEFAULT, SharedSettings, WAIT_DEFAULT};
use serde_json::json;
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// The largest file of certificate authorities.
const AUTHORITIES_MAX_BYTES: u64 = 1 << 20;

/// Waiting longer for a limit than this is worse than not knowing it.
const WAIT_MAX: Duration = Duration::from_secs(5);

const ADVICE: &str = "write `memory`, `redis://host:6379`, or `rediss://host:6379` for TLS, with `user:password@` before the host where the server asks for it";

/// Redis or Valkey.
#[derive(Clone)]
pub(crate) struct SharedState {
    /// With the password, if there is one.
    url: Secret<String>,
    /// Without it.
    shown: Box<str>,
    authorities: Option<Vec<u8>>,
    timeout: Duration,
    prefix: Box<str>,
}

impl fmt::Debug for SharedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedState({})", self.shown)
    }
}

impl PartialEq for SharedState {
    fn eq(&self, other: &Self) -> bool {
        let (mine, others) = (self.url.reveal(), other.url.reveal());
        verify_slices_are_equal(mine.as_bytes(), others.as_bytes()).is_ok()
            && self.authorities == other.authorities
            && self.timeout == other.timeout
            && self.prefix == other.prefix
    }
}

impl SharedState {
    /// For the state itself.
    pub(crate) fn settings(&self) -> SharedSettings {
        SharedSettings {
            url: self.url.clone(),
            authorities: self.authorities.clone(),
            wait: self.timeout,
            prefix: self.prefix.clone(),
        }
    }

    /// For `check --json`, without the password.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        json!({
            "url": self.shown,
            "timeout": self.timeout.as_secs_f64(),
            "prefix": self.prefix,
            "own_authorities": self.authorities.is_some(),
        })
    }
}

/// `memory`, an address, or an address with what else is said of it. The outer `None`: something is wrong.
pub(super) fn read(
    field: Field<'_>,
    directory: &Path,
    problems: &mut Problems,
) -> Option<Option<SharedState>> {
    if field.as_text() == Some("memory") {
        return Some(None);
    }
    if field.as_text().is_some() {
        return Some(Some(state(field, problems)?));
    }
    let fields = field.fields(&["url", "ca", "timeout", "prefix"], problems)?;
    let url = fields.required("url", ADVICE, problems)?;
    let mut state = state(url, problems)?;
    if let Some(field) = fields.optional("ca") {
        let path = directory.join(field.text(problems)?);
        match file::read(&path, AUTHORITIES_MAX_BYTES) {
            Ok(pem) => state.authorities = Some(pem),
            Err(why) => {
                problems.error(field.place(), "file", format!("`ca`: {why}"));
                return None;
            }
        }
        if !state.shown.starts_with("rediss://") {
            problems.error(
                field.place(),
                "contradiction",
                "`ca`: a connection in clear checks no certificate: write `rediss://` in `url`, or take `ca` out",
            );
        } else if let Err(error) = state.settings().check() {
            problems.error(field.place(), "bad_value", format!("`ca`: {error}"));
            return None;
        }
    }
    if let Some(field) = fields.optional("timeout") {
        let timeout = field.positive_duration(problems)?;
        if timeout > WAIT_MAX {
            field.refuse(
                "is longer than 5s: so long would a call wait when the server is lost",
                problems,
            );
            return None;
        }
        state.timeout = timeout;
    }
    if let Some(field) = fields.optional("prefix") {
        state.prefix = field.parsed(
            |text| {
                let good = text.len() <= 64
                    && text
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b));
                good.then(|| text.into())
            },
            "is no prefix: it has letters, digits, `-`, `_`, `.`, `:`, 64 at most",
            problems,
        )?;
    }
    Some(Some(state))
}

/// What stands in the address is never repeated: it may have a password.
fn state(field: Field<'_>, problems: &mut Problems) -> Option<SharedState> {
    let text = field.text(problems)?;
    let key = field.key();
    let refused = |problems: &mut Problems, why: &str| {
        problems.error(
            field.place(),
            "bad_value",
            format!("`{key}`: it {why}: {ADVICE}"),
        );
    };
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    if !matches!(scheme, "redis" | "rediss") {
        refused(problems, "is none that is known");
        return None;
    }
    let (credentials, at) = match rest.rsplit_once('@') {
        Some((credentials, at)) => (Some(credentials), at),
        None => (None, rest),
    };
    let (authority, database) = at.split_once('/').unwrap_or((at, ""));
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    if host.is_empty() {
        refused(problems, "names no host");
        return None;
    }
    // Options of other clients, such as not to look at the server's certificate.
    if authority.contains(['#', '?']) || !database.bytes().all(|b| b.is_ascii_digit()) {
        refused(
            problems,
            "has something behind the host that is no number of a database",
        );
        return None;
    }
    if credentials.is_some() {
        password_in_clear(field, problems);
    }
    if scheme == "redis" && !is_local(host) {
        problems.warning(
            field.place(),
            "clear_text",
            format!(
                "`{key}`: what goes to {host} can be read and changed on its way, the password too: write `rediss://`"
            ),
        );
    }
    let state = SharedState {
        url: Secret::new(text.to_owned()),
        shown: format!("{scheme}://{at}").into(),
        authorities: None,
        timeout: WAIT_DEFAULT,
        prefix: PREFIX_DEFAULT.into(),
    };
    // What only the client itself can tell.
    if let Err(error) = state.settings().check() {
        problems.error(
            field.place(),
            "bad_value",
            format!("`{key}`: {error}: {ADVICE}"),
        );
        return None;
    }
    Some(state)
}

/// Tells of what a limit says for outages where there can be none.
pub(super) fn check(
    declared: &Declared,
    configuration: Option<&NodeConfiguration>,
    problems: &mut Problems,
) {
    let Spec::Api(api) = &declared.resource.spec else {
        return;
    };
    if configuration.is_none_or(|configuration| configuration.shared_state.is_some()) {
        return;
    }
    let of_routes = api.routes.iter().flat_map(|route| &route.limits);
    let mut limits = api.limits.iter().chain(of_routes);
    if let Some(limit) = limits.find(|limit| limit.on_outage == OnOutage::Refuse) {
        problems.warning(
            declared.place(),
            "unused",
            format!(
                "the limit `{}` says `on_outage: refuse`, but this node counts in its own memory (`shared_state`), which is never away",
                limit.name
            ),
        );
    }
    let dpop = api.authentication.token().map(|method| &method.dpop);
    let mut contents = api.routes.iter().filter_map(|route| route.content.as_ref());
    for (what, says) in [
        (
            "`dpop`",
            dpop.is_some_and(|dpop| dpop.on_outage == OnOutage::AllowLocally),
        ),
        (
            "`idempotency`",
            contents.any(|content| {
                let keys = content.idempotency.as_ref();
                keys.is_some_and(|keys| keys.on_outage == OnOutage::AllowLocally)
            }),
        ),
    ] {
        if says {
            problems.warning(
                declared.place(),
                "unused",
                format!(
                    "{what} says `on_outage: allow_locally`, but this node remembers what was used in its own memory (`shared_state`), which is never away"
                ),
            );
        }
    }
}
