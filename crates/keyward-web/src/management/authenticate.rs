//! Who calls: a machine's token, signed by this deployment's own keys, whose row says that it still counts.

use super::call::Call;
use crate::problem::{Problem, ProblemKind};
use crate::site::Site;
use http::HeaderValue;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use keyward_access::management::{ManagementRole, Manager, Scope};
use keyward_jose::jwt::{self, Claims, Profile};
use keyward_jose::{JwkSet, NumericDate, SignatureAlgorithm, Signer, Verifiers};
use keyward_model::Timestamp;
use keyward_model::id::TeamId;
use keyward_store::MachineToken;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The type of tokens that manage: no API takes one, and no token of an API is taken here.
const TOKEN_TYPE: &str = "mgmt+jwt";

/// What our tokens are signed with: every deployment has such a key from its first start.
const ALGORITHM: SignatureAlgorithm = SignatureAlgorithm::Es256;

/// What a token's audience is called, below the site's address.
const AUDIENCE: &str = "/api/v1";

/// What is signed to see whether something can be: no token begins so.
const PROBE: &[u8] = b"keyward: can this be signed?";

impl Site {
    /// The caller, by the token in `Authorization`.
    pub(crate) async fn manager(&self, call: &Call) -> Result<Arc<Manager>, Problem> {
        let shown = call.header(&AUTHORIZATION).map_err(|_| no_token())?;
        let Some(shown) = shown else {
            return Err(no_token());
        };
        let token = match shown.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
            Some(_) | None => return Err(no_token()),
        };
        let claims = self.verified(token).map_err(bad_token)?;
        let row = claims.token_id().and_then(|id| id.parse().ok());
        let Some(id) = row else {
            return Err(bad_token("it has no `jti` of ours"));
        };
        let row = self.store().machine_token(id).await?;
        let row = row.ok_or_else(|| bad_token("its row is gone"))?;
        if row.revoked_at.is_some() {
            return Err(bad_token("it was taken back"));
        }
        if row.expires_at <= self.now() {
            return Err(bad_token("its time is over"));
        }
        let mut roles = self.roles_of(&row.member, row.team).await?;
        // Whoever makes a token gives what they have. Its member may have become more since: that is not for whoever
        // made it to use.
        if !row.by_operator {
            roles.remove(&ManagementRole::Operator);
        }
        if roles.is_empty() {
            return Err(bad_token("its member has no role any more"));
        }
        Ok(Arc::new(Manager {
            name: row.member.as_str().into(),
            roles: BTreeMap::from([(row.team, roles)]),
            scopes: row
                .scopes
                .iter()
                .filter_map(|scope| Scope::parse(scope))
                .collect(),
            team: row.team,
            token: row.id.to_string().into(),
        }))
    }

    fn verified(&self, token: &str) -> Result<Claims, String> {
        let now = self.now();
        let sets = self.keys().sets();
        let own = sets.own().ok_or("there are no keys")?;
        let keys = own.verifying(now).map_err(|error| error.to_string())?;
        verified(token, &keys, self.site_url(), now)
    }

    /// The roles of a member in one team.
    pub(crate) async fn roles_of(
        &self,
        member: &str,
        team: TeamId,
    ) -> Result<BTreeSet<ManagementRole>, Problem> {
        let all = self.store().member_roles(member).await?;
        let here = all.iter().filter(|role| role.team == team);
        Ok(here
            .filter_map(|role| ManagementRole::parse(&role.role))
            .collect())
    }

    /// That a token can be signed now: to be asked before anything is written that would need one. The key may be where
    /// only a signature shows whether it can be reached.
    pub(crate) async fn can_sign(&self) -> Result<(), Problem> {
        let signer = self.own_signer()?;
        signer.sign(PROBE).await.map(drop).map_err(unsigned)
    }

    fn own_signer(&self) -> Result<Arc<dyn Signer>, Problem> {
        let sets = self.keys().sets();
        let own = sets
            .own()
            .and_then(|own| own.signer(Some(ALGORITHM), self.now()));
        let signer = own.map(|(_, signer)| Arc::clone(signer));
        signer.ok_or_else(|| unsigned("no key signs"))
    }

    /// The token of this row, signed.
    pub(crate) async fn signed(&self, row: &MachineToken) -> Result<String, Problem> {
        let signer = self.own_signer()?;
        let claims = Claims::new()
            .with_issuer(self.site_url())
            .with_subject(&row.member)
            .with_audience([self.audience()])
            .with_token_id(row.id.to_string())
            .with_issued_at(date(row.created_at))
            .with_expiry(date(row.expires_at))
            .with_scopes(&row.scopes);
        jwt::sign_with(&claims, &*signer, TOKEN_TYPE)
            .await
            .map_err(unsigned)
    }

    fn audience(&self) -> String {
        audience(self.site_url())
    }
}

