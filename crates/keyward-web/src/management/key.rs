//! Endpoints of keys.

use super::call::JSON;
use super::endpoint::{Allowed, BASE, Outcome};
use super::list::Paging;
use super::team::{bad_member, check_members};
use crate::answer::Answer;
use crate::problem::{Problem, ProblemKind};
use crate::site::Site;
use futures_util::FutureExt as _;
use keyward_authority::Error;
use keyward_authority::key_set::{Imported, KeySet, Step};
use keyward_jose::x509::{AlternativeName, Subject, certificates_from_pem, request_to_pem};
use keyward_jose::{Algorithm, Key};
use keyward_model::resource::KeysIn;
use keyward_model::{Name, Timestamp};
use keyward_store::StoredKey;
use keyward_store::management::Author;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// A key as it is told: everything but its private part.
fn told(site: &Site, key: &StoredKey) -> Value {
    let at = |at: Option<Timestamp>| at.map(|at| at.to_string());
    let public: Value = serde_json::from_str(&key.public_jwk).unwrap_or_default();
    json!({
        "kid": key.kid,
        "algorithm": key.algorithm,
        "purpose": key.purpose.as_str(),
        "state": key.state.as_str(),
        "published_at": key.times.published.to_string(),
        "ready_at": key.times.ready.to_string(),
        "activated_at": at(key.times.activated),
        "retiring_at": at(key.times.retiring),
        "retired_at": at(key.times.retired),
        "withdrawn_at": at(key.times.withdrawn),
        "public_jwk": public,
        "kept_in": kept_in(key),
        "missing": site.keys().is_missing(key),
    })
}

/// Where the private part is; null once it is gone.
fn kept_in(key: &StoredKey) -> Option<&'static str> {
    let place = match key.module_key {
        Some(_) => KeysIn::Pkcs11,
        None if key.state.keeps_private_part() => KeysIn::Database,
        None => return None,
    };
    Some(place.as_str())
}

/// A set that an address names, and who may do something with it.
pub(super) struct Addressed<'c> {
    pub(super) set: Arc<KeySet>,
    pub(super) name: Name,
    pub(super) team: keyward_model::id::TeamId,
    address: String,
    allowed: Allowed<'c>,
}

impl<'c> Addressed<'c> {
    pub(super) fn of(site: &Site, allowed: Allowed<'c>) -> Result<Self, Problem> {
        let team = allowed.team()?.id;
        let name: Name = allowed
            .call
            .path("key")
            .parse()
            .map_err(|_| Problem::not_found())?;
        let sets = site.keys().sets();
        let set = sets.get(team, &name).map(Arc::clone);
        Ok(Self {
            set: set.ok_or_else(Problem::not_found)?,
            name,
            team,
            address: allowed.call.address.to_string(),
            allowed,
        })
    }

    /// The same, to change keys: those of the issuer `self` sign for the whole deployment, managers' tokens among it.
    fn to_change(site: &Site, allowed: Allowed<'c>) -> Result<Self, Problem> {
        let addressed = Self::of(site, allowed)?;
        if addressed.set.plan().is_own() && !addressed.allowed.manager.is_operator() {
            return Err(Problem::new(
                ProblemKind::Forbidden,
                "Only an operator changes the keys of the issuer `self`: they sign for everyone",
            ));
        }
        Ok(addressed)
    }

    pub(super) fn place(&self) -> (keyward_model::id::TeamId, &Name) {
        (self.team, &self.name)
    }

    pub(super) fn author(&self) -> Author<'_> {
        self.allowed
            .call
            .author(&self.allowed.permit, &self.address)
    }

    pub(super) fn body(&self) -> Result<Value, Problem> {
        self.allowed.call.json(JSON)
    }

    fn kid(&self) -> &str {
        self.allowed.call.path("kid")
    }
}

/// What the module itself says is the operator's to know.
const MODULE_AWAY: &str = "The key is in a PKCS#11 token that does not do what is asked of it: try again when the operator has looked after it";
const NO_MODULE: &str =
    "The keys of this set are in a PKCS#11 token, and this node has none: ask another node";

