//! What a token must claim to be taken.

use super::{Claims, TOKEN_MAX};
use crate::jws::Header;
use crate::{Error, NumericDate, SignatureAlgorithm};

/// What a token must claim to be taken: built once, used for every token.
///
/// Issuer and audience have to be named, or waived in words; `exp` is required and `typ` must be absent or
/// `JWT` unless said otherwise. So an ID token or a logout token is not taken for an access token
/// (RFC 8725, sections 3.8 to 3.12).
///
/// ```
/// use keyward_jose::jwt::Profile;
/// let profile = Profile::builder()
///     .issuer("https://issuer.example")
///     .audience("https://api.example")
///     .typ("at+jwt")
///     .leeway(30)
///     .build()?;
/// # Ok::<(), keyward_jose::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Profile {
    /// `None`: any.
    issuers: Option<Vec<String>>,
    /// `None`: any.
    audiences: Option<Vec<String>>,
    /// In lower case, as whole media types.
    types: Vec<String>,
    type_required: bool,
    required: Vec<String>,
    expiry_required: bool,
    leeway: u64,
    age_max: Option<u64>,
    /// `None`: whatever the verifiers allow.
    algorithms: Option<Vec<SignatureAlgorithm>>,
    size_max: usize,
}

/// Builds a [`Profile`].
#[derive(Clone, Debug, Default)]
pub struct ProfileBuilder {
    issuers: Vec<String>,
    any_issuer: bool,
    audiences: Vec<String>,
    any_audience: bool,
    types: Vec<String>,
    type_required: bool,
    required: Vec<String>,
    expiry_optional: bool,
    leeway: u64,
    age_max: Option<u64>,
    algorithms: Vec<SignatureAlgorithm>,
    size_max: Option<usize>,
}

/// More leeway than five minutes hides a broken clock rather than forgiving a slow one.
const LEEWAY_MAX: u64 = 300;

impl ProfileBuilder {
    /// One more issuer that is taken; `iss` is compared exactly.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuers.push(issuer.into());
        self
    }

    /// Whatever `iss` says, or none. Right only where the keys are one issuer's own.
    #[must_use]
    pub fn any_issuer(mut self) -> Self {
        self.any_issuer = true;
        self
    }

    /// One more audience that is taken; one of `aud` must equal one of these.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Whatever `aud` says, or none. A token meant for somebody else is then taken too.
    #[must_use]
    pub fn any_audience(mut self) -> Self {
        self.any_audience = true;
        self
    }

    /// One more `typ` that is taken, and from now on `typ` is required. Letter case does not count, nor
    /// does the prefix `application/` (RFC 7515, section 4.1.9).
    #[must_use]
    pub fn typ(mut self, typ: impl AsRef<str>) -> Self {
        self.types.push(media_type(typ.as_ref()));
        self.type_required = true;
        self
    }

    /// A token without `typ` is taken, after all.
    #[must_use]
    pub fn typ_optional(mut self) -> Self {
        self.type_required = false;
        self
    }

    /// One more claim that must be there, whatever its value.
    #[must_use]
    pub fn require(mut self, claim: impl Into<String>) -> Self {
        self.required.push(claim.into());
        self
    }

    /// A token without `exp` is taken; where there is one, it still counts.
    #[must_use]
    pub fn expiry_optional(mut self) -> Self {
        self.expiry_optional = true;
        self
    }

    /// So many seconds of difference between clocks are forgiven, in `exp`, `nbf`, `iat` and the age. Zero
    /// unless set, 300 at most.
    #[must_use]
    pub fn leeway(mut self, seconds: u64) -> Self {
        self.leeway = seconds;
        self
    }

    /// `iat` is required and may lie so many seconds back at most.
    #[must_use]
    pub fn age_max(mut self, seconds: u64) -> Self {
        self.age_max = Some(seconds);
        self
    }

    /// One more algorithm that is taken. None named: whatever the verifiers allow.
    #[must_use]
    pub fn algorithm(mut self, algorithm: SignatureAlgorithm) -> Self {
        self.algorithms.push(algorithm);
        self
    }

    /// The longest token that is read, in bytes, in place of [`TOKEN_MAX`].
    #[must_use]
    pub fn size_max(mut self, bytes: usize) -> Self {
        self.size_max = Some(bytes);
        self
    }

    /// The profile.
    ///
    /// # Errors
    /// [`Error::Profile`] if issuer or audience is left open, or the leeway is too great.
    pub fn build(self) -> Result<Profile, Error> {
        let chosen = |named: Vec<String>, any: bool, open: &'static str| match (named, any) {
            (_, true) => Ok(None),
            (named, false) if named.is_empty() => Err(Error::Profile(open)),
            (named, false) => Ok(Some(named)),
        };
        if self.leeway > LEEWAY_MAX {
            return Err(Error::Profile("the leeway is 300 seconds at most"));
        }
        let types = if self.types.is_empty() {
            vec![media_type("JWT")]
        } else {
            self.types
        };
        Ok(Profile {
            issuers: chosen(
                self.issuers,
                self.any_issuer,
                "name the issuers that are taken, or say that any is",
            )?,
            audiences: chosen(
                self.audiences,
                self.any_audience,
                "name the audiences that are taken, or say that any is",
            )?,
            types,
            type_required: self.type_required,
            required: self.required,
            expiry_required: !self.expiry_optional,
            leeway: self.leeway,
            age_max: self.age_max,
            algorithms: (!self.algorithms.is_empty()).then_some(self.algorithms),
            size_max: self.size_max.unwrap_or(TOKEN_MAX),
        })
    }
}