fn audience(site_url: &str) -> String {
    format!("{site_url}{AUDIENCE}")
}

/// The claims of a token that these keys have signed for managing the deployment at `site_url`.
fn verified(token: &str, keys: &JwkSet, site_url: &str, now: Timestamp) -> Result<Claims, String> {
    let verifiers = Verifiers::new(keys.keys(), &[ALGORITHM]);
    let profile = Profile::builder()
        .issuer(site_url)
        .audience(audience(site_url))
        .typ(TOKEN_TYPE)
        .require("jti")
        .require("sub")
        .algorithm(ALGORITHM)
        .build()
        .map_err(|error| error.to_string())?;
    let verified = jwt::verify(token, &verifiers, &profile, date(now));
    verified
        .map(|verified| verified.claims)
        .map_err(|error| error.to_string())
}

fn date(at: Timestamp) -> NumericDate {
    NumericDate(at.as_seconds())
}

fn unsigned(why: impl std::fmt::Display) -> Problem {
    Problem::new(
        ProblemKind::Unavailable,
        "No token can be signed just now: try again in some minutes",
    )
    .because(why)
}

fn no_token() -> Problem {
    Problem::new(
        ProblemKind::Unauthenticated,
        "Show a token: `Authorization: Bearer …`",
    )
    .header(
        WWW_AUTHENTICATE,
        HeaderValue::from_static("Bearer realm=\"keyward\""),
    )
}

/// The caller is told that it is not good, and not why: that goes to the log.
fn bad_token(why: impl std::fmt::Display) -> Problem {
    Problem::new(
        ProblemKind::Unauthenticated,
        "The token is not good here, or no longer",
    )
    .because(why)
    .header(
        WWW_AUTHENTICATE,
        HeaderValue::from_static("Bearer realm=\"keyward\", error=\"invalid_token\""),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyward_jose::{Algorithm, Key, LocalSigner};

    const SITE: &str = "https://site.example";
    const NOW: Timestamp = Timestamp::from_seconds(1_796_000_000);

    fn key(kid: &str) -> Key {
        let key = Key::generate(Algorithm::Signature(ALGORITHM), None).unwrap();
        key.with_kid(Some(kid.to_owned())).unwrap()
    }

    fn claims() -> Claims {
        Claims::new()
            .with_issuer(SITE)
            .with_subject("ci")
            .with_audience([audience(SITE)])
            .with_token_id("0195f0a0000070008000000000000012")
            .with_issued_at(date(NOW))
            .with_expiry(NumericDate(date(NOW).0 + 60))
    }

    #[test]
    fn nothing_but_our_own_tokens_for_managing_is_taken() {
        let (own, foreign) = (key("k1"), key("k1"));
        let keys = JwkSet::from_keys([own.clone()]).unwrap();
        let check = |key: &Key, claims: Claims, typ: &str, expected: bool| {
            let signer = LocalSigner::new(key, ALGORITHM).unwrap();
            let token = jwt::sign(&claims, &signer, typ).unwrap();
            let taken = verified(&token, &keys, SITE, NOW);
            assert_eq!(taken.is_ok(), expected, "{typ} {taken:?}");
        };
        check(&own, claims(), TOKEN_TYPE, true);
        // An access token that we have signed, though its `jti` be of a row and its audience this site.
        for typ in ["at+jwt", "JWT", "application/at+jwt"] {
            check(&own, claims(), typ, false);
        }
        // Another key of the same name.
        check(&foreign, claims(), TOKEN_TYPE, false);
        for other in [SITE, "https://other.example/api/v1", "keyward"] {
            let claims = claims().with_audience([other]);
            check(&own, claims, TOKEN_TYPE, false);
        }
        let of_other = claims().with_issuer("https://other.example");
        check(&own, of_other, TOKEN_TYPE, false);
        let over = claims().with_expiry(NumericDate(date(NOW).0 - 120));
        check(&own, over, TOKEN_TYPE, false);
    }
}