/// What the keeper says.
pub(super) fn refused(error: Error) -> Problem {
    let text = error.to_string();
    match error {
        Error::UnknownKey { .. } | Error::UnknownSet { .. } => Problem::not_found(),
        Error::Jose(keyward_jose::Error::Signer(_)) | Error::Module { .. } => {
            Problem::new(ProblemKind::Unavailable, MODULE_AWAY).because(text)
        }
        Error::NoModule { .. } => Problem::new(ProblemKind::Unavailable, NO_MODULE).because(text),
        Error::Jose(_) => Problem::new(ProblemKind::Unfit, text),
        Error::Unfit(_) => bad_member("", &text),
        Error::KnownKey { .. } | Error::Store(keyward_store::Error::Exists { .. }) => {
            Problem::new(ProblemKind::Exists, text)
        }
        Error::Store(keyward_store::Error::Conflict { .. }) | Error::Unsettled { .. } => {
            Problem::new(
                ProblemKind::Contended,
                "Others are changing the same keys: look at them, and try again",
            )
        }
        Error::Store(error) => error.into(),
        Error::Torn { .. } | Error::Internal(_) => {
            Problem::new(ProblemKind::Internal, "Something went wrong here").because(text)
        }
    }
}

/// `GET …/keys`: in all states, the first published first.
pub(crate) fn list<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
        let team = allowed.team()?.id;
        let call = allowed.call;
        let paging = Paging::of(site, call, &["keys", &team.to_string(), call.path("key")])?;
        let addressed = Addressed::of(site, allowed)?;
        let mut keys = site.store().keys(team, addressed.name.as_str()).await?;
        if let Some(after) = paging.after.as_ref().and_then(Value::as_str) {
            let at = keys.iter().position(|key| key.id.to_string() == after);
            keys.drain(..at.map_or(0, |at| at + 1));
        }
        let end = |key: &StoredKey| json!(key.id.to_string());
        Ok(Answer::ok(
            paging.page(site, keys, end, |key| told(site, &key)),
        ))
    }
    .boxed()
}

/// `GET …/keys/{kid}`.
pub(crate) fn show<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
        let addressed = Addressed::of(site, allowed)?;
        let keys = site
            .store()
            .keys(addressed.team, addressed.name.as_str())
            .await?;
        let key = keys.iter().find(|key| key.kid == addressed.kid());
        Ok(Answer::ok(told(site, key.ok_or_else(Problem::not_found)?)))
    }
    .boxed()
}

/// `POST …/keys`: made here, or brought as a private JWK or PEM.
pub(crate) fn create<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
        let addressed = Addressed::to_change(site, allowed)?;
        let body = addressed.body()?;
        check_members(&body, &["algorithm", "private_jwk", "private_pem"])?;
        let algorithm = algorithm(&body)?;
        let keys = site.keys();
        let (place, author) = (addressed.place(), addressed.author());
        let made = match brought(&body)? {
            Some(key) => {
                let imported = Imported { key, algorithm };
                keys.import(place, imported, author).await
            }
            None => keys.create(place, algorithm, author).await,
        };
        let made = made.map_err(refused)?;
        let team = &addressed.allowed.team()?.name;
        let location = format!(
            "{BASE}/teams/{team}/key-sets/{}/keys/{}",
            addressed.name,
            encoded(&made.kid)
        );
        Ok(Answer::created(told(site, &made), location))
    }
    .boxed()
}

/// As a part of an address.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// The algorithm that a body names.
pub(super) fn algorithm(body: &Value) -> Result<Option<Algorithm>, Problem> {
    let Some(written) = body.get("algorithm") else {
        return Ok(None);
    };
    let known = written.as_str().and_then(|text| text.parse().ok());
    known.map(Some).ok_or_else(|| {
        bad_member(
            "/algorithm",
            "it is no algorithm: write one that the set has",
        )
    })
}

/// The private key in a body. Nothing of it goes into a message.
fn brought(body: &Value) -> Result<Option<Key>, Problem> {
    match (body.get("private_jwk"), body.get("private_pem")) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(bad_member(
            "/private_pem",
            "it stands beside `private_jwk`: bring one key",
        )),
        (Some(jwk), None) => {
            let Value::Object(members) = jwk else {
                return Err(bad_member("/private_jwk", "it is a private JWK: an object"));
            };
            let read = Key::from_jwk_value(members);
            read.map(Some)
                .map_err(|error| bad_member("/private_jwk", &error.to_string()))
        }
        (None, Some(pem)) => {
            let read = pem.as_str().map(Key::from_pem);
            match read {
                Some(Ok(key)) => Ok(Some(key)),
                Some(Err(error)) => Err(bad_member("/private_pem", &error.to_string())),
                None => Err(bad_member("/private_pem", "it is PEM: a text")),
            }
        }
    }
}

