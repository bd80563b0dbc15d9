//! `keyward jwt sign`.

use super::verify::ENCRYPTED_MAX;
use crate::command::input::{Input, check_one_standard, check_readable};
use crate::command::key_arguments::{read_key, signer};
use crate::command::time::seconds;
use crate::command::{Failure, algorithm, jwe, terminal};
use clap::{Args, ValueHint};
use keyward_jose::jwt::{self, Claims, TOKEN_MAX};
use keyward_jose::{ContentEncryption, KeyManagementAlgorithm, NumericDate, SignatureAlgorithm};

const WHAT: &str = "jwt sign";

/// Make a token
///
/// Signs the claims and writes the token to standard output. `iat`, `exp` and a random `jti` are added
/// where the claims don't have them.
#[derive(Args, Debug)]
pub(in crate::command) struct Sign {
    /// The private or symmetric key: a JWK, PEM or DER
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    key: Input,

    /// The algorithm, for a key that names none in `alg`
    #[arg(long, value_parser = algorithm::signature(), value_name = "ALG")]
    alg: Option<SignatureAlgorithm>,

    /// The claims, such as `{"iss":"https://issuer.example","sub":"alice","aud":"orders"}`. Without this
    /// option, or with `-`, they are read from standard input
    #[arg(
        long,
        value_name = "JSON",
        default_value = "-",
        hide_default_value = true
    )]
    claims: String,

    /// How long the token lives: 30s, 5m, 1h … Without it 30m, unless the claims have `exp`
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    expires_in: Option<u64>,

    /// The token's type: `at+jwt` for an access token (RFC 9068)
    #[arg(long, value_name = "TYP", default_value = "JWT")]
    typ: String,

    /// Encrypt the signed token to this key: a nested token
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    encrypt_to: Option<Input>,

    /// How the content key is sent, for a key of --encrypt-to that names nothing in `alg`
    #[arg(long, value_parser = algorithm::key_management(), value_name = "ALG", requires = "encrypt_to")]
    encrypt_alg: Option<KeyManagementAlgorithm>,

    /// How the content is encrypted
    #[arg(long, value_parser = algorithm::content_encryption(), value_name = "ENC", requires = "encrypt_to", default_value = "A256GCM")]
    encrypt_enc: ContentEncryption,
}

/// How long a token lives when nothing is said.
const LIFETIME_SECONDS: u64 = 30 * 60;

impl Sign {
    pub(super) fn run(self, now: NumericDate) -> Result<(), Failure> {
        let inline = self.claims != "-";
        let standard = Input::Standard;
        let claims_input = (!inline).then_some(&standard);
        check_one_standard(
            [&self.key]
                .into_iter()
                .chain(claims_input)
                .chain(&self.encrypt_to),
        )?;
        let signer = signer(WHAT, &read_key(&self.key)?, self.alg)?;
        let claims = match claims_input {
            Some(input) => Claims::parse(&input.read(TOKEN_MAX)?, TOKEN_MAX),
            None => Claims::parse(self.claims.as_bytes(), TOKEN_MAX),
        };
        let claims = self.completed(claims.map_err(Failure::jose(WHAT))?, now)?;
        let signed = jwt::sign(&claims, &signer, &self.typ).map_err(Failure::jose(WHAT))?;
        check_readable(WHAT, &signed, TOKEN_MAX)?;
        let Some(input) = &self.encrypt_to else {
            return terminal::write_line(&signed);
        };
        let key = read_key(input)?;
        let encrypter = jwe::encrypter(WHAT, &key, self.encrypt_alg, self.encrypt_enc)?;
        let token = jwt::sign_and_encrypt(&claims, &signer, &self.typ, &encrypter)
            .map_err(Failure::jose(WHAT))?;
        check_readable(WHAT, &token, ENCRYPTED_MAX)?;
        terminal::write_line(&token)
    }

    fn completed(&self, claims: Claims, now: NumericDate) -> Result<Claims, Failure> {
        let claims = match (claims.expiry(), self.expires_in) {
            (Some(_), Some(_)) => {
                return Err(Failure::usage(
                    WHAT,
                    "the claims have `exp`: leave it or --expires-in out",
                ));
            }
            (Some(_), None) => claims,
            (None, lifetime) => claims.with_expiry(now.plus(lifetime.unwrap_or(LIFETIME_SECONDS))),
        };
        let claims = match claims.issued_at() {
            Some(_) => claims,
            None => claims.with_issued_at(now),
        };
        if claims.token_id().is_some() {
            return Ok(claims);
        }
        let mut id = [0; 16];
        aws_lc_rs::rand::fill(&mut id)
            .map_err(|_| Failure::new(WHAT, "there are no random numbers", "crypto"))?;
        Ok(claims.with_token_id(format!("{:032x}", u128::from_be_bytes(id))))
    }
}
