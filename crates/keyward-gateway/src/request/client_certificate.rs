//! Who calls, by the certificate that its connection was made with (RFC 8705, section 2.1).
//!
//! A connection's certificate is made a caller once for each API that is called over it; a call then costs
//! a look at whether the certificate still counts.

use super::authenticate::{Attempt, Authenticated, check_revocations};
use super::verified_caller::VerifiedCaller;
use super::{Client, Refusal, is_trusted};
use crate::message::{Fields, Header, RequestHead};
use crate::snapshot::{CertificatePolicy, Route};
use crate::tls::ClientCertificate;
use crate::worker::Worker;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyward_model::caller::{Method, TokenClaims, TokenFacts, TokenScopes};
use keyward_model::resource::mutual_tls::{Callers, CertificateName};
use keyward_model::{Caller, Code, Fault, Timestamp};
use rustls::CertificateError;
use rustls_pki_types::CertificateDer;
use serde_json::json;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// What was concluded is looked at again after this time, since what is between the certificate and an API's
/// own roots may end.
const REMEMBERED_FOR: Duration = Duration::from_secs(300);

/// APIs of one connection that are remembered. A client calls a few; one that calls many pays again.
const REMEMBERED: usize = 8;

/// The field that carries a certificate to an upstream (RFC 9440, section 2.2).
pub(crate) const CLIENT_CERT: &str = "client-cert";
/// Its sibling, which nobody may send either.
pub(crate) const CLIENT_CERT_CHAIN: &str = "client-cert-chain";

/// What a connection's certificate means to the APIs that were called over it.
#[derive(Debug, Default)]
pub(crate) struct KnownCertificate(RefCell<VecDeque<Known>>);

#[derive(Clone, Debug)]
struct Known {
    policy: Arc<CertificatePolicy>,
    outcome: Result<Rc<VerifiedCaller>, Fault>,
    until: Timestamp,
}

impl KnownCertificate {
    fn get(
        &self,
        policy: &Arc<CertificatePolicy>,
        now: Timestamp,
    ) -> Option<Result<Rc<VerifiedCaller>, Fault>> {
        let known = self.0.borrow();
        let known = known
            .iter()
            .find(|known| Arc::ptr_eq(&known.policy, policy))?;
        (now < known.until).then(|| known.outcome.clone())
    }

    fn remember(&self, new: Known) {
        let mut known = self.0.borrow_mut();
        known.retain(|known| !Arc::ptr_eq(&known.policy, &new.policy));
        if known.len() >= REMEMBERED {
            known.pop_front();
        }
        known.push_back(new);
    }
}

/// The longest `Client-Cert`: a certificate has one or two kilobytes as a rule.
const PROXIED_MAX: usize = 16 * 1024;
/// The longest `Client-Cert-Chain`.
const PROXIED_CHAIN_MAX: usize = 48 * 1024;

