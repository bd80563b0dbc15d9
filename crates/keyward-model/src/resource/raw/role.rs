//! Reading `kind: role`.

use super::api::scope_list;
use super::authorization;
use super::field::{Field, Fields};
use super::problem::Problems;
use super::read::name;
use crate::caller::Method;
use crate::name::Name;
use crate::resource::role::{Holders, Role, Voucher};
use std::collections::BTreeSet;

/// The keys beside those of every resource.
pub(super) const KEYS: &[&str] = &["given_to", "includes"];

const HOLDER_KEYS: &[&str] = &[
    "issuer", "method", "subjects", "clients", "scopes", "claims",
];

/// The most rules for who has a role: each is looked at for each caller.
const HOLDERS_MAX: usize = 256;
/// The most subjects or clients of one rule.
const NAMES_MAX: usize = 10_000;
/// The most roles that one includes.
const INCLUDES_MAX: usize = 64;

/// Credentials that no issuer of tokens stands behind.
const METHODS: [Method; 3] = [Method::MutualTls, Method::ApiKey, Method::Basic];

pub(super) fn read(fields: &Fields<'_>, problems: &mut Problems) -> Option<Role> {
    let given_to = match fields.optional("given_to") {
        Some(field) => given_to(field, problems),
        None => Some(Vec::new()),
    };
    let includes = match fields.optional("includes") {
        Some(field) => includes(field, problems),
        None => Some(BTreeSet::new()),
    };
    Some(Role {
        given_to: given_to?,
        includes: includes?,
    })
}

fn given_to(field: Field<'_>, problems: &mut Problems) -> Option<Vec<Holders>> {
    let members = field.list(problems)?;
    if members.len() > HOLDERS_MAX {
        field.refuse("has more than 256 entries", problems);
        return None;
    }
    let holders: Vec<_> = members
        .into_iter()
        .map(|member| holders(member, problems))
        .collect();
    holders.into_iter().collect()
}

fn holders(field: Field<'_>, problems: &mut Problems) -> Option<Holders> {
    let fields = Fields::of(
        field.node(),
        "an entry of `given_to`",
        HOLDER_KEYS,
        problems,
    )?;
    let vouched = match (fields.optional("issuer"), fields.optional("method")) {
        (Some(issuer), None) => name(issuer, problems).map(Voucher::Issuer),
        (None, Some(method)) => {
            let words = METHODS.map(|method| (method.as_str(), method));
            method.one_of(&words, problems).map(Voucher::Method)
        }
        (Some(_), Some(method)) => {
            problems.error(
                method.place(),
                "contradiction",
                "`method` stands beside `issuer`: a caller is known by a token of an issuer, or by another credential",
            );
            None
        }
        (None, None) => {
            problems.error(
                field.place(),
                "missing_key",
                "`issuer` is missing: say whose callers these are (an issuer's name, or `self`), since `alice` of one issuer is somebody else than of another; or `method: mutual_tls`",
            );
            None
        }
    };
    let mut names = |key| match fields.optional(key) {
        Some(field) => names(field, problems),
        None => Some(BTreeSet::new()),
    };
    let (subjects, clients) = (names("subjects"), names("clients"));
    let scopes = match fields.optional("scopes") {
        Some(field) => scope_list(field, problems),
        None => Some(BTreeSet::new()),
    };
    let claims = match fields.optional("claims") {
        Some(field) => authorization::claims(field, problems),
        None => Some(Vec::new()),
    };
    let vouched = vouched?;
    if let (Voucher::Method(_), Some(field)) = (&vouched, fields.optional("claims")) {
        problems.error(
            field.place(),
            "contradiction",
            "`claims` stands beside `method`: only tokens carry claims",
        );
    }
    Some(Holders {
        vouched,
        subjects: subjects?,
        clients: clients?,
        scopes: scopes?,
        claims: claims?,
    })
}

/// Names of callers: an empty list would mean everyone, which nobody means by it.
fn names(field: Field<'_>, problems: &mut Problems) -> Option<BTreeSet<Box<str>>> {
    if field.filled_list(problems)?.len() > NAMES_MAX {
        field.refuse(
            "has more than 10,000 entries: let the issuer say it in a claim",
            problems,
        );
        return None;
    }
    Some(field.texts(problems).into_iter().collect())
}

fn includes(field: Field<'_>, problems: &mut Problems) -> Option<BTreeSet<Name>> {
    let members = field.list(problems)?;
    if members.len() > INCLUDES_MAX {
        field.refuse("has more than 64 roles", problems);
        return None;
    }
    let mut names = BTreeSet::new();
    for member in members {
        if let Some(role) = name(member, problems)
            && !names.insert(role)
        {
            member.refuse("stands in the list twice", problems);
        }
    }
    Some(names)
}
