//! Signing in to the token: a wrong PIN is tried once, for tokens lock themselves after a few.

use crate::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Who signs in, and whether it may be tried.
#[derive(Default)]
pub(super) struct SigningIn {
    alone: Mutex<()>,
    /// Why the PIN must not be tried again. It has a lock of its own, that no call of a module is made under: who has a
    /// session already must not wait for a module that hangs in signing in.
    refused: Mutex<Option<Error>>,
}

impl SigningIn {
    /// Whether the PIN may be tried.
    pub(super) fn allowed(&self) -> Result<(), Error> {
        match &*self.refused() {
            Some(refused) => Err(refused.clone()),
            None => Ok(()),
        }
    }

    /// Lets one after the other sign in, and none after the PIN was refused.
    pub(super) fn alone<T>(&self, sign_in: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let _alone = self.alone.lock().unwrap_or_else(PoisonError::into_inner);
        // Again: whoever waited here came before it was known.
        self.allowed()?;
        let done = sign_in();
        if let Err(error @ (Error::PinRefused { .. } | Error::PinLocked { .. })) = &done {
            *self.refused() = Some(error.clone());
        }
        done
    }

    fn refused(&self) -> MutexGuard<'_, Option<Error>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
