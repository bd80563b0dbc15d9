//! The text of policies, compiled and checked.

use crate::error::Flaw;
use crate::reads::{CALLER, CONTEXT, ROUTE, Reads};
use crate::schema;
use cedar_policy::{Policy, PolicyId, PolicySet, ValidationMode, Validator};
use keyward_model::resource::access_policy::{AccessPolicy, ClaimType, PolicySource};
use keyward_model::resource::raw::closest;
use keyward_model::resource::raw::field::listed;
use miette::Diagnostic;
use std::collections::{BTreeMap, HashSet};
use std::str::FromStr;
use std::sync::Arc;

/// The most policies in one text: each takes its time at each call.
const POLICIES_MAX: usize = 256;

/// Headers that say nothing, since anyone can send them, or that hold a credential, with what to do instead.
const USELESS_HEADERS: &[(&str, &str)] = &[
    (
        "authorization",
        "it holds the credential: read `principal` instead",
    ),
    ("proxy-authorization", "it holds a credential"),
    ("cookie", "it holds credentials: read `principal` instead"),
    (
        "forwarded",
        "anyone can send it: read `context.address` instead",
    ),
    (
        "x-forwarded-for",
        "anyone can send it: read `context.address` instead",
    ),
    (
        "x-real-ip",
        "anyone can send it: read `context.address` instead",
    ),
    (
        "x-forwarded-host",
        "anyone can send it: read `context.host` instead",
    ),
    (
        "host",
        "read `context.host` instead, which is what routes are found by",
    ),
];

/// What our identity headers begin with: what a client sends under such a name is thrown away.
const IDENTITY_PREFIX: &str = "x-keyward-";

/// The policies of one text.
#[derive(Debug)]
pub(crate) struct CompiledPolicy {
    /// Each with the name that decisions give it.
    pub(crate) policies: Vec<(Arc<str>, Policy)>,
    pub(crate) reads: Reads,
    pub(crate) claims: BTreeMap<Box<str>, ClaimType>,
}

/// What is wrong with policies, in the order of their text. `name` is what decisions would call them.
#[must_use]
pub fn check(name: &str, policy: &AccessPolicy) -> Vec<Flaw> {
    let mut flaws = match compile(name, policy) {
        Ok((_, warnings)) => warnings,
        Err(flaws) => flaws,
    };
    flaws.sort_by_key(|flaw| flaw.offset);
    flaws
}

/// Compiles policies; what is wrong with them, if anything is that matters, and else what is odd.
pub(crate) fn compile(
    name: &str,
    declared: &AccessPolicy,
) -> Result<(CompiledPolicy, Vec<Flaw>), Vec<Flaw>> {
    let text = match &declared.source {
        PolicySource::Text(text) => text,
        PolicySource::File(_) => {
            return Err(vec![fatal(
                None,
                "file",
                "the file was not read".to_owned(),
            )]);
        }
    };
    let policies = named(name, text)?;
    let mut reads = Reads::default();
    let mut flaws = Vec::new();
    for (_, policy) in &policies {
        match policy.to_json() {
            Ok(json) => reads.extend(&Reads::of(&json)),
            Err(error) => flaws.push(fatal(None, "cedar", error.to_string())),
        }
    }
    headers(text, &reads, &mut flaws);
    whole_records(text, &reads, &mut flaws);
    let unknown = unknown(text, &reads, declared, &mut flaws);
    let set = PolicySet::from_policies(policies.iter().map(|(_, policy)| policy.clone()))
        .map_err(|error| vec![fatal(None, "cedar", error.to_string())])?;
    let schema = schema::schema(&declared.claims, &reads)
        .map_err(|error| vec![fatal(None, "cedar_schema", error)])?;
    let validated = Validator::new(schema).validate(&set, ValidationMode::Strict);
    for error in validated.validation_errors() {
        let message = explained(error, name);
        if unknown
            .iter()
            .any(|name| message.contains(&format!("`{name}`")))
        {
            // Told in our words already.
            continue;
        }
        flaws.push(Flaw {
            offset: offset(error),
            message,
            code: "cedar_type",
            fatal: true,
        });
    }
    for warning in validated.validation_warnings() {
        flaws.push(Flaw {
            offset: offset(warning),
            message: message(warning),
            code: "cedar_warning",
            fatal: false,
        });
    }
    if flaws.iter().any(|flaw| flaw.fatal) {
        return Err(flaws);
    }
    let compiled = CompiledPolicy {
        policies,
        reads,
        claims: declared.claims.clone(),
    };
    Ok((compiled, flaws))
}

