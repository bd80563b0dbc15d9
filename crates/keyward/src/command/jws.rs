//! `keyward jws`: signatures (RFC 7515).

use super::input::{Input, check_one_standard, check_readable};
use super::key_arguments::{Keys, read_key, signer};
use super::{Failure, algorithm, terminal};
use clap::{Args, Subcommand, ValueEnum, ValueHint};
use keyward_jose::jws::{Header, JWS_MAX, compact, flattened, general, read_parameters};
use keyward_jose::{LocalSigner, SignatureAlgorithm};
use serde_json::{Map, Value};

/// Sign and verify (JWS)
#[derive(Debug, Subcommand)]
pub(super) enum Jws {
    Sign(Sign),
    Verify(Verify),
}

/// A JSON serialization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum JsonForm {
    /// One signature or recipient
    Flattened,
    /// Any number of them
    General,
}

/// Sign a payload
///
/// Reads the payload from a file or standard input and writes the signature to standard output: in the
/// compact serialization, or in JSON with --json.
#[derive(Args, Debug)]
pub(super) struct Sign {
    /// The private or symmetric key: a JWK, PEM or DER. With `--json general` it may be given more than
    /// once, for a signature by each
    #[arg(long = "key", value_name = "FILE", value_hint = ValueHint::FilePath, required = true)]
    keys: Vec<Input>,

    /// The algorithm, for a key that names none in `alg`
    #[arg(long, value_parser = algorithm::signature(), value_name = "ALG")]
    alg: Option<SignatureAlgorithm>,

    /// Further parameters of the protected header, such as '{"typ":"example"}'. With "b64":false the
    /// payload is signed as it is (RFC 7797)
    #[arg(long, value_name = "JSON")]
    header: Option<String>,

    /// Leave the payload out: it goes another way
    #[arg(long)]
    detached: bool,

    /// Write JSON in place of the compact serialization
    #[arg(long, value_name = "FORM")]
    json: Option<JsonForm>,

    /// The payload; `-` is standard input
    #[arg(default_value = "-", value_name = "PAYLOAD", value_hint = ValueHint::FilePath)]
    payload: Input,
}

/// Verify a signature
///
/// Reads a JWS from a file or standard input and, if its signature is good, writes the payload to standard
/// output. Without --json only the compact serialization is taken. Of the general serialization one
/// signature at least has to be good, or all of them with --all.
#[derive(Args, Debug)]
pub(super) struct Verify {
    #[command(flatten)]
    keys: Keys,

    /// An algorithm that is taken; may be given more than once. Without it, those that fit the key's type
    /// and `alg`
    #[arg(long, value_parser = algorithm::signature(), value_name = "ALG")]
    alg: Vec<SignatureAlgorithm>,

    /// The JWS is JSON
    #[arg(long, value_name = "FORM")]
    json: Option<JsonForm>,

    /// Every signature of the general serialization has to be good
    #[arg(long)]
    all: bool,

    /// The payload, which came another way
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    detached_payload: Option<Input>,

    /// The JWS; `-` is standard input
    #[arg(default_value = "-", value_name = "JWS", value_hint = ValueHint::FilePath)]
    token: Input,
}

impl Jws {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Sign(command) => command.run(),
            Self::Verify(command) => command.run(),
        }
    }
}

impl Sign {
    fn run(self) -> Result<(), Failure> {
        const WHAT: &str = "jws sign";
        check_one_standard(self.keys.iter().chain([&self.payload]))?;
        if self.keys.len() > 1 && self.json != Some(JsonForm::General) {
            return Err(Failure::usage(
                WHAT,
                "several keys make several signatures: add `--json general`",
            ));
        }
        let mut signers = Vec::new();
        for input in &self.keys {
            signers.push(signer(WHAT, &read_key(input)?, self.alg)?);
        }
        let parameters = parameters(WHAT, self.header.as_deref())?;
        let payload = self.payload.read(JWS_MAX)?;
        let token = self
            .sign(&payload, &signers, &parameters)
            .map_err(Failure::jose(WHAT))?;
        check_readable(WHAT, &token, JWS_MAX)?;
        terminal::write_line(&token)
    }

