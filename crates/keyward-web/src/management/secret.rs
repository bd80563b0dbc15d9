//! Secrets in what is declared: taken out on the way in, put in for use, and never told.
//!
//! A body that is stored or answered has a reference, `${SECRET:…}`, where a secret was: a keyed hash of the secret
//! and its team, so that the same secret has the same reference and a changed one is seen. A reference counts only
//! where its kind has a secret: anywhere else it would let whoever may write there read it.

use super::kind::{Kept, KindDescription};
use crate::node::Node;
use crate::problem::MemberFlaw;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyward_model::Secret;
use keyward_model::id::TeamId;
use keyward_model::resource::raw::{Node as Tree, Text, Value as TreeValue};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt;

const BEGIN: &str = "${SECRET:";
const END: char = '}';
/// How many bytes of the hash a reference has: two secrets of a team never share one by chance.
const LENGTH: usize = 18;
/// The same in base64url.
const TEXT_LENGTH: usize = 24;

/// What is in the names of headers and parameters whose values are secrets. Whoever calls something else so is told a
/// reference in its place, which harms nothing.
const SECRET_NAMES: [&str; 9] = [
    "auth",
    "cookie",
    "credential",
    "key",
    "pass",
    "secret",
    "session",
    "signature",
    "token",
];

/// What values of headers begin with that are credentials whatever the header is called, in small letters.
const SECRET_VALUES: [&str; 3] = ["basic ", "bearer ", "digest "];

/// Makes references.
pub(crate) struct SecretReferences(hmac::Key);

impl SecretReferences {
    pub(crate) fn new(key: &Secret<[u8; 32]>) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.reveal()))
    }

    /// What stands for this secret of this team, in places whose references begin with `class`.
    fn of(&self, team: TeamId, class: &str, secret: &str) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(b"keyward secret reference");
        context.update(class.as_bytes());
        context.update(team.to_string().as_bytes());
        context.update(secret.as_bytes());
        let tag = context.sign();
        let hash = URL_SAFE_NO_PAD.encode(tag.as_ref().get(..LENGTH).unwrap_or_default());
        format!("{class}{hash}")
    }
}

impl fmt::Debug for SecretReferences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretReferences")
    }
}

/// A body whose secrets were taken out.
#[derive(Debug, Default)]
pub(crate) struct TakenOut {
    /// Those that came with it, by their references.
    pub(crate) new: Vec<(String, Secret<String>)>,
    /// References that it came with.
    pub(crate) known: Vec<String>,
}

/// A place of a body where a secret may be.
struct Spot {
    pointer: String,
    /// The name of the member that it is.
    name: String,
    kept: Kept,
}

impl Spot {
    /// Where all of this kind's may be, of those that the body has.
    fn all(body: &Value, kind: &KindDescription) -> Vec<Self> {
        let mut spots = Vec::new();
        for member in kind.secrets {
            // What is before the first slash is nothing.
            let keys = member.pointer.strip_prefix('/');
            gather(body, keys, "", "", member.kept, &mut spots);
        }
        spots
    }

    /// What its references begin with, where it has any.
    fn class(&self) -> Option<&'static str> {
        match self.kept {
            Kept::Sealed(class) | Kept::SealedByName(class) => Some(class),
            Kept::Never | Kept::KeyHash | Kept::PasswordHash => None,
        }
    }

    /// The reference that stands there.
    fn reference<'t>(&self, text: &'t str) -> Option<&'t str> {
        reference_in(text, self.class()?)
    }

    /// Whether a text that stands there is a secret.
    fn is_secret(&self, text: &str) -> bool {
        match self.kept {
            Kept::Sealed(_) | Kept::Never | Kept::KeyHash | Kept::PasswordHash => true,
            Kept::SealedByName(_) => {
                let (name, value) = (self.name.to_ascii_lowercase(), text.to_ascii_lowercase());
                SECRET_NAMES.iter().any(|part| name.contains(part))
                    || SECRET_VALUES.iter().any(|begin| value.starts_with(begin))
            }
        }
    }
}

