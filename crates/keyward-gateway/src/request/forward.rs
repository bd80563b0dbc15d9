//! The call's way to the upstream and back.

use super::admit::Admitted;
use super::authenticate::Authenticated;
use super::match_route::Matched;
use super::{Client, Refusal, headers};
use crate::body::{AnswerBody, BodyFailure, Download, Upload, UploadBody};
use crate::idle_timer::IdleTimer;
use crate::record::CallRecord;
use crate::snapshot::{LocalRoute, Route};
use crate::upstream::{SendFailure, UpstreamConnection};
use crate::worker::Worker;
use http::header;
use http::request::Parts;
use http::{Request, Response, StatusCode, Uri, Version};
use http_body::Body;
use hyper::body::Incoming;
use keyward_model::{Code, Fault};
use std::fmt::Write as _;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// Targets tried before a call fails because none could be connected to.
const CONNECT_TRIES: usize = 3;
/// Pooled connections that may turn out to be closed before a call is given up.
const STALE_TRIES: usize = 3;
/// A connection that waited longer than this may be closed by the upstream in the very moment when it is
/// used again, so a call that may be repeated keeps a copy of its head.
const WARM: Duration = Duration::from_millis(500);

/// Sends the call on and streams the answer back. It takes [`Admitted`] by value: there is no other way
/// to an upstream.
pub(crate) async fn forward(
    worker: &Rc<Worker>,
    client: &Client,
    matched: Matched,
    admitted: Admitted,
    head: Parts,
    body: Incoming,
    record: &mut CallRecord,
) -> Result<Response<AnswerBody>, Refusal> {
    let local = &matched.route;
    let route = &local.route;
    record.upstream_begins();
    let (body, upload) = UploadBody::new(
        body,
        route.max_body_bytes,
        route.body_idle,
        Arc::clone(&route.forged),
    );
    let mut lease = lease(worker, local).await?;
    let mut request = Request::new(body);
    *request.method_mut() = head.method;
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = head.headers;
    edit(&mut request, client, &admitted, &matched, record);
    let mut stale = 0;
    let answer = loop {
        address(&mut request, &matched, lease.target)?;
        let copy = lease
            .may_be_stale(&request)
            .then(|| (request.method().clone(), request.headers().clone()));
        match exchange(&mut lease.connection, request, &upload, route).await {
            Ok(answer) => break answer,
            // Nothing left this machine: another connection is as good.
            Err(Attempt::NotSent(returned)) if stale < STALE_TRIES => request = *returned,
            // The upstream closed an old connection just when it was used: not the call's fault.
            Err(Attempt::Failed(error)) => match copy {
                Some((method, headers)) if stale < STALE_TRIES => {
                    request = Request::new(UploadBody::empty(&upload, Arc::clone(&route.forged)));
                    *request.method_mut() = method;
                    *request.headers_mut() = headers;
                }
                _ => return Err(Attempt::Failed(error).refusal(&upload, record)),
            },
            Err(attempt) => return Err(attempt.refusal(&upload, record)),
        }
        stale += 1;
        lease = self::lease(worker, local).await?;
    };
    record.bytes_in = upload.bytes.get();
    answered(worker, local, &admitted, lease, upload, answer, record).await
}

/// A connection to one of the route's targets, for one call.
struct Lease {
    connection: UpstreamConnection,
    target: usize,
    idle: Duration,
}

impl Lease {
    fn may_be_stale(&self, request: &Request<UploadBody>) -> bool {
        self.idle > WARM && headers::is_safe(request.method()) && request.body().is_end_stream()
    }
}

/// Takes a pooled connection, or makes one, to whichever target's turn it is.
async fn lease(worker: &Worker, local: &LocalRoute) -> Result<Lease, Fault> {
    let tries = CONNECT_TRIES.max(1).min(local.pools.len().max(1));
    let mut failure = None;
    let first = choose_target(worker, local);
    for tried in 0..tries {
        // Another one each time, or a call could fail while a target is there.
        let target = (first + tried) % local.pools.len().max(1);
        let Some(pool) = local.pools.get(target) else {
            break;
        };
        let now = worker.clock.moment();
        let pooled = poll_fn(|context| Poll::Ready(pool.take(context, now))).await;
        if let Some((connection, idle)) = pooled {
            return Ok(Lease {
                connection,
                target,
                idle,
            });
        }
        let connected =
            UpstreamConnection::connect(&pool.host, pool.port, local.route.connect_timeout).await;
        match connected {
            Ok(mut connection) => {
                if connection.ready().await {
                    return Ok(Lease {
                        connection,
                        target,
                        idle: Duration::ZERO,
                    });
                }
                failure = Some(format!(
                    "{}:{} closed the connection at once",
                    pool.host, pool.port
                ));
            }
            Err(error) => failure = Some(format!("{}:{}: {error}", pool.host, pool.port)),
        }
    }
    let fault = Fault::new(
        Code::UpstreamUnreachable,
        "The API's upstream can't be reached; try again later",
    );
    Err(fault.because(failure.unwrap_or_else(|| "the upstream has no targets".to_owned())))
}

