//! A request's body as it comes from the client.

use super::{BodyFailure, move_bytes};
use crate::coding::{CodingBudget, DecodeBounds, Decompressing, Pieces};
use crate::http1::{self, ReadFailure};
use crate::http2;
use crate::http3;
use crate::message::Fields;
use bytes::Bytes;
use keyward_model::resource::coding::ContentCoding;
use std::rc::Rc;
use std::task::{Context, Poll};

/// A request's body as it arrives.
#[derive(Debug)]
pub(crate) enum RequestBody {
    Empty,
    /// What the client's connection still holds.
    Http1(Rc<http1::Connection>),
    /// All there, and how much of it was given.
    Whole(Bytes, usize),
    /// One of the others, decompressed.
    Decompressing(Box<Decompressing<RequestBody>>),
    /// What a stream of the client's connection holds.
    Http2(Rc<http2::Exchange>),
    /// The same over HTTP/3.
    Http3(Rc<http3::Exchange>),
}

impl RequestBody {
    /// A body that is all there.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            Self::Empty
        } else {
            Self::Whole(bytes, 0)
        }
    }

    /// The same, decompressed.
    pub(crate) fn decompressed(
        self,
        coding: ContentCoding,
        bounds: DecodeBounds,
        budget: &Rc<CodingBudget>,
    ) -> Self {
        let body = Decompressing::new(self, coding, bounds, budget);
        Self::Decompressing(Box::new(body))
    }

    /// How many bytes are to come, where that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Http1(connection) => connection.body_left(),
            Self::Whole(bytes, given) => Some((bytes.len() - given) as u64),
            Self::Http2(exchange) => exchange.body_left(),
            Self::Http3(exchange) => exchange.body_left(),
            Self::Decompressing(_) => None,
        }
    }

    /// How many bytes have come from the client, where these are others than those that go on.
    pub(super) fn came_in(&self) -> Option<u64> {
        match self {
            Self::Empty | Self::Http1(_) | Self::Http2(_) | Self::Http3(_) | Self::Whole(..) => {
                None
            }
            Self::Decompressing(body) => Some(body.came_in()),
        }
    }

    pub(super) fn take_trailers(&mut self) -> Option<Fields> {
        match self {
            Self::Empty | Self::Whole(..) => None,
            Self::Http1(connection) => connection.take_trailers(),
            Self::Http2(exchange) => exchange.take_trailers(),
            Self::Http3(exchange) => exchange.take_trailers(),
            Self::Decompressing(body) => body.body().take_trailers(),
        }
    }
}

impl Pieces for RequestBody {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, BodyFailure>> {
        match self {
            Self::Empty => Poll::Ready(Ok(0)),
            Self::Decompressing(body) => return body.poll_piece(context),
            Self::Whole(bytes, given) => Poll::Ready(Ok(bytes.len() - *given)),
            Self::Http1(connection) => connection.poll_body(context),
            Self::Http2(exchange) => exchange.poll_body(context),
            Self::Http3(exchange) => exchange.poll_body(context),
        }
        .map_err(|failure| match failure {
            ReadFailure::Malformed => BodyFailure::Client,
            ReadFailure::Broken => BodyFailure::ClientLeft,
        })
    }

    fn move_piece(&mut self, count: usize, out: &mut Vec<u8>) {
        match self {
            Self::Empty => {}
            Self::Decompressing(body) => body.move_piece(count, out),
            Self::Http1(connection) => connection.move_body(count, out),
            Self::Whole(bytes, given) => move_bytes(bytes, given, count, out),
            Self::Http2(exchange) => exchange.move_body(count, out),
            Self::Http3(exchange) => exchange.move_body(count, out),
        }
    }
}
