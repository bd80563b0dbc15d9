//! `keyward revoke` and `keyward revocation`.

use super::input::Input;
use super::node_configuration::node_configuration;
use super::node_store::in_store;
use super::{Failure, terminal};
use crate::configuration::NodeConfiguration;
use clap::{Args, Subcommand, ValueEnum};
use keyward_gateway::credentials;
use keyward_jose::jwt::{TOKEN_MAX, peek};
use keyward_model::id::{RevocationId, TeamId};
use keyward_model::resource::issuer::SELF;
use keyward_model::resource::raw::closest;
use keyward_model::resource::{Issuer, Kind, Spec};
use keyward_model::revocation::{Revocation, RevocationKind};
use keyward_model::{Clock as _, SystemClock, Timestamp};
use keyward_state::revocation::REVOCATIONS_MAX_DEFAULT;
use keyward_store::{Author, Store};
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;

/// Who did it, in the audit log.
const ACTOR: Author<'static> = Author::local("command line");

/// How long a revocation is kept unless told otherwise: longer than tokens usually live.
const KEPT: Duration = Duration::from_secs(365 * 24 * 3600);

/// How long a token is taken after its end at most, as long as clocks may differ.
const AFTER_ITS_END: Duration = Duration::from_secs(600);

/// How far an issuer's clock may be from ours, where nothing is said of it: as for issuers by default.
const LEEWAY: Duration = Duration::from_secs(30);

/// The longest `jti`, `sub` and the like.
const VALUE_MAX_BYTES: usize = 1024;

/// Stop believing tokens before their time is over
///
/// Writes a row into the database of the node that the configuration describes. Every node that serves from
/// that database refuses what is named within a second, also where it was verified before, and ends the tunnels
/// that were opened with it. Tokens of a subject or a client that are issued later are good again, once the
/// issuer's leeway for clocks (30 seconds by default) is over.
#[derive(Args, Debug)]
pub(super) struct Revoke {
    /// What VALUE names
    #[arg(value_enum)]
    kind: Named,

    /// The token's `jti`, `sid`, `sub`, `client_id` or refresh family. Left out with --token
    #[arg(value_name = "VALUE", required_unless_present = "token")]
    value: Option<String>,

    /// Whose tokens: an issuer of the configuration by its name (`self` is this node), or an `iss` as tokens
    /// carry it
    #[arg(long, required_unless_present = "token")]
    issuer: Option<String>,

    /// Read VALUE and the issuer from this token, which is not verified; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["value", "issuer"])]
    token: Option<Input>,

    /// When the revocation can be forgotten: a time from now such as 30d, not before the last of the tokens has
    /// expired. Without this option it is the token's `exp` with --token, and else 365d
    #[arg(long, value_name = "DURATION", value_parser = super::time::seconds)]
    expires: Option<u64>,

    /// Of this team, whose own issuer it is: an issuer or key set that the team has declared, by its name or its `iss`;
    /// `urn:keyward:credentials` for its API keys and passwords, or the name of a certificate's issuer. It counts for that
    /// team's callers alone
    #[arg(long, value_name = "NAME")]
    team: Option<String>,

    /// The node's configuration. Without this option KEYWARD_CONFIG names it; without that it is keyward.yaml
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,

    /// Print the row as JSON
    #[arg(long)]
    json: bool,
}

/// What can be revoked, as it is typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Named {
    /// One token, by its `jti`
    Token,
    /// All tokens of a session, by their `sid`
    Session,
    /// All tokens of a subject that were issued so far, by their `sub`
    Subject,
    /// All tokens of a client that were issued so far, by their `client_id` or `azp`
    Client,
    /// All tokens that came from one grant
    Family,
}

impl Named {
    const fn kind(self) -> RevocationKind {
        match self {
            Self::Token => RevocationKind::TokenId,
            Self::Session => RevocationKind::Session,
            Self::Subject => RevocationKind::Subject,
            Self::Client => RevocationKind::Client,
            Self::Family => RevocationKind::Family,
        }
    }
}

/// What is to be revoked.
struct Target {
    /// The `iss`.
    issuer: String,
    value: String,
    /// When the token is over that it was read from.
    ends: Option<Timestamp>,
    /// How far the issuer's clock may be from ours.
    leeway: Duration,
}