/// Goes on from a value by what is left of a pointer; where nothing is left, it is what is meant.
fn gather(
    value: &Value,
    keys: Option<&str>,
    pointer: &str,
    name: &str,
    kept: Kept,
    spots: &mut Vec<Spot>,
) {
    let Some(keys) = keys else {
        spots.push(Spot {
            pointer: pointer.to_owned(),
            name: name.to_owned(),
            kept,
        });
        return;
    };
    let (key, rest) = match keys.split_once('/') {
        Some((key, rest)) => (key, Some(rest)),
        None => (keys, None),
    };
    match value {
        Value::Object(members) if key == "*" => {
            for (name, member) in members {
                let pointer = format!("{pointer}/{}", escaped(name));
                gather(member, rest, &pointer, name, kept, spots);
            }
        }
        Value::Object(members) => {
            if let Some((name, member)) = members.get_key_value(key) {
                let pointer = format!("{pointer}/{}", escaped(name));
                gather(member, rest, &pointer, name, kept, spots);
            }
        }
        Value::Array(members) if key == "*" => {
            for (index, member) in members.iter().enumerate() {
                gather(member, rest, &format!("{pointer}/{index}"), "", kept, spots);
            }
        }
        Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Takes secrets out of a body that is to be stored. What is kept as a hash is hashed: the body has been read
/// before, so that what is no key or too weak was told.
pub(crate) fn take_out(
    body: &mut Value,
    kind: &KindDescription,
    team: TeamId,
    references: &SecretReferences,
    node: &dyn Node,
) -> TakenOut {
    let mut taken = TakenOut::default();
    let name = body.get("name").and_then(Value::as_str);
    let username = body.get("username").and_then(Value::as_str).or(name);
    let username = unescaped(username.unwrap_or_default());
    for spot in Spot::all(body, kind) {
        let Some(place) = body.pointer_mut(&spot.pointer) else {
            continue;
        };
        let Value::String(text) = place else {
            continue;
        };
        match spot.kept {
            Kept::Sealed(class) | Kept::SealedByName(class) => {
                if let Some(reference) = reference_in(text, class) {
                    taken.known.push(reference.to_owned());
                    continue;
                }
                if !spot.is_secret(text) {
                    continue;
                }
                // As everywhere in a body, a `${` that is meant comes as `$${`; what is sealed is read no more.
                let written = Secret::new(std::mem::take(text));
                let secret = Secret::new(unescaped(written.reveal()));
                let reference = references.of(team, class, secret.reveal());
                *text = format!("{BEGIN}{reference}{END}");
                taken.new.push((reference, secret));
            }
            Kept::KeyHash => {
                *place = json!({ "hash": node.hash_api_key(&unescaped(text)) });
            }
            Kept::PasswordHash => {
                *place = json!({ "hash": node.hash_password(&username, &unescaped(text)) });
            }
            Kept::Never => {}
        }
    }
    taken
}

/// Whether a body has a secret that is kept as a hash, and is here as it came.
pub(crate) fn is_to_be_hashed(body: &Value, kind: &KindDescription) -> bool {
    let spots = Spot::all(body, kind).into_iter();
    let mut hashed = spots.filter(|spot| matches!(spot.kept, Kept::KeyHash | Kept::PasswordHash));
    hashed.any(|spot| body.pointer(&spot.pointer).is_some_and(Value::is_string))
}

/// What has no place in a body at all.
pub(crate) fn misplaced(body: &Value, kind: &KindDescription) -> Vec<MemberFlaw> {
    let spots = Spot::all(body, kind).into_iter();
    let never = spots.filter(|spot| spot.kept == Kept::Never);
    never
        .map(|spot| MemberFlaw {
            member: spot.pointer,
            code: "private_key",
            detail: "this is of a private key, and public ones are enough to verify: `keyward jwk public` makes one of it; a secret that both sides have goes into `secret`".to_owned(),
        })
        .collect()
}

/// What stands in a body where secrets are, each with its place.
pub(crate) fn references_by_place(body: &Value, kind: &KindDescription) -> Vec<(String, String)> {
    let spots = Spot::all(body, kind).into_iter();
    spots
        .filter_map(|spot| {
            let reference = spot.reference(body.pointer(&spot.pointer)?.as_str()?)?;
            let reference = reference.to_owned();
            Some((spot.pointer, reference))
        })
        .collect()
}

/// Whether a secret stands in two bodies at places of one kind, and beside the same: what says where it goes may stand
/// beside it, such as who is shown a client's secret.
pub(crate) fn is_beside_the_same(
    (one, one_place): (&Value, &str),
    (other, other_place): (&Value, &str),
) -> bool {
    let kind = |place: &str| -> Vec<String> {
        let keys = place.split('/');
        let keys = keys.map(|key| {
            if key.parse::<usize>().is_ok() {
                "*"
            } else {
                key
            }
        });
        keys.map(str::to_owned).collect()
    };
    let beside = |body: &Value, place: &str| {
        let (parent, _) = place.rsplit_once('/')?;
        // What is beside it in a list is not of it: its weight, for one.
        let is_member = parent.rsplit('/').next()?.parse::<usize>().is_ok();
        if is_member {
            return None;
        }
        body.pointer(parent).cloned()
    };
    kind(one_place) == kind(other_place) && beside(one, one_place) == beside(other, other_place)
}

/// The references of a stored body.
pub(crate) fn references(body: &Value, kind: &KindDescription) -> Vec<String> {
    let all = references_by_place(body, kind).into_iter();
    all.map(|(_, reference)| reference).collect()
}

/// Puts secrets in for the references of a body that was read as a tree. `None` for one that is not known.
pub(crate) fn put_in(
    tree: &mut Tree,
    body: &Value,
    kind: &KindDescription,
    secrets: &HashMap<String, Secret<String>>,
) -> Option<()> {
    for (pointer, reference) in references_by_place(body, kind) {
        let secret = secrets.get(&reference)?;
        if let Some(TreeValue::Text(text)) = find(tree, &pointer).map(|node| &mut node.value) {
            let written = text.as_str().to_owned();
            *text = Text::substituted(secret.reveal().clone(), written);
        }
    }
    Some(())
}

/// What of a body may not be there: `${…}` anywhere but where a secret's reference may stand. `${ENV:NAME}` and
/// `${FILE:path}` are read where `keyward apply` runs, and never here.
pub(crate) fn foreign_references(body: &Value, kind: &KindDescription) -> Vec<MemberFlaw> {
    let mut flaws = Vec::new();
    let mut pointer = String::new();
    let spots = Spot::all(body, kind);
    let spots: HashMap<&str, &Spot> = spots
        .iter()
        .filter(|spot| spot.class().is_some())
        .map(|spot| (spot.pointer.as_str(), spot))
        .collect();
    look(body, &mut pointer, &mut |pointer, text| {
        let allowed = spots.get(pointer);
        if allowed.is_some_and(|spot| spot.reference(text).is_some()) {
            return;
        }
        if text.replace("$${", "").contains("${") {
            flaws.push(MemberFlaw {
                member: pointer.to_owned(),
                code: "substitution",
                detail: "references such as `${ENV:NAME}` are put in by `keyward apply`, on the machine where it runs; write `$${` for a `${` that is meant".to_owned(),
            });
        }
    });
    flaws
}

fn unescaped(text: &str) -> String {
    text.replace("$${", "${")
}

/// Undoes `$${` in all texts, as files have it too.
pub(crate) fn unescape(tree: &mut Tree) {
    match &mut tree.value {
        TreeValue::Text(text) => {
            if text.reference().is_none() && text.as_str().contains("$${") {
                *text = Text::written(unescaped(text.as_str()));
            }
        }
        TreeValue::List(members) => members.iter_mut().for_each(unescape),
        TreeValue::Map(entries) => {
            for entry in entries {
                unescape(&mut entry.node);
            }
        }
        TreeValue::Null | TreeValue::Boolean(_) | TreeValue::Whole(_) | TreeValue::Number(_) => {}
    }
}

/// A file's resource as it may be told: secrets that stand there in clear are masked. What is one reference and
/// nothing else tells none.
pub(crate) fn masked(mut body: Value, kind: &KindDescription) -> Value {
    for spot in Spot::all(&body, kind) {
        let Some(place) = body.pointer_mut(&spot.pointer) else {
            continue;
        };
        let told = match (&*place, spot.kept) {
            (_, Kept::Never) => false,
            (Value::String(text), _) => !spot.is_secret(text) || is_one_reference(text),
            // A hash, or what can't be read.
            (_, _) => true,
        };
        if !told {
            *place = json!(MASK);
        }
    }
    body
}

const MASK: &str = "[secret]";

/// Whether a file's text is a reference as a whole: `${ENV:NAME}` or `${FILE:path}`.
fn is_one_reference(text: &str) -> bool {
    let inner = text
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'));
    inner.is_some_and(|inner| {
        let named = ["ENV:", "FILE:"].iter().any(|kind| inner.starts_with(kind));
        named && !inner.contains(['$', '{', '}'])
    })
}

/// The reference that a text is, where those that begin with `class` count.
fn reference_in<'t>(text: &'t str, class: &str) -> Option<&'t str> {
    let inner = text.strip_prefix(BEGIN)?.strip_suffix(END)?;
    let hash = inner.strip_prefix(class)?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    (hash.len() == TEXT_LENGTH && hash.bytes().all(plain)).then_some(inner)
}

