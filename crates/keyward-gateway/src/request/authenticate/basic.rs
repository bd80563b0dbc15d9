//! Names and passwords (HTTP basic, RFC 7617), for machines.

use super::{Attempt, Authenticated, REMEMBERED_FOR, bearer, challenge, check_revocations};
use crate::credentials::{Entry, StoredPassword};
use crate::message::{Fields, Header, RequestHead};
use crate::request::Refusal;
use crate::request::token_cache::Known;
use crate::request::verified_caller::VerifiedCaller;
use crate::snapshot::BasicPolicy;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyward_model::caller::Method;
use keyward_model::resource::credential::KeyedHash;
use keyward_model::{Code, Fault, Timestamp};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use zeroize::Zeroizing;

/// What follows `Basic` at most: names and passwords have 256 and 512 bytes.
const LENGTH_MAX: usize = 2_048;

/// A password that is guessed costs ten attempts: it is the only credential that can be guessed at all.
const WEIGHT: u32 = 10;

/// A name and a password.
#[derive(Debug)]
pub(crate) struct Presented {
    text: Zeroizing<String>,
    colon: usize,
}

impl Presented {
    /// The user-id.
    pub(crate) fn username(&self) -> &str {
        self.text.get(..self.colon).unwrap_or_default()
    }

    /// The password, which may have colons.
    pub(crate) fn password(&self) -> &str {
        self.text.get(self.colon + 1..).unwrap_or_default()
    }
}

/// Reads what follows `Basic` (RFC 7617, section 2): base64 of UTF-8, of which the first colon ends the name.
///
/// # Errors
/// What is wrong with it, without saying what it is.
pub(crate) fn read(text: &[u8]) -> Result<Presented, &'static str> {
    if text.len() > LENGTH_MAX {
        return Err("it is too long");
    }
    let bytes = STANDARD.decode(text).map_err(|_| "it is not base64")?;
    let text = String::from_utf8(bytes).map_err(|error| {
        // Not left in memory: it was meant to be a password.
        drop(Zeroizing::new(error.into_bytes()));
        "it is not UTF-8"
    })?;
    let text = Zeroizing::new(text);
    if text.chars().any(char::is_control) {
        return Err("it has a control character");
    }
    let colon = text.find(':').ok_or("there is no colon in it")?;
    Ok(Presented { text, colon })
}

pub(super) async fn authenticate(
    attempt: &Attempt<'_>,
    policy: &BasicPolicy,
    head: &mut RequestHead,
) -> Result<Authenticated, Refusal> {
    let outcome = match shown(head) {
        Ok(text) => verified(attempt, policy, &text).await,
        Err(fault) => Err(fault),
    };
    bearer::remove(&mut head.fields);
    let checked = outcome.and_then(|verified| {
        check_revocations(&attempt.worker.shared.revocations, &verified, attempt.now)?;
        Ok(verified)
    });
    checked.map(Authenticated::Caller).map_err(|fault| {
        let mut fields = Fields::new();
        if fault.code().status() == 401 {
            challenge::basic(&policy.method.realm, &mut fields);
        }
        Refusal::with(fault, fields)
    })
}

/// What follows `Basic`.
fn shown(head: &RequestHead) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let mut values = head.fields.all(Header::Authorization);
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Fault::new(
            Code::CredentialAmbiguous,
            "`Authorization` stands there twice; send one credential",
        ));
    };
    let text = value.get(b"basic".len()..).unwrap_or_default();
    Ok(Zeroizing::new(text.trim_ascii().to_vec()))
}

fn invalid(because: &str) -> Fault {
    Fault::new(
        Code::CredentialInvalid,
        "The name and password are not valid; send them as they were issued",
    )
    .because(because)
}