/// A client's certificate that a proxy tells of, which has ended TLS and checked it (RFC 9440).
#[derive(Debug)]
pub(crate) struct ProxiedCertificate(Result<Proxied, &'static str>);

#[derive(Debug)]
struct Proxied {
    certificate: ClientCertificate,
    /// The certificate, then those between it and the root, where the proxy tells them.
    chain: Vec<CertificateDer<'static>>,
}

impl ProxiedCertificate {
    /// What a trusted proxy says in `Client-Cert`, where the route's API believes it; from anybody else it is
    /// taken out like a forged name. Must come before those are.
    pub(crate) fn take(
        worker: &Worker,
        route: &Route,
        client: &Client,
        head: &RequestHead,
    ) -> Option<Box<Self>> {
        if !route.resource.proxied_certificates || !is_trusted(worker, client.address()) {
            return None;
        }
        let fields = &head.fields;
        let certificates: Vec<_> = fields.all_named(CLIENT_CERT).collect();
        let chain: Vec<_> = fields.all_named(CLIENT_CERT_CHAIN).collect();
        let read = read(&certificates, &chain)?;
        Some(Box::new(Self(read)))
    }

    /// Whether it can be read, and its time has come and is not over.
    pub(crate) fn check(&self, now: Timestamp) -> Result<(), Fault> {
        let proxied = self.0.as_ref().map_err(|why| unreadable(why))?;
        let certificate = &proxied.certificate;
        if now < certificate.not_before {
            return Err(Fault::new(
                Code::CertificateInvalid,
                "The client certificate is not valid yet; connect with another one",
            ));
        }
        // RFC 5280, section 4.1.2.5: the last second is within.
        if now >= certificate.not_after.plus(Duration::from_secs(1)) {
            return Err(Fault::new(
                Code::CertificateExpired,
                "The client certificate has expired; connect with a new one",
            ));
        }
        Ok(())
    }

    /// The thumbprint, if the certificate can be read.
    pub(crate) fn thumbprint(&self) -> Option<&str> {
        self.0
            .as_ref()
            .ok()
            .map(|proxied| &*proxied.certificate.thumbprint)
    }
}

fn unreadable(why: &str) -> Fault {
    Fault::new(
        Code::CertificateInvalid,
        "The client certificate that the proxy tells of can't be read",
    )
    .because(why)
}

/// Reads `Client-Cert` and `Client-Cert-Chain`: byte sequences of structured fields (RFC 8941, section 3.3.5).
/// `None` where there is none.
fn read(certificates: &[&[u8]], chain: &[&[u8]]) -> Option<Result<Proxied, &'static str>> {
    let (first, others) = certificates.split_first()?;
    if !others.is_empty() {
        return Some(Err("`Client-Cert` stands there twice"));
    }
    if first.len() > PROXIED_MAX
        || chain.iter().map(|part| part.len()).sum::<usize>() > PROXIED_CHAIN_MAX
    {
        return Some(Err("`Client-Cert` or its chain is too long"));
    }
    let read = || {
        let own = byte_sequence(first).ok_or("`Client-Cert` is no byte sequence")?;
        let certificate =
            ClientCertificate::read(&own).ok_or("`Client-Cert` holds no certificate")?;
        let mut all = vec![CertificateDer::from(own)];
        for part in chain
            .iter()
            .flat_map(|part| part.split(|byte| *byte == b','))
        {
            let der =
                byte_sequence(part).ok_or("`Client-Cert-Chain` is no list of byte sequences")?;
            all.push(CertificateDer::from(der));
        }
        Ok(Proxied {
            certificate,
            chain: all,
        })
    };
    Some(read())
}

/// `:base64:`
fn byte_sequence(text: &[u8]) -> Option<Vec<u8>> {
    let inner = text.trim_ascii().strip_prefix(b":")?.strip_suffix(b":")?;
    STANDARD.decode(inner).ok()
}

/// For fuzz targets: whether a certificate is read from what a proxy says.
#[cfg(feature = "fuzzing")]
pub(crate) fn is_read(certificate: &[u8], chain: &[u8]) -> bool {
    matches!(read(&[certificate], &[chain]), Some(Ok(_)))
}

/// The caller that the certificate stands for: the proxy's word where the API takes it, else the connection's.
pub(super) fn authenticate(
    attempt: &Attempt<'_>,
    policy: &Arc<CertificatePolicy>,
) -> Result<Authenticated, Refusal> {
    let verified = match attempt.certificate.filter(|_| policy.proxied) {
        Some(proxied) => of_proxy(attempt, policy, proxied),
        None => of_connection(attempt, policy),
    };
    verified.map(Authenticated::Caller).map_err(challenged)
}

fn of_proxy(
    attempt: &Attempt<'_>,
    policy: &CertificatePolicy,
    proxied: &ProxiedCertificate,
) -> Result<Rc<VerifiedCaller>, Fault> {
    proxied.check(attempt.now)?;
    let read = proxied.0.as_ref().map_err(|why| unreadable(why))?;
    let verified = verify(
        attempt.route,
        policy,
        &read.certificate,
        &read.chain,
        attempt.now,
    )?;
    check_revocations(&attempt.worker.shared.revocations, &verified, attempt.now)
        .map_err(|fault| revoked(&fault))?;
    Ok(Rc::new(verified))
}

