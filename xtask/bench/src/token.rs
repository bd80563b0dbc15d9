//! RS256 tokens, signed before anything is measured.
//!
//! A signature takes a quarter of a millisecond, far more than the load generator may spend on a request,
//! and "every token new" wants some hundred thousand: they are signed on all cores and kept in
//! `target/bench/` for the next run.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// What every proxy is told to expect.
pub(crate) const ISSUER: &str = "https://issuer.bench";
pub(crate) const AUDIENCE: &str = "bench-api";
pub(crate) const SCOPE: &str = "read";
const KID: &str = "bench-1";

/// How long tokens live, and how much of that must be left for them to be used again.
const LIFETIME_SECONDS: u64 = 24 * 3600;
const LEFT_SECONDS: u64 = 4 * 3600;

/// Signed tokens and where the key's public half lies.
pub(crate) struct Tokens {
    pub(crate) tokens: Vec<String>,
    /// One whose signature is wrong: who lets it pass checks nothing.
    pub(crate) broken: [String; 1],
    /// A JWK set, for Keyward and Envoy.
    pub(crate) jwks: String,
    pub(crate) jwks_file: PathBuf,
    /// SPKI in PEM, for HAProxy.
    pub(crate) pem_file: PathBuf,
}

impl Tokens {
    /// `count` tokens that differ in subject and `jti`: those of an earlier run, or new ones.
    pub(crate) fn prepare(folder: &Path, count: usize) -> Result<Self, String> {
        fs::create_dir_all(folder).map_err(failed("create", folder))?;
        let (key_file, pool_file) = (folder.join("key.der"), folder.join("tokens.txt"));
        let (jwks_file, pem_file) = (folder.join("jwks.json"), folder.join("public.pem"));
        let key = match fs::read(&key_file) {
            Ok(der) => KeyPair::from_pkcs8(&der)
                .map_err(|_| format!("{} is no RSA key: remove it", key_file.display()))?,
            Err(_) => generate(&key_file)?,
        };
        let jwks = jwks(&key);
        fs::write(&jwks_file, &jwks).map_err(failed("write", &jwks_file))?;
        fs::write(&pem_file, pem(&key)?).map_err(failed("write", &pem_file))?;

        let now = seconds_now();
        let mut tokens = pool(&pool_file, now).unwrap_or_default();
        if tokens.len() < count {
            println!("signing {count} tokens with RS256 (kept for the next run) ...");
            tokens = sign_all(&key, count, now + LIFETIME_SECONDS)?;
            let text = format!("{}\n{}\n", now + LIFETIME_SECONDS, tokens.join("\n"));
            fs::write(&pool_file, text).map_err(failed("write", &pool_file))?;
        }
        tokens.truncate(count);
        let broken = [tokens
            .first()
            .map(|token| broken(token))
            .unwrap_or_default()];
        Ok(Self {
            tokens,
            broken,
            jwks,
            jwks_file,
            pem_file,
        })
    }
}

fn failed<'a>(what: &'a str, path: &'a Path) -> impl FnOnce(std::io::Error) -> String + 'a {
    move |error| format!("could not {what} {}: {error}", path.display())
}

/// The pool's first line says when its tokens expire.
fn pool(file: &Path, now: u64) -> Option<Vec<String>> {
    let text = fs::read_to_string(file).ok()?;
    let (expires, tokens) = text.split_once('\n')?;
    (expires.parse::<u64>().ok()? > now + LEFT_SECONDS)
        .then(|| tokens.lines().map(str::to_owned).collect())
}

fn generate(file: &Path) -> Result<KeyPair, String> {
    let key = KeyPair::generate(KeySize::Rsa2048).map_err(|_| "no RSA key could be made")?;
    let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&key).map_err(|_| "the key has no PKCS#8 form")?;
    fs::write(file, der.as_ref()).map_err(failed("write", file))?;
    Ok(key)
}

fn jwks(key: &KeyPair) -> String {
    let encode = |number: &[u8]| URL_SAFE_NO_PAD.encode(number);
    let public = key.public_key();
    serde_json::json!({ "keys": [{
        "kty": "RSA", "use": "sig", "alg": "RS256", "kid": KID,
        "n": encode(public.modulus().big_endian_without_leading_zero()),
        "e": encode(public.exponent().big_endian_without_leading_zero()),
    }] })
    .to_string()
}

fn pem(key: &KeyPair) -> Result<String, String> {
    let der = AsDer::<PublicKeyX509Der<'_>>::as_der(key.public_key())
        .map_err(|_| "the public key has no SPKI form")?;
    let text = STANDARD.encode(der.as_ref());
    let mut pem = String::from("-----BEGIN PUBLIC KEY-----\n");
    for (index, c) in text.chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            pem.push('\n');
        }
        pem.push(c);
    }
    pem.push_str("\n-----END PUBLIC KEY-----\n");
    Ok(pem)
}

fn sign_all(key: &KeyPair, count: usize, expires: u64) -> Result<Vec<String>, String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = count.div_ceil(threads);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let range = (thread * share).min(count)..((thread + 1) * share).min(count);
                scope.spawn(move || {
                    range
                        .map(|number| sign(key, number, expires))
                        .collect::<Result<Vec<_>, _>>()
                })
            })
            .collect();
        let mut tokens = Vec::with_capacity(count);
        for worker in workers {
            tokens.extend(
                worker
                    .join()
                    .map_err(|_| "a signing thread panicked".to_owned())??,
            );
        }
        Ok(tokens)
    })
}

fn sign(key: &KeyPair, number: usize, expires: u64) -> Result<String, String> {
    let header = serde_json::json!({ "alg": "RS256", "typ": "at+jwt", "kid": KID });
    let claims = serde_json::json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": format!("user-{number}"), "client_id": "bench",
        "scope": SCOPE, "iat": expires - LIFETIME_SECONDS, "exp": expires, "jti": format!("{number:016x}"),
    });
    let mut token = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        token.as_bytes(),
        &mut signature,
    )
    .map_err(|_| "a token could not be signed")?;
    token.push('.');
    token.push_str(&URL_SAFE_NO_PAD.encode(signature));
    Ok(token)
}

/// The token with another letter within its signature.
fn broken(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap_or((token, ""));
    let turned: String = signature
        .chars()
        .enumerate()
        .map(|(index, letter)| match (index, letter) {
            (100, 'A') => 'B',
            (100, _) => 'A',
            (_, letter) => letter,
        })
        .collect();
    format!("{signed}.{turned}")
}

fn seconds_now() -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "tokens for other programs live by the real clock"
    )]
    let now = std::time::SystemTime::now();
    now.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
