//! The body of a call as it came, and where in it what lies: read once, however many attempts are made from it.

use bytes::Bytes;
use keyward_llm::Error;
use keyward_llm::json::{Members, Outline};
use std::cell::OnceCell;
use std::ops::Deref;

/// A body that may be a JSON object.
#[derive(Clone, Debug)]
pub(super) struct AskedBody {
    bytes: Bytes,
    /// Of these bytes and no others: an exchanged body is another value.
    outline: OnceCell<Outline>,
}

impl AskedBody {
    /// The object's members.
    ///
    /// # Errors
    /// As [`Outline::read`].
    pub(super) fn members(&self) -> Result<Members<'_>, Error> {
        if let Some(outline) = self.outline.get() {
            return Ok(outline.of(&self.bytes));
        }
        let outline = Outline::read(&self.bytes)?;
        Ok(self.outline.get_or_init(|| outline).of(&self.bytes))
    }
}

impl From<Bytes> for AskedBody {
    fn from(bytes: Bytes) -> Self {
        Self {
            bytes,
            outline: OnceCell::new(),
        }
    }
}

impl From<Vec<u8>> for AskedBody {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl Deref for AskedBody {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.bytes
    }
}
