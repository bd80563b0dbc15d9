//! Keys at an address: the task that keeps them fresh.

use super::error::IssuerError;
use super::freshness::{back_off, fresh_for, refresh_after};
use super::key_set::State;
use super::metadata;
use super::source::digest_of;
use http::HeaderValue;
use http::header::ETAG;
use keyward_egress::{Egress, Limits, Request, Response, Url};
use keyward_jose::JwkSet;
use keyward_model::Moment;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// What is asked for: the media type of RFC 7517, section 8.5, and what most issuers send.
const ACCEPT: &str = "application/jwk-set+json, application/json";

/// The issuer's side of the network.
pub(super) struct Remote {
    state: Arc<State>,
    egress: Egress,
    location: Location,
    /// How long keys are used after they should have been refreshed.
    stale_for: Duration,
    /// The entity tag of the keys that are published, with the address that it belongs to.
    tag: Option<(Url, HeaderValue)>,
    failures: u32,
}

/// Where the keys are.
enum Location {
    Keys(Url),
    Metadata {
        /// Where to look for the metadata, in order.
        addresses: Vec<String>,
        /// The keys' address, and until when the metadata that names it is fresh.
        keys: Option<(Url, Moment)>,
    },
}

/// What a fetch brought.
struct Fetched {
    changed: bool,
    fresh: Duration,
}

impl Remote {
    /// # Errors
    /// [`IssuerError::Fetch`] when that is no URL which can be fetched.
    pub(super) fn new(
        state: Arc<State>,
        egress: Egress,
        url: &str,
        discover: bool,
        stale_for: Duration,
    ) -> Result<Self, IssuerError> {
        let parsed = Url::parse(url)?;
        let location = if discover {
            Location::Metadata {
                addresses: metadata::addresses(url, &state.definition.issuer),
                keys: None,
            }
        } else {
            Location::Keys(parsed)
        };
        // Whoever comes before the first fetch has ended waits for it.
        state.demand.begin();
        Ok(Self {
            state,
            egress,
            location,
            stale_for,
            tag: None,
            failures: 0,
        })
    }

    /// Fetches at once, and then whenever it is time or someone asks. Never ends.
    pub(super) async fn keep_fresh(self) {
        let state = Arc::clone(&self.state);
        // Beside everything else, slow fetches too, keys that get too old are withdrawn.
        tokio::select! {
            never = Box::pin(self.rounds()) => match never {},
            never = state.withdraw_when_stale() => match never {},
        }
    }

    async fn rounds(mut self) -> Infallible {
        loop {
            self.state.demand.begin();
            let next = self.round().await;
            let left = next.since(self.state.clock.moment());
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                () = self.state.demand.wanted() => {}
            }
        }
    }

    /// One fetch, and when the next is due.
    async fn round(&mut self) -> Moment {
        let fetched = self.fetch().await;
        let now = self.state.clock.moment();
        match fetched {
            Ok(Fetched { changed, fresh }) => {
                self.failures = 0;
                self.state.demand.succeeded(changed);
                now.plus(refresh_after(fresh, random()))
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                // The address of the keys may have moved.
                if let Location::Metadata { keys, .. } = &mut self.location {
                    *keys = None;
                }
                match &error {
                    IssuerError::Keys(_)
                    | IssuerError::NoUsableKey(_)
                    | IssuerError::Metadata { .. } => self.state.counters.refused.add_one(),
                    IssuerError::Fetch(_)
                    | IssuerError::Status { .. }
                    | IssuerError::Algorithm(_)
                    | IssuerError::Family(_)
                    | IssuerError::File { .. } => self.state.counters.failed.add_one(),
                }
                self.state.report(error);
                let next = now.plus(back_off(self.failures, random()));
                self.state.demand.failed(next);
                next
            }
        }
    }

    async fn fetch(&mut self) -> Result<Fetched, IssuerError> {
        let url = self.locate().await?;
        let request = Request::at(url.clone()).accept(ACCEPT);
        // Only keys that are still here can be "not modified".
        let tag = match &self.tag {
            Some((tagged, tag)) if *tagged == url && self.state.has_keys() => Some(tag.clone()),
            Some(_) | None => None,
        };
        let conditional = tag.is_some();
        let request = match tag {
            Some(tag) => request.if_none_match(tag),
            None => request,
        };
        let response = self.egress.fetch(request, Limits::DOCUMENT).await?;
        let fresh = fresh_for(&response.headers, self.state.clock.now());
        let usable_until = self.state.clock.moment().plus(fresh).plus(self.stale_for);
        if response.status == 304 && conditional && self.state.has_keys() {
            self.state.confirm(usable_until);
            self.state.counters.unchanged.add_one();
            return Ok(Fetched {
                changed: false,
                fresh,
            });
        }
        ok(&response)?;
        let keys = JwkSet::parse_public(&response.body).map_err(IssuerError::Keys)?;
        let changed = self
            .state
            .publish(&keys, digest_of(&response.body), usable_until)?;
        if !changed {
            self.state.counters.unchanged.add_one();
        }
        // Kept only now, so that a tag never stands for keys that were not taken.
        self.tag = response.headers.get(ETAG).map(|tag| (url, tag.clone()));
        Ok(Fetched { changed, fresh })
    }

    /// Where the keys are, by the metadata if need be.
    async fn locate(&mut self) -> Result<Url, IssuerError> {
        let (addresses, keys) = match &mut self.location {
            Location::Keys(url) => return Ok(url.clone()),
            Location::Metadata { addresses, keys } => (addresses, keys),
        };
        let now = self.state.clock.moment();
        if let Some((url, until)) = keys
            && now < *until
        {
            return Ok(url.clone());
        }
        let mut refusal = None;
        for address in addresses.iter() {
            let request = Request::get(address)?.accept("application/json");
            let response = self.egress.fetch(request, Limits::DOCUMENT).await?;
            // Not there is no failure as long as there is another place to look.
            if let Err(error) = ok(&response) {
                refusal.get_or_insert(error);
                continue;
            }
            let issuer = &self.state.definition.issuer;
            let url = metadata::jwks_uri(address, &response.body, issuer)?;
            let fresh = fresh_for(&response.headers, self.state.clock.now());
            *keys = Some((url.clone(), now.plus(fresh)));
            return Ok(url);
        }
        Err(refusal.unwrap_or_else(|| IssuerError::Metadata {
            url: String::new(),
            why: "there is no address to look at".to_owned(),
        }))
    }
}

fn ok(response: &Response) -> Result<(), IssuerError> {
    if response.status == 200 {
        Ok(())
    } else {
        Err(IssuerError::Status {
            url: response.url.to_string(),
            status: response.status,
        })
    }
}

/// For jitter. Without a generator all nodes fetch at the same moment, which is no reason to fail.
fn random() -> u32 {
    let mut bytes = [0; 4];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => u32::from_le_bytes(bytes),
        Err(_) => 0,
    }
}
