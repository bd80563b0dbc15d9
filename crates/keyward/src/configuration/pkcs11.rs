//! Reading `pkcs11` and `master_key`: a token that keys are in, and whether the master key is one of them.

use keyward_model::resource::KeysIn;
use keyward_model::resource::raw::{Field, Fields, Problems, Value};
use keyward_model::{Secret, SystemClock};
use keyward_pkcs11::{Token, TokenSettings};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;

/// The longest label of a token, and of a key that people are to read.
const LABEL_MAX: usize = 32;

/// Longer than any token takes.
const PIN_MAX: usize = 255;

const PIN_ADVICE: &str =
    "write `${ENV:NAME}` or `${FILE:path}`, whose text is the PIN of the token's user";

/// A token, and what of ours is in it.
#[derive(Clone, Debug)]
pub(crate) struct Pkcs11 {
    /// Nothing is asked of it by reading a configuration.
    pub(crate) token: Arc<Token>,
    /// Whether new keys of the issuer `self` that sign are made in it, where that is said.
    own_keys: Option<bool>,
}

impl Pkcs11 {
    /// For `check --json`, without the PIN.
    pub(super) fn to_json(&self) -> serde_json::Value {
        let settings = self.token.settings();
        json!({
            "module": settings.module,
            "token": settings.label,
            "own_keys": self.own_keys,
        })
    }
}

/// Whether two configurations name the same token.
pub(super) fn is_same(one: Option<&Pkcs11>, other: Option<&Pkcs11>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.token.settings() == other.token.settings(),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Where new keys of the issuer `self` are made, where that is said.
pub(crate) fn own_keys_in(pkcs11: Option<&Pkcs11>) -> Option<KeysIn> {
    match pkcs11?.own_keys? {
        true => Some(KeysIn::Pkcs11),
        false => Some(KeysIn::Database),
    }
}

/// `pkcs11`. The outer `None`: something is wrong.
pub(super) fn read(
    fields: &Fields<'_>,
    directory: &Path,
    problems: &mut Problems,
) -> Option<Option<Pkcs11>> {
    let Some(field) = fields.optional("pkcs11") else {
        return Some(None);
    };
    let fields = field.fields(&["module", "token", "pin", "own_keys"], problems)?;
    let module = fields
        .required(
            "module",
            "write the path of the module's library, such as /usr/lib/softhsm/libsofthsm2.so",
            problems,
        )
        .and_then(|field| field.text(problems).map(|path| directory.join(path)));
    let label = fields
        .required("token", "write the token's label", problems)
        .and_then(|field| label(field, problems));
    let pin = fields
        .required("pin", PIN_ADVICE, problems)
        .and_then(|field| pin(field, problems));
    let own_keys = match fields.optional("own_keys") {
        Some(field) => field.boolean(problems).map(Some),
        None => Some(None),
    };
    let settings = TokenSettings {
        module: module?,
        label: label?,
        pin: pin?,
    };
    Some(Some(Pkcs11 {
        token: Token::new(settings, Arc::new(SystemClock::new())),
        own_keys: own_keys?,
    }))
}

/// `master_key`: the label of the key in the token. The outer `None`: something is wrong.
pub(super) fn read_master_key(
    fields: &Fields<'_>,
    problems: &mut Problems,
) -> Option<Option<Box<str>>> {
    let Some(field) = fields.optional("master_key") else {
        return Some(None);
    };
    let place = field.place();
    let advice = "write `{ pkcs11: { label: LABEL } }`; without it the master key is a file in `data_dir`, or in KEYWARD_MASTER_KEY";
    let master = field.fields(&["pkcs11"], problems)?;
    let inner = master.required("pkcs11", advice, problems)?;
    let inner = inner.fields(&["label"], problems)?;
    let label = inner
        .required("label", "write the label of the key in the token", problems)
        .and_then(|field| label(field, problems))?;
    if fields.optional("pkcs11").is_none() {
        problems.error(
            place,
            "missing_key",
            "`master_key` is in a PKCS#11 token, and no token is named: write `pkcs11: { module: …, token: …, pin: … }`",
        );
        return None;
    }
    Some(Some(label))
}

fn label(field: Field<'_>, problems: &mut Problems) -> Option<Box<str>> {
    field.parsed(
        |text| is_label(text).then(|| text.into()),
        "is no label: it has 1 to 32 bytes and neither begins nor ends with a space",
        problems,
    )
}

/// Whether a token, or a key that people are to read, may be called so. Tokens fill labels up with spaces.
pub(crate) fn is_label(text: &str) -> bool {
    (1..=LABEL_MAX).contains(&text.len())
        && !text.chars().any(char::is_control)
        && text.trim() == text
}

/// Nothing of it is repeated.
fn pin(field: Field<'_>, problems: &mut Problems) -> Option<Secret<String>> {
    let text = field.secret(&format!(": {PIN_ADVICE}"), problems)?;
    if !(1..=PIN_MAX).contains(&text.len()) {
        problems.error(
            field.place(),
            "bad_value",
            format!("`pin`: it has 1 to {PIN_MAX} bytes: {PIN_ADVICE}"),
        );
        return None;
    }
    let in_clear = match &field.node().value {
        Value::Text(text) => text.reference().is_none(),
        Value::Null
        | Value::Boolean(_)
        | Value::Whole(_)
        | Value::Number(_)
        | Value::List(_)
        | Value::Map(_) => false,
    };
    if in_clear {
        problems.warning(
            field.place(),
            "secret_in_clear",
            format!("`pin`: it stands in the file: {PIN_ADVICE}"),
        );
    }
    Some(Secret::new(text.to_owned()))
}
