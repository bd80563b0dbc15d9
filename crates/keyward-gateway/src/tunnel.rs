//! A call that has become a tunnel: bytes pass both ways, as fast as the slower side takes them, until one side
//! is through, nothing has come for too long, or the token that opened it is over.

mod frames;

use crate::credentials::CredentialIndex;
use crate::deadlines::{Patience, Seat};
use crate::http1::Stream;
use crate::record::CallRecord;
use crate::request::VerifiedCaller;
use crate::request::authenticate::{self, Authenticated};
use crate::snapshot::WebSocketPlan;
use crate::upstream::{Http1Connection, Occupied};
use crate::worker::Worker;
use frames::Frames;
use keyward_model::Timestamp;
use keyward_state::revocation::Revocations;
use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// Room for the next bytes: most messages are small, and most tunnels quiet.
const ROOM: usize = 4 * 1024;
/// And where there are many.
const LARGE_ROOM: usize = 64 * 1024;
/// How long one side may go on sending when the other has said that it sends no more: long enough for what was
/// on its way, and for a goodbye.
const AFTERWARDS: Duration = Duration::from_secs(10);
/// How often a quiet tunnel's token is looked up among those that were revoked.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// A tunnel between a client and an upstream.
pub(crate) struct Tunnel {
    upstream: Box<Http1Connection>,
    occupied: Occupied,
    worker: Rc<Worker>,
    seat: Rc<Seat>,
    idle: Patience,
    afterwards: Patience,
    /// Whose time is the tunnel's, too.
    token: Option<Rc<VerifiedCaller>>,
    up: Way,
    down: Way,
}

/// How far one direction is.
#[derive(Debug, Default)]
struct Way {
    /// Where its frames end; known of what goes to the client alone.
    frames: Option<Frames>,
    goodbye: Goodbye,
    /// Bytes that were passed on.
    passed: u64,
    /// Whether the last read filled its room.
    busy: bool,
    /// Whether its sender is through, and its receiver knows.
    ended: bool,
}

/// Whether the client is told that this node goes away, so that it comes back to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Goodbye {
    #[default]
    No,
    /// As soon as a frame has ended.
    Wanted,
    /// Nothing may follow it (RFC 6455, section 5.5.1).
    Said,
}

/// Why a tunnel has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TunnelEnd {
    #[error("one side closed it")]
    Closed,
    #[error("nothing passed the tunnel for too long")]
    Idle,
    #[error("the client broke the tunnel off")]
    ClientBroke,
    #[error("the upstream broke the tunnel off")]
    UpstreamBroke,
    #[error("the credential that opened the tunnel is over")]
    TokenOver,
    #[error("the credential that opened the tunnel was revoked")]
    TokenRevoked,
    #[error("the credential that opened the tunnel was removed or switched off")]
    CredentialGone,
    #[error("this node goes away, and the client was told so")]
    Goodbye,
    #[error("the tunnel outlasted the shutdown")]
    ShuttingDown,
}

/// Which side of a direction broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    Sender,
    Receiver,
}

impl Tunnel {
    pub(crate) fn new(
        upstream: Box<Http1Connection>,
        occupied: Occupied,
        plan: &WebSocketPlan,
        authenticated: &Authenticated,
        worker: Rc<Worker>,
        seat: Rc<Seat>,
    ) -> Self {
        let token = authenticated.verified().filter(|_| !plan.outlives_token);
        Self {
            upstream,
            occupied,
            worker,
            seat,
            idle: Patience::new(plan.idle),
            afterwards: Patience::new(AFTERWARDS),
            token: token.map(Rc::clone),
            up: Way::default(),
            down: Way {
                frames: Some(Frames::default()),
                ..Way::default()
            },
        }
    }

    /// Passes bytes between the client and the upstream until the tunnel ends.
    pub(crate) async fn run<T: AsyncRead + AsyncWrite + Unpin>(
        mut self: Box<Self>,
        client: &RefCell<Stream<T>>,
        record: Option<Box<CallRecord>>,
    ) {
        let mut record = record;
        let end = poll_fn(|context| {
            let end = self.poll(context, &mut client.borrow_mut());
            if let Some(record) = &mut record {
                record.bytes_in = self.up.passed;
                record.bytes_out = self.down.passed;
            }
            end
        })
        .await;
        if end == TunnelEnd::UpstreamBroke {
            self.occupied.failed(self.worker.moment());
        } else {
            self.occupied.ended(self.worker.deadlines.latest());
        }
        if let Some(mut record) = record {
            record.tunnel_ended(end);
        }
    }

