//! `keyward jwk convert`.

use super::Held;
use crate::command::input::Input;
use crate::command::{Failure, terminal};
use clap::{Args, ValueEnum, ValueHint};
use keyward_jose::Key;
use keyward_jose::key::{Encoding, Part};
use zeroize::Zeroizing;

const WHAT: &str = "jwk convert";

/// Convert a key between JWK, PEM and DER
///
/// Reads a JWK, a JWK set, PEM (PKCS#1, PKCS#8, SEC1, SPKI, X.509) or DER. A private key stays private
/// unless --public is given. PEM and DER carry neither `kid` nor `alg` nor `use`; symmetric keys have no
/// such form.
#[derive(Args, Debug)]
pub(in crate::command) struct Convert {
    /// The form to write
    #[arg(long, value_name = "FORM")]
    to: Form,

    /// Write the public part alone
    #[arg(long)]
    public: bool,

    /// The structure inside PEM and DER. Without this option PKCS#8 for private keys, SPKI for public ones
    #[arg(long, value_name = "ENCODING")]
    encoding: Option<Structure>,

    /// The `kid` of the JWK
    #[arg(long, value_name = "KID")]
    kid: Option<String>,

    /// The `alg` of the JWK
    #[arg(long, value_parser = crate::command::algorithm::any(), value_name = "ALG")]
    alg: Option<keyward_jose::Algorithm>,

    /// The key; `-` is standard input
    #[arg(default_value = "-", value_name = "FILE", value_hint = ValueHint::FilePath)]
    input: Input,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// JSON (RFC 7517)
    Jwk,
    /// Text (RFC 7468)
    Pem,
    /// Binary
    Der,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Structure {
    /// RSA keys alone (RFC 8017)
    Pkcs1,
    /// Private keys of all types (RFC 5958)
    Pkcs8,
    /// Private EC keys (RFC 5915)
    Sec1,
    /// Public keys of all types (RFC 5280)
    Spki,
}

impl Convert {
    pub(super) fn run(self) -> Result<(), Failure> {
        if self.to == Form::Jwk && self.encoding.is_some() {
            return Err(Failure::usage(
                WHAT,
                "--encoding goes with `--to pem` and `--to der`",
            ));
        }
        if self.to != Form::Jwk && (self.kid.is_some() || self.alg.is_some()) {
            return Err(Failure::usage(
                WHAT,
                "--kid and --alg go with `--to jwk`: PEM and DER can't carry them",
            ));
        }
        let held = Held::read_whole(&self.input)?;
        match (self.to, &held) {
            (Form::Jwk, Held::One(key, _)) => terminal::write_line(&self.jwk(key)?),
            (Form::Jwk, Held::Set(set)) => {
                if self.kid.is_some() || self.alg.is_some() {
                    return Err(Failure::usage(
                        WHAT,
                        "--kid and --alg go with one key, and this is a set",
                    ));
                }
                let set = set.to_json_of(|key| self.part(key));
                terminal::write_line(&set.map_err(Failure::jose(WHAT))?)
            }
            (Form::Pem, held) => {
                for key in held.keys() {
                    let part = self.part(key);
                    let pem = key
                        .to_pem(part, self.encoding(part))
                        .map_err(Failure::jose(WHAT))?;
                    terminal::write(pem.as_bytes())?;
                }
                Ok(())
            }
            (Form::Der, held) => {
                let [key] = held.keys() else {
                    return Err(Failure::new(
                        WHAT,
                        format!("DER carries one key, and there are {}", held.keys().len()),
                        "key_form",
                    ));
                };
                let part = self.part(key);
                let der = key
                    .to_der(part, self.encoding(part))
                    .map_err(Failure::jose(WHAT))?;
                terminal::write_binary(&der)
            }
        }
    }

    fn jwk(&self, key: &Key) -> Result<Zeroizing<String>, Failure> {
        let mut key = key.clone();
        if let Some(kid) = &self.kid {
            key = key
                .with_kid(Some(kid.clone()))
                .map_err(Failure::jose(WHAT))?;
        }
        if let Some(alg) = self.alg {
            key = key.with_algorithm(Some(alg)).map_err(Failure::jose(WHAT))?;
        }
        key.to_jwk(self.part(&key)).map_err(Failure::jose(WHAT))
    }

    fn part(&self, key: &Key) -> Part {
        if key.is_private() && !self.public {
            Part::Private
        } else {
            Part::Public
        }
    }

    fn encoding(&self, part: Part) -> Encoding {
        match self.encoding {
            None => Encoding::general(part),
            Some(Structure::Pkcs1) => Encoding::Pkcs1,
            Some(Structure::Pkcs8) => Encoding::Pkcs8,
            Some(Structure::Sec1) => Encoding::Sec1,
            Some(Structure::Spki) => Encoding::Spki,
        }
    }
}
