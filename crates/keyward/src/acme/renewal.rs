//! When certificates are obtained.

use super::AcmeDeclaration;
use super::order::{Obtained, OrderError, obtain};
use super::way_out::WayOut;
use instant_acme::{Account, AccountCredentials, NewAccount};
use keyward_egress::{Egress, Policy};
use keyward_gateway::tls::{Challenges, TlsServer};
use keyward_model::{Clock, Secret, Timestamp};
use keyward_store::{AcmeCertificate, Store};
use std::sync::Arc;
use std::time::Duration;
use x509_parser::pem::Pem;

/// After a failure; three times as long after each that follows. Four tries in the first half an hour: the
/// largest authority refuses an account for an hour after five failures of a host.
const FIRST_RETRY: Duration = Duration::from_secs(30);
/// The longest wait after failures.
const LAST_RETRY: Duration = Duration::from_secs(6 * 3600);
/// The longest sleep: the machine's clock may be put right meanwhile.
const SLEEP_MAX: Duration = Duration::from_secs(3600);
/// The twentieth part of a certificate's life, by which renewals are spread.
const SPREAD: u32 = 20;

/// What renewals work with.
#[derive(Clone)]
pub(crate) struct RenewalContext {
    /// Time.
    pub(crate) clock: Arc<dyn Clock>,
    /// Where accounts and certificates are kept.
    pub(crate) store: Store,
    /// Where the authority's questions are answered.
    pub(crate) challenges: Arc<Challenges>,
    /// Where the egress may go; the declaration's roots are added.
    pub(crate) policy: Policy,
}

/// Keeps one certificate.
pub(crate) struct Renewal {
    context: RenewalContext,
    declaration: AcmeDeclaration,
    servers: Vec<Arc<TlsServer>>,
}

impl Renewal {
    /// For the servers that show the certificate.
    pub(crate) fn new(
        context: RenewalContext,
        declaration: AcmeDeclaration,
        servers: Vec<Arc<TlsServer>>,
    ) -> Self {
        Self {
            context,
            declaration,
            servers,
        }
    }

    /// Shows the certificate that is kept, so that a restart needs no authority. What is wrong with it is
    /// told, and a new one obtained. When the next one is due.
    pub(crate) async fn show_kept(&self) -> Timestamp {
        let now = self.context.clock.now();
        let (directory, names) = (&self.declaration.directory, self.declaration.joined_names());
        let kept = match self.context.store.acme_certificate(directory, &names).await {
            Ok(Some(kept)) => kept,
            Ok(None) => return now,
            Err(error) => {
                tracing::warn!(%names, %error, "the certificate that was obtained before can't be read: a new one is obtained");
                return now;
            }
        };
        match self.show(&kept) {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(%names, %error, "the certificate that was obtained before can't be used: a new one is obtained");
                now
            }
        }
    }

    /// Obtains and renews until the process ends. What was obtained before stays in use when that fails.
    pub(crate) async fn run(self, mut due: Timestamp) {
        let names = self.declaration.joined_names();
        let mut retry = FIRST_RETRY;
        loop {
            let left = due.since(self.context.clock.now());
            if !left.is_zero() {
                tokio::time::sleep(left.min(SLEEP_MAX)).await;
                continue;
            }
            due = match self.renew().await {
                Ok(due) => {
                    retry = FIRST_RETRY;
                    tracing::info!(%names, %due, "a certificate was obtained; the next one is due then");
                    due
                }
                Err(error) => {
                    let wait = retry + spread(retry);
                    let again = self.context.clock.now().plus(wait);
                    tracing::error!(%names, %error, %again, "no certificate was obtained: what was there before stays in use, and it is tried again");
                    retry = (retry * 3).min(LAST_RETRY);
                    again
                }
            };
        }
    }

    /// Obtains a certificate, keeps it, and shows it; when the next one is due.
    async fn renew(&self) -> Result<Timestamp, String> {
        let account = self.account(Kept::Used).await?;
        let mut obtained = self.obtain(&account).await;
        if matches!(&obtained, Err(OrderError::Acme(error)) if is_unknown_account(error)) {
            tracing::warn!(directory = %self.declaration.directory, "the certificate authority does not know the account that is kept: a new one is made");
            obtained = self.obtain(&self.account(Kept::Ignored).await?).await;
        }
        let obtained = obtained.map_err(|error| match error {
            OrderError::Acme(error) => told(&error),
            error @ (OrderError::Unproved { .. } | OrderError::Ended(_) | OrderError::Key(_)) => {
                error.to_string()
            }
        })?;
        let certificate = AcmeCertificate {
            chain: obtained.chain,
            key: obtained.key,
            obtained: self.context.clock.now(),
        };
        // Shown first: what can't be used is not kept.
        let due = self.show(&certificate)?;
        let (directory, names) = (&self.declaration.directory, self.declaration.joined_names());
        let kept = self
            .context
            .store
            .put_acme_certificate(directory, &names, &certificate);
        if let Err(error) = kept.await {
            tracing::error!(%names, %error, "the certificate is used and could not be kept: after a restart a new one is obtained");
        }
        Ok(due)
    }

    async fn obtain(&self, account: &Account) -> Result<Obtained, OrderError> {
        let obtaining = obtain(account, &self.declaration, &self.context.challenges);
        Box::pin(obtaining).await
    }

    fn show(&self, certificate: &AcmeCertificate) -> Result<Timestamp, String> {
        let due = due(certificate)?;
        let (chain, key) = (
            certificate.chain.as_bytes(),
            certificate.key.reveal().as_bytes(),
        );
        for server in &self.servers {
            server
                .put(&self.declaration.id(), chain, key)
                .map_err(|error| error.to_string())?;
        }
        Ok(due)
    }

    /// Our account at the authority: the one that is kept, or a new one.
    async fn account(&self, kept: Kept) -> Result<Account, String> {
        let (context, directory) = (&self.context, &self.declaration.directory);
        let mut policy = context.policy.clone();
        let roots = self.declaration.read_roots()?;
        policy.extra_roots.extend(roots.into_iter().map(Into::into));
        let egress = Egress::new(policy).map_err(|error| error.to_string())?;
        let builder = Account::builder_with_http(Box::new(WayOut(egress)));
        let found = match kept {
            Kept::Used => context.store.acme_account(directory).await,
            Kept::Ignored => Ok(None),
        };
        if let Some(kept) = found.map_err(|error| error.to_string())? {
            let credentials: AccountCredentials = serde_json::from_str(kept.reveal())
                .map_err(|_| "the account that is kept can't be read".to_owned())?;
            let account = builder.from_credentials(credentials).await;
            return account.map_err(|error| told(&error));
        }
        let contact: Vec<&str> = self.declaration.contact.as_deref().into_iter().collect();
        let new = NewAccount {
            contact: &contact,
            // Who declares the authority has agreed to its terms.
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let created = builder.create(&new, directory.to_string(), None).await;
        let (account, credentials) = created.map_err(|error| told(&error))?;
        let text = serde_json::to_string(&credentials).map_err(|error| error.to_string())?;
        let (text, now) = (Secret::new(text), context.clock.now());
        context
            .store
            .put_acme_account(directory, &text, now)
            .await
            .map_err(|error| error.to_string())?;
        tracing::info!(%directory, "an account was made at a certificate authority");
        Ok(account)
    }
}

