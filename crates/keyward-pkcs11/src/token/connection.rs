//! A module that was loaded, and the sessions with the token.

use super::{SigningIn, TokenSettings};
use crate::Error;
use crate::error::failed;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as ModuleError, RvError};
use cryptoki::mechanism::MechanismType;
use cryptoki::object::{Attribute, ObjectHandle};
use cryptoki::session::{Session, SessionState, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use std::sync::{Mutex, PoisonError};

/// Sessions are kept open: with the last one the login ends.
pub(super) struct Connection {
    context: Pkcs11,
    slot: Slot,
    idle: Mutex<Vec<Session>>,
}

/// A session with somebody signed in, for one job.
pub(crate) struct Opened<'c> {
    session: Session,
    connection: &'c Connection,
    token: &'c str,
}

impl Opened<'_> {
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// The token's label.
    pub(crate) fn token(&self) -> &str {
        self.token
    }

    /// What the token can do, as it tells.
    pub(crate) fn mechanisms(&self) -> Result<Vec<MechanismType>, Error> {
        let Connection { context, slot, .. } = self.connection;
        context
            .get_mechanism_list(*slot)
            .map_err(failed("tell its mechanisms"))
    }

    /// The one object that is so.
    pub(crate) fn only(
        &self,
        template: &[Attribute],
        key: impl Fn() -> String,
    ) -> Result<ObjectHandle, Error> {
        let found = self.all(template)?;
        match found.as_slice() {
            [one] => Ok(*one),
            [] => Err(Error::KeyAbsent {
                token: self.token.to_owned(),
                key: key(),
            }),
            _ => Err(Error::KeyAmbiguous {
                token: self.token.to_owned(),
                key: key(),
            }),
        }
    }

    /// All objects that are so.
    pub(crate) fn all(&self, template: &[Attribute]) -> Result<Vec<ObjectHandle>, Error> {
        self.session
            .find_objects(template)
            .map_err(failed("look for a key"))
    }
}

impl Connection {
    pub(super) fn open(settings: &TokenSettings) -> Result<Self, Error> {
        // There the loader itself is missing, and what it says of it helps nobody.
        if cfg!(target_feature = "crt-static") {
            return Err(Error::Static);
        }
        let context = Pkcs11::new(&settings.module).map_err(|error| Error::Module {
            module: settings.module.clone(),
            why: error.to_string(),
        })?;
        let threads = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
        match context.initialize(threads) {
            Ok(()) | Err(ModuleError::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(failed("begin (C_Initialize)")(error)),
        }
        match slot_of(&context, &settings.label) {
            Ok(slot) => Ok(Self {
                context,
                slot,
                idle: Mutex::default(),
            }),
            Err(error) => {
                finalize(context);
                Err(error)
            }
        }
    }

    pub(super) fn with_session<T>(
        &self,
        settings: &TokenSettings,
        signing_in: &SigningIn,
        job: &dyn Fn(&Opened<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let idle = self.idle().pop();
        let session = match idle {
            Some(session) => session,
            // One asks whether somebody is signed in and signs in at a time: the others find it done, or refused.
            None => signing_in.alone(|| self.signed_in(settings))?,
        };
        let opened = Opened {
            session,
            connection: self,
            token: &settings.label,
        };
        let done = job(&opened);
        // After a failure an operation may be under way in it, or the session may be none any more.
        if done.is_ok() {
            self.idle().push(opened.session);
        }
        done
    }

    fn signed_in(&self, settings: &TokenSettings) -> Result<Session, Error> {
        let session = self
            .context
            .open_rw_session(self.slot)
            .map_err(failed("open a session"))?;
        let token = || settings.label.to_string();
        let told = session
            .get_session_info()
            .map_err(failed("tell of a session"))?;
        match told.session_state() {
            // The login is the process's, so that other sessions have it as well.
            SessionState::RwUser | SessionState::RoUser => return Ok(session),
            SessionState::RoPublic | SessionState::RwPublic | SessionState::RwSecurityOfficer => {}
        }
        let told = self
            .context
            .get_token_info(self.slot)
            .map_err(failed("tell of itself"))?;
        if told.user_pin_locked() {
            return Err(Error::PinLocked { token: token() });
        }
        // Whoever starts a node again and again must not use up the last one.
        if told.user_pin_final_try() {
            return Err(Error::PinLastTry { token: token() });
        }
        let pin = AuthPin::from(settings.pin.reveal().as_str());
        match session.login(UserType::User, Some(&pin)) {
            Ok(()) | Err(ModuleError::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(ModuleError::Pkcs11(
                RvError::PinIncorrect
                | RvError::PinInvalid
                | RvError::PinLenRange
                | RvError::PinExpired,
                _,
            )) => Err(Error::PinRefused { token: token() }),
            Err(ModuleError::Pkcs11(RvError::PinLocked, _)) => {
                Err(Error::PinLocked { token: token() })
            }
            Err(error) => Err(failed("sign in")(error)),
        }
    }

    pub(super) fn close(self) {
        let Self { context, idle, .. } = self;
        drop(idle);
        finalize(context);
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Session>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What it says of it changes nothing: it is begun anew in any case.
fn finalize(context: Pkcs11) {
    if let Err(error) = context.finalize() {
        tracing::debug!("PKCS#11: C_Finalize: {error}");
    }
}

fn slot_of(context: &Pkcs11, label: &str) -> Result<Slot, Error> {
    let slots = context
        .get_slots_with_token()
        .map_err(failed("list the tokens"))?;
    let mut known = Vec::new();
    for slot in slots {
        // One that can't be asked may be another than the one that is meant.
        if let Ok(told) = context.get_token_info(slot)
            && told.label() == label
        {
            known.push(slot);
        }
    }
    match known.as_slice() {
        [slot] => Ok(*slot),
        [] => Err(Error::TokenAbsent {
            token: label.to_owned(),
        }),
        _ => Err(Error::TokenAmbiguous {
            token: label.to_owned(),
        }),
    }
}
