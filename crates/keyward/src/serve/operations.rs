//! The operations listener: health, readiness, metrics, and what `keyward top` shows. No caller of an API reaches it.

use super::captures::CaptureStatus;
use super::changes::FollowCounts;
use super::metrics;
use super::reload::ReloadCounts;
use super::site::DatabaseStatus;
use super::top;
use super::traces::ExportStatus;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use keyward_gateway::Gateway;
use keyward_gateway::issuer::Issuers;
use keyward_model::{Clock, Timestamp};
use keyward_state::revocation::Revocations;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the operations listener tells of.
#[derive(Clone, Debug)]
pub(super) struct Operations {
    pub(super) gateway: Arc<Gateway>,
    pub(super) issuers: Arc<Issuers>,
    pub(super) clock: Arc<dyn Clock>,
    /// Whether new connections are taken.
    pub(super) serving: Arc<AtomicBool>,
    pub(super) reloads: Arc<ReloadCounts>,
    pub(super) started: Timestamp,
    /// `None` where calls are not traced.
    pub(super) export: Option<ExportStatus>,
    /// `None` where no body is captured.
    pub(super) captures: Option<CaptureStatus>,
    pub(super) revocations: Arc<Revocations>,
    pub(super) following: Arc<FollowCounts>,
    pub(super) database: Arc<DatabaseStatus>,
}

/// Serves until the process ends.
pub(super) async fn serve(operations: Operations, listener: tokio::net::TcpListener) {
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/top", get(top::answer))
        .with_state(operations);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "the operations listener has ended");
    }
}

async fn ready(State(operations): State<Operations>) -> Response {
    if operations.serving.load(Ordering::Relaxed) {
        // A node that leaves something out serves all else: taking it out of the way would help nobody.
        let told = format!("ready\n{}", operations.database.told());
        (StatusCode::OK, told).into_response()
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "not serving: starting or shutting down\n",
        )
            .into_response()
    }
}

async fn metrics(State(operations): State<Operations>) -> impl IntoResponse {
    let text = metrics::text(&metrics::Sources {
        gateway: &operations.gateway,
        issuers: &operations.issuers,
        reloads: &operations.reloads,
        started: operations.started,
        export: operations.export.as_ref(),
        captures: operations.captures.as_ref(),
        revocations: &operations.revocations,
        following: &operations.following,
        database: &operations.database,
        now: operations.clock.now(),
    });
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        text,
    )
}