impl Revoke {
    pub(super) fn run(self) -> Result<(), Failure> {
        let configuration = node_configuration(self.config.as_ref())?;
        let target = match &self.token {
            Some(token) => self.of_token(token, &configuration)?,
            None => {
                let written = self.issuer.as_deref().unwrap_or_default();
                let (issuer, leeway) = match &self.team {
                    // It is looked up where the team has declared it.
                    Some(_) => (written.to_owned(), LEEWAY),
                    None => named_issuer(&configuration, written)?,
                };
                Target {
                    issuer,
                    value: self.value.clone().unwrap_or_default(),
                    ends: None,
                    leeway,
                }
            }
        };
        if target.value.is_empty() || target.value.len() > VALUE_MAX_BYTES {
            return Err(Failure::usage("revoke", "VALUE has from 1 to 1,024 bytes"));
        }
        if [&target.issuer, &target.value]
            .into_iter()
            .any(|text| text.contains('\0'))
        {
            return Err(Failure::new(
                "revoke",
                "what is named has the character U+0000, which databases do not keep: name the token by something else, such as its `jti` or `sid`, or replace the issuer's keys",
                "store_nul",
            ));
        }
        let now = SystemClock::new().now();
        let expires = match (self.expires, target.ends) {
            (Some(seconds), _) => now.plus(Duration::from_secs(seconds)),
            (None, Some(ends)) => ends.plus(AFTER_ITS_END),
            (None, None) => now.plus(KEPT),
        };
        if expires <= now {
            return Err(Failure::new(
                "revoke",
                "it would be over already: the token has expired, or --expires is 0s",
                "already_over",
            ));
        }
        if let Some(ends) = target.ends
            && expires < ends.plus(AFTER_ITS_END)
        {
            terminal::complain(&format!(
                "warning: the token is good until {ends} and may be taken for 600 seconds more; it will be good again when the revocation is over, at {expires}"
            ));
        }
        let kind = self.kind.kind();
        // What was issued before is revoked by the issuer's clock, which may be ahead of ours.
        let not_before = if kind.spares_later() {
            now.plus(target.leeway)
        } else {
            now
        };
        let revocation = in_store(&configuration, async |store| {
            let (team, issuer) = match &self.team {
                None => (TeamId::DEFAULT, target.issuer.clone()),
                Some(name) => match of_team(store, name, &target.issuer).await? {
                    Ok(found) => found,
                    Err(why) => return Ok(Err(why)),
                },
            };
            if store.revocation_count(None, now).await? >= REVOCATIONS_MAX_DEFAULT.get() {
                let why = format!(
                    "{REVOCATIONS_MAX_DEFAULT} revocations are in force, which is all that a node takes in; remove those that are not needed, or replace the issuer's keys"
                );
                return Ok(Err(Failure::new("revoke", why, "too_many")));
            }
            let revocation = store
                .insert_revocation(
                    team,
                    &issuer,
                    kind,
                    &target.value,
                    not_before,
                    expires,
                    ACTOR,
                    now,
                )
                .await?;
            Ok(Ok(revocation))
        })??;
        if self.json {
            return terminal::write_line(&shown(&revocation).to_string());
        }
        terminal::write_line(&terminal::visible(&format!(
            "revoked {} {} of {} until {} (revocation {})",
            kind.as_str(),
            revocation.value,
            revocation.issuer,
            revocation.expires,
            revocation.id
        )))
    }