fn find<'t>(tree: &'t mut Tree, pointer: &str) -> Option<&'t mut Tree> {
    let mut found = tree;
    for key in pointer.split('/').skip(1) {
        let key = key.replace("~1", "/").replace("~0", "~");
        found = match &mut found.value {
            TreeValue::Map(entries) => {
                let entry = entries.iter_mut().find(|entry| entry.key == key)?;
                &mut entry.node
            }
            TreeValue::List(members) => members.get_mut(key.parse::<usize>().ok()?)?,
            TreeValue::Null
            | TreeValue::Boolean(_)
            | TreeValue::Whole(_)
            | TreeValue::Number(_)
            | TreeValue::Text(_) => return None,
        };
    }
    Some(found)
}

fn look(value: &Value, pointer: &mut String, with: &mut impl FnMut(&str, &str)) {
    let length = pointer.len();
    match value {
        Value::String(text) => with(pointer, text),
        Value::Array(members) => {
            for (index, member) in members.iter().enumerate() {
                pointer.push_str(&format!("/{index}"));
                look(member, pointer, with);
                pointer.truncate(length);
            }
        }
        Value::Object(members) => {
            for (key, member) in members {
                pointer.push('/');
                pointer.push_str(&escaped(key));
                look(member, pointer, with);
                pointer.truncate(length);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyward_model::resource::Kind;

    fn of_route(route: Value) -> Value {
        json!({ "name": "a", "routes": [route] })
    }

    #[track_caller]
    fn check_masked(kind: Kind, body: Value, expected: Value) {
        let kind = KindDescription::of(kind).unwrap();
        assert_eq!(masked(body, kind), expected);
    }

    #[test]
    fn what_stands_in_a_file_is_told_without_its_secrets() {
        let headers = |value: Value| of_route(json!({ "request_headers": { "set": value } }));
        check_masked(
            Kind::Api,
            headers(json!({ "Authorization": "Basic YTpi", "x-env": "prod", "X-Api_Key": "k" })),
            headers(json!({ "Authorization": MASK, "x-env": "prod", "X-Api_Key": MASK })),
        );
        check_masked(
            Kind::Api,
            headers(json!({ "x-plain": "bearer abc", "x-slash/~": "y" })),
            headers(json!({ "x-plain": MASK, "x-slash/~": "y" })),
        );
        let issuer = |secret: &str| json!({ "name": "i", "secret": secret });
        for (secret, expected) in [
            ("${ENV:PARTNER}", "${ENV:PARTNER}"),
            ("${FILE:/run/secret}", "${FILE:/run/secret}"),
            // What only begins as a reference does tells what follows.
            ("${ENV:PREFIX}and-a-secret", MASK),
            ("${ENV:A}secret${ENV:B}", MASK),
            ("$${not-a-reference}", MASK),
            ("${x}", MASK),
            ("in-clear", MASK),
        ] {
            check_masked(Kind::Issuer, issuer(secret), issuer(expected));
        }
        let keys = |d: Value| json!({ "jwks": { "keys": [{ "kty": "EC", "x": "x", "d": d }] } });
        check_masked(Kind::Issuer, keys(json!("private")), keys(json!(MASK)));
        check_masked(Kind::Issuer, keys(json!(["private"])), keys(json!(MASK)));
        let password = |hash: &str| json!({ "password": { "argon2": hash } });
        check_masked(Kind::Credential, password("$argon2id$v=19"), password(MASK));
    }

    #[test]
    fn references_count_in_places_of_their_own_kind_alone() {
        let hash = "A".repeat(TEXT_LENGTH);
        let own = |class: &str| format!("${{SECRET:{class}{hash}}}");
        let classes = ["", "value.", "argon2."];
        for class in classes {
            for other in classes {
                let text = own(other);
                let read = reference_in(&text, class);
                assert_eq!(read.is_some(), class == other, "{class:?} {text}");
            }
        }
        let api = KindDescription::of(Kind::Api).unwrap();
        let body = |text: String| of_route(json!({ "query": { "set": { "q": text } } }));
        assert!(foreign_references(&body(own("value.")), api).is_empty());
        for stolen in [own(""), own("argon2."), "${SECRET:value.short}".to_owned()] {
            let flaws = foreign_references(&body(stolen.clone()), api);
            assert_eq!(flaws.len(), 1, "{stolen}");
            assert_eq!(flaws[0].member, "/routes/0/query/set/q");
        }
    }
}
