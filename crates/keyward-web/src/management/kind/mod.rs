//! Resources, described once for each kind: what they are called, how they are known, what of them is secret, and
//! what they look like. Endpoints, checks and the OpenAPI document are made from this.

mod ai;
mod api;
mod authentication;
mod credential;
mod guardrail;
mod issuer;
mod key_set;
mod prompt;
mod route;
pub(crate) mod schema;
mod traffic;
mod upstream;

use keyward_access::management::Subject;
use keyward_model::resource::Kind;
use serde_json::Value;

/// A kind of resource.
#[derive(Debug)]
pub(crate) struct KindDescription {
    /// Which.
    pub(crate) kind: Kind,
    /// One of them, in a sentence.
    pub(crate) one: &'static str,
    /// What they are for, for the reader of the OpenAPI document.
    pub(crate) about: &'static str,
    /// Whether the version is a part of what identifies it.
    pub(crate) versioned: bool,
    /// What is secret of it.
    pub(crate) secrets: &'static [SecretMember],
    /// Members that say where the node sends its secrets: one that is kept is not sent elsewhere.
    pub(crate) sent_to: &'static [&'static str],
    /// The JSON schema of its own members, without those that every resource has.
    pub(crate) schema: fn() -> Value,
}

/// A member whose text is a secret.
#[derive(Debug)]
pub(crate) struct SecretMember {
    /// Where it stands: a JSON pointer, in which `*` is any member.
    pub(crate) pointer: &'static str,
    /// What is kept of it.
    pub(crate) kept: Kept,
}

