//! Tokens that are signed with a team's keys.

use super::endpoint::{Allowed, Outcome};
use super::key::{Addressed, algorithm, refused};
use super::team::{bad_member, check_members};
use crate::answer::Answer;
use crate::problem::{Problem, ProblemKind};
use crate::site::Site;
use futures_util::FutureExt as _;
use keyward_jose::jwt::{self, Claims};
use keyward_jose::{Algorithm, NumericDate};
use keyward_model::id::RequestId;
use keyward_model::resource::KeySetPurpose;
use keyward_model::resource::raw::form;
use serde_json::{Value, json};
use std::time::Duration;

/// How long a token is good unless said otherwise: what leaks is of little use.
const LIFE: Duration = Duration::from_secs(5 * 60);

/// Who signs says these, and not who asks.
const OURS: [&str; 4] = ["iss", "iat", "exp", "jti"];

/// The longest `typ`.
const TYPE_MAX: usize = 64;

/// `POST …/tokens`.
pub(crate) fn create<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
        let addressed = Addressed::of(site, allowed)?;
        let plan = addressed.set.plan();
        if plan.is_own() {
            return Err(Problem::new(
                ProblemKind::Forbidden,
                "The issuer `self` signs for people and machines that it knows alone: declare a key set of your own",
            ));
        }
        let typ_of_purpose = match plan.purpose {
            KeySetPurpose::Tokens => "at+jwt",
            KeySetPurpose::IdTokens => "JWT",
            KeySetPurpose::Webhooks | KeySetPurpose::Encryption => {
                return Err(Problem::new(
                    ProblemKind::Unfit,
                    format!(
                        "The keys of this set are for {}: tokens are signed with those of a set whose `purpose` is `tokens` or `id_tokens`",
                        plan.purpose
                    ),
                ));
            }
        };
        let body = addressed.body()?;
        check_members(&body, &["algorithm", "claims", "type", "expires_in"])?;
        let wanted = match algorithm(&body)? {
            None => None,
            Some(Algorithm::Signature(algorithm)) => Some(algorithm),
            Some(Algorithm::KeyManagement(_) | Algorithm::ContentEncryption(_)) => {
                return Err(bad_member("/algorithm", "nothing is signed with it"));
            }
        };
        let typ = match body.get("type") {
            None => typ_of_purpose,
            Some(written) => typ(written)?,
        };
        let now = site.now();
        let life = life(&body, plan.token_life)?;
        let expires = now.plus(life);
        let date = |at: keyward_model::Timestamp| NumericDate(at.as_seconds());
        let mut random = [0; 10];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| {
            Problem::new(ProblemKind::Internal, "Something went wrong here")
                .because("the system has no random numbers")
        })?;
        let id = RequestId::new(now, random).to_string();
        let mut claims = claims(&body)?
            .with_issued_at(date(now))
            .with_expiry(date(expires))
            .with_token_id(id.clone());
        if let Some(issuer) = &plan.issuer {
            claims = claims.with_issuer(&**issuer);
        }
        let Some((row, signer)) = addressed.set.signer(wanted, now) else {
            return Err(Problem::new(
                ProblemKind::Unfit,
                "No key of the set signs just now with this algorithm: one was withdrawn and the next is not known everywhere yet, or the set has none",
            ));
        };
        let signed = jwt::sign_with(&claims, &**signer, typ)
            .await
            .map_err(|error| refused(error.into()))?;
        let about = json!({
            "kid": row.kid, "jti": id, "sub": claims.subject(), "expires": expires.to_string(),
        });
        // Before the token leaves: what was signed is known, or nobody has it.
        site.store()
            .tell_key_use(row, about, addressed.author(), now)
            .await?;
        let kid = &row.kid;
        Ok(Answer::ok(json!({
            "token": signed, "kid": kid, "jti": id, "expires_at": expires.to_string(),
        })))
    }
    .boxed()
}

fn claims(body: &Value) -> Result<Claims, Problem> {
    let written = match body.get("claims") {
        None => return Ok(Claims::new()),
        Some(Value::Object(written)) => written,
        Some(_) => return Err(bad_member("/claims", "they are an object")),
    };
    for name in OURS {
        if written.contains_key(name) {
            return Err(bad_member(
                &format!("/claims/{name}"),
                "it is put in here, by what the set says and the time",
            ));
        }
    }
    Claims::from_map(written.clone()).map_err(|error| bad_member("/claims", &error.to_string()))
}

fn typ(written: &Value) -> Result<&str, Problem> {
    let fits = |text: &&str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"+-._/".contains(&b);
        !text.is_empty() && text.len() <= TYPE_MAX && text.bytes().all(plain)
    };
    written
        .as_str()
        .filter(fits)
        .ok_or_else(|| bad_member("/type", "it is a media type, such as `at+jwt`"))
}

fn life(body: &Value, most: Duration) -> Result<Duration, Problem> {
    let Some(written) = body.get("expires_in") else {
        return Ok(LIFE.min(most));
    };
    let life = written.as_str().and_then(form::duration);
    let life = life.filter(|life| life.as_secs() > 0 && *life <= most);
    life.ok_or_else(|| {
        let seconds = most.as_secs();
        bad_member(
            "/expires_in",
            &format!(
                "it is a duration such as 5m, {seconds}s at most (`token_life` of the key set)"
            ),
        )
    })
}
