//! From what a resource says to keys and algorithms.

use super::error::IssuerError;
use aws_lc_rs::digest::{Context, SHA256, digest};
use keyward_jose::{JwkSet, Key, SignatureAlgorithm};
use keyward_model::id::TeamId;
use keyward_model::resource::issuer::{Encrypted, Introspection};
use keyward_model::resource::{Issuer, IssuerKeys};
use std::time::Duration;

/// SHA-256 of something, to tell whether it changed.
pub(super) type Digest = [u8; 32];

const HMAC: [SignatureAlgorithm; 3] = [
    SignatureAlgorithm::Hs256,
    SignatureAlgorithm::Hs384,
    SignatureAlgorithm::Hs512,
];

/// The algorithms that an issuer's tokens may be signed with: those it names, or all of its family. With a
/// shared secret that is HMAC, otherwise everything else; the two never meet (RFC 8725, section 3.1).
pub(super) fn algorithms(issuer: &Issuer) -> Result<Vec<SignatureAlgorithm>, IssuerError> {
    let secret = match &issuer.keys {
        IssuerKeys::Secret(_) => true,
        IssuerKeys::Own
        | IssuerKeys::KeySet(_)
        | IssuerKeys::Inline(_)
        | IssuerKeys::File(_)
        | IssuerKeys::Introspection(_)
        | IssuerKeys::Url { .. } => false,
    };
    let of_family = |algorithm: SignatureAlgorithm| HMAC.contains(&algorithm) == secret;
    if issuer.algorithms.is_empty() {
        let all = SignatureAlgorithm::ALL.iter().copied();
        return Ok(all.filter(|algorithm| of_family(*algorithm)).collect());
    }
    let named = issuer.algorithms.iter().map(|name| {
        let algorithm: SignatureAlgorithm = name
            .parse()
            .map_err(|_| IssuerError::Algorithm(name.to_string()))?;
        if of_family(algorithm) {
            Ok(algorithm)
        } else {
            Err(IssuerError::Family(name.to_string()))
        }
    });
    named.collect()
}

/// The keys of a file or an inline text: a JWK set, or one key in whatever form.
pub(super) fn read_keys(text: &[u8]) -> Result<JwkSet, IssuerError> {
    let set_error = match JwkSet::parse(text) {
        Ok(set) => return Ok(set),
        Err(error) => error,
    };
    let is_json = text.trim_ascii_start().starts_with(b"{");
    match Key::parse(text) {
        Ok((key, _)) => JwkSet::from_keys([key]).map_err(IssuerError::Keys),
        // Of JSON that is neither, the set was more likely meant.
        Err(_) if is_json => Err(IssuerError::Keys(set_error)),
        Err(error) => Err(IssuerError::Keys(error)),
    }
}

/// The set of a shared secret.
pub(super) fn secret_key(secret: &[u8]) -> Result<JwkSet, IssuerError> {
    let key = Key::from_secret(secret).map_err(IssuerError::Keys)?;
    JwkSet::from_keys([key]).map_err(IssuerError::Keys)
}

/// SHA-256.
pub(super) fn digest_of(bytes: &[u8]) -> Digest {
    let mut value = [0; 32];
    for (byte, other) in value.iter_mut().zip(digest(&SHA256, bytes).as_ref()) {
        *byte = *other;
    }
    value
}

/// What tells one definition of an issuer from another: everything that the resource says, and whose it is where that
/// decides what it means.
pub(super) fn definition(team: TeamId, issuer: &Issuer) -> Digest {
    let mut fields = Fields(Context::new(&SHA256));
    // Taken apart by name, so that a new field can't be forgotten here.
    let Issuer {
        issuer: iss,
        keys,
        algorithms,
        leeway,
        types,
        max_age,
        scope_claim,
        encrypted,
        // Roles are found out from the caller, whichever keys it was verified with.
        roles_from: _,
    } = issuer;
    fields.add(iss.as_bytes());
    match keys {
        IssuerKeys::Own => fields.add(b"own"),
        IssuerKeys::KeySet(name) => fields
            .add(b"key_set")
            .add(team.to_string().as_bytes())
            .add(name.as_str().as_bytes()),
        IssuerKeys::Inline(text) => fields.add(b"inline").add(text.as_bytes()),
        IssuerKeys::File(path) => fields.add(b"file").add(path.as_os_str().as_encoded_bytes()),
        IssuerKeys::Secret(secret) => fields.add(b"secret").add(secret.reveal()),
        IssuerKeys::Introspection(asked) => {
            let Introspection {
                url,
                client_id,
                client_secret,
                cache_for,
            } = &**asked;
            fields
                .add(b"introspection")
                .add(url.as_bytes())
                .add(client_id.as_bytes())
                .add(client_secret.reveal().as_bytes())
                .add_time(*cache_for)
        }
        IssuerKeys::Url {
            url,
            discover,
            stale_for,
        } => fields
            .add(b"url")
            .add(url.as_bytes())
            .add(&[u8::from(*discover)])
            .add_time(*stale_for),
    };
    fields
        .add_list(algorithms)
        .add_time(*leeway)
        .add_list(types);
    match max_age {
        None => fields.add(b"any age"),
        Some(max_age) => fields.add_time(*max_age),
    };
    fields.add(scope_claim.as_bytes());
    fields.add(match encrypted {
        Encrypted::No => b"signed",
        Encrypted::Required => b"encrypted",
    });
    fields.finish()
}

/// Hashes fields with their lengths, so that no two lists of fields are one text.
struct Fields(Context);

impl Fields {
    fn add(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update(&bytes.len().to_be_bytes());
        self.0.update(bytes);
        self
    }

    fn add_list(&mut self, texts: &[Box<str>]) -> &mut Self {
        self.add(&texts.len().to_be_bytes());
        for text in texts {
            self.add(text.as_bytes());
        }
        self
    }

    fn add_time(&mut self, time: Duration) -> &mut Self {
        self.add(&time.as_nanos().to_be_bytes())
    }

    fn finish(self) -> Digest {
        let mut value = [0; 32];
        for (byte, other) in value.iter_mut().zip(self.0.finish().as_ref()) {
            *byte = *other;
        }
        value
    }
}
