//! `keyward jwe`: encryption (RFC 7516).

use super::input::{Input, check_one_standard, check_readable};
use super::jws::{JsonForm, parameters};
use super::key_arguments::{KeyMaterial, Keys, read_key};
use super::{Failure, algorithm, terminal};
use clap::{Args, Subcommand, ValueHint};
use keyward_jose::jwe::{self, Decrypted, Decrypter, Decrypters, Encrypter, Message};
use keyward_jose::{Algorithm, ContentEncryption, Error, Key, KeyManagementAlgorithm};
use serde_json::Value;

/// Encrypt and decrypt (JWE)
#[derive(Debug, Subcommand)]
pub(super) enum Jwe {
    Encrypt(Encrypt),
    Decrypt(Decrypt),
}

/// Encrypt to a key
///
/// Reads the plaintext from a file or standard input and writes the JWE to standard output: in the compact
/// serialization, or in JSON with --json.
#[derive(Args, Debug)]
pub(super) struct Encrypt {
    /// The recipient's key: public for RSA-OAEP and ECDH-ES, symmetric for all others (a password is the
    /// `k` of a symmetric key). With `--json general` it may be given more than once, for several
    /// recipients
    #[arg(long = "key", value_name = "FILE", value_hint = ValueHint::FilePath, required = true)]
    keys: Vec<Input>,

    /// How the content key is sent, for a key that names nothing in `alg`
    #[arg(long, value_parser = algorithm::key_management(), value_name = "ALG")]
    alg: Option<KeyManagementAlgorithm>,

    /// How the content is encrypted
    #[arg(long, value_parser = algorithm::content_encryption(), value_name = "ENC")]
    enc: ContentEncryption,

    /// Further parameters of the protected header, such as '{"cty":"JWT"}'
    #[arg(long, value_name = "JSON")]
    header: Option<String>,

    /// How many iterations PBES2 makes of a password (`p2c`), 1000 to 1000000. Some readers take fewer than
    /// are made without this option
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32))]
    pbes2_count: Option<u32>,

    /// Deflate the plaintext first. The length then tells something about it: not for secrets beside text
    /// of strangers
    #[arg(long)]
    compress: bool,

    /// Bytes that go along in clear and are protected; in JSON only
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "json")]
    aad: Option<Input>,

    /// Write JSON in place of the compact serialization
    #[arg(long, value_name = "FORM")]
    json: Option<JsonForm>,

    /// The plaintext; `-` is standard input
    #[arg(default_value = "-", value_name = "PLAINTEXT", value_hint = ValueHint::FilePath)]
    plaintext: Input,
}

/// Decrypt with a key
///
/// Reads a JWE from a file or standard input and writes the plaintext to standard output. Without --json
/// only the compact serialization is taken.
#[derive(Args, Debug)]
pub(super) struct Decrypt {
    #[command(flatten)]
    keys: Keys,

    /// A key management algorithm that is taken; may be given more than once. Without it, those that fit
    /// the key's type and `alg`
    #[arg(long, value_parser = algorithm::key_management(), value_name = "ALG")]
    alg: Vec<KeyManagementAlgorithm>,

    /// A content encryption that is taken; may be given more than once. Without it, all of them
    #[arg(long, value_parser = algorithm::content_encryption(), value_name = "ENC")]
    enc: Vec<ContentEncryption>,

    /// The JWE is JSON
    #[arg(long, value_name = "FORM")]
    json: Option<JsonForm>,

    /// The JWE; `-` is standard input
    #[arg(default_value = "-", value_name = "JWE", value_hint = ValueHint::FilePath)]
    token: Input,
}

impl Jwe {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Encrypt(command) => command.run(),
            Self::Decrypt(command) => command.run(),
        }
    }
}

impl Encrypt {
    fn run(self) -> Result<(), Failure> {
        const WHAT: &str = "jwe encrypt";
        check_one_standard(self.keys.iter().chain(&self.aad).chain([&self.plaintext]))?;
        if self.keys.len() > 1 && self.json != Some(JsonForm::General) {
            return Err(Failure::usage(
                WHAT,
                "several keys are several recipients: add `--json general`",
            ));
        }
        let mut encrypters = Vec::new();
        for input in &self.keys {
            let encrypter = encrypter(WHAT, &read_key(input)?, self.alg, self.enc)?;
            encrypters.push(match self.pbes2_count {
                Some(count) => encrypter
                    .with_pbes2_count(count)
                    .map_err(Failure::jose(WHAT))?,
                None => encrypter,
            });
        }
        let parameters = parameters(WHAT, self.header.as_deref())?;
        let aad = match &self.aad {
            Some(input) => Some(input.read(jwe::SERIALIZED_MAX)?),
            None => None,
        };
        let plaintext = self.plaintext.read(jwe::SERIALIZED_MAX)?;
        let mut message = Message::new(&plaintext);
        if self.compress {
            message = message.compressed();
        }
        if let Some(aad) = &aad {
            message = message.with_aad(aad);
        }
        for (name, value) in parameters {
            message = match (name.as_str(), &value) {
                ("enc", Value::String(enc)) if enc == self.enc.as_str() => message,
                ("zip", Value::String(zip)) if zip == "DEF" => message.compressed(),
                _ => message.with_protected(name, value),
            };
        }
        let token = match (self.json, encrypters.as_slice()) {
            (Some(JsonForm::General), all) => {
                jwe::encrypt_general(&all.iter().collect::<Vec<_>>(), &message)
            }
            (Some(JsonForm::Flattened), [one, ..]) => one.encrypt_flattened(&message),
            (None, [one, ..]) => one.encrypt_compact(&message),
            (Some(JsonForm::Flattened) | None, []) => {
                return Err(Failure::usage(WHAT, "give a --key"));
            }
        };
        let token = token.map_err(Failure::jose(WHAT))?;
        check_readable(WHAT, &token, jwe::SERIALIZED_MAX)?;
        terminal::write_line(&token)
    }
}