    /// What a token says of itself. It is not verified: whoever may write revocations may name anything.
    fn of_token(
        &self,
        token: &Input,
        configuration: &NodeConfiguration,
    ) -> Result<Target, Failure> {
        let text = token.read_line(TOKEN_MAX)?;
        let peek = peek(&text).map_err(Failure::jose("revoke"))?;
        let claims = peek.claims();
        let text = |name: &str| {
            let value = claims.map().get(name).and_then(|value| value.as_str());
            value.map(str::to_owned)
        };
        let names: &[&str] = match self.kind {
            Named::Token => &["jti"],
            Named::Session => &["sid"],
            Named::Subject => &["sub"],
            Named::Client => &["client_id", "azp"],
            Named::Family => &["keyward_family"],
        };
        let value = names.iter().find_map(|name| text(name));
        let missing = |name: &str| {
            let why = format!("the token has no `{name}`, so that it can't be named by it");
            Failure::new("revoke", why, "claim_missing")
        };
        let issuer = text("iss").ok_or_else(|| missing("iss"))?;
        let known = by_iss(configuration, &issuer).filter(|_| self.team.is_none());
        if known.is_none() && self.team.is_none() {
            complain_of_unknown(&issuer);
        }
        // A subject's other tokens may live longer than this one.
        let alone = matches!(self.kind, Named::Token);
        Ok(Target {
            leeway: known.flatten().map_or(LEEWAY, |issuer| issuer.leeway),
            issuer,
            value: value.ok_or_else(|| missing(names.first().copied().unwrap_or_default()))?,
            ends: claims
                .expiry()
                .filter(|_| alone)
                .map(|at| Timestamp::from_seconds(at.0)),
        })
    }
}

/// The revocations in force
#[derive(Debug, Subcommand)]
pub(super) enum Revocations {
    List(List),
    Remove(Remove),
}

impl Revocations {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::List(command) => command.run(),
            Self::Remove(command) => command.run(),
        }
    }
}

/// List the revocations in force, one a line, the oldest first
#[derive(Args, Debug)]
pub(super) struct List {
    /// The node's configuration. Without this option KEYWARD_CONFIG names it; without that it is keyward.yaml
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,

    /// Print each as JSON
    #[arg(long)]
    json: bool,
}

impl List {
    fn run(self) -> Result<(), Failure> {
        let configuration = node_configuration(self.config.as_ref())?;
        let now = SystemClock::new().now();
        let all = in_store(&configuration, async |store| store.revocations(now).await)?;
        for revocation in all {
            let line = if self.json {
                shown(&revocation).to_string()
            } else {
                terminal::visible(&format!(
                    "{} {} {} of {} before {} until {}",
                    revocation.id,
                    revocation.kind.as_str(),
                    revocation.value,
                    revocation.issuer,
                    revocation.not_before,
                    revocation.expires
                ))
            };
            terminal::write_line(&line)?;
        }
        Ok(())
    }
}

/// Take a revocation back, by its id
///
/// What it named is believed again within a second, unless another revocation names it too.
#[derive(Args, Debug)]
pub(super) struct Remove {
    /// As `keyward revocation list` shows it
    id: String,

    /// The node's configuration. Without this option KEYWARD_CONFIG names it; without that it is keyward.yaml
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,
}

impl Remove {
    fn run(self) -> Result<(), Failure> {
        let id: RevocationId = self.id.parse().map_err(|error: keyward_model::id::NoId| {
            Failure::usage("revocation remove", error.to_string())
        })?;
        let configuration = node_configuration(self.config.as_ref())?;
        let now = SystemClock::new().now();
        let removed = in_store(&configuration, async |store| {
            store.remove_revocation(id, None, ACTOR, now).await
        })?;
        if removed {
            return Ok(());
        }
        Err(Failure::new(
            "revocation remove",
            format!("there is no revocation {id}: `keyward revocation list` shows those there are"),
            "not_found",
        ))
    }
}