    fn poll<T: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        context: &mut Context<'_>,
        client: &mut Stream<T>,
    ) -> Poll<TunnelEnd> {
        self.seat.register(context);
        if self.worker.drain.cut() {
            return Poll::Ready(TunnelEnd::ShuttingDown);
        }
        if let Some(end) = self.token_ended() {
            return Poll::Ready(end);
        }
        if self.worker.drain.draining() && self.down.goodbye == Goodbye::No {
            self.down.goodbye = Goodbye::Wanted;
        }
        let before = (self.up.passed, self.down.passed);
        let upstream = self.upstream.stream();
        if let Poll::Ready(Err(broken)) = self.up.poll(context, client, upstream) {
            return Poll::Ready(match broken {
                Broken::Sender => TunnelEnd::ClientBroke,
                Broken::Receiver => TunnelEnd::UpstreamBroke,
            });
        }
        if let Poll::Ready(Err(broken)) = self.down.poll(context, upstream, client) {
            return Poll::Ready(match broken {
                Broken::Sender => TunnelEnd::UpstreamBroke,
                Broken::Receiver => TunnelEnd::ClientBroke,
            });
        }
        let said = self.down.goodbye == Goodbye::Said;
        let closed = if said {
            TunnelEnd::Goodbye
        } else {
            TunnelEnd::Closed
        };
        if self.up.ended && self.down.ended {
            return Poll::Ready(closed);
        }
        if before != (self.up.passed, self.down.passed) {
            self.idle.moved();
            self.afterwards.moved();
        }
        // Who was told goodbye has as long to answer it.
        if self.up.ended || self.down.ended || said {
            ready!(self.afterwards.poll(&self.seat));
            return Poll::Ready(closed);
        }
        // What waits holds no more memory than it needs.
        client.shrink();
        self.upstream.shrink();
        self.idle.poll(&self.seat).map(|()| TunnelEnd::Idle)
    }

    /// Whether the token's time is over by now. Sees to it that the tunnel is woken when it will be.
    fn token_ended(&self) -> Option<TunnelEnd> {
        let token = self.token.as_ref()?;
        let latest = self.worker.deadlines.latest();
        let now = self.worker.civil(latest);
        let shared = &self.worker.shared;
        match standing(token, &shared.revocations, &shared.credentials, now) {
            Ok(left) => {
                self.seat.wake_at(latest.plus(left));
                None
            }
            Err(end) => Some(end),
        }
    }
}

/// When a token's standing is to be looked at again; else why it opens nothing any more.
fn standing(
    token: &VerifiedCaller,
    revocations: &Revocations,
    credentials: &CredentialIndex,
    now: Timestamp,
) -> Result<Duration, TunnelEnd> {
    // One without a time is taken only where an issuer's definition says so.
    let ends = Some(token.ends).filter(|ends| *ends != Timestamp::EPOCH);
    if ends.is_some_and(|ends| ends <= now) {
        return Err(TunnelEnd::TokenOver);
    }
    authenticate::check_revocations(revocations, token, now)
        .map_err(|_| TunnelEnd::TokenRevoked)?;
    if let Some(credential) = token.caller.credential
        && !credentials.still_has(credential, now)
    {
        return Err(TunnelEnd::CredentialGone);
    }
    let left = ends.map_or(LOOK_EVERY, |ends| ends.since(now));
    Ok(left.min(LOOK_EVERY))
}

impl Way {
    /// Passes on what there is. Ready when the sender is through and the receiver has all of it.
    fn poll<A, B>(
        &mut self,
        context: &mut Context<'_>,
        from: &mut Stream<A>,
        to: &mut Stream<B>,
    ) -> Poll<Result<(), Broken>>
    where
        A: AsyncRead + AsyncWrite + Unpin,
        B: AsyncRead + AsyncWrite + Unpin,
    {
        if self.ended {
            return Poll::Ready(Ok(()));
        }
        let mut through = false;
        loop {
            self.say_goodbye(to);
            if from.has_unread() && !to.is_full() {
                self.pass_on(from, to);
                self.say_goodbye(to);
            }
            let flushed = to.poll_flush(context, &mut || ());
            match flushed {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken::Receiver)),
                Poll::Pending if to.is_full() || through => return Poll::Pending,
                Poll::Pending => {}
            }
            if from.has_unread() {
                continue;
            }
            if through {
                let told = ready!(to.poll_shutdown(context));
                self.ended = true;
                return Poll::Ready(told.map_err(|_| Broken::Receiver));
            }
            let room = if self.busy { LARGE_ROOM } else { ROOM };
            match ready!(from.poll_read_more(context, room)) {
                Ok(0) => through = true,
                Ok(count) => self.busy = count >= ROOM,
                Err(_) => return Poll::Ready(Err(Broken::Sender)),
            }
        }
    }
}