impl Profile {
    /// A profile to fill.
    #[must_use]
    pub fn builder() -> ProfileBuilder {
        ProfileBuilder::default()
    }

    pub(crate) fn size_max(&self) -> usize {
        self.size_max
    }

    /// The header's algorithm, if it is taken.
    pub(super) fn check_algorithm(&self, header: &Header) -> Result<SignatureAlgorithm, Error> {
        let algorithm = header.algorithm()?;
        match &self.algorithms {
            Some(allowed) if !allowed.contains(&algorithm) => {
                Err(Error::AlgorithmNotAllowed(algorithm.to_string()))
            }
            Some(_) | None => Ok(algorithm),
        }
    }

    /// Checks what a verified token claims.
    pub(super) fn check(
        &self,
        header: &Header,
        claims: &Claims,
        now: NumericDate,
    ) -> Result<(), Error> {
        self.check_type(header)?;
        self.check_claims(claims, now)
    }

    /// Checks what is claimed, and nothing of how it came: for claims whose signature somebody else has verified.
    ///
    /// # Errors
    /// What [`verify`](super::verify) says of times, issuer, audience and claims that are missing.
    pub fn check_claims(&self, claims: &Claims, now: NumericDate) -> Result<(), Error> {
        self.check_times(claims, now)?;
        self.check_issuer(claims)?;
        self.check_audience(claims)?;
        match self.required.iter().find(|name| !claims.has(name)) {
            Some(name) => Err(Error::ClaimMissing(name.clone())),
            None => Ok(()),
        }
    }

    fn check_type(&self, header: &Header) -> Result<(), Error> {
        let taken = match header.typ() {
            Some(typ) => self.types.iter().any(|taken| same_media_type(typ, taken)),
            None => !self.type_required,
        };
        taken.then_some(()).ok_or(Error::TypeMismatch)
    }

    fn check_times(&self, claims: &Claims, now: NumericDate) -> Result<(), Error> {
        match claims.expiry() {
            Some(expiry) if now >= expiry.plus(self.leeway) => {
                return Err(Error::Expired(now.seconds_since(expiry)));
            }
            None if self.expiry_required => return Err(Error::ClaimMissing("exp".to_owned())),
            Some(_) | None => {}
        }
        if let Some(start) = claims.not_before()
            && now < start.minus(self.leeway)
        {
            return Err(Error::NotYetValid(start.seconds_since(now)));
        }
        let issued = claims.issued_at();
        if let Some(issued) = issued
            && now < issued.minus(self.leeway)
        {
            return Err(Error::IssuedInFuture(issued.seconds_since(now)));
        }
        match (self.age_max, issued) {
            (Some(age_max), Some(issued)) if now > issued.plus(age_max).plus(self.leeway) => {
                Err(Error::TooOld(age_max))
            }
            (Some(_), None) => Err(Error::ClaimMissing("iat".to_owned())),
            (Some(_) | None, _) => Ok(()),
        }
    }

    fn check_issuer(&self, claims: &Claims) -> Result<(), Error> {
        let Some(taken) = &self.issuers else {
            return Ok(());
        };
        let issuer = claims
            .issuer()
            .ok_or_else(|| Error::ClaimMissing("iss".to_owned()))?;
        let fits = taken.iter().any(|one| one == issuer);
        fits.then_some(()).ok_or(Error::IssuerMismatch)
    }

    fn check_audience(&self, claims: &Claims) -> Result<(), Error> {
        let Some(taken) = &self.audiences else {
            return Ok(());
        };
        if !claims.has("aud") {
            return Err(Error::ClaimMissing("aud".to_owned()));
        }
        let audiences = claims.audiences();
        let fits = taken.iter().any(|one| audiences.contains(one));
        fits.then_some(()).ok_or(Error::AudienceMismatch)
    }
}

const PREFIX: &str = "application/";

/// The whole media type in lower case: without a slash, `application/` is meant before it.
fn media_type(typ: &str) -> String {
    let mut whole = typ.to_ascii_lowercase();
    if !whole.contains('/') {
        whole.insert_str(0, PREFIX);
    }
    whole
}

/// Compares as [`media_type`] would have it, without making a text for each token.
fn same_media_type(typ: &str, whole: &str) -> bool {
    if typ.contains('/') {
        typ.eq_ignore_ascii_case(whole)
    } else {
        whole
            .strip_prefix(PREFIX)
            .is_some_and(|short| typ.eq_ignore_ascii_case(short))
    }
}
