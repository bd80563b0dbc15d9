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

/// Makes references.
pub(crate) struct SecretReferences(hmac::Key);

impl SecretReferences {
    pub(crate) fn new(key: &Secret<[u8; 32]>) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.reveal()))
    }

    /// What stands for this secret of this team.
    fn of(&self, team: TeamId, secret: &str) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(b"keyward secret reference");
        context.update(team.to_string().as_bytes());
        context.update(secret.as_bytes());
        let tag = context.sign();
        URL_SAFE_NO_PAD.encode(tag.as_ref().get(..LENGTH).unwrap_or_default())
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
    let username = username.unwrap_or_default().to_owned();
    for member in kind.secrets {
        let Some(place) = body.pointer_mut(member.pointer) else {
            continue;
        };
        let Value::String(text) = place else {
            continue;
        };
        match member.kept {
            Kept::Sealed => {
                if let Some(reference) = reference_in(text) {
                    taken.known.push(reference.to_owned());
                    continue;
                }
                let reference = references.of(team, text);
                let secret = Secret::new(std::mem::take(text));
                *text = format!("{BEGIN}{reference}{END}");
                taken.new.push((reference, secret));
            }
            Kept::KeyHash => *place = json!({ "hash": node.hash_api_key(text) }),
            Kept::PasswordHash => *place = json!({ "hash": node.hash_password(&username, text) }),
        }
    }
    taken
}

/// The references of a stored body.
pub(crate) fn references(body: &Value, kind: &KindDescription) -> Vec<String> {
    let sealed = kind.secrets.iter().filter(|m| m.kept == Kept::Sealed);
    sealed
        .filter_map(|member| reference_in(body.pointer(member.pointer)?.as_str()?))
        .map(str::to_owned)
        .collect()
}

/// Puts secrets in for the references of a tree. `None` for one that is not known.
pub(crate) fn put_in(
    tree: &mut Tree,
    kind: &KindDescription,
    secrets: &HashMap<String, Secret<String>>,
) -> Option<()> {
    for member in kind.secrets.iter().filter(|m| m.kept == Kept::Sealed) {
        let Some(TreeValue::Text(text)) = find(tree, member.pointer).map(|node| &mut node.value)
        else {
            continue;
        };
        let Some(reference) = reference_in(text.as_str()) else {
            continue;
        };
        let secret = secrets.get(reference)?;
        let written = text.as_str().to_owned();
        *text = Text::substituted(secret.reveal().clone(), written);
    }
    Some(())
}

/// What of a body may not be there: `${…}` anywhere but where a secret's reference may stand. `${ENV:NAME}` and
/// `${FILE:path}` are read where `keyward apply` runs, and never here.
pub(crate) fn foreign_references(body: &Value, kind: &KindDescription) -> Vec<MemberFlaw> {
    let mut flaws = Vec::new();
    let mut pointer = String::new();
    look(body, &mut pointer, &mut |pointer, text| {
        let allowed = kind
            .secrets
            .iter()
            .any(|member| member.kept == Kept::Sealed && member.pointer == pointer);
        if allowed && reference_in(text).is_some() {
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

/// Undoes `$${` in all texts, as files have it too.
pub(crate) fn unescape(tree: &mut Tree) {
    match &mut tree.value {
        TreeValue::Text(text) => {
            if text.reference().is_none() && text.as_str().contains("$${") {
                *text = Text::written(text.as_str().replace("$${", "${"));
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

/// A file's resource as it may be told: secrets that stand there in clear are masked.
pub(crate) fn masked(mut body: Value, kind: &KindDescription) -> Value {
    for member in kind.secrets {
        if let Some(Value::String(text)) = body.pointer_mut(member.pointer)
            && !text.starts_with("${")
        {
            *text = "[secret]".to_owned();
        }
    }
    body
}

fn reference_in(text: &str) -> Option<&str> {
    let inner = text.strip_prefix(BEGIN)?.strip_suffix(END)?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    (!inner.is_empty() && inner.bytes().all(plain)).then_some(inner)
}

fn find<'t>(tree: &'t mut Tree, pointer: &str) -> Option<&'t mut Tree> {
    let mut found = tree;
    for key in pointer.split('/').skip(1) {
        let TreeValue::Map(entries) = &mut found.value else {
            return None;
        };
        let entry = entries.iter_mut().find(|entry| entry.key == key)?;
        found = &mut entry.node;
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
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
                look(member, pointer, with);
                pointer.truncate(length);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
