//! Whether an issuer's keys can be read and fit its algorithms.

use super::address::{is_local, plain_and_host};
use super::file;
use crate::key_file::{self, KEY_FILE_MAX_BYTES};
use keyward_jose::{JwkSet, SignatureAlgorithm, Verifiers};
use keyward_model::resource::raw::{Declared, Problems, closest};
use keyward_model::resource::{Issuer, IssuerKeys, Spec};

/// Tells what is wrong with the keys of an issuer, as far as can be seen without asking anyone.
/// `closed` says that the egress of the node may go to public addresses alone.
pub(super) fn check(declared: &Declared, closed: bool, problems: &mut Problems) {
    let Spec::Issuer(issuer) = &declared.resource.spec else {
        return;
    };
    algorithms(declared, issuer, problems);
    match &issuer.keys {
        IssuerKeys::Own | IssuerKeys::KeySet(_) | IssuerKeys::Secret(_) => {}
        IssuerKeys::Introspection(asked) => {
            plain_address(declared, "url", &asked.url, closed, problems);
        }
        IssuerKeys::Inline(text) => {
            key_set(
                declared,
                issuer,
                "keys",
                JwkSet::parse(text.as_bytes()),
                problems,
            );
        }
        IssuerKeys::File(path) => match file::read(path, KEY_FILE_MAX_BYTES) {
            Ok(bytes) => key_set(declared, issuer, "file", key_file::keys(&bytes), problems),
            Err(why) => problems.error(
                declared.node.place_of(&["jwks", "file"]),
                "file",
                format!("`file`: {why}"),
            ),
        },
        IssuerKeys::Url { url, discover, .. } => {
            let member = if *discover { "discover" } else { "url" };
            plain_address(declared, member, url, closed, problems);
        }
    }
}

/// The algorithms have names that are registered, and HMAC stays with shared secrets: a public key
/// taken for an HMAC secret is the oldest attack on JWTs (RFC 8725, section 2.1).
fn algorithms(declared: &Declared, issuer: &Issuer, problems: &mut Problems) {
    let shared = matches!(issuer.keys, IssuerKeys::Secret(_));
    for (index, name) in issuer.algorithms.iter().enumerate() {
        let place = declared.node.place_of_member(&["algorithms"], index);
        let Ok(algorithm) = name.parse::<SignatureAlgorithm>() else {
            let known = SignatureAlgorithm::ALL.iter().map(|known| known.as_str());
            let hint = match closest(&name.to_ascii_uppercase(), known) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "see `keyward jwk generate --help` for those there are".to_owned(),
            };
            problems.error(
                place,
                "algorithm_not_allowed",
                format!("`algorithms`: `{name}` is no signature algorithm: {hint}"),
            );
            continue;
        };
        if is_hmac(algorithm) != shared {
            let why = if shared {
                "is no HMAC algorithm, and `secret` is for HMAC alone: use HS256, HS384 or HS512, or give the issuer's public keys under `jwks`"
            } else {
                "is HMAC, which needs a shared `secret`: public keys under `jwks` never verify it"
            };
            problems.error(
                place,
                "algorithm_not_allowed",
                format!("`algorithms`: `{name}` {why}"),
            );
        }
    }
}

/// At least one of the keys can verify a token of the issuer; what is wrong with the others is told.
fn key_set(
    declared: &Declared,
    issuer: &Issuer,
    member: &str,
    set: Result<JwkSet, keyward_jose::Error>,
    problems: &mut Problems,
) {
    let place = declared.node.place_of(&["jwks", member]);
    let set = match set {
        Ok(set) => set,
        Err(error) => {
            problems.error(
                place,
                error.code(),
                format!("`{member}`: no keys can be read from it: {error}"),
            );
            return;
        }
    };
    for skipped in set.skipped() {
        let kid = skipped.kid.as_deref();
        let kid = kid.map(|kid| format!(" (`{kid}`)")).unwrap_or_default();
        problems.warning(
            place,
            skipped.error.code(),
            format!(
                "`{member}`: key {}{kid} is left out: {}",
                skipped.index + 1,
                skipped.error
            ),
        );
    }
    if set
        .keys()
        .iter()
        .any(|key| key.is_private() && key.key_type() != "oct")
    {
        problems.warning(
            place,
            "private_key",
            format!("`{member}` holds private keys, and public ones are enough to verify: take them out with `keyward jwk public`"),
        );
    }
    let allowed: Vec<SignatureAlgorithm> = if issuer.algorithms.is_empty() {
        let all = SignatureAlgorithm::ALL.iter().copied();
        all.filter(|algorithm| !is_hmac(*algorithm)).collect()
    } else {
        let named = issuer.algorithms.iter();
        named.filter_map(|name| name.parse().ok()).collect()
    };
    let verifiers = Verifiers::new(set.keys(), &allowed);
    if verifiers.is_empty() {
        let why = match verifiers.left_out().first() {
            Some(left_out) => format!(" (the first: {})", left_out.error),
            None => String::new(),
        };
        problems.error(
            place,
            "key_unfit",
            format!(
                "`{member}`: none of its {} keys verifies a token of this issuer{why}",
                set.keys().len()
            ),
        );
    }
}

fn is_hmac(algorithm: SignatureAlgorithm) -> bool {
    use SignatureAlgorithm as A;
    matches!(algorithm, A::Hs256 | A::Hs384 | A::Hs512)
}

/// Keys that come over plain HTTP can be swapped on their way, and the egress goes to addresses that are
/// not public only where the operator says so.
fn plain_address(
    declared: &Declared,
    member: &str,
    url: &str,
    closed: bool,
    problems: &mut Problems,
) {
    let (plain, host) = plain_and_host(url);
    let place = declared.node.place_of(&["jwks", member]);
    if plain && !is_local(host) {
        problems.warning(
            place,
            "plain_http",
            format!("`{member}`: keys from {host} come over plain HTTP, where anyone on the way can swap them: use https://"),
        );
    } else if closed && is_local(host) {
        problems.warning(
            place,
            "egress_closed",
            format!("`{member}`: {host} is not public, so the keys will not be fetched: name its address under `egress: {{ allow: [ … ] }}`"),
        );
    }
}
