//! The site's connections.

use crate::Site;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// People and machines that manage are few: more connections are an attack, and leave the gateway its descriptors.
const CONNECTIONS_MAX: usize = 1_024;
/// How long a request's head may take to arrive, and a connection may stay idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest head.
const HEAD_MAX: usize = 32 * 1024;
/// The most headers.
const HEADERS_MAX: usize = 100;
/// How long is waited after a connection could not be taken, such as for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until the task is ended.
pub async fn serve(site: Arc<Site>, listener: TcpListener) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else {
            return;
        };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "site: a connection could not be taken");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let site = Arc::clone(&site);
        tokio::spawn(async move {
            let _seat = seat;
            let service = service_fn(move |request: Request<Incoming>| {
                let site = Arc::clone(&site);
                async move {
                    let response: Response<Full<Bytes>> = site.answer(request, peer.ip()).await;
                    Ok::<_, Infallible>(response)
                }
            });
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(HEAD_MAX)
                .max_headers(HEADERS_MAX)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "site: a connection ended badly");
            }
        });
    }
}
