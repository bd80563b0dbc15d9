//! Why a call would pass or not, found out without a listener: the same route, the same tokens, the same rules.

use crate::request::authenticate::{self, Binding};
use crate::request::path::RequestPath;
use crate::routing::{RoutedRequest, Routing};
use crate::snapshot::{
    Credentials, HostName, Lookup, MethodPolicy, Occurrence, RequestView, Route, TokenPolicy,
    TrustedIssuer,
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
    /// What else a node would look at, of the credential, which can't be looked at here.
    pub unseen: Vec<&'static str>,
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

/// Which tokens, in words.
fn of_issuers(policy: &TokenPolicy) -> String {
    let issuers = policy.issuers.iter().map(|issuer| issuer.name.as_str());
    let issuers: Vec<&str> = issuers.collect();
    format!("a token of {}", issuers.join(" or "))
}

/// One of several methods, in words.
fn in_words(method: &MethodPolicy) -> String {
    match method {
        MethodPolicy::Token(policy) => of_issuers(policy),
        MethodPolicy::ApiKey(_) => "an API key".to_owned(),
        MethodPolicy::Basic(_) => "a name and a password".to_owned(),
        MethodPolicy::Certificate(_) => "a client certificate".to_owned(),
        MethodPolicy::Anonymous => "no credential".to_owned(),
    }
}

/// The method among several that the credential is for.
fn of_methods(methods: &[MethodPolicy], credential: &Credential<'_>) -> Result<Credentials, Fault> {
    let found = methods
        .iter()
        .find_map(|method| match (method, credential) {
            (MethodPolicy::Token(policy), Credential::Token(_) | Credential::Claims(_)) => {
                Some(Credentials::Token(Arc::clone(policy)))
            }
            (MethodPolicy::Certificate(policy), Credential::Certificate(_)) => {
                Some(Credentials::Certificate(Arc::clone(policy)))
            }
            (MethodPolicy::Anonymous, Credential::None) => Some(Credentials::None),
            (_, _) => None,
        });
    found.ok_or_else(|| {
        Fault::new(
            Code::CredentialMissing,
            "A credential that this API takes is needed: a token or its claims, or the name in a certificate; API keys and passwords are known to a node that runs alone",
        )
    })
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
            Credentials::Token(policy) => of_issuers(policy),
            Credentials::Methods(methods) => {
                let words: Vec<String> = methods.iter().map(in_words).collect();
                words.join(", or ")
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
        let identified = |caller, unverified, unseen| Identified {
            caller,
            unverified,
            unseen,
        };
        let alone;
        let credentials = match (&self.0.credentials, &credential) {
            (Credentials::Methods(methods), credential) => {
                alone = of_methods(methods, credential)?;
                &alone
            }
            (credentials, _) => credentials,
        };
        match (credentials, credential) {
            (Credentials::None | Credentials::Methods(_), _) => {
                Ok(identified(Caller::anonymous(), None, Vec::new()))
            }
            (Credentials::Token(policy), Credential::Token(token)) => {
                let peek = jwt::peek(token).map_err(|error| authenticate::refused(&error))?;
                let issuer = authenticate::trusted(policy, &peek, Encrypted::No)?;
                let unseen = unseen_of_token(policy, peek.claims())?;
                let date = NumericDate(now.as_seconds());
                let Ok(keys) = issuer.keys.current(clock.moment()) else {
                    let caller = unsigned(issuer, peek.claims(), date)?;
                    return Ok(identified(
                        caller,
                        Some("the issuer's keys are fetched by a node that runs, and not here"),
                        unseen,
                    ));
                };
                let verified = peek
                    .verify(&keys.verifiers, &issuer.profile, date)
                    .map_err(|error| authenticate::refused(&error))?;
                let caller = authenticate::caller(issuer, &verified.claims)?;
                Ok(identified(caller, None, unseen))
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
                let mut unseen = unseen_of_token(policy, &claims)?;
                if issuer.encrypted == Encrypted::Required {
                    unseen.push("tokens of this issuer must be encrypted, and one that is only signed is refused");
                }
                Ok(identified(
                    caller,
                    Some("claims were given, and no token"),
                    unseen,
                ))
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
                    vec![
                        "the caller of a certificate has its issuer, its time and what else it says for claims, which policies and roles may ask for: none of them is there",
                    ],
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

    /// What else a node would ask before it lets a call through, which can't be asked here.
    #[must_use]
    pub fn unasked(&self) -> Vec<&'static str> {
        let mut unasked = Vec::new();
        if self.0.decision.is_some() {
            unasked.push("the external decision of this route is not asked for, and may refuse");
        }
        if !matches!(self.0.credentials, Credentials::None) {
            unasked.push("revocations are not looked at: `keyward revocation list` shows them");
        }
        unasked
    }

    /// Everything that is asked of the caller, and of where the call comes from, with what came of it.
    #[must_use]
    pub fn checks(
        &self,
        caller: &Caller,
        request: &RoutedRequest<'_>,
        target: &str,
        address: IpAddr,
        now: Timestamp,
    ) -> Vec<Check> {
        let policies = self.0.policies.as_ref();
        let from = policies.and_then(|policies| policies.lets_in(address));
        let from = from.map(|passed| Check {
            asked: "IP filter".to_owned(),
            passed,
            why: format!("the client's address is {address}"),
        });
        let scopes = self.0.scopes.iter().map(|scope| {
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
        });
        let mut checks: Vec<Check> = from.into_iter().chain(scopes).collect();
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

/// What a call has to bring besides such a token.
fn unseen_of_token(policy: &TokenPolicy, claims: &Claims) -> Result<Vec<&'static str>, Fault> {
    let binding = Binding::of(claims)?;
    match binding.as_deref() {
        Some(binding) if binding.has_key() => Ok(vec![
            "the token is bound to a key (`cnf`): each call needs a proof in `DPoP`",
        ]),
        None | Some(_) if policy.dpop.required => Err(authenticate::unbound()),
        Some(_) => Ok(vec![
            "the token is bound to a certificate (`cnf`): calls pass over a connection with it alone",
        ]),
        None => Ok(Vec::new()),
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