async fn verified(
    attempt: &Attempt<'_>,
    policy: &BasicPolicy,
    text: &[u8],
) -> Result<Rc<VerifiedCaller>, Fault> {
    let (worker, now) = (attempt.worker, attempt.now);
    let index = &worker.shared.credentials;
    let cache_key = policy.cache_key(text);
    let epoch = index.password_epoch();
    // So that argon2 is computed once in a while, and not at each call.
    let known = worker.tokens.borrow_mut().get(&cache_key, epoch, now);
    if let Some(Known::Token(known)) = known {
        worker.metrics.token_hit();
        return Ok(known);
    }
    worker.metrics.token_miss();
    attempt.may_try()?;
    let presented = read(text).map_err(invalid)?;
    let entries = index.load();
    let entry = entries.of_username(policy.team, presented.username());
    let passwords = &worker.shared.passwords;
    let by_hash = |hash: &KeyedHash| {
        index
            .keys()
            .is_password(hash, presented.username(), presented.password())
    };
    let wrong = {
        let (shared, address, begun) = (
            Arc::clone(&worker.shared),
            attempt.origin.address,
            attempt.begun,
        );
        // One more is counted where all failures are that are answered.
        move || shared.failed_attempts.failed(address, WEIGHT - 1, begun)
    };
    let good = match entry.as_deref().and_then(Entry::password) {
        Some(StoredPassword::Hashed(hash)) if by_hash(hash) => true,
        Some(StoredPassword::Argon2(hash)) => {
            let password = presented.password();
            passwords.is_password(hash, password, wrong).await?
        }
        Some(StoredPassword::Hashed(_)) | None => {
            // A wrong password takes as long for a machine's name, a person's and nobody's: else names could be found
            // out by the clock.
            match entries.decoy() {
                Some(decoy) => {
                    let password = presented.password();
                    let _never = passwords.is_password(decoy, password, wrong).await?;
                }
                None => wrong(),
            }
            false
        }
    };
    let Some(entry) = entry.filter(|_| good) else {
        return Err(invalid("there is no such name, or another password"));
    };
    entry.check(now)?;
    let caller = entry.caller(Method::Basic)?;
    let until = now.plus(REMEMBERED_FOR);
    let verified = Rc::new(VerifiedCaller {
        identity: attempt.route.identity.headers_of(&caller),
        listed: true,
        until: entry.expires().map_or(until, |end| end.min(until)),
        ends: entry.expires().unwrap_or(Timestamp::from_micros(i64::MAX)),
        key_epoch: epoch,
        revocation_epoch: Cell::new(u64::MAX),
        cells: RefCell::default(),
        access: RefCell::default(),
        budgets: entry.budgets().cloned(),
        binding: None,
        caller: Arc::new(caller),
    });
    let known = Known::Token(Rc::clone(&verified));
    worker.tokens.borrow_mut().insert(cache_key, known);
    Ok(verified)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Result<(String, String), &'static str> {
        let presented = read(STANDARD.encode(text).as_bytes())?;
        let (name, password) = (presented.username(), presented.password());
        Ok((name.to_owned(), password.to_owned()))
    }

    #[test]
    fn the_first_colon_ends_the_name() {
        for (text, name, password) in [
            ("batch:secret", "batch", "secret"),
            ("batch:se:cr:et", "batch", "se:cr:et"),
            (":secret", "", "secret"),
            ("batch:", "batch", ""),
            ("b\u{e4}tch:\u{5bc6}", "b\u{e4}tch", "\u{5bc6}"),
        ] {
            let expected = (name.to_owned(), password.to_owned());
            assert_eq!(parts(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_name_and_password_is_refused() {
        for (text, why) in [
            (&b"!"[..], "it is not base64"),
            (b"YTpi=", "it is not base64"),
            (b"Y Tpi", "it is not base64"),
            (b"YWI=", "there is no colon in it"),
            (b"", "there is no colon in it"),
            (b"/zph", "it is not UTF-8"),
            (b"YTpiCg==", "it has a control character"),
            (&[b'A'; 2_052], "it is too long"),
        ] {
            assert_eq!(read(text).unwrap_err(), why, "{text:?}");
        }
    }
}
