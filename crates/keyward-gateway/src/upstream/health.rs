//! Targets are asked whether they are well.

use super::endpoint::{Endpoint, Reached};
use super::http1::Http1Connection;
use super::http2::Question;
use super::plan::TargetPlan;
use crate::message::fields::write_field;
use http::Method;
use keyward_model::resource::upstream::{HealthCheck, HealthProbe};
use keyward_model::{Clock, Moment};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::Poll;

/// What a target has answered so far. One that was never asked is well: a start must not wait.
#[derive(Debug, Default)]
pub(crate) struct HealthState {
    ill: AtomicBool,
    /// Answers in a row that speak against what holds.
    contrary: AtomicU32,
    /// Nanoseconds; when it became well again.
    well_since: AtomicU64,
}

impl HealthState {
    /// Whether checks have taken it out.
    pub(crate) fn is_ill(&self) -> bool {
        self.ill.load(Ordering::Relaxed)
    }

    /// When it became well again; the clock's start if it always was.
    pub(super) fn well_since(&self) -> Moment {
        Moment::from_nanos(self.well_since.load(Ordering::Relaxed))
    }

    /// An answer, good or bad. Whether that has changed what holds.
    pub(super) fn answered(&self, good: bool, now: Moment, check: &HealthCheck) -> bool {
        let ill = self.is_ill();
        if good != ill {
            self.contrary.store(0, Ordering::Relaxed);
            return false;
        }
        let contrary = self
            .contrary
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        let needed = if ill { check.healthy } else { check.unhealthy };
        if contrary < needed.get() {
            return false;
        }
        self.contrary.store(0, Ordering::Relaxed);
        if good {
            self.well_since.store(now.as_nanos(), Ordering::Relaxed);
        }
        self.ill.store(!good, Ordering::Relaxed);
        true
    }

    /// Nobody asks any more.
    pub(super) fn forget(&self) {
        self.ill.store(false, Ordering::Relaxed);
        self.contrary.store(0, Ordering::Relaxed);
    }
}

/// Asks a target again and again until the task is stopped.
pub(super) async fn watch(
    upstream: Box<str>,
    target: Arc<TargetPlan>,
    check: HealthCheck,
    clock: Arc<dyn Clock>,
) {
    // Not all targets, and not all nodes, at the same moment.
    let spread = super::scattered(clock.moment(), target.endpoint.state.serial());
    tokio::time::sleep(check.interval.mul_f64(spread).min(check.interval / 4)).await;
    loop {
        let failure = match tokio::time::timeout(check.timeout, ask(&target, &check, &clock)).await
        {
            Ok(Ok(())) => None,
            Ok(Err(why)) => Some(why),
            Err(_) => Some(format!("no answer within {:?}", check.timeout)),
        };
        let health = &target.endpoint.state.health;
        if health.answered(failure.is_none(), clock.moment(), &check) {
            let url = target.target.url();
            match failure {
                None => tracing::info!(%upstream, target = %url, "a target is well again"),
                Some(why) => {
                    tracing::warn!(%upstream, target = %url, "a target is taken out by its health check: {why}");
                }
            }
        }
        tokio::time::sleep(super::jittered(check.interval, clock.moment())).await;
    }
}

async fn ask(
    target: &TargetPlan,
    check: &HealthCheck,
    clock: &Arc<dyn Clock>,
) -> Result<(), String> {
    let endpoint: &Endpoint = &target.endpoint;
    let reached = endpoint.connect(check.timeout, clock.as_ref()).await;
    let reached = reached.map_err(|error| error.to_string())?;
    let status = match &check.probe {
        HealthProbe::Tcp => return Ok(()),
        HealthProbe::Grpc { service } => {
            let question = Question::of_grpc_health(target, service)?;
            return question.ask_grpc_health(reached).await;
        }
        HealthProbe::Http { path, host, .. } if reached.shared => {
            let question = Question::get(target, path, host.as_deref())?;
            question.ask(reached.transport).await?.status.as_u16()
        }
        HealthProbe::Http { path, host, .. } => {
            ask_http1(target, reached, path, host.as_deref()).await?
        }
    };
    if check.probe.takes(status) {
        Ok(())
    } else {
        Err(format!("it answered {status}"))
    }
}

async fn ask_http1(
    target: &TargetPlan,
    reached: Reached,
    path: &str,
    host: Option<&str>,
) -> Result<u16, String> {
    let mut connection = Http1Connection::new(reached, None, None);
    let out = connection.begin();
    out.extend_from_slice(b"GET ");
    out.extend_from_slice(target.target.path_prefix.as_bytes());
    out.extend_from_slice(path.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let host = host.map_or(target.host.as_bytes(), str::as_bytes);
    write_field(out, b"host", host);
    out.extend_from_slice(b"user-agent: keyward-health-check\r\nconnection: close\r\n\r\n");
    let head = poll_fn(|context| {
        if let Poll::Ready(Err(error)) = connection.stream().poll_flush(context, &mut || ()) {
            return Poll::Ready(Err(error.to_string()));
        }
        connection
            .poll_head(context, &Method::GET, &mut drop)
            .map_err(|failure| failure.to_string())
    });
    Ok(head.await?.status.as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;
    use std::time::Duration;

    #[test]
    fn answers_in_a_row_change_what_holds() {
        let check = HealthCheck {
            probe: HealthProbe::Tcp,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            healthy: NonZeroU32::new(2).unwrap(),
            unhealthy: NonZeroU32::new(3).unwrap(),
        };
        let state = HealthState::default();
        for (number, (good, ill)) in [
            (false, false),
            (false, false),
            (true, false),
            (false, false),
            (false, false),
            (false, true),
            (false, true),
            (true, true),
            (false, true),
            (true, true),
            (true, false),
            (false, false),
        ]
        .into_iter()
        .enumerate()
        {
            state.answered(good, Moment::from_nanos(number as u64), &check);
            assert_eq!(state.is_ill(), ill, "{number}");
        }
        assert_eq!(state.well_since(), Moment::from_nanos(10));
        let _changed = [1; 3].map(|_| state.answered(false, Moment::default(), &check));
        assert!(state.is_ill());
        state.forget();
        assert!(!state.is_ill());
    }
}