/// What is kept of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// The secret, sealed: it is needed again. Bodies have a reference, which begins with this and counts in places of
    /// the same beginning alone: else whoever may write a header could have any secret of the team sent to themselves.
    Sealed(&'static str),
    /// The same, of those members alone whose names or values look as secrets do: a value such as `prod` of `x-env`
    /// stays readable.
    SealedByName(&'static str),
    /// Nothing: it has no place here, and is refused. In files, where it may stand, it is not told.
    Never,
    /// The hash of an API key.
    KeyHash,
    /// The hash of a machine's password.
    PasswordHash,
}

const fn sealed(pointer: &'static str) -> SecretMember {
    SecretMember {
        pointer,
        kept: Kept::Sealed(""),
    }
}

const fn of_provider(pointer: &'static str) -> SecretMember {
    SecretMember {
        pointer,
        kept: Kept::Sealed("provider."),
    }
}

const fn never(pointer: &'static str) -> SecretMember {
    SecretMember {
        pointer,
        kept: Kept::Never,
    }
}

const fn value(pointer: &'static str) -> SecretMember {
    SecretMember {
        pointer,
        kept: Kept::SealedByName("value."),
    }
}

impl KindDescription {
    /// All kinds.
    pub(crate) const ALL: &[Self] = &[
        Self {
            kind: Kind::Issuer,
            one: "an issuer",
            about: "Whose tokens are believed.",
            versioned: false,
            secrets: &[
                sealed("/secret"),
                sealed("/introspection/client_secret"),
                // Of RSA, elliptic curves and pairs (RFC 7518, section 6), `oct`, and ML-DSA.
                never("/jwks/keys/*/d"),
                never("/jwks/keys/*/p"),
                never("/jwks/keys/*/q"),
                never("/jwks/keys/*/dp"),
                never("/jwks/keys/*/dq"),
                never("/jwks/keys/*/qi"),
                never("/jwks/keys/*/oth"),
                never("/jwks/keys/*/k"),
                never("/jwks/keys/*/priv"),
            ],
            sent_to: &[],
            schema: issuer::schema,
        },
        Self {
            kind: Kind::Upstream,
            one: "an upstream",
            about: "Where calls go.",
            versioned: false,
            secrets: &[],
            sent_to: &[],
            schema: upstream::schema,
        },
        Self {
            kind: Kind::Api,
            one: "an API",
            about: "What is published: a name and a version together identify it, written `name:version` in addresses.",
            versioned: true,
            // Wherever a value of a header or of the query is written.
            secrets: &[
                value("/routes/*/request_headers/set/*"),
                value("/routes/*/request_headers/add/*"),
                value("/routes/*/response_headers/set/*"),
                value("/routes/*/response_headers/add/*"),
                value("/routes/*/query/set/*"),
                value("/routes/*/query/add/*"),
                value("/routes/*/mirror/request_headers/set/*"),
                value("/routes/*/mirror/request_headers/add/*"),
                value("/routes/*/respond/headers/*"),
                value("/routes/*/match/headers/*"),
                value("/routes/*/match/query/*"),
                value("/routes/*/split/*/when/headers/*"),
                value("/routes/*/split/*/when/query/*"),
                value("/routes/*/transformation/request/headers/set/*"),
                value("/routes/*/transformation/response/headers/set/*"),
                value("/transformation/request/headers/set/*"),
                value("/transformation/response/headers/set/*"),
            ],
            sent_to: &[],
            schema: api::schema,
        },
        Self {
            kind: Kind::Credential,
            one: "a credential",
            about: "An API key, or a password of HTTP basic. Only its hash is kept.",
            versioned: false,
            secrets: &[
                SecretMember {
                    pointer: "/api_key",
                    kept: Kept::KeyHash,
                },
                SecretMember {
                    pointer: "/password",
                    kept: Kept::PasswordHash,
                },
                // A person's password may be guessed from its hash.
                SecretMember {
                    pointer: "/password/argon2",
                    kept: Kept::Sealed("argon2."),
                },
            ],
            sent_to: &[],
            schema: credential::schema,
        },
        Self {
            kind: Kind::Role,
            one: "a role",
            about: "A name for what callers of APIs do.",
            versioned: false,
            secrets: &[],
            sent_to: &[],
            schema: credential::role_schema,
        },
        Self {
            kind: Kind::AccessPolicy,
            one: "an access policy",
            about: "Who may call what, in Cedar.",
            versioned: false,
            secrets: &[],
            sent_to: &[],
            schema: credential::access_policy_schema,
        },
        Self {
            kind: Kind::KeySet,
            one: "a key set",
            about: "Keys of your own, that follow on one another: to sign tokens with, or for others to encrypt to.",
            versioned: false,
            secrets: &[],
            sent_to: &[],
            schema: key_set::schema,
        },
        Self {
            kind: Kind::Webhook,
            one: "a webhook",
            about: "Who is told of what was done in the team, signed.",
            versioned: false,
            secrets: &[],
            sent_to: &[],
            schema: key_set::webhook_schema,
        },
        Self {
            kind: Kind::ManagementRole,
            one: "a management role",
            about: "What members of the team may manage, in Cedar: never more than an owner, and never what rights are given by.",
            versioned: false,
            secrets: &[],
            sent_to: &[],
            schema: credential::management_role_schema,
        },
        Self {
            kind: Kind::Provider,
            one: "a provider",
            about: "Who serves AI models, and the keys that it is called with.",
            versioned: false,
            // With a beginning of their own: no other place of the team's can have them sent somewhere.
            secrets: &[
                of_provider("/credentials/*/key"),
                of_provider("/credentials/*/aws/secret_access_key"),
                of_provider("/credentials/*/aws/session_token"),
                of_provider("/credentials/*/google/service_account"),
                of_provider("/credentials/*/entra/client_secret"),
            ],
            sent_to: &["catalogue", "dialect", "base_url", "at", "key_header"],
            schema: ai::provider_schema,
        },
        Self {
            kind: Kind::Model,
            one: "a model",
            about: "A name that callers ask for, and which providers' models answer.",
            versioned: false,
            secrets: &[],
            sent_to: &[],
            schema: ai::model_schema,
        },
        Self {
            kind: Kind::Prompt,
            one: "a prompt",
            about: "A template with typed variables that is called like an API: a name and a version together identify it, written `name:version` in addresses.",
            versioned: true,
            secrets: &[],
            sent_to: &[],
            schema: prompt::schema,
        },
    ];

    /// The description of a kind.
    pub(crate) fn of(kind: Kind) -> Option<&'static Self> {
        Self::ALL
            .iter()
            .find(|description| description.kind == kind)
    }

    /// The description of what is written in `kind`.
    pub(crate) fn named(kind: &str) -> Option<&'static Self> {
        Self::ALL
            .iter()
            .find(|description| description.kind.as_str() == kind)
    }

    /// What it is for who may do what; as text, the last part of its addresses.
    pub(crate) fn subject(&self) -> Subject {
        Subject::Resources(self.kind)
    }

    /// The whole schema: with the members that every resource has.
    pub(crate) fn whole_schema(&self) -> Value {
        schema::of_resource(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyward_model::resource::raw::known_keys;
    use std::collections::BTreeSet;

    /// What only a node's own file can have: a file's name.
    const OF_FILES: &[(Kind, &str)] = &[(Kind::AccessPolicy, "file")];

    #[test]
    fn every_kind_is_described_with_all_its_members_and_no_others() {
        for kind in Kind::ALL {
            let description = KindDescription::of(kind).unwrap();
            let schema = (description.schema)();
            let members = schema["properties"].as_object().unwrap().keys();
            let described: BTreeSet<&str> = members.map(String::as_str).collect();
            let known = known_keys(kind).iter().copied();
            let known: BTreeSet<&str> = known
                .filter(|key| !OF_FILES.contains(&(kind, key)))
                .collect();
            // An API's routes say some things for themselves alone.
            assert_eq!(described, known, "{kind}");
        }
    }

    #[test]
    fn secrets_are_members_that_the_schema_has() {
        for description in KindDescription::ALL {
            for secret in description.secrets {
                // The guide has what is below: the schema of routes and policies is open.
                let mut keys = secret.pointer.split('/').skip(1);
                let schema = description.whole_schema();
                let first = schema["properties"].get(keys.next().unwrap());
                assert!(first.is_some(), "{}", secret.pointer);
            }
        }
    }
}
