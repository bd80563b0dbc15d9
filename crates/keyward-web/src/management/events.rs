//! The stream of what is done (server-sent events): what the audit log gets, as soon as it is written.

use super::audit::told;
use super::call::bad_query;
use super::endpoint::{Allowed, Outcome};
use crate::answer::Answer;
use crate::site::Site;
use bytes::Bytes;
use futures_util::{FutureExt as _, Stream, stream};
use http::HeaderName;
use keyward_access::management::Manager;
use keyward_model::id::TeamId;
use keyward_model::{Clock, Moment};
use keyward_store::Store;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked whether there is more.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// How often something is said at least, so that nobody on the way takes the connection for dead.
const SAY_EVERY: Duration = Duration::from_secs(15);
/// How long a stream lasts at most, in seconds: whoever comes again with the last event's id misses nothing, and a token
/// that was taken back meanwhile is refused then.
pub(super) const WAIT_MAX: u64 = 60;
/// How many events are read at once.
const AT_ONCE: u32 = 100;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// A stream that is open.
struct Open {
    store: Store,
    clock: Arc<dyn Clock>,
    manager: Arc<Manager>,
    team: Option<TeamId>,
    after: i64,
    begun: Moment,
    lasts: Duration,
    said: Moment,
    greeted: bool,
}

/// `GET /events` and `GET /teams/{team}/events`.
pub(crate) fn follow<'c>(site: &'c Site, allowed: Allowed<'c>) -> Outcome<'c> {
    async move {
        let call = allowed.call;
        let named = match call.header(&LAST_EVENT_ID)? {
            Some(last) => Some(last),
            None => call.query("after"),
        };
        let team = allowed.permit.place().team();
        let after = match named {
            Some(text) => text
                .parse()
                .ok()
                .filter(|after: &i64| *after >= 0)
                .ok_or_else(|| bad_query("after", "it is the `id` of an event, a whole number"))?,
            None => {
                let newest = site.store().newest_audit_events(team, None, 1).await?;
                newest.first().map_or(0, |event| event.sequence)
            }
        };
        let wait = call.number("wait")?.unwrap_or(WAIT_MAX);
        if wait > WAIT_MAX {
            return Err(bad_query("wait", "it is from 0 to 60 seconds"));
        }
        let clock = site.clock();
        let now = clock.moment();
        let open = Open {
            store: site.store().clone(),
            clock,
            manager: Arc::clone(&allowed.manager),
            team,
            after,
            begun: now,
            lasts: Duration::from_secs(wait),
            said: now,
            greeted: false,
        };
        Ok(Answer::events(of(open)))
    }
    .boxed()
}

fn of(open: Open) -> impl Stream<Item = Bytes> + Send + 'static {
    stream::unfold(open, |mut open| async move {
        let said = open.next().await?;
        Some((said, open))
    })
}

impl Open {
    /// What is to be said next; `None` when it is over.
    async fn next(&mut self) -> Option<Bytes> {
        if !self.greeted {
            self.greeted = true;
            // Come again soon: nothing is missed, but nothing is told meanwhile either.
            return Some(Bytes::from_static(b"retry: 500\n\n"));
        }
        loop {
            let now = self.clock.moment();
            // A database that is away says nothing: whoever listens comes again.
            let events = match self.team {
                Some(team) => {
                    let events = self.store.team_audit_events(team, self.after, AT_ONCE);
                    events.await.ok()?
                }
                None => self.store.audit_events(self.after, AT_ONCE).await.ok()?,
            };
            if let Some(last) = events.last() {
                self.after = last.sequence;
                self.said = now;
                let mut text = String::new();
                for event in &events {
                    let told = told(&self.manager, event).await;
                    let _ = write!(
                        text,
                        "id: {}\nevent: {}\ndata: {told}\n\n",
                        event.sequence, event.action
                    );
                }
                return Some(Bytes::from(text));
            }
            if now.since(self.begun) >= self.lasts {
                return None;
            }
            if now.since(self.said) >= SAY_EVERY {
                self.said = now;
                return Some(Bytes::from_static(b":\n\n"));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