/// A team by its name, and the `iss` of its issuer or key set that is written so: by its name, or as tokens carry it.
async fn of_team(
    store: &Store,
    name: &str,
    written: &str,
) -> Result<Result<(TeamId, String), Failure>, keyward_store::Error> {
    let refused = |why: String, code| Ok(Err(Failure::new("revoke", why, code)));
    let teams = store.teams().await?;
    let Some(team) = teams.into_iter().find(|team| team.name.as_str() == name) else {
        return refused(format!("there is no team `{name}`"), "unknown_team");
    };
    let resources = store.resources().await?;
    let own = resources.iter().filter(|one| one.team == team.id);
    let own = own.filter(|one| {
        [Kind::Issuer, Kind::KeySet]
            .iter()
            .any(|kind| kind.as_str() == one.kind)
    });
    let mut own = own.filter_map(|one| {
        let body: serde_json::Value = serde_json::from_str(&one.body).ok()?;
        let issuer = body.get("issuer")?.as_str()?;
        (one.name.as_str() == written || issuer == written).then(|| issuer.to_owned())
    });
    match own.next() {
        Some(issuer) => Ok(Ok((team.id, issuer))),
        None if written == credentials::ISSUER => Ok(Ok((team.id, written.to_owned()))),
        // As where no team is named: of one that was declared once, or of certificates.
        None if written.contains([':', '=']) => {
            terminal::complain(&terminal::visible(&format!(
                "warning: no issuer and no key set of the team `{name}` has the `iss` {written:?}: nobody is refused unless callers of its APIs come with exactly this one, such as with a certificate"
            )));
            Ok(Ok((team.id, written.to_owned())))
        }
        None => refused(
            format!(
                "no issuer and no key set of the team `{name}` is called `{written}` or has that `iss`"
            ),
            "unknown_issuer",
        ),
    }
}

fn shown(revocation: &Revocation) -> serde_json::Value {
    json!({
        "id": revocation.id,
        "team": revocation.team,
        "issuer": revocation.issuer,
        "kind": revocation.kind.as_str(),
        "value": revocation.value,
        "not_before": revocation.not_before.to_string(),
        "expires": revocation.expires.to_string(),
    })
}

/// The issuers of a configuration, with their names.
fn issuers(configuration: &NodeConfiguration) -> impl Iterator<Item = (&str, &Issuer)> {
    let declared = configuration.resources.iter();
    declared.filter_map(|declared| match &declared.resource.spec {
        Spec::Issuer(issuer) => Some((declared.resource.name.as_str(), issuer)),
        Spec::Upstream(_)
        | Spec::Api(_)
        | Spec::Credential(_)
        | Spec::Role(_)
        | Spec::AccessPolicy(_)
        | Spec::KeySet(_)
        | Spec::Webhook(_)
        | Spec::ManagementRole(_)
        | Spec::Provider(_)
        | Spec::Model(_)
        | Spec::Prompt(_) => None,
    })
}

/// Whether callers can have this `iss` here, with the issuer of the configuration whose it is.
fn by_iss<'c>(configuration: &'c NodeConfiguration, iss: &str) -> Option<Option<&'c Issuer>> {
    let ours = [&*configuration.site_url, credentials::ISSUER].contains(&iss);
    let known = issuers(configuration).find(|(_, issuer)| *issuer.issuer == *iss);
    match known {
        Some((_, issuer)) => Some(Some(issuer)),
        None => ours.then_some(None),
    }
}

/// The `iss` that is meant, and how far its clock may be from ours.
///
/// # Errors
/// What is neither the name of an issuer of the configuration nor can be an `iss`: nothing would be revoked.
fn named_issuer(
    configuration: &NodeConfiguration,
    written: &str,
) -> Result<(String, Duration), Failure> {
    if written == SELF {
        return Ok((configuration.site_url.to_string(), LEEWAY));
    }
    if let Some((_, issuer)) = issuers(configuration).find(|(name, _)| *name == written) {
        return Ok((issuer.issuer.to_string(), issuer.leeway));
    }
    match by_iss(configuration, written) {
        Some(known) => {
            let leeway = known.map_or(LEEWAY, |issuer| issuer.leeway);
            return Ok((written.to_owned(), leeway));
        }
        // An address or a URN, or the name of a certificate's issuer, of one that was configured once.
        None if written.contains([':', '=']) => {
            complain_of_unknown(written);
            return Ok((written.to_owned(), LEEWAY));
        }
        None => {}
    }
    let names = issuers(configuration).map(|(name, _)| name);
    let hint = match closest(written, names.chain([SELF])) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "name one of the configuration, `self`, or an `iss` as tokens carry it".to_owned(),
    };
    Err(Failure::new(
        "revoke",
        format!("there is no issuer `{written}`: {hint}"),
        "unknown_issuer",
    ))
}

fn complain_of_unknown(iss: &str) {
    terminal::complain(&terminal::visible(&format!(
        "warning: no issuer of the configuration has the `iss` {iss:?}: nobody is refused unless callers come with exactly this one"
    )));
}