/// The policies of a text by what they are called: by their annotation `@id`, or else by their number.
pub(crate) fn named(name: &str, text: &str) -> Result<Vec<(Arc<str>, Policy)>, Vec<Flaw>> {
    let parsed = PolicySet::from_str(text).map_err(|errors| {
        let flaws = errors.iter().map(|error| Flaw {
            offset: offset(error),
            message: message(error),
            code: "cedar_syntax",
            fatal: true,
        });
        flaws.collect::<Vec<_>>()
    })?;
    if parsed.num_of_templates() > 0 {
        let why = "`?principal` and `?resource` stand for what nobody fills in here: name who or what is meant";
        return Err(vec![fatal(
            text.find('?'),
            "cedar_template",
            why.to_owned(),
        )]);
    }
    let mut policies: Vec<&Policy> = parsed.policies().collect();
    // Cedar numbers them as they stand in the text.
    policies.sort_by_key(|policy| {
        let id: &str = policy.id().as_ref();
        id.trim_start_matches(|c: char| !c.is_ascii_digit())
            .parse::<u64>()
            .unwrap_or(u64::MAX)
    });
    if policies.is_empty() {
        let why = "there is no policy: without one that permits, nobody passes";
        return Err(vec![fatal(None, "cedar_empty", why.to_owned())]);
    }
    if policies.len() > POLICIES_MAX {
        let why = format!(
            "more than {POLICIES_MAX} policies: every call pays for each, so split them by what they are attached to"
        );
        return Err(vec![fatal(None, "too_many", why)]);
    }
    let alone = policies.len() == 1;
    let mut seen = HashSet::new();
    let mut named: Vec<(Arc<str>, Policy)> = Vec::with_capacity(policies.len());
    for (index, policy) in policies.into_iter().enumerate() {
        let called: Arc<str> = match policy.annotation("id") {
            Some(id) => format!("{name}/{id}").into(),
            None if alone => name.into(),
            None => format!("{name}/{}", index + 1).into(),
        };
        if !seen.insert(Arc::clone(&called)) {
            let why = format!(
                "two policies are called `{called}`: decisions name them, so give each its own `@id`"
            );
            return Err(vec![fatal(text.rfind("@id"), "duplicate_name", why)]);
        }
        let policy = policy.new_id(PolicyId::new(&*called));
        named.push((called, policy));
    }
    Ok(named)
}

/// Headers are asked for by the one spelling they have here, and only those that mean something.
fn headers(text: &str, reads: &Reads, flaws: &mut Vec<Flaw>) {
    for name in &reads.headers {
        let lower = name.to_ascii_lowercase();
        let useless = USELESS_HEADERS.iter().find(|(known, _)| *known == lower);
        let why = if let Some((_, why)) = useless {
            (*why).to_owned()
        } else if lower.starts_with(IDENTITY_PREFIX) {
            "it is what this gateway tells upstreams, and anyone could send it: read `principal` instead".to_owned()
        } else if *lower != **name {
            format!("headers are in lower case here: write `{lower}`")
        } else if !is_token(&lower) {
            "it is no header name: it has letters, digits and `-` alone".to_owned()
        } else {
            continue;
        };
        let at = text
            .find(&format!("\"{name}\""))
            .or_else(|| text.find(&**name));
        flaws.push(fatal(at, "cedar_header", format!("header `{name}`: {why}")));
    }
}