    fn sign(
        &self,
        payload: &[u8],
        signers: &[LocalSigner],
        parameters: &Map<String, Value>,
    ) -> Result<String, keyward_jose::Error> {
        let none = Map::new();
        if self.json == Some(JsonForm::General) {
            let mut signings = Vec::new();
            for signer in signers {
                signings.push(general::Signing {
                    header: header(signer, parameters)?,
                    unprotected: Map::new(),
                    signer,
                });
            }
            return if self.detached {
                general::sign_detached(payload, &signings)
            } else {
                general::sign(payload, &signings)
            };
        }
        let Some(signer) = signers.first() else {
            return Err(keyward_jose::Error::NoPrivateKey);
        };
        let header = header(signer, parameters)?;
        match (self.json, self.detached) {
            (Some(_), true) => flattened::sign_detached(payload, &header, &none, signer),
            (Some(_), false) => flattened::sign(payload, &header, &none, signer),
            (None, true) => compact::sign_detached(payload, &header, signer),
            (None, false) => compact::sign(payload, &header, signer),
        }
    }
}

impl Verify {
    fn run(self) -> Result<(), Failure> {
        const WHAT: &str = "jws verify";
        check_one_standard(
            self.keys
                .inputs()
                .chain(&self.detached_payload)
                .chain([&self.token]),
        )?;
        if self.all && self.json != Some(JsonForm::General) {
            return Err(Failure::usage(WHAT, "--all goes with `--json general`"));
        }
        let keys = self.keys.read()?;
        let verifiers = keys.verifiers(WHAT, &self.alg)?;
        let token = self.token.read_line(JWS_MAX)?;
        let token = token.as_str();
        let detached = match &self.detached_payload {
            Some(input) => Some(input.read(JWS_MAX)?),
            None => None,
        };
        let verified = match (self.json, &detached) {
            (None, None) => compact::verify(token, &verifiers).map(|jws| Some(jws.payload)),
            (None, Some(payload)) => {
                compact::verify_detached(token, payload, &verifiers).map(|_| None)
            }
            (Some(JsonForm::Flattened), None) => {
                flattened::verify(token, &verifiers).map(|jws| Some(jws.payload))
            }
            (Some(JsonForm::Flattened), Some(payload)) => {
                flattened::verify_detached(token, payload, &verifiers).map(|_| None)
            }
            (Some(JsonForm::General), None) => if self.all {
                general::verify_all(token, &verifiers)
            } else {
                general::verify_any(token, &verifiers)
            }
            .map(|jws| Some(jws.payload)),
            (Some(JsonForm::General), Some(payload)) => if self.all {
                general::verify_all_detached(token, payload, &verifiers)
            } else {
                general::verify_any_detached(token, payload, &verifiers)
            }
            .map(|_| None),
        };
        let inside = verified.map_err(|error| Failure::jose(WHAT)(keys.refusal(error)))?;
        match (inside, detached) {
            (Some(payload), _) => terminal::write(&payload),
            (None, Some(payload)) => terminal::write(&payload),
            (None, None) => Ok(()),
        }
    }
}

/// The members of a header given as JSON.
pub(super) fn parameters(what: &str, json: Option<&str>) -> Result<Map<String, Value>, Failure> {
    let Some(json) = json else {
        return Ok(Map::new());
    };
    read_parameters(json.as_bytes()).map_err(Failure::jose(format!("{what}: --header")))
}

/// The header for a signer with what was asked for beside.
fn header(
    signer: &LocalSigner,
    parameters: &Map<String, Value>,
) -> Result<Header, keyward_jose::Error> {
    let refuse = |name: &str, why| Err(keyward_jose::Error::Header(name.to_owned(), why));
    let mut header = Header::for_signer(signer);
    for (name, value) in parameters {
        header = match (name.as_str(), value) {
            ("alg", Value::String(alg)) if alg == signer.algorithm().as_str() => header,
            ("alg", _) => return refuse(name, "the key and --alg choose the algorithm"),
            ("kid", Value::String(kid)) => header.with_kid(Some(kid.clone())),
            ("typ", Value::String(typ)) => header.with_typ(typ),
            ("cty", Value::String(cty)) => header.with_cty(cty),
            ("kid" | "typ" | "cty", _) => return refuse(name, "it is a text"),
            ("b64", Value::Bool(false)) => header.with_unencoded_payload(),
            ("b64", _) => return refuse(name, "it is `false` or left out"),
            // Goes with `"b64":false`, which adds it anyway.
            ("crit", Value::Array(names))
                if *names == ["b64"] && parameters.get("b64") == Some(&Value::Bool(false)) =>
            {
                header
            }
            ("crit", _) => {
                return refuse(
                    name,
                    "only `b64` is understood here, and only where it is `false`",
                );
            }
            (name, value) => header.with(name, value.clone())?,
        };
    }
    Ok(header)
}