impl Way {
    /// Moves what has come, as far as it is wanted.
    fn pass_on<A, B>(&mut self, from: &mut Stream<A>, to: &mut Stream<B>)
    where
        A: AsyncRead + AsyncWrite + Unpin,
        B: AsyncRead + AsyncWrite + Unpin,
    {
        let bytes = from.unread();
        let all = bytes.len();
        let wanted = match (&mut self.frames, self.goodbye) {
            (None, _) => all,
            (Some(frames), Goodbye::No) => {
                frames.pass(bytes);
                all
            }
            (Some(frames), Goodbye::Wanted) => frames.pass_to_border(bytes),
            (Some(_), Goodbye::Said) => 0,
        };
        to.output()
            .extend_from_slice(bytes.get(..wanted).unwrap_or_default());
        self.passed += wanted as u64;
        // What comes after the goodbye is for nobody; before it, what comes after the border is looked at again.
        let used = match self.goodbye {
            Goodbye::No | Goodbye::Said => all,
            Goodbye::Wanted => wanted,
        };
        from.use_up(used);
    }

    /// Ends what the client gets by a frame that says so, where one has just ended.
    fn say_goodbye<B: AsyncRead + AsyncWrite + Unpin>(&mut self, to: &mut Stream<B>) {
        let border = self.frames.as_ref().is_some_and(Frames::are_at_border);
        if self.goodbye == Goodbye::Wanted && border {
            to.output().extend_from_slice(&frames::GOING_AWAY);
            self.goodbye = Goodbye::Said;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::CredentialKeys;
    use crate::message::Fields;
    use keyward_model::Caller;
    use keyward_model::caller::Method;
    use keyward_model::caller::TokenFacts;
    use keyward_model::id::{DataKeyId, RevocationId, TeamId};
    use keyward_model::resource::raw::{Node, Problems, read_resource};
    use keyward_model::revocation::{Revocation, RevocationKind};
    use keyward_model::{Origin, Secret};
    use serde_json::json;
    use std::cell::Cell;
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    const ISSUER: &str = "https://a.example";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    /// A token until this second.
    fn token(ends: i64) -> VerifiedCaller {
        let facts = TokenFacts {
            token_id: Some("one"),
            ..TokenFacts::default()
        };
        let mut caller = Caller::of_token(&facts).unwrap();
        caller.team = Some(TeamId::DEFAULT);
        caller.issuer = Some(Arc::from(ISSUER));
        VerifiedCaller {
            caller: Arc::new(caller),
            identity: Fields::new(),
            listed: true,
            until: at(ends),
            ends: at(ends),
            key_epoch: 0,
            revocation_epoch: Cell::new(u64::MAX),
            cells: RefCell::default(),
            binding: None,
            access: RefCell::default(),
            budgets: None,
        }
    }

    #[test]
    fn a_tunnel_stands_as_long_as_its_token() {
        let (token, revocations) = (token(1000), Revocations::default());
        let credentials = no_credentials();
        let seconds = Duration::from_secs;
        let standing = |now| standing(&token, &revocations, &credentials, now);
        assert_eq!(standing(at(10)), Ok(LOOK_EVERY));
        assert_eq!(standing(at(997)), Ok(seconds(3)));
        assert_eq!(standing(at(1000)), Err(TunnelEnd::TokenOver));
    }

    #[test]
    fn a_tunnel_whose_token_is_revoked_ends_at_the_next_look() {
        let (token, revocations) = (token(1000), Revocations::default());
        let credentials = no_credentials();
        let standing = |now| standing(&token, &revocations, &credentials, now);
        let revoked = |value: &str| Revocation {
            id: RevocationId::from_u128(1),
            team: TeamId::DEFAULT,
            issuer: ISSUER.to_owned(),
            kind: RevocationKind::TokenId,
            value: value.to_owned(),
            not_before: at(0),
            expires: at(2000),
        };
        revocations.insert(&revoked("other"), at(10)).unwrap();
        assert_eq!(standing(at(10)), Ok(LOOK_EVERY));
        revocations.insert(&revoked("one"), at(10)).unwrap();
        assert_eq!(standing(at(10)), Err(TunnelEnd::TokenRevoked));
    }

    fn no_credentials() -> CredentialIndex {
        let key = (DataKeyId::from_u128(1), Secret::new([1; 32]));
        CredentialIndex::new(CredentialKeys::new(key, []))
    }

    /// Makes these the credentials there are, each an API key.
    fn publish(index: &CredentialIndex, declared: &[serde_json::Value]) {
        let mut problems = Problems::new();
        let resources: Vec<_> = declared
            .iter()
            .map(|json| read_resource(Node::from_json(json), Origin::File, &mut problems))
            .map(|read| Arc::new(read.unwrap().resource))
            .collect();
        index.publish(index.prepare(&resources).unwrap());
    }

    #[test]
    fn a_tunnel_whose_credential_is_removed_switched_off_or_over_ends_at_the_next_look() {
        let key = "a-key-that-was-made-elsewhere";
        let named = |name: &str, more: serde_json::Value| {
            let mut json =
                json!({ "kind": "credential", "name": name, "api_key": format!("{key}-{name}") });
            json.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            json
        };
        for (after, expected) in [
            (
                vec![named("other", json!({}))],
                Err(TunnelEnd::CredentialGone),
            ),
            (
                vec![named("one", json!({ "enabled": false }))],
                Err(TunnelEnd::CredentialGone),
            ),
            (
                vec![named("one", json!({ "expires": "1970-01-01T00:00:05Z" }))],
                Err(TunnelEnd::CredentialGone),
            ),
            (
                vec![named("other", json!({})), named("one", json!({}))],
                Ok(LOOK_EVERY),
            ),
        ] {
            let (index, revocations) = (no_credentials(), Revocations::default());
            publish(&index, &[named("one", json!({}))]);
            let entry = index.of_api_key(TeamId::DEFAULT, format!("{key}-one").as_bytes());
            let opened_by = VerifiedCaller {
                caller: Arc::new(entry.unwrap().caller(Method::ApiKey).unwrap()),
                key_epoch: index.key_epoch(),
                ..token(1000)
            };
            let standing = || standing(&opened_by, &revocations, &index, at(10));
            assert_eq!(standing(), Ok(LOOK_EVERY));
            publish(&index, &after);
            assert_eq!(standing(), expected, "{after:?}");
        }
    }

    /// Passes everything from one pipe to another; nothing here may take longer than a test may.
    async fn pass(
        mut way: Way,
        from: tokio::io::DuplexStream,
        to: tokio::io::DuplexStream,
    ) -> (Result<(), Broken>, u64) {
        let (mut from, mut to) = (Stream::new(from), Stream::new(to));
        let passing = poll_fn(|context| way.poll(context, &mut from, &mut to));
        let ended = tokio::time::timeout(Duration::from_secs(10), passing).await;
        (ended.unwrap(), way.passed)
    }

    #[tokio::test]
    async fn bytes_pass_whole_through_pipes_that_hold_few_at_once() {
        let (mut sender, from) = duplex(7);
        let (to, mut receiver) = duplex(11);
        let sent: Vec<u8> = (0..100_000_u32).map(|at| (at % 251) as u8).collect();
        let expected = sent.clone();
        let sending = async move {
            sender.write_all(&sent).await.unwrap();
            sender.shutdown().await.unwrap();
            // Open to the last, as a client's other half is.
            sender
        };
        let receiving = async {
            let mut all = Vec::new();
            receiver.read_to_end(&mut all).await.unwrap();
            all
        };
        let ((ended, passed), _sender, all) =
            tokio::join!(pass(Way::default(), from, to), sending, receiving);
        assert_eq!((ended, passed), (Ok(()), 100_000));
        assert!(all == expected);
    }

    #[tokio::test]
    async fn a_receiver_that_is_gone_ends_it() {
        let (mut sender, from) = duplex(64);
        let (to, receiver) = duplex(64);
        drop(receiver);
        sender.write_all(b"hello").await.unwrap();
        let (ended, _) = pass(Way::default(), from, to).await;
        assert_eq!(ended, Err(Broken::Receiver));
    }
}
