//! `keyward jwt verify`.

use super::discovery;
use crate::command::input::{Input, check_one_standard};
use crate::command::key_arguments::{KeyMaterial, read_key, read_set};
use crate::command::time::seconds;
use crate::command::{Failure, algorithm, jwe, terminal};
use clap::{ArgGroup, Args, ValueHint};
use keyward_egress::AllowRule;
use keyward_jose::jwt::{self, Profile, TOKEN_MAX};
use keyward_jose::{NumericDate, SignatureAlgorithm};
use serde_json::Value;
use zeroize::Zeroizing;

const WHAT: &str = "jwt verify";

/// The most bytes of a nested token: the signed one in base64url, with a header and an encrypted key.
pub(super) const ENCRYPTED_MAX: usize = 2 * TOKEN_MAX;

/// Verify a token
///
/// Checks the signature, the times and whatever the options name, and writes the claims as JSON to standard
/// output. `exp` is required. Without --iss and --aud any issuer and any audience is taken: name them
/// wherever the answer decides something.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("keys").required(true).args(["key", "jwks", "issuer"]))]
pub(in crate::command) struct Verify {
    /// The key: a JWK, PEM or DER (public, private or symmetric)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    key: Option<Input>,

    /// The keys: a JWK set, of which `kid` and algorithm choose
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    jwks: Option<Input>,

    /// The issuer, whose metadata (OpenID Connect Discovery or RFC 8414) names its keys; `iss` has to be
    /// this URL
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    issuer: Option<String>,

    /// A range of addresses that may be asked although it is not public, such as 127.0.0.1 or 10.0.0.0/8,
    /// with a port as in 10.0.0.0/8:443
    #[arg(long, value_name = "NETWORK", requires = "issuer")]
    allow: Vec<AllowRule>,

    /// An algorithm that is taken; may be given more than once. Without it, those that fit the key's type
    /// and `alg`
    #[arg(long, value_parser = algorithm::signature(), value_name = "ALG")]
    alg: Vec<SignatureAlgorithm>,

    /// The `iss` that is taken; may be given more than once
    #[arg(long, value_name = "ISS")]
    iss: Vec<String>,

    /// An audience of which one has to be in `aud`; may be given more than once
    #[arg(long, value_name = "AUD")]
    aud: Vec<String>,

    /// A `typ` that is taken; may be given more than once. Without it `JWT`, `at+jwt` or none at all
    #[arg(long, value_name = "TYP")]
    typ: Vec<String>,

    /// How far the issuer's clock may differ: 5m at most
    #[arg(long, value_name = "DURATION", value_parser = seconds, default_value = "0s")]
    leeway: u64,

    /// How long ago `iat` may be
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    max_age: Option<u64>,

    /// The private or symmetric key of a token that is encrypted as well; one that is not is then refused
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    decrypt_key: Option<Input>,

    /// The token; `-` is standard input
    #[arg(default_value = "-", value_name = "TOKEN", value_hint = ValueHint::FilePath)]
    token: Input,
}

impl Verify {
    pub(super) fn run(self, now: NumericDate) -> Result<(), Failure> {
        check_one_standard(
            self.key
                .iter()
                .chain(&self.jwks)
                .chain(&self.decrypt_key)
                .chain([&self.token]),
        )?;
        let profile = self.profile()?;
        let keys = self.keys()?;
        let verifiers = keys.verifiers(WHAT, &self.alg)?;
        let token = self.signed_token()?;
        let verified = jwt::verify(&token, &verifiers, &profile, now)
            .map_err(|error| Failure::jose(WHAT)(keys.refusal(error)))?;
        let claims = Value::Object(verified.claims.into_map());
        terminal::write_json(&claims)
    }

    fn profile(&self) -> Result<Profile, Failure> {
        if let Some(issuer) = &self.issuer
            && self.iss.iter().any(|iss| iss != issuer)
        {
            return Err(Failure::usage(
                WHAT,
                "--issuer names the `iss` that is taken already: leave another --iss out",
            ));
        }
        let mut profile = Profile::builder().leeway(self.leeway);
        for issuer in self.iss.iter().chain(&self.issuer) {
            profile = profile.issuer(issuer);
        }
        if self.iss.is_empty() && self.issuer.is_none() {
            profile = profile.any_issuer();
        }
        for audience in &self.aud {
            profile = profile.audience(audience);
        }
        if self.aud.is_empty() {
            profile = profile.any_audience();
        }
        if self.typ.is_empty() {
            profile = profile.typ("JWT").typ("at+jwt").typ_optional();
        }
        for typ in &self.typ {
            profile = profile.typ(typ);
        }
        if let Some(seconds) = self.max_age {
            profile = profile.age_max(seconds);
        }
        profile.build().map_err(Failure::jose(WHAT))
    }

    fn keys(&self) -> Result<KeyMaterial, Failure> {
        match (&self.key, &self.jwks, &self.issuer) {
            (Some(key), _, _) => read_key(key).map(|key| KeyMaterial::One(Box::new(key))),
            (None, Some(set), _) => read_set(set).map(KeyMaterial::Set),
            (None, None, Some(issuer)) => {
                discovery::key_set(issuer, &self.allow).map(KeyMaterial::Set)
            }
            (None, None, None) => Err(Failure::usage(WHAT, "give --key, --jwks or --issuer")),
        }
    }

    /// The token, or what is inside of an encrypted one.
    fn signed_token(&self) -> Result<Zeroizing<String>, Failure> {
        let token = self.token.read_line(ENCRYPTED_MAX)?;
        let encrypted = token.split('.').count() == 5;
        let Some(input) = &self.decrypt_key else {
            if encrypted {
                return Err(Failure::new(
                    WHAT,
                    "the token is encrypted: give the key with --decrypt-key",
                    "serialization",
                ));
            }
            return Ok(token);
        };
        if !encrypted {
            return Err(Failure::new(
                WHAT,
                "the token is only signed, and an encrypted one was expected",
                "serialization",
            ));
        }
        let key = KeyMaterial::One(Box::new(read_key(input)?));
        let decrypted = jwe::decrypt(&key, &token, None, &[], &[]).map_err(Failure::jose(WHAT))?;
        let nested = decrypted
            .header
            .cty()
            .is_some_and(|cty| cty.eq_ignore_ascii_case("JWT"));
        if !nested {
            return Err(Failure::new(
                WHAT,
                "what is encrypted is no token: its header has no `cty` of `JWT` (RFC 7519, section 5.2)",
                "header",
            ));
        }
        let text = std::str::from_utf8(&decrypted.plaintext)
            .map_err(|_| Failure::new(WHAT, "what is encrypted is no text", "serialization"))?;
        Ok(Zeroizing::new(text.to_owned()))
    }
}
