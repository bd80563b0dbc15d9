//! A question of a health check, on a connection of its own.

use super::agree;
use crate::upstream::endpoint::Reached;
use crate::upstream::plan::TargetPlan;
use bytes::Bytes;
use h2::RecvStream;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use tokio::io::{AsyncRead, AsyncWrite};

/// The most that is read of an answer: gRPC's has seven bytes.
const ANSWER_MAX: usize = 1024;
/// Field 1 of a message, of a type that is written as a number.
const STATUS_TAG: u8 = 0x08;
/// `SERVING` of `grpc.health.v1.HealthCheckResponse.ServingStatus`.
const SERVING: u8 = 1;

/// What is asked.
pub(crate) struct Question {
    request: Request<()>,
    body: Option<Bytes>,
}

/// What came.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    fields: HeaderMap,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
}

impl Question {
    /// A GET of a path behind the target's own.
    ///
    /// # Errors
    /// When path or host are none.
    pub(crate) fn get(target: &TargetPlan, path: &str, host: Option<&str>) -> Result<Self, String> {
        let host = host.unwrap_or(target.authority.as_str());
        let uri = http::Uri::builder()
            .scheme(target.scheme.clone())
            .authority(host)
            .path_and_query(format!("{}{path}", target.target.path_prefix))
            .build()
            .map_err(|error| error.to_string())?;
        let mut request = Request::new(());
        *request.uri_mut() = uri;
        Ok(Self::of(request, None))
    }

    /// Whether a service is well; the server as a whole where it has no name. Services of gRPC stand at the
    /// root.
    pub(crate) fn of_grpc_health(target: &TargetPlan, service: &str) -> Result<Self, String> {
        let mut question = Self::get(target, "/grpc.health.v1.Health/Check", None)?;
        *question.request.method_mut() = http::Method::POST;
        let fields = question.request.headers_mut();
        fields.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/grpc"),
        );
        fields.insert(header::TE, HeaderValue::from_static("trailers"));
        question.body = Some(Bytes::from(health_request(service)));
        Ok(question)
    }

    fn of(mut request: Request<()>, body: Option<Bytes>) -> Self {
        *request.version_mut() = http::Version::HTTP_2;
        request.headers_mut().insert(
            header::USER_AGENT,
            HeaderValue::from_static("keyward-health-check"),
        );
        Self { request, body }
    }

    /// Asks, and waits for the whole answer. The caller sets the bound of time.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn ask<T: AsyncRead + AsyncWrite + Unpin>(
        self,
        transport: T,
    ) -> Result<Reply, String> {
        let agreed = agree(transport).await.map_err(|error| error.to_string())?;
        let (mut sender, mut connection) = agreed;
        let ends = self.body.is_none();
        let sent = sender.send_request(self.request, ends);
        let (answer, mut upload) = sent.map_err(|error| error.to_string())?;
        if let Some(body) = self.body {
            let sent = upload.send_data(body, true);
            sent.map_err(|error| error.to_string())?;
        }
        let mut reply = pin!(async {
            let (head, mut body) = answer.await?.into_parts();
            let piece = read(&mut body).await?;
            Ok::<_, h2::Error>(Reply {
                status: head.status,
                fields: head.headers,
                body: piece,
                trailers: poll_fn(|context| body.poll_trailers(context)).await?,
            })
        });
        let reply = poll_fn(|context| {
            // The one reads what the other waits for; when it has ended, what was read is still there.
            let ended = Pin::new(&mut connection).poll(context);
            match (reply.as_mut().poll(context), ended) {
                (Poll::Ready(reply), _) => Poll::Ready(reply.map_err(|error| error.to_string())),
                (Poll::Pending, Poll::Pending) => Poll::Pending,
                (Poll::Pending, Poll::Ready(Err(error))) => Poll::Ready(Err(error.to_string())),
                (Poll::Pending, Poll::Ready(Ok(()))) => {
                    Poll::Ready(Err("it closed the connection".to_owned()))
                }
            }
        });
        reply.await
    }

    /// Asks as [`Self::of_grpc_health`] has it.
    ///
    /// # Errors
    /// Why the service is not well.
    pub(crate) async fn ask_grpc_health(self, reached: Reached) -> Result<(), String> {
        if !reached.shared {
            return Err("it has chosen HTTP/1.1, which carries no gRPC".to_owned());
        }
        let reply = self.ask(reached.transport).await?;
        if reply.status != StatusCode::OK {
            return Err(format!("it answered {}", reply.status.as_u16()));
        }
        // An answer of trailers alone has its status in the head.
        let told = |fields: &HeaderMap, name| fields.get(name).cloned();
        let find = |name| {
            let trailers = reply.trailers.as_ref();
            trailers
                .and_then(|trailers| told(trailers, name))
                .or_else(|| told(&reply.fields, name))
        };
        match find("grpc-status") {
            Some(status) if status == "0" => {}
            Some(status) => {
                let message = find("grpc-message");
                return Err(format!("it answered grpc-status {status:?}, {message:?}"));
            }
            None => return Err("its answer has no grpc-status".to_owned()),
        }
        match serving_status(&reply.body) {
            Some(SERVING) => Ok(()),
            Some(status) => Err(format!("it says that it is not serving ({status})")),
            None => Err("its answer is none of grpc.health.v1".to_owned()),
        }
    }
}

async fn read(body: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut read = Vec::new();
    while let Some(piece) = poll_fn(|context| body.poll_data(context)).await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        let room = ANSWER_MAX - read.len();
        read.extend_from_slice(piece.get(..room).unwrap_or(&piece));
        if read.len() == ANSWER_MAX {
            break;
        }
    }
    Ok(read)
}

/// `HealthCheckRequest { string service = 1; }` in gRPC's frame: a byte that says that it is not compressed, and
/// the length.
fn health_request(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend_from_slice(service.as_bytes());
    }
    let mut frame = vec![0];
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&message);
    frame
}

/// The status in `HealthCheckResponse { ServingStatus status = 1; }`; zero where it is left out.
fn serving_status(frame: &[u8]) -> Option<u8> {
    let (head, message) = frame.split_at_checked(5)?;
    let length = message.len().to_be_bytes();
    if head.first() != Some(&0) || head.get(1..) != length.get(length.len() - 4..) {
        return None;
    }
    match message {
        [] => Some(0),
        [STATUS_TAG, status, ..] if *status < 0x80 => Some(*status),
        [..] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_has_the_services_name_in_grpcs_frame() {
        assert_eq!(health_request(""), [0, 0, 0, 0, 0]);
        assert_eq!(health_request("a.b"), b"\0\0\0\0\x05\x0a\x03a.b");
        let long = health_request(&"s".repeat(200));
        assert_eq!(long.get(..8), Some(&b"\0\0\0\0\xcb\x0a\xc8\x01"[..]));
    }

    #[test]
    fn only_a_whole_answer_that_says_so_is_one_of_a_service_that_is_well() {
        for (frame, status) in [
            (&b"\0\0\0\0\x02\x08\x01"[..], Some(SERVING)),
            (b"\0\0\0\0\x02\x08\x02", Some(2)),
            (b"\0\0\0\0\0", Some(0)),
            (b"", None),
            (b"\0\0\0\0\x02\x08", None),
            (b"\0\0\0\0\x03\x08\x01", None),
            (b"\x01\0\0\0\x02\x08\x01", None),
            (b"\0\0\0\0\x02\x10\x01", None),
            (b"\0\0\0\0\x02\x08\x81", None),
        ] {
            assert_eq!(serving_status(frame), status, "{frame:?}");
        }
    }
}