/// Spreads calls over the targets by their weights. Turns are multiplied by the golden ratio of 2³², so
/// that neighbours in time go to different targets.
fn choose_target(worker: &Worker, local: &LocalRoute) -> usize {
    let route = &local.route;
    if route.targets.len() == 1 {
        return 0;
    }
    let spread = u64::from(worker.turn().wrapping_mul(0x9e37_79b9));
    let point = (spread * u64::from(route.total_weight)) >> 32;
    route
        .targets
        .partition_point(|target| u64::from(target.weight_up_to) <= point)
}

/// Headers as the upstream gets them.
fn edit(
    request: &mut Request<UploadBody>,
    client: &Client,
    admitted: &Admitted,
    matched: &Matched,
    record: &CallRecord,
) {
    let fields = request.headers_mut();
    headers::strip_hop_by_hop(fields);
    fields.remove(header::EXPECT);
    headers::set_forwarded(fields, client, admitted.origin().trusted_proxy);
    matched.route.route.plan.request_headers.apply(fields);
    fields.insert(headers::REQUEST_ID, record.request_id_value.clone());
    if let Authenticated::Token(token) = admitted.authenticated() {
        for (name, value) in &token.identity {
            fields.insert(name.clone(), value.clone());
        }
    }
}

/// Points the request at a target.
fn address(
    request: &mut Request<UploadBody>,
    matched: &Matched,
    target: usize,
) -> Result<(), Fault> {
    let Some(target) = matched.route.route.targets.get(target) else {
        return Err(Fault::new(Code::Internal, "Something went wrong here"));
    };
    let rest = &*matched.path;
    let mut path = String::with_capacity(target.path_prefix.len() + rest.len() + 1);
    path.push_str(&target.path_prefix);
    if path.is_empty() && !rest.starts_with('/') {
        path.push('/');
    }
    path.push_str(rest);
    let uri = Uri::try_from(path).map_err(|error| {
        Fault::new(Code::BadRequest, "The request's target can't be read").because(error)
    })?;
    *request.uri_mut() = uri;
    request
        .headers_mut()
        .insert(header::HOST, target.host.clone());
    Ok(())
}

/// What went wrong with one attempt.
enum Attempt {
    NotSent(Box<Request<UploadBody>>),
    Failed(hyper::Error),
    TimedOut,
}

impl Attempt {
    fn refusal(self, upload: &Upload, record: &mut CallRecord) -> Refusal {
        record.bytes_in = upload.bytes.get();
        if upload.failure.get() == Some(BodyFailure::ClientLeft) {
            record.client_left();
        }
        self.fault(upload).into()
    }

