//! Rows of keys, what they sign, who is told, and what is no longer believed.

use super::{in_team, paged, permitted, scoped};
use crate::management::call::JSON;
use crate::management::endpoint::Endpoint;
use crate::management::operation::{Operation, Parameter, schema_named};
use crate::management::{key, revocation, signed_token, trial, webhook};
use http::Method;
use keyward_access::management::{Action, Subject};
use keyward_model::resource::Kind;

pub(super) fn rows() -> Vec<Endpoint> {
    let mut rows = keys();
    rows.push(permitted(
        Method::POST,
        "/teams/{team}/key-sets/{key}/tokens",
        Action::write(Subject::SignedTokens),
        signed_token::create,
        Operation::new(
            "sign_token",
            "keys",
            "Sign a token (JWT) with the key that signs now; `iss`, `iat`, `exp` and `jti` are put in here",
        )
        .takes(JSON, schema_named("NewSignedToken"))
        .gives(200, Some(schema_named("SignedToken")))
        .refuses([403, 404, 409, 422]),
    ));
    rows.push(permitted(
        Method::GET,
        "/teams/{team}/webhooks/{key}/delivery",
        Action::read(Subject::Resources(Kind::Webhook)),
        webhook::delivery,
        Operation::new(
            "show_delivery",
            "webhooks",
            "How far a webhook has been told, and what goes wrong",
        )
        .gives(200, Some(schema_named("Delivery")))
        .refuses([403, 404]),
    ));
    rows.push(permitted(
        Method::GET,
        "/teams/{team}/prompts/{key}/trial",
        Action::read(Subject::Resources(Kind::Prompt)),
        trial::show,
        Operation::new(
            "show_trial",
            "prompts",
            "The versions of a prompt beside each other, by its name: what this node has counted of them since it started",
        )
        .gives(200, Some(schema_named("Trial")))
        .refuses([403, 404]),
    ));
    rows.extend(revocations(false, ""));
    rows.extend(revocations(true, "/teams/{team}"));
    rows
}

fn keys() -> Vec<Endpoint> {
    let all = "/teams/{team}/key-sets/{key}/keys";
    let one = "/teams/{team}/key-sets/{key}/keys/{kid}";
    let (read, write) = (Action::read(Subject::Keys), Action::write(Subject::Keys));
    let mut rows = vec![
        permitted(
            Method::GET,
            all,
            read,
            key::list,
            paged(
                Operation::new("list_keys", "keys", "The keys of a set, in all states"),
                "Key",
            ),
        ),
        permitted(
            Method::POST,
            all,
            write,
            key::create,
            Operation::new(
                "create_key",
                "keys",
                "Make a key, or bring one: it is published at once, and used once every copy of the set has it",
            )
            .takes(JSON, schema_named("NewKey"))
            .gives(201, Some(schema_named("Key")))
            .refuses([403, 404, 409, 422]),
        ),
        permitted(
            Method::GET,
            one,
            read,
            key::show,
            Operation::new("show_key", "keys", "A key, without its private part")
                .gives(200, Some(schema_named("Key")))
                .refuses([403, 404]),
        ),
        permitted(
            Method::POST,
            &format!("{one}/certificate-request"),
            write,
            key::request_certificate,
            Operation::new(
                "request_certificate",
                "keys",
                "A certificate request (PKCS#10) for the key, to be signed by an authority outside",
            )
            .takes(JSON, schema_named("CertificateSubject"))
            .gives(200, Some(schema_named("CertificateRequest")))
            .refuses([403, 404, 409, 422]),
        ),
        permitted(
            Method::PUT,
            &format!("{one}/certificates"),
            write,
            key::certify,
            Operation::new(
                "certify_key",
                "keys",
                "Put the key's certificates into the set (`x5c`), the key's own first",
            )
            .takes(JSON, schema_named("Certificates"))
            .gives(200, Some(schema_named("Key")))
            .refuses([403, 404, 409, 422]),
        ),
    ];
    let steps: [(&str, super::PermittedHandler, &str); 3] = [
        (
            "activate",
            key::activate,
            "Let a key sign from now on, in the place of the one that does",
        ),
        (
            "retire",
            key::retire,
            "Let a key sign no more; what it signed stays good until it expires",
        ),
        (
            "withdraw",
            key::withdraw,
            "Take a key out at once: what it signed is refused from now on",
        ),
    ];
    rows.extend(steps.map(|(verb, handler, summary)| {
        permitted(
            Method::POST,
            &format!("{one}/{verb}"),
            write,
            handler,
            Operation::new(format!("{verb}_key"), "keys", summary)
                .gives(200, Some(schema_named("Key")))
                .refuses([403, 404, 409]),
        )
    }));
    rows
}

fn revocations(of_team: bool, base: &str) -> [Endpoint; 3] {
    let all = format!("{base}/revocations");
    let one = format!("{all}/{{revocation}}");
    let id = |id: &str| scoped(id, of_team);
    let refusals = |more: &[u16]| {
        let of_team = of_team.then_some(404);
        [403]
            .into_iter()
            .chain(of_team)
            .chain(more.iter().copied())
            .collect::<Vec<_>>()
    };
    let (read, write) = (
        Action::read(Subject::Revocations),
        Action::write(Subject::Revocations),
    );
    [
        permitted(
            Method::GET,
            &all,
            read,
            revocation::list,
            Operation::new(
                id("list_revocations"),
                "revocations",
                format!("What is no longer believed{}", in_team(of_team)),
            )
            .with(Parameter::paging())
            .gives(
                200,
                Some(crate::management::list::page_schema(schema_named(
                    "Revocation",
                ))),
            )
            .refuses(refusals(&[])),
        ),
        permitted(
            Method::POST,
            &all,
            write,
            revocation::create,
            Operation::new(
                id("revoke"),
                "revocations",
                if of_team {
                    "Believe a token, a session, a subject, a client or a family of the team's own issuers no longer: at once here, within a second on other nodes"
                } else {
                    "Believe a token, a session, a subject, a client or a family no longer: at once here, within a second on other nodes"
                },
            )
            .takes(JSON, schema_named("NewRevocation"))
            .gives(201, Some(schema_named("Revocation")))
            .refuses(refusals(&[409, 422])),
        ),
        permitted(
            Method::DELETE,
            &one,
            write,
            revocation::delete,
            Operation::new(
                id("take_back_revocation"),
                "revocations",
                "Take a revocation back: what it named is believed again",
            )
            .gives(204, None)
            .refuses([403, 404]),
        ),
    ]
}
