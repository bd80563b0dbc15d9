//! Where a request's body goes besides its upstream.

use crate::capture::{CallCapture, Side};
use crate::replay::Replay;
use crate::request::mirror::Copying;
use std::rc::Rc;

/// Who else gets the bytes of a request's body: each once, when it comes from the client, however often it
/// is sent.
#[derive(Debug)]
pub(super) struct Taps {
    /// For attempts after the first.
    pub(super) replay: Replay,
    /// A copy of the call that is being made.
    pub(super) copying: Option<Box<Copying>>,
    pub(super) capture: Option<Rc<CallCapture>>,
}

impl Taps {
    pub(super) fn new(replay: Replay) -> Self {
        Self {
            replay,
            copying: None,
            capture: None,
        }
    }

    /// A new piece has come.
    pub(super) fn keep(&mut self, piece: &[u8]) {
        self.replay.keep(piece);
        self.copying.take_if(|copying| !copying.keep(piece));
        if let Some(capture) = &self.capture {
            capture.keep(Side::Request, piece);
        }
    }

    /// The body has come whole.
    pub(super) fn end(&mut self) {
        if let Some(copying) = self.copying.take() {
            copying.send();
        }
    }
}