    fn fault(self, upload: &Upload) -> Fault {
        match (upload.failure.get(), self) {
            (Some(BodyFailure::TooLarge), _) => {
                Fault::new(Code::BodyTooLarge, "The body is larger than this API takes")
            }
            (Some(BodyFailure::ClientIdle), _) => Fault::new(
                Code::RequestTimeout,
                "The body did not arrive in time; send it again",
            ),
            (Some(failure @ (BodyFailure::Client | BodyFailure::ClientLeft)), _) => {
                Fault::new(Code::BadRequest, "The body could not be read").because(failure)
            }
            (_, Self::TimedOut) => Fault::new(
                Code::UpstreamTimeout,
                "The API's upstream did not answer in time; try again later",
            ),
            (_, Self::Failed(error)) => Fault::new(
                Code::UpstreamFailed,
                "The API's upstream broke off before it answered; try again later",
            )
            .because(with_causes(&error)),
            (_, Self::NotSent(_)) => Fault::new(
                Code::UpstreamUnreachable,
                "The API's upstream closes every connection; try again later",
            ),
        }
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a string does not fail.
        let _infallible = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

/// One request and the head of its answer. The time for the answer runs from when the request has been
/// sent; until then, it has to move.
async fn exchange(
    connection: &mut UpstreamConnection,
    request: Request<UploadBody>,
    upload: &Upload,
    route: &Route,
) -> Result<Response<Incoming>, Attempt> {
    let mut patience = Patience::new(upload, route);
    let mut answer = pin!(connection.send(request));
    let mut timer = pin!(tokio::time::sleep(patience.period()));
    let outcome = poll_fn(|context| {
        if let Poll::Ready(outcome) = answer.as_mut().poll(context) {
            return Poll::Ready(Some(outcome));
        }
        while timer.as_mut().poll(context).is_ready() {
            if patience.is_over() {
                return Poll::Ready(None);
            }
            timer.set(tokio::time::sleep(patience.period()));
        }
        Poll::Pending
    })
    .await;
    match outcome {
        None => Err(Attempt::TimedOut),
        Some(Ok(answer)) => Ok(answer),
        Some(Err(SendFailure::NotSent(request))) => Err(Attempt::NotSent(request)),
        Some(Err(SendFailure::Failed(error))) => Err(Attempt::Failed(error)),
    }
}

/// How long an upstream is waited for: looked at whenever a period has passed.
struct Patience<'a> {
    upload: &'a Upload,
    response_timeout: Duration,
    stall: Duration,
    /// Whether the period that runs began when all had been sent.
    sent: bool,
    bytes: u64,
    stalled: u32,
}

impl<'a> Patience<'a> {
    fn new(upload: &'a Upload, route: &Route) -> Self {
        Self {
            upload,
            response_timeout: route.response_timeout,
            stall: route.body_idle,
            sent: upload.sent.get(),
            bytes: 0,
            stalled: 0,
        }
    }

    fn period(&self) -> Duration {
        if self.sent {
            self.response_timeout
        } else {
            self.stall
        }
    }

    /// A client that sends nothing is noticed by the body itself, within one to two periods; an upstream
    /// that takes nothing is noticed here, after the second.
    fn is_over(&mut self) -> bool {
        if self.sent {
            return true;
        }
        let bytes = self.upload.bytes.get();
        self.stalled = if bytes == self.bytes {
            self.stalled + 1
        } else {
            0
        };
        self.bytes = bytes;
        self.sent = self.upload.sent.get();
        !self.sent && self.stalled > 2
    }
}

/// The answer as the client gets it.
async fn answered(
    worker: &Rc<Worker>,
    local: &LocalRoute,
    admitted: &Admitted,
    lease: Lease,
    upload: Rc<Upload>,
    answer: Response<Incoming>,
    record: &mut CallRecord,
) -> Result<Response<AnswerBody>, Refusal> {
    let route = &local.route;
    let (mut head, incoming) = answer.into_parts();
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        // It was not asked to: the request carried no `Upgrade`.
        return Err(Fault::new(
            Code::UpstreamFailed,
            "The API's upstream answered what it was not asked",
        )
        .because("101 Switching Protocols")
        .into());
    }
    if head.headers.contains_key(header::CONTENT_LENGTH)
        && head.headers.contains_key(header::TRANSFER_ENCODING)
    {
        // Where its body ends is anybody's guess (RFC 9112, section 6.3).
        return Err(Fault::new(
            Code::UpstreamFailed,
            "The API's upstream sent an answer that can be read in two ways",
        )
        .because("both Content-Length and Transfer-Encoding")
        .into());
    }
    let Some(pool) = local.pools.get(lease.target).cloned() else {
        return Err(Fault::new(Code::Internal, "Something went wrong here").into());
    };
    headers::strip_hop_by_hop(&mut head.headers);
    route.plan.response_headers.apply(&mut head.headers);
    admitted.tell_limits(route, &mut head.headers);
    head.version = Version::HTTP_11;
    record.answered(head.status.as_u16());
    let mut download = Download {
        incoming,
        connection: Some(lease.connection),
        pool,
        worker: Rc::clone(worker),
        keep: route.keep_idle,
        upload,
        idle: IdleTimer::new(route.body_idle),
    };
    if download.incoming.is_end_stream() {
        // An empty body is never asked for a frame.
        poll_fn(|context| {
            download.give_back(context);
            Poll::Ready(())
        })
        .await;
    }
    Ok(Response::from_parts(head, AnswerBody::upstream(download)))
}
