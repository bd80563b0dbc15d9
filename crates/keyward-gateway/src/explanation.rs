//! Why a call would pass or not, found out without a listener: the same route, the same tokens, the same rules.

use crate::request::authenticate;
use crate::request::path::RequestPath;
use crate::routing::{RoutedRequest, Routing};
use crate::snapshot::{
    Credentials, HostName, Lookup, Occurrence, RequestView, Route, TrustedIssuer,
};
use http::HeaderValue;
use keyward_access::{Call, Check, HeaderValue as Header};
use keyward_jose::NumericDate;
use keyward_jose::jwt::{self, Claims};
use keyward_model::caller::{Method as CallerMethod, TokenFacts, TokenScopes};
use keyward_model::resource::issuer::Encrypted;
use keyward_model::resource::mutual_tls::Callers;
use keyward_model::usage::RouteLabels;
use keyward_model::{Caller, Clock, Code, Fault, Timestamp};
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

/// What a call would meet.
#[derive(Debug)]
pub enum Met<'t> {
    /// This route takes it.
    Route(MetRoute<'t>),
    /// A route is there, and not for this method: those there are.
    OtherMethods(String),
    /// Nothing is published there.
    Nothing,
}

/// A route that would take a call.
#[derive(Debug)]
pub struct MetRoute<'t>(&'t Arc<Route>);