/// An encrypter for the key: with the algorithm named, or the key's own, or the only one that fits.
pub(super) fn encrypter(
    what: &str,
    key: &Key,
    named: Option<KeyManagementAlgorithm>,
    enc: ContentEncryption,
) -> Result<Encrypter, Failure> {
    let own = match key.algorithm() {
        Some(Algorithm::KeyManagement(algorithm)) => Some(algorithm),
        Some(Algorithm::ContentEncryption(_)) => Some(KeyManagementAlgorithm::Dir),
        Some(Algorithm::Signature(_)) | None => None,
    };
    let algorithm = match named.or(own) {
        Some(algorithm) => algorithm,
        None => only_algorithm(key).map_err(Failure::jose(what))?,
    };
    Encrypter::new(key, algorithm, enc).map_err(Failure::jose(what))
}

fn only_algorithm(key: &Key) -> Result<KeyManagementAlgorithm, Error> {
    let fitting: Vec<_> = key.key_management_algorithms().collect();
    match fitting.as_slice() {
        [] => Err(Error::KeyUnfit(format!(
            "{} encrypts nothing",
            key.description()
        ))),
        [only] => Ok(*only),
        several => {
            let names: Vec<&str> = several.iter().map(|one| one.as_str()).collect();
            Err(Error::KeyUnfit(format!(
                "{} without `alg` could encrypt with {}: choose with --alg",
                key.description(),
                names.join(", ")
            )))
        }
    }
}

impl Decrypt {
    fn run(self) -> Result<(), Failure> {
        const WHAT: &str = "jwe decrypt";
        check_one_standard(self.keys.inputs().chain([&self.token]))?;
        let keys = self.keys.read()?;
        let token = self.token.read_line(jwe::SERIALIZED_MAX)?;
        let decrypted =
            decrypt(&keys, &token, self.json, &self.alg, &self.enc).map_err(Failure::jose(WHAT))?;
        terminal::write(&decrypted.plaintext)
    }
}

/// Decrypts with the keys and, where some are named, these algorithms alone.
pub(super) fn decrypt(
    keys: &KeyMaterial,
    token: &str,
    form: Option<JsonForm>,
    algorithms: &[KeyManagementAlgorithm],
    encryptions: &[ContentEncryption],
) -> Result<Decrypted, Error> {
    let algorithms = or_all(algorithms, KeyManagementAlgorithm::ALL);
    let encryptions = or_all(encryptions, ContentEncryption::ALL);
    match keys {
        KeyMaterial::Set(set) => {
            let decrypters = Decrypters::new(set.keys(), algorithms, encryptions);
            if let (true, Some(skipped)) = (decrypters.is_empty(), decrypters.skipped().first()) {
                return Err(skipped.error.clone());
            }
            match form {
                None => decrypters.decrypt_compact(token),
                Some(JsonForm::Flattened) => decrypters.decrypt_flattened(token),
                Some(JsonForm::General) => decrypters.decrypt_general(token),
            }
        }
        KeyMaterial::One(key) => {
            let mut refusal = None;
            for algorithm in algorithms {
                let outcome = Decrypter::new(key, *algorithm).and_then(|decrypter| {
                    let decrypter = decrypter.with_encryptions(encryptions);
                    match form {
                        None => decrypter.decrypt_compact(token),
                        Some(JsonForm::Flattened) => decrypter.decrypt_flattened(token),
                        Some(JsonForm::General) => decrypter.decrypt_general(token),
                    }
                });
                match outcome {
                    Ok(decrypted) => return Ok(decrypted),
                    Err(error) => refusal = Some(worse(refusal, error)),
                }
            }
            Err(refusal.unwrap_or_else(|| Error::KeyUnfit("no algorithm is allowed".to_owned())))
        }
    }
}

fn or_all<'a, T>(named: &'a [T], all: &'a [T]) -> &'a [T] {
    if named.is_empty() { all } else { named }
}

/// The refusal that says most: what happened after an algorithm fitted both the key and the message, then
/// that the message has another, then that the key does not fit.
fn worse(before: Option<Error>, error: Error) -> Error {
    let rank = |error: &Error| match error.code() {
        "key_unfit" | "no_private_key" => 0,
        "algorithm_not_allowed" => 1,
        _ => 2,
    };
    match before {
        Some(before) if rank(&before) >= rank(&error) => before,
        Some(_) | None => error,
    }
}
