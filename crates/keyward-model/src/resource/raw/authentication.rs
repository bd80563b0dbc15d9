//! Reading `authentication` of an API: `none`, or a mapping with one method in it.

use super::api::{is_token, scope_list};
use super::field::{Field, Fields};
use super::problem::Problems;
use super::read::name;
use crate::name::Name;
use crate::resource::mutual_tls::{Callers, CertificateName, MutualTls};
use crate::resource::{Authentication, TokenSource};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// What belongs to tokens.
const TOKEN_KEYS: &[&str] = &["issuers", "audience", "token", "forward_token"];
/// All keys.
const KEYS: &[&str] = &[
    "issuers",
    "audience",
    "token",
    "forward_token",
    "mutual_tls",
];

/// The most callers that an API lists: each is a name in memory.
const CALLERS_MAX: usize = 10_000;

/// The longest name of a caller: what a certificate's name has room for in practice, many times over.
const CALLER_NAME_MAX: usize = 1024;

/// Why no caller that is authenticated so can have a scope.
pub(super) fn without_scopes(authentication: &Authentication) -> Option<&'static str> {
    match authentication {
        Authentication::None => Some(
            "`authorization` asks for scopes, but `authentication: none` lets everyone call without a token: name issuers, or take the scopes out",
        ),
        Authentication::MutualTls(clients) if clients.callers.grants_nothing() => Some(
            "`authorization` asks for scopes, which no certificate carries: give them in `callers`, as `{ name: …, scopes: [ … ] }`, or take them out",
        ),
        Authentication::Jwt { .. } | Authentication::MutualTls(_) => None,
    }
}

pub(super) fn read(field: Field<'_>, problems: &mut Problems) -> Option<Authentication> {
    if let Some(text) = field.as_text() {
        if text == "none" {
            return Some(Authentication::None);
        }
        field.refuse(
            "is neither `none` nor a mapping such as `{ issuers: [NAME], audience: … }`",
            problems,
        );
        return None;
    }
    let fields = field.fields(KEYS, problems)?;
    if let Some(clients) = fields.optional("mutual_tls") {
        if let Some(token) = TOKEN_KEYS.iter().find_map(|key| fields.optional(key)) {
            problems.error(
                token.place(),
                "contradiction",
                format!(
                    "`{}` stands beside `mutual_tls`: an API asks for a token or for a certificate; a listener with `required: true` asks for a certificate besides",
                    token.key()
                ),
            );
            return None;
        }
        return mutual_tls(clients, problems).map(Authentication::MutualTls);
    }
    jwt(&fields, problems)
}

fn jwt(fields: &Fields<'_>, problems: &mut Problems) -> Option<Authentication> {
    let mut issuers: Vec<Name> = Vec::new();
    if let Some(list) = fields.required(
        "issuers",
        "name the issuers whose tokens are taken (`self` is this node)",
        problems,
    ) {
        for member in list.filled_list(problems).unwrap_or_default() {
            match name(member, problems) {
                Some(issuer) if issuers.contains(&issuer) => {
                    member.refuse("stands in the list twice", problems);
                }
                Some(issuer) => issuers.push(issuer),
                None => {}
            }
        }
    }
    let audiences = fields
        .required(
            "audience",
            "say what the token's `aud` must name, so that a token for another API is refused here",
            problems,
        )
        .map(|audience| match audience.as_text() {
            Some(_) => audience
                .text(problems)
                .map(Into::into)
                .into_iter()
                .collect(),
            None if audience.filled_list(problems).is_some() => audience.texts(problems),
            None => Vec::new(),
        });
    let token = match fields.optional("token") {
        Some(field) => token_source(field, problems),
        None => Some(TokenSource::Header),
    };
    let forward_token = match fields.optional("forward_token") {
        Some(field) => field.boolean(problems),
        None => Some(false),
    };
    Some(Authentication::Jwt {
        issuers,
        audiences: audiences?,
        token: token?,
        forward_token: forward_token?,
    })
}

fn token_source(field: Field<'_>, problems: &mut Problems) -> Option<TokenSource> {
    if let Some(text) = field.as_text() {
        if text == "header" {
            return Some(TokenSource::Header);
        }
        field.refuse("is neither `header` nor `{ cookie: NAME }`", problems);
        return None;
    }
    let fields = field.fields(&["cookie"], problems)?;
    let cookie = fields.required("cookie", "name the cookie that holds the token", problems)?;
    cookie
        .parsed(
            |text| is_token(text).then(|| text.into()),
            "is no cookie name: it has letters, digits and !#$%&'*+-.^_`|~ alone (RFC 6265)",
            problems,
        )
        .map(TokenSource::Cookie)
}

/// `mutual_tls`: whose certificates, and which name of them is the caller's.
fn mutual_tls(field: Field<'_>, problems: &mut Problems) -> Option<MutualTls> {
    let fields = field.fields(
        &["subject", "callers", "roots", "forward_certificate"],
        problems,
    )?;
    let words = CertificateName::ALL.map(|name| (name.as_str(), name));
    let subject = fields
        .required(
            "subject",
            "say which name of a certificate is the caller's: `san_uri` (SPIFFE), `san_dns`, `san_email`, `common_name` or `subject_dn`",
            problems,
        )
        .and_then(|field| field.one_of(&words, problems));
    let callers = match fields.optional("callers") {
        Some(field) => callers(field, problems).map(Callers::Listed),
        None => Some(Callers::Certified),
    };
    let roots = match fields.optional("roots") {
        Some(field) => field.text(problems).map(|path| Some(PathBuf::from(path))),
        None => Some(None),
    };
    let forward_certificate = match fields.optional("forward_certificate") {
        Some(field) => field.boolean(problems),
        None => Some(false),
    };
    Some(MutualTls {
        subject: subject?,
        callers: callers?,
        roots: roots?,
        forward_certificate: forward_certificate?,
    })
}

/// `callers`: each once, as its name or as a mapping that gives it scopes.
fn callers(
    field: Field<'_>,
    problems: &mut Problems,
) -> Option<BTreeMap<Box<str>, BTreeSet<String>>> {
    let members = field.filled_list(problems)?;
    if members.len() > CALLERS_MAX {
        problems.error(
            field.place(),
            "too_many",
            format!(
                "`callers` has {} entries: {CALLERS_MAX} are the most; an authority of its own for this API's clients needs none",
                members.len()
            ),
        );
        return None;
    }
    let mut callers = BTreeMap::new();
    for member in members {
        let (named, scopes) = if member.as_text().is_some() {
            (Some(member), Some(BTreeSet::new()))
        } else {
            let fields = Fields::of(member.node(), "a caller", &["name", "scopes"], problems)?;
            let scopes = match fields.optional("scopes") {
                Some(field) => scope_list(field, problems),
                None => Some(BTreeSet::new()),
            };
            let named = fields.required("name", "as its certificate has it", problems);
            (named, scopes)
        };
        let Some(named) = named else { continue };
        let name = named.parsed(
            |text| (text.len() <= CALLER_NAME_MAX && !text.contains('*')).then(|| text.into()),
            "is no caller's name: names are compared exactly, so `*` stands for nothing, and 1,024 bytes are the most",
            problems,
        );
        if let (Some(name), Some(scopes)) = (name, scopes)
            && callers.insert(name, scopes).is_some()
        {
            named.refuse("stands in the list twice", problems);
        }
    }
    Some(callers)
}