/// `POST …/keys/{kid}/activate`.
pub(crate) fn activate<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    step(site, allowed, Step::Activate)
}

/// `POST …/keys/{kid}/retire`.
pub(crate) fn retire<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    step(site, allowed, Step::Retire)
}

/// `POST …/keys/{kid}/withdraw`.
pub(crate) fn withdraw<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    step(site, allowed, Step::Withdraw)
}

fn step<'c>(site: &'c Site, allowed: Allowed<'c>, step: Step) -> Outcome<'c> {
    async move {
        let addressed = Addressed::to_change(site, allowed)?;
        let stepped = site
            .keys()
            .step(addressed.place(), addressed.kid(), step, addressed.author())
            .await;
        Ok(Answer::ok(told(site, &stepped.map_err(refused)?)))
    }
    .boxed()
}

/// `POST …/keys/{kid}/certificate-request`.
pub(crate) fn request_certificate<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
        let addressed = Addressed::to_change(site, allowed)?;
        let subject = subject(&addressed.body()?)?;
        let request = site
            .keys()
            .certificate_request(
                addressed.place(),
                addressed.kid(),
                subject,
                addressed.author(),
            )
            .await
            .map_err(refused)?;
        Ok(Answer::ok(json!({ "pem": request_to_pem(&request) })))
    }
    .boxed()
}

/// `PUT …/keys/{kid}/certificates`.
pub(crate) fn certify<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
        let addressed = Addressed::to_change(site, allowed)?;
        let body = addressed.body()?;
        check_members(&body, &["pem"])?;
        let pem = body.get("pem").and_then(Value::as_str).unwrap_or_default();
        let chain =
            certificates_from_pem(pem).map_err(|error| bad_member("/pem", &error.to_string()))?;
        let certified = site
            .keys()
            .certify(
                addressed.place(),
                addressed.kid(),
                chain,
                addressed.author(),
            )
            .await;
        Ok(Answer::ok(told(site, &certified.map_err(refused)?)))
    }
    .boxed()
}

/// Whom a certificate is for.
fn subject(body: &Value) -> Result<Subject, Problem> {
    check_members(
        body,
        &[
            "common_name",
            "organization",
            "organizational_unit",
            "country",
            "dns_names",
            "ip_addresses",
            "emails",
            "uris",
        ],
    )?;
    let text = |name: &str| -> Result<Option<String>, Problem> {
        match body.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
            Some(_) => Err(bad_member(
                &format!("/{name}"),
                "it is a text that isn't empty",
            )),
        }
    };
    let empty = Map::new();
    let members = body.as_object().unwrap_or(&empty);
    let mut names = Vec::new();
    for (name, alternative) in ALTERNATIVE_NAMES {
        let Some(list) = members.get(*name) else {
            continue;
        };
        let bad = |index: usize| bad_member(&format!("/{name}/{index}"), "it is none");
        let list = list
            .as_array()
            .ok_or_else(|| bad_member(&format!("/{name}"), "it is a list"))?;
        for (index, member) in list.iter().enumerate() {
            let made = member.as_str().and_then(alternative);
            names.push(made.ok_or_else(|| bad(index))?);
        }
    }
    Ok(Subject {
        common_name: text("common_name")?,
        organization: text("organization")?,
        organizational_unit: text("organizational_unit")?,
        country: text("country")?,
        alternative_names: names,
    })
}

type ReadAlternative = fn(&str) -> Option<AlternativeName>;

const ALTERNATIVE_NAMES: &[(&str, ReadAlternative)] = &[
    ("dns_names", |text| {
        Some(AlternativeName::Dns(text.to_owned()))
    }),
    ("ip_addresses", |text| {
        text.parse().ok().map(AlternativeName::Ip)
    }),
    ("emails", |text| {
        Some(AlternativeName::Email(text.to_owned()))
    }),
    ("uris", |text| Some(AlternativeName::Uri(text.to_owned()))),
];