fn revoked(fault: &Fault) -> Fault {
    Fault::new(
        Code::CertificateRevoked,
        "The client certificate was revoked; connect with a new one",
    )
    .because(fault.reason().unwrap_or_default())
}

fn of_connection(
    attempt: &Attempt<'_>,
    policy: &Arc<CertificatePolicy>,
) -> Result<Rc<VerifiedCaller>, Fault> {
    let Attempt {
        worker,
        route,
        client,
        now,
        ..
    } = *attempt;
    let presented = client.certificate().ok_or_else(|| missing(client))?;
    presented
        .check(now)
        .map_err(|error| no_longer_good(&error))?;
    let known = &client.known_certificate;
    let outcome = match known.get(policy, now) {
        Some(outcome) => outcome,
        None => {
            let (own, chain) = (&presented.certificate, presented.chain());
            let outcome = verify(route, policy, own, chain, now).map(Rc::new);
            known.remember(Known {
                policy: Arc::clone(policy),
                outcome: outcome.clone(),
                until: now.plus(REMEMBERED_FOR),
            });
            outcome
        }
    };
    let verified = outcome?;
    check_revocations(&worker.shared.revocations, &verified, now)
        .map_err(|fault| revoked(&fault))?;
    Ok(verified)
}

fn verify(
    route: &Route,
    policy: &CertificatePolicy,
    certificate: &ClientCertificate,
    chain: &[CertificateDer<'static>],
    now: Timestamp,
) -> Result<VerifiedCaller, Fault> {
    if let Some(trust) = &policy.trust {
        trust.check(chain, now).map_err(|error| {
            Fault::new(
                Code::CertificateInvalid,
                "The client certificate is of no authority that this API trusts; connect with another one",
            )
            .because(error)
        })?;
    }
    let subject = subject(policy, certificate)?;
    let scopes = match &policy.callers {
        Callers::Certified => None,
        Callers::Listed(callers) => callers.get(subject),
    };
    let listed = scopes.is_some() || policy.callers == Callers::Certified;
    let scopes: Vec<&str> = scopes.into_iter().flatten().map(String::as_str).collect();
    let caller = caller(policy, certificate, subject, &scopes)?;
    let mut identity = route.identity.headers_of(&caller);
    if policy.forward_certificate
        && let Some(der) = chain.first()
    {
        let value = format!(":{}:", STANDARD.encode(der));
        identity.append_named(CLIENT_CERT, value.as_bytes());
    }
    Ok(VerifiedCaller {
        identity,
        listed,
        until: now.plus(REMEMBERED_FOR),
        ends: certificate.not_after,
        key_epoch: 0,
        revocation_epoch: Cell::new(u64::MAX),
        cells: RefCell::default(),
        binding: None,
        access: RefCell::default(),
        budgets: None,
        caller: Arc::new(caller),
    })
}

/// The one name of the certificate that counts here: of several, the one that the API lists. With two that
/// count nobody could say whose call it is.
fn subject<'a>(
    policy: &CertificatePolicy,
    certificate: &'a ClientCertificate,
) -> Result<&'a str, Fault> {
    let kind = policy.subject;
    let names: &'a [Box<str>] = match kind {
        CertificateName::SanUri => &certificate.uris,
        CertificateName::SanDns => &certificate.dns_names,
        CertificateName::SanEmail => &certificate.emails,
        CertificateName::CommonName => &certificate.common_names,
        CertificateName::SubjectDn => std::slice::from_ref(&certificate.subject),
    };
    // A wildcard stands for hosts, not for a caller.
    let names = || {
        names
            .iter()
            .map(|name| &**name)
            .filter(|name| !name.is_empty())
            .filter(|name| kind != CertificateName::SanDns || !name.contains('*'))
    };
    let one = |mut names: Box<dyn Iterator<Item = &'a str> + '_>| match (names.next(), names.next())
    {
        (Some(one), None) => Some(one),
        (None, _) | (Some(_), Some(_)) => None,
    };
    let found = one(Box::new(names())).or_else(|| match &policy.callers {
        Callers::Certified => None,
        Callers::Listed(callers) => {
            one(Box::new(names().filter(|name| callers.contains_key(*name))))
        }
    });
    found.ok_or_else(|| {
        let count = names().count();
        let kind = kind.as_str();
        let detail = if count == 0 {
            format!("The client certificate has no name of the kind `{kind}`, by which this API knows its callers")
        } else {
            format!("The client certificate has {count} names of the kind `{kind}`, and it can't be told which one calls; connect with one that has a single name")
        };
        Fault::new(Code::CertificateInvalid, detail)
    })
}