/// Who is said to call.
#[derive(Clone, Copy, Debug)]
pub enum Credential<'a> {
    /// Nobody says who they are.
    None,
    /// A token, as it would come.
    Token(&'a str),
    /// The claims of a token, taken for verified.
    Claims(&'a str),
    /// The name in a client's certificate, taken for verified.
    Certificate(&'a str),
}

/// Who calls, and how sure that is.
#[derive(Debug)]
pub struct Identified {
    /// The caller.
    pub caller: Caller,
    /// Why the signature was not looked at, where it was not.
    pub unverified: Option<&'static str>,
}

impl Routing {
    /// What takes a call. `target` is path and query, as they would be sent.
    ///
    /// # Errors
    /// A target that is refused whatever is published.
    pub fn meet(&self, target: &str, request: &RoutedRequest<'_>) -> Result<Met<'_>, Fault> {
        let path = RequestPath::of_target(target)?;
        let header = |name: &str| {
            let values = request.headers.get_all(name).iter();
            Occurrence::of(values.map(HeaderValue::as_bytes))
        };
        let view = RequestView {
            host: Some(request.host),
            path: path.for_matching(),
            method: request.method,
            header: &header,
            query: path.query(),
        };
        Ok(match self.table().find(&view, || 0) {
            Lookup::Found(found) => Met::Route(MetRoute(found.route)),
            Lookup::OtherMethods(allow) => {
                Met::OtherMethods(String::from_utf8_lossy(allow.as_bytes()).into_owned())
            }
            Lookup::Nothing => Met::Nothing,
        })
    }
}

impl MetRoute<'_> {
    /// Which it is.
    #[must_use]
    pub fn labels(&self) -> &RouteLabels {
        &self.0.labels
    }

    /// What callers of it show, in words.
    #[must_use]
    pub fn asks_for(&self) -> String {
        match &self.0.credentials {
            Credentials::None => "no credential".to_owned(),
            Credentials::Certificate(_) => "a client certificate".to_owned(),
            Credentials::Token(policy) => {
                let issuers: Vec<&str> = policy
                    .issuers
                    .iter()
                    .map(|issuer| issuer.name.as_str())
                    .collect();
                format!("a token of {}", issuers.join(" or "))
            }
        }
    }

    /// Who calls with this credential.
    ///
    /// # Errors
    /// What the caller would be told.
    pub fn identify(
        &self,
        credential: Credential<'_>,
        clock: &dyn Clock,
        now: Timestamp,
    ) -> Result<Identified, Fault> {
        let identified = |caller, unverified| Identified { caller, unverified };
        match (&self.0.credentials, credential) {
            (Credentials::None, _) => Ok(identified(Caller::anonymous(), None)),
            (Credentials::Token(policy), Credential::Token(token)) => {
                let peek = jwt::peek(token).map_err(|error| authenticate::refused(&error))?;
                let issuer = authenticate::trusted(policy, &peek, Encrypted::No)?;
                let date = NumericDate(now.as_seconds());
                let Ok(keys) = issuer.keys.current(clock.moment()) else {
                    let caller = unsigned(issuer, peek.claims(), date)?;
                    return Ok(identified(
                        caller,
                        Some("the issuer's keys are fetched by a node that runs, and not here"),
                    ));
                };
                let verified = peek
                    .verify(&keys.verifiers, &issuer.profile, date)
                    .map_err(|error| authenticate::refused(&error))?;
                let caller = authenticate::caller(issuer, &verified.claims)?;
                Ok(identified(caller, None))
            }
            (Credentials::Token(policy), Credential::Claims(text)) => {
                let claims = Claims::parse(text.as_bytes(), jwt::TOKEN_MAX)
                    .map_err(|error| authenticate::refused(&error))?;
                let named = claims.issuer().unwrap_or_default();
                let issuer = policy.issuer(named).ok_or_else(|| {
                    let detail = "The token's issuer is not one that this API trusts";
                    Fault::new(Code::TokenInvalid, detail).because(format_args!("iss is {named:?}"))
                })?;
                let caller = unsigned(issuer, &claims, NumericDate(now.as_seconds()))?;
                Ok(identified(caller, Some("claims were given, and no token")))
            }
            (Credentials::Certificate(policy), Credential::Certificate(subject)) => {
                let scopes = match &policy.callers {
                    Callers::Certified => None,
                    Callers::Listed(callers) => Some(callers.get(subject).ok_or_else(|| {
                        let detail = "You are known here, and not among those who may call this API; ask its publisher";
                        Fault::new(Code::CallerNotAllowed, detail)
                    })?),
                };
                let scopes: Vec<&str> = scopes.into_iter().flatten().map(String::as_str).collect();
                let facts = TokenFacts {
                    subject: Some(subject),
                    scopes: TokenScopes::Listed(&scopes),
                    ..TokenFacts::default()
                };
                let mut caller = Caller::of_token(&facts)
                    .map_err(|error| Fault::new(Code::CertificateInvalid, error.to_string()))?;
                caller.method = CallerMethod::MutualTls;
                caller.team = Some(policy.team);
                Ok(identified(
                    caller,
                    Some("a name was given, and no certificate"),
                ))
            }
            (Credentials::Token(_), Credential::None | Credential::Certificate(_)) => {
                Err(Fault::new(
                    Code::TokenMissing,
                    "A token is needed: give --token or --claims",
                ))
            }
            (Credentials::Certificate(_), _) => Err(Fault::new(
                Code::CertificateMissing,
                "A client certificate is needed: give the name in it with --certificate-name",
            )),
        }
    }

    /// Everything that is asked of the caller, with what came of it.
    #[must_use]
    pub fn checks(
        &self,
        caller: &Caller,
        request: &RoutedRequest<'_>,
        target: &str,
        address: IpAddr,
        now: Timestamp,
    ) -> Vec<Check> {
        let mut checks: Vec<Check> = self
            .0
            .scopes
            .iter()
            .map(|scope| {
                let passed = caller.scopes.contains(scope);
                let held: Vec<&str> = caller.scopes.iter().collect();
                Check {
                    asked: format!("scope {scope}"),
                    passed,
                    why: match held.as_slice() {
                        [] => "the caller has none".to_owned(),
                        held => format!("the caller has {}", held.join(", ")),
                    },
                }
            })
            .collect();
        let (Some(rule), Ok(path)) = (&self.0.access, RequestPath::of_target(target)) else {
            return checks;
        };
        let called = HostName::of(request.host);
        let header = |name: &str| {
            let values = request.headers.get_all(name).iter();
            match Occurrence::of(values.map(HeaderValue::as_bytes)) {
                Occurrence::Absent => Header::Absent,
                Occurrence::Several => Header::Several,
                Occurrence::Once(value) => match std::str::from_utf8(value) {
                    Ok(value) => Header::Once(Cow::Borrowed(value)),
                    Err(_) => Header::NotText,
                },
            }
        };
        let call = Call {
            method: request.method.as_str(),
            path: path.for_matching(),
            host: called.as_ref().map(HostName::as_str).unwrap_or_default(),
            address,
            time: now,
            header: &header,
        };
        checks.extend(rule.explain(caller, &call));
        checks
    }
}

/// The caller of claims whose signature nobody has looked at: what else is checked of a token is checked here.
fn unsigned(issuer: &TrustedIssuer, claims: &Claims, now: NumericDate) -> Result<Caller, Fault> {
    issuer
        .profile
        .check_claims(claims, now)
        .map_err(|error| authenticate::refused(&error))?;
    authenticate::caller(issuer, claims)
}