/// Headers and parameters are put before policies one by one, by their names. Where the record is used as one
/// value those names can't be known, and what is forbidden by one of them would never be.
fn whole_records(text: &str, reads: &Reads, flaws: &mut Vec<Flaw>) {
    for record in &reads.whole_records {
        let (one, example) = match *record {
            "headers" => ("header", "x-region"),
            _ => ("parameter", "user"),
        };
        let message = format!(
            "`context.{record}` is used as one value: name the {one} where it is read, as in `context.{record} has \"{example}\"`"
        );
        flaws.push(fatal(word(text, record), "cedar_record", message));
    }
}

fn is_token(name: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(token)
}

pub(crate) fn fatal(offset: Option<usize>, code: &'static str, message: String) -> Flaw {
    Flaw {
        offset,
        message,
        code,
        fatal: true,
    }
}

pub(crate) fn offset(diagnostic: &dyn Diagnostic) -> Option<usize> {
    let label = diagnostic.labels()?.next()?;
    Some(label.offset())
}

/// What Cedar says, and its advice, in one line.
pub(crate) fn message(diagnostic: &dyn Diagnostic) -> String {
    let mut text = diagnostic.to_string();
    if let Some(help) = diagnostic.help() {
        text = format!("{text}: {help}");
    }
    text.replace('\n', " ")
}

/// What Cedar says of a mistake, and what to do, where it does not say that itself.
pub(crate) fn explained(error: &cedar_policy::ValidationError, name: &str) -> String {
    use cedar_policy::ValidationError as E;
    let mut text = message(error).replace(&format!("for policy `{name}`, "), "");
    if matches!(error, E::UnsafeOptionalAttributeAccess(_)) {
        text.push_str(". Not every call has it: ask first, as in `principal has subject && principal.subject == …`");
    }
    text
}

/// Attributes that nothing has. Cedar takes `x has typo && …` for a question whose answer is no, so that what is
/// forbidden by it would never be.
fn unknown<'r>(
    text: &str,
    reads: &'r Reads,
    declared: &AccessPolicy,
    flaws: &mut Vec<Flaw>,
) -> Vec<&'r str> {
    let mut found = Vec::new();
    let records: [(&str, _, &[&str]); 3] = [
        ("context", &reads.context, &CONTEXT),
        ("principal", &reads.caller, &CALLER),
        ("resource", &reads.route, &ROUTE),
    ];
    for (record, read, known) in records {
        for name in read.iter().filter(|name| !known.contains(&&***name)) {
            let also = if record == "context" {
                &["headers", "parameters"][..]
            } else {
                &[]
            };
            let known: Vec<&str> = known.iter().chain(also).copied().collect();
            let hint = match closest(name, known.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("it has {}", listed(&known)),
            };
            let message = format!("`{record}` has no `{name}`: {hint}");
            flaws.push(fatal(word(text, name), "cedar_type", message));
            found.push(&**name);
        }
    }
    for name in reads
        .claims
        .iter()
        .filter(|name| !declared.claims.contains_key(*name))
    {
        let known: Vec<&str> = declared.claims.keys().map(|name| &**name).collect();
        let hint = match closest(name, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("say what it is, `claims: {{ {name}: String }}`"),
        };
        let message = format!("claim `{name}` is not declared: {hint}");
        flaws.push(fatal(word(text, name), "cedar_type", message));
        found.push(&**name);
    }
    found
}

/// Where a name stands in a text, and not a part of another.
pub(crate) fn word(text: &str, name: &str) -> Option<usize> {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(name).map(|(at, _)| at).find(|at| {
        let before = text
            .get(..*at)
            .and_then(|before| before.chars().next_back());
        let after = text
            .get(at + name.len()..)
            .and_then(|after| after.chars().next());
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}