/// What becomes of an account that is kept.
#[derive(Clone, Copy)]
enum Kept {
    Used,
    Ignored,
}

/// Whether the authority has forgotten us (RFC 8555, section 6.7).
fn is_unknown_account(error: &instant_acme::Error) -> bool {
    const UNKNOWN: &str = "urn:ietf:params:acme:error:accountDoesNotExist";
    if let instant_acme::Error::Api(problem) = error {
        problem.r#type.as_deref() == Some(UNKNOWN)
    } else {
        false
    }
}

/// What an error of the protocol is about. Of answers that are no JSON the library tells no more.
fn told(error: &instant_acme::Error) -> String {
    format!("the certificate authority: {error}")
}

/// When the next certificate is due: after two thirds of the life of this one, and up to a twentieth
/// before, so that not all renew at once.
fn due(certificate: &AcmeCertificate) -> Result<Timestamp, String> {
    let none = || "the authority's answer holds no certificate".to_owned();
    let pem = Pem::iter_from_buffer(certificate.chain.as_bytes()).next();
    let pem = pem.and_then(Result::ok).ok_or_else(none)?;
    let parsed = pem.parse_x509().map_err(|_| none())?;
    let validity = parsed.validity();
    let begin = Timestamp::from_seconds(validity.not_before.timestamp());
    let end = Timestamp::from_seconds(validity.not_after.timestamp());
    let life = end.since(begin);
    Ok(begin.plus(life * 2 / 3).minus(spread(life / SPREAD)))
}

/// A random part of `most`.
fn spread(most: Duration) -> Duration {
    let mut random = [0; 1];
    // Without randomness everything else has stopped by now, and nothing is lost here.
    if aws_lc_rs::rand::fill(&mut random).is_err() {
        return Duration::ZERO;
    }
    let [random] = random;
    most * u32::from(random) / 256
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn certificate(chain: String) -> AcmeCertificate {
        AcmeCertificate {
            chain,
            key: Secret::new(String::new()),
            obtained: Timestamp::EPOCH,
        }
    }

    #[test]
    fn a_renewal_is_due_after_two_thirds_of_the_life_or_a_little_before() {
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2026, 4, 1);
        let own = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let begin = Timestamp::from_seconds(date_time_ymd(2026, 1, 1).unix_timestamp());
        for _ in 0..50 {
            let due = due(&certificate(own.pem())).unwrap();
            assert!(
                due <= begin.plus(60 * DAY) && due > begin.plus(55 * DAY),
                "{due}"
            );
        }
        for broken in [
            "",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            assert!(due(&certificate(broken.to_owned())).is_err());
        }
    }

    #[test]
    fn only_an_account_that_is_unknown_is_made_anew() {
        let problem = |kind: &str| {
            let text = format!("{{\"type\":\"urn:ietf:params:acme:error:{kind}\"}}");
            instant_acme::Error::Api(serde_json::from_str(&text).unwrap())
        };
        assert!(is_unknown_account(&problem("accountDoesNotExist")));
        assert!(!is_unknown_account(&problem("rateLimited")));
        assert!(!is_unknown_account(&instant_acme::Error::Crypto));
    }
}