fn caller(
    policy: &CertificatePolicy,
    certificate: &ClientCertificate,
    subject: &str,
    scopes: &[&str],
) -> Result<Caller, Fault> {
    // What an identity header can tell as `claim:NAME`.
    let claims = json!({
        "x5t#S256": certificate.thumbprint,
        "serial": certificate.serial,
        "subject_dn": certificate.subject,
        "issuer_dn": certificate.issuer,
        "common_name": certificate.common_names,
        "san_dns": certificate.dns_names,
        "san_uri": certificate.uris,
        "san_email": certificate.emails,
        "not_after": certificate.not_after.as_seconds(),
    });
    let mut caller = Caller::of_token(&TokenFacts {
        claims: TokenClaims::Json(&claims.to_string()),
        subject: Some(subject),
        client: None,
        scopes: TokenScopes::Listed(scopes),
        // By which one certificate of a caller's can be revoked.
        token_id: Some(&certificate.thumbprint),
        session: None,
        family: None,
    })
    .map_err(|error| {
        Fault::new(
            Code::CertificateInvalid,
            "The client certificate is too long",
        )
        .because(error)
    })?;
    caller.method = Method::MutualTls;
    caller.team = Some(policy.team);
    caller.issuer = Some(Arc::from(&*certificate.issuer));
    caller.issued_at = Some(certificate.not_before);
    caller.expires = Some(certificate.not_after);
    Ok(caller)
}

fn missing(client: &Client) -> Fault {
    let detail = if client.is_protected() {
        "The connection was made without a client certificate; connect with one"
    } else {
        "The connection is not protected, so that no client certificate could be shown; connect over TLS with one"
    };
    Fault::new(Code::CertificateMissing, detail)
}

/// A certificate that was good when the connection was made.
fn no_longer_good(error: &rustls::Error) -> Fault {
    let expired = matches!(
        error,
        rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. }
        )
    );
    let fault = if expired {
        Fault::new(
            Code::CertificateExpired,
            "The client certificate has expired since the connection was made; connect with a new one",
        )
    } else {
        Fault::new(
            Code::CertificateRevoked,
            "The client certificate is no longer trusted; connect with a new one",
        )
    };
    fault.because(error)
}

