//! `keyward jwk inspect`.

use super::Held;
use crate::command::input::Input;
use crate::command::{Failure, terminal};
use clap::{Args, ValueHint};
use keyward_jose::key::{KeyForm, KeyOperation, KeyUse};
use keyward_jose::{Algorithm, Key, Skipped};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Tell what a key is
///
/// Type, size, name, what it may be used for, thumbprint, certificates, whether it is private, and what is
/// questionable about it. Never a private value.
#[derive(Args, Debug)]
pub(in crate::command) struct Inspect {
    /// As JSON: an object, or of a set a list of them
    #[arg(long)]
    json: bool,

    /// The key or the set; `-` is standard input
    #[arg(default_value = "-", value_name = "FILE", value_hint = ValueHint::FilePath)]
    input: Input,
}

impl Inspect {
    pub(super) fn run(self) -> Result<(), Failure> {
        let held = Held::read(&self.input)?;
        let form = match &held {
            Held::One(_, form) => form_in_words(*form),
            Held::Set(_) => "JWK set".to_owned(),
        };
        let skipped = match &held {
            Held::One(..) => &[],
            Held::Set(set) => set.skipped(),
        };
        let described: Vec<Description<'_>> = held.keys().iter().map(Description::of).collect();
        if self.json {
            let keys: Vec<Value> = described.iter().map(|one| one.to_json(&form)).collect();
            let answer = match (&held, keys.as_slice()) {
                (Held::One(..), [only]) => only.clone(),
                (Held::One(..) | Held::Set(_), _) => {
                    json!({ "keys": keys, "skipped": skipped.iter().map(skipped_json).collect::<Vec<_>>() })
                }
            };
            return terminal::write_json(&answer);
        }
        let mut text = String::new();
        for (index, description) in described.iter().enumerate() {
            if index > 0 {
                text.push('\n');
            }
            description.write(&form, &mut text);
        }
        for skipped in skipped {
            let _ = writeln!(
                text,
                "\nkey {} can't be used: {}",
                skipped.index + 1,
                terminal::visible(&skipped.error.to_string())
            );
        }
        terminal::write(text.as_bytes())
    }
}

fn skipped_json(skipped: &Skipped) -> Value {
    json!({
        "index": skipped.index,
        "kid": skipped.kid,
        "error": skipped.error.to_string(),
        "code": skipped.error.code(),
    })
}

fn form_in_words(form: KeyForm) -> String {
    match form {
        KeyForm::Jwk => "JWK".to_owned(),
        KeyForm::Pem(encoding) => format!("PEM, {}", encoding.as_str()),
        KeyForm::Der(encoding) => format!("DER, {}", encoding.as_str()),
    }
}

/// What is told of a key.
struct Description<'k> {
    key: &'k Key,
    /// The algorithms that fit and that `alg` and `use` allow.
    serves: Vec<&'static str>,
    /// The SHA-256 of each certificate.
    certificates: Vec<String>,
    warnings: Vec<String>,
}

impl<'k> Description<'k> {
    fn of(key: &'k Key) -> Self {
        let serves: Vec<&'static str> = Algorithm::all()
            .filter(|algorithm| key.fits(*algorithm))
            .filter(|algorithm| key.algorithm().is_none_or(|own| own == *algorithm))
            .filter(|algorithm| key.key_use().is_none_or(|own| own == algorithm.key_use()))
            .map(Algorithm::as_str)
            .collect();
        Self {
            key,
            certificates: key.certificates().iter().map(|der| sha256(der)).collect(),
            warnings: warnings(key, serves.len()),
            serves,
        }
    }

    fn part(&self) -> &'static str {
        match (self.key.key_type(), self.key.is_private()) {
            ("oct", _) => "secret",
            (_, true) => "private",
            (_, false) => "public",
        }
    }

    fn key_use(&self) -> Option<&'static str> {
        self.key.key_use().map(KeyUse::as_str)
    }

    fn operations(&self) -> Option<Vec<&'static str>> {
        let operations = self.key.operations()?;
        Some(
            operations
                .iter()
                .map(|one| KeyOperation::as_str(*one))
                .collect(),
        )
    }

    fn to_json(&self, form: &str) -> Value {
        json!({
            "form": form,
            "kty": self.key.key_type(),
            "description": self.key.description(),
            "private": self.key.is_private(),
            "kid": self.key.kid(),
            "alg": self.key.algorithm().map(Algorithm::as_str),
            "use": self.key_use(),
            "key_ops": self.operations(),
            "serves": self.serves,
            "thumbprint": self.key.thumbprint_base64url(),
            "thumbprint_uri": self.key.thumbprint_uri(),
            "certificates": self.certificates,
            "warnings": self.warnings,
        })
    }

    fn write(&self, form: &str, text: &mut String) {
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(text, "{name:<12} {}", terminal::visible(value));
        };
        line(
            "key",
            &format!("{}, {}", self.key.description(), self.part()),
        );
        line("form", form);
        line("kid", self.key.kid().unwrap_or("none"));
        line(
            "alg",
            self.key.algorithm().map_or("none", Algorithm::as_str),
        );
        line("use", self.key_use().unwrap_or("none"));
        if let Some(operations) = self.operations() {
            line("key_ops", &operations.join(", "));
        }
        line("serves", &self.serves.join(", "));
        line("thumbprint", &self.key.thumbprint_base64url());
        for certificate in &self.certificates {
            line("certificate", &format!("SHA-256 {certificate}"));
        }
        for warning in &self.warnings {
            line("warning", warning);
        }
    }
}

fn warnings(key: &Key, serves: usize) -> Vec<String> {
    let mut warnings = Vec::new();
    if key.kid().is_none() {
        warnings.push(
            "it has no `kid`: tokens can't say which key they were signed with, so it can't be rotated"
                .to_owned(),
        );
    }
    if key.algorithm().is_none() && serves > 1 {
        warnings.push("it names no `alg`: whoever uses it has to choose the algorithm".to_owned());
    }
    if key.key_type() == "oct" {
        warnings.push(
            "its thumbprint is a hash of the secret: if the secret is a password, show it to nobody (RFC 7638, section 7)"
                .to_owned(),
        );
    }
    if serves == 0 {
        warnings.push("no algorithm can be done with it".to_owned());
    }
    warnings
}

fn sha256(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest
        .as_ref()
        .iter()
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}
