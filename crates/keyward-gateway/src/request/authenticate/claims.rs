//! From what a verified token says to a caller.

use crate::snapshot::TrustedIssuer;
use keyward_jose::NumericDate;
use keyward_jose::jwt::Claims;
use keyward_model::caller::{TokenClaims, TokenFacts, TokenScopes};
use keyward_model::{Caller, Code, Fault, Timestamp};
use std::sync::Arc;

/// When the token stops being taken.
pub(super) fn until(issuer: &TrustedIssuer, caller: &Caller) -> Timestamp {
    let expiry = caller.expires.map(|at| at.plus(issuer.leeway));
    let aged = issuer
        .max_age
        .and_then(|age| caller.issued_at.map(|at| at.plus(age).plus(issuer.leeway)));
    match (expiry, aged) {
        (Some(one), Some(other)) => one.min(other),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => Timestamp::EPOCH,
    }
}

/// The bearer.
pub(crate) fn caller(issuer: &TrustedIssuer, claims: &Claims) -> Result<Caller, Fault> {
    let text = |name: &str| {
        claims.text(name).map_err(|_| {
            Fault::new(
                Code::TokenInvalid,
                format!("The token was refused: claim `{name}` is no string"),
            )
        })
    };
    let client = match text("client_id")? {
        Some(client) => Some(client),
        None => text("azp")?,
    };
    let listed;
    let scopes = match claims.text(&issuer.scope_claim) {
        Ok(Some(list)) => TokenScopes::Spaced(list),
        Ok(None) => TokenScopes::None,
        // Some issuers list scopes in an array.
        Err(_) => {
            listed = list(claims, &issuer.scope_claim)?;
            TokenScopes::Listed(&listed)
        }
    };
    let mut caller = Caller::of_token(&TokenFacts {
        claims: match claims.as_text() {
            Some(text) => TokenClaims::Json(text),
            None => TokenClaims::Map(claims.map()),
        },
        subject: claims.subject(),
        client,
        scopes,
        token_id: claims.token_id(),
        session: text("sid")?,
        family: text("keyward_family")?,
    })
    .map_err(|error| {
        Fault::new(Code::TokenInvalid, "The token was refused: it is too long").because(error)
    })?;
    let time = |date: NumericDate| Timestamp::from_seconds(date.0);
    caller.team = Some(issuer.team);
    caller.issuer_name = Some(issuer.name.clone());
    // What the token names is what the route trusts.
    caller.issuer = Some(Arc::clone(&issuer.issuer));
    caller.issued_at = claims.issued_at().map(time);
    caller.expires = claims.expiry().map(time);
    Ok(caller)
}

/// Scopes in an array, of which what is no text is left out.
fn list<'a>(claims: &'a Claims, name: &str) -> Result<Vec<&'a str>, Fault> {
    if let Ok(Some(texts)) = claims.texts(name) {
        return Ok(texts.iter().collect());
    }
    match claims.get(name) {
        Some(serde_json::Value::Array(list)) => {
            Ok(list.iter().filter_map(|scope| scope.as_str()).collect())
        }
        Some(_) | None => Err(Fault::new(
            Code::TokenInvalid,
            format!("The token was refused: claim `{name}` is no list of scopes"),
        )),
    }
}
