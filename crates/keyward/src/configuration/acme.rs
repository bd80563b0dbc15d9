//! Reading `acme` of a listener's certificate.

use crate::acme::{AcmeChallenge, AcmeDeclaration};
use keyward_model::resource::raw::{Field, Problems};
use serde_json::{Value, json};
use std::path::Path;

/// The most names of one certificate, as the largest authority has it.
const NAMES_MAX: usize = 100;

pub(super) fn read(
    field: Field<'_>,
    directory: &Path,
    problems: &mut Problems,
) -> Option<AcmeDeclaration> {
    let known = ["names", "directory", "contact", "challenge", "roots"];
    let fields = field.fields(&known, problems)?;
    let names = fields.required(
        "names",
        "say which hosts the certificate is for, such as `names: [api.example.com]`",
        problems,
    );
    let names = names.and_then(|field| names_of(field, problems));
    let authority = fields
        .required(
            "directory",
            "give the address of the certificate authority's directory, such as https://acme-v02.api.letsencrypt.org/directory",
            problems,
        )
        .and_then(|field| {
            field.parsed(
                |text| (text.starts_with("https://") && text.len() > 8).then(|| text.into()),
                "is no address of a directory: it begins with https://",
                problems,
            )
        });
    let contact = match fields.optional("contact") {
        Some(field) => Some(field.parsed(
            |text| {
                let address = text.strip_prefix("mailto:").unwrap_or(text);
                let (user, host) = address.split_once('@')?;
                let plain = address.bytes().all(|b| b.is_ascii_graphic() && b != b',');
                (plain && !user.is_empty() && host.contains('.'))
                    .then(|| format!("mailto:{address}").into())
            },
            "is no e-mail address",
            problems,
        )?),
        None => None,
    };
    let challenge = match fields.optional("challenge") {
        Some(field) => {
            let words = [AcmeChallenge::Http01, AcmeChallenge::TlsAlpn01];
            field.one_of(&words.map(|word| (word.as_str(), word)), problems)
        }
        None => Some(AcmeChallenge::Http01),
    };
    let roots = match fields.optional("roots") {
        Some(field) => Some(directory.join(field.text(problems)?)),
        None => None,
    };
    let declaration = AcmeDeclaration {
        names: names?,
        directory: authority?,
        contact,
        challenge: challenge?,
        roots,
    };
    if let Err(why) = declaration.read_roots() {
        problems.error(field.place(), "file", format!("`roots`: {why}"));
        return None;
    }
    Some(declaration)
}

/// Sorted, so that the same names in another order are the same certificate.
fn names_of(field: Field<'_>, problems: &mut Problems) -> Option<Vec<Box<str>>> {
    field.filled_list(problems)?;
    let mut names = Vec::new();
    for member in field.list(problems)? {
        let name = member.parsed(
            host_name,
            "is no host name that a certificate can be obtained for: write a full name such as api.example.com, without a star (these challenges prove single hosts alone)",
            problems,
        )?;
        if names.contains(&name) {
            member.refuse("stands in the list twice", problems);
        }
        names.push(name);
    }
    if names.len() > NAMES_MAX {
        field.refuse(
            "has more than 100 names: make several certificates",
            problems,
        );
        return None;
    }
    names.sort();
    Some(names)
}

fn host_name(text: &str) -> Option<Box<str>> {
    let label = |label: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let dotted = text.contains('.') && text.len() <= 253;
    // The last label of a name is never a number: that would be an address.
    let named = text
        .rsplit('.')
        .next()
        .is_some_and(|last| !last.bytes().all(|b| b.is_ascii_digit()));
    (dotted && named && text.split('.').all(label)).then(|| text.to_ascii_lowercase().into())
}

/// As `check --json` tells it.
pub(super) fn to_json(declaration: &AcmeDeclaration) -> Value {
    json!({
        "acme": {
            "names": declaration.names,
            "directory": declaration.directory,
            "contact": declaration.contact,
            "challenge": declaration.challenge.as_str(),
            "roots": declaration.roots,
        },
    })
}