/// A 401 names a scheme (RFC 9110, section 11.6.1). None is registered for certificates of TLS: this is the
/// one that was proposed for HTTP/2.
fn challenged(fault: Fault) -> Refusal {
    let mut fields = Fields::new();
    fields.append(
        Header::WwwAuthenticate,
        b"ClientCertificate realm=\"keyward\"",
    );
    Refusal::with(fault, fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyward_model::id::TeamId;
    use std::collections::{BTreeMap, BTreeSet};

    fn certificate() -> ClientCertificate {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).into()).collect();
        ClientCertificate {
            thumbprint: "t".into(),
            subject: "CN=billing,O=Acme".into(),
            common_names: texts(&["billing"]),
            dns_names: texts(&["a.internal", "*.internal", "b.internal"]),
            uris: texts(&["spiffe://acme.example/billing"]),
            emails: Vec::new(),
            serial: "7f01".into(),
            issuer: "CN=Root".into(),
            not_before: Timestamp::from_seconds(10),
            not_after: Timestamp::from_seconds(20),
        }
    }

    fn policy(subject: CertificateName, callers: &[&str]) -> CertificatePolicy {
        let listed: BTreeMap<Box<str>, BTreeSet<String>> = callers
            .iter()
            .map(|name| ((*name).into(), BTreeSet::new()))
            .collect();
        CertificatePolicy {
            team: TeamId::DEFAULT,
            subject,
            callers: if listed.is_empty() {
                Callers::Certified
            } else {
                Callers::Listed(listed)
            },
            trust: None,
            forward_certificate: false,
            proxied: false,
        }
    }

    #[test]
    fn one_name_of_the_kind_is_the_caller_and_of_several_the_one_that_is_listed() {
        use CertificateName::{CommonName, SanDns, SanEmail, SanUri, SubjectDn};
        for (kind, callers, expected) in [
            (SanUri, &[][..], Some("spiffe://acme.example/billing")),
            (
                SanUri,
                &["spiffe://acme.example/other"],
                Some("spiffe://acme.example/billing"),
            ),
            (CommonName, &[], Some("billing")),
            (SubjectDn, &[], Some("CN=billing,O=Acme")),
            (SanEmail, &[], None),
            (SanDns, &[], None),
            (SanDns, &["b.internal"], Some("b.internal")),
            // A wildcard is nobody's name, and case counts.
            (SanDns, &["*.internal"], None),
            (SanDns, &["B.internal"], None),
            (SanDns, &["a.internal", "b.internal"], None),
        ] {
            let found = certificate();
            let found = subject(&policy(kind, callers), &found).map(str::to_owned);
            let found = found.map_err(|fault| fault.code());
            assert_eq!(
                found.as_deref(),
                expected.ok_or(Code::CertificateInvalid).as_deref(),
                "{kind:?} {callers:?}"
            );
        }
    }

    #[test]
    fn what_is_known_of_a_connection_is_bounded_and_each_policys_own() {
        let now = Timestamp::EPOCH;
        let known = KnownCertificate::default();
        let policies: Vec<_> = (0..2 * REMEMBERED)
            .map(|_| Arc::new(policy(CertificateName::SanUri, &[])))
            .collect();
        for (at, policy) in policies.iter().enumerate() {
            assert!(known.get(policy, now).is_none());
            known.remember(Known {
                policy: Arc::clone(policy),
                outcome: Err(Fault::new(Code::CertificateInvalid, at.to_string())),
                until: now.plus(REMEMBERED_FOR),
            });
            let found = known.get(policy, now).unwrap().unwrap_err();
            assert_eq!(found.detail(), at.to_string());
        }
        assert_eq!(known.0.borrow().len(), REMEMBERED);
        let last = policies.last().unwrap();
        assert!(known.get(last, now.plus(REMEMBERED_FOR)).is_none());
    }

    #[test]
    fn a_caller_has_what_its_certificate_says() {
        let found = certificate();
        let policy = policy(CertificateName::CommonName, &[]);
        let caller = caller(&policy, &found, "billing", &["read"]).unwrap();
        assert_eq!(caller.method, Method::MutualTls);
        assert_eq!(caller.subject(), Some("billing"));
        assert_eq!(caller.issuer.as_deref(), Some("CN=Root"));
        assert_eq!(caller.token_id(), Some("t"));
        assert!(caller.scopes.contains("read"));
        assert_eq!(caller.claim("serial"), Some(json!("7f01")));
        assert_eq!(caller.claim("x5t#S256"), Some(json!("t")));
        assert_eq!(caller.issued_at, Some(found.not_before));
        assert_eq!(caller.expires, Some(found.not_after));
    }
}
