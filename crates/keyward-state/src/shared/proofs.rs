//! Proofs that were used, where several nodes take them: what one has seen, no other takes.
//!
//! A proof is a name of its own with an expiry, set by the first who asks for it: one round trip, and no script.
//! How many there may be is bounded by what each node takes in its own [memory](crate::replay), which is asked
//! before.

use super::SharedWorker;
use crate::replay::Use;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyward_model::Timestamp;
use keyward_model::limit::OnOutage;
use std::rc::Rc;
use std::time::Duration;

impl SharedWorker {
    /// Whether this holder uses the identifier for the first time at any node, which is remembered for `window`
    /// from now on. `None`: nobody can be asked, and nothing is taken then; where `on_outage` allows it, it is the
    /// first time.
    pub async fn first_use(
        self: &Rc<Self>,
        holder: &[u8],
        identifier: &[u8],
        window: Duration,
        on_outage: OnOutage,
    ) -> Option<Use> {
        let mut set = redis::cmd("SET");
        set.arg(self.proof_name(holder, identifier))
            .arg(1)
            .arg("NX")
            .arg("PX")
            .arg(u64::try_from(window.as_millis()).unwrap_or(u64::MAX));
        let set: Result<Option<String>, _> = self
            .ask_with(async move |mut to| set.query_async(&mut to).await)
            .await;
        match (set, on_outage) {
            (Ok(Some(_)), _) => Some(Use::First),
            (Ok(None), _) => Some(Use::Again),
            (Err(_), OnOutage::AllowLocally) => {
                self.allowed_locally();
                Some(Use::First)
            }
            (Err(_), OnOutage::Refuse) => {
                self.unavailable();
                None
            }
        }
    }

    /// Since when the server has remembered for sure what it was told: it may be another one since then, or have
    /// lost what it knew. `None`: it can't be asked.
    #[must_use]
    pub fn remembers_since(&self) -> Option<Timestamp> {
        self.connected_since()
    }

    /// A hash, so that the server tells nobody's key.
    fn proof_name(&self, holder: &[u8], identifier: &[u8]) -> String {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in [holder, identifier] {
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part);
        }
        let digest = context.finish();
        let short = digest.as_ref().get(..16).unwrap_or_default();
        let hash = URL_SAFE_NO_PAD.encode(short);
        format!("{}:proof:{hash}", self.prefix())
    }
}
