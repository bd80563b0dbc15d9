//! What a key may be used for: its type, `alg`, `use` and `key_ops`, enforced (RFC 7517, sections 4.2 to
//! 4.4).

use super::{Curve, Key, KeyOperation, KeyUse, Material};
use crate::Error;
use crate::algorithm::{Algorithm, ContentEncryption, KeyManagementAlgorithm, SignatureAlgorithm};

impl KeyUse {
    /// The registered name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Signature => "sig",
            Self::Encryption => "enc",
        }
    }
}

impl KeyOperation {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Sign,
        Self::Verify,
        Self::Encrypt,
        Self::Decrypt,
        Self::WrapKey,
        Self::UnwrapKey,
        Self::DeriveKey,
        Self::DeriveBits,
    ];

    /// The registered name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sign => "sign",
            Self::Verify => "verify",
            Self::Encrypt => "encrypt",
            Self::Decrypt => "decrypt",
            Self::WrapKey => "wrapKey",
            Self::UnwrapKey => "unwrapKey",
            Self::DeriveKey => "deriveKey",
            Self::DeriveBits => "deriveBits",
        }
    }

    const fn key_use(self) -> KeyUse {
        match self {
            Self::Sign | Self::Verify => KeyUse::Signature,
            Self::Encrypt
            | Self::Decrypt
            | Self::WrapKey
            | Self::UnwrapKey
            | Self::DeriveKey
            | Self::DeriveBits => KeyUse::Encryption,
        }
    }

    /// What the public key is for when the private one is for this.
    const fn of_public_key(self) -> Self {
        match self {
            Self::Sign | Self::Verify => Self::Verify,
            Self::Encrypt | Self::Decrypt => Self::Encrypt,
            Self::WrapKey | Self::UnwrapKey => Self::WrapKey,
            Self::DeriveKey => Self::DeriveKey,
            Self::DeriveBits => Self::DeriveBits,
        }
    }
}

impl Algorithm {
    /// What a key of this algorithm is for.
    #[must_use]
    pub const fn key_use(self) -> KeyUse {
        match self {
            Self::Signature(_) => KeyUse::Signature,
            Self::KeyManagement(_) | Self::ContentEncryption(_) => KeyUse::Encryption,
        }
    }

    /// Every algorithm.
    pub fn all() -> impl Iterator<Item = Self> {
        let signature = SignatureAlgorithm::ALL.iter().copied().map(Self::Signature);
        let management = KeyManagementAlgorithm::ALL
            .iter()
            .copied()
            .map(Self::KeyManagement);
        let content = ContentEncryption::ALL
            .iter()
            .copied()
            .map(Self::ContentEncryption);
        signature.chain(management).chain(content)
    }
}

impl Key {
    /// Whether the key may do `operation` with `algorithm`: everything that prepares a key asks this first.
    ///
    /// The key's type, curve and length must fit the algorithm; `alg`, where the key has one, must be that
    /// algorithm; `use` and `key_ops`, where it has them, must allow it. The operations are those of
    /// RFC 7517, section 4.3: `Sign` and `Verify` for signatures and MACs, `WrapKey` and `UnwrapKey` for
    /// key encryption and key wrapping, `DeriveKey` for ECDH-ES and PBES2, `Encrypt` and `Decrypt` for
    /// `dir` and content encryption. Since RSA-OAEP keys are labelled both ways, `encrypt` stands for
    /// `wrapKey` there and `decrypt` for `unwrapKey`; `deriveBits` stands for `deriveKey`.
    ///
    /// A key whose `alg` is a content encryption may be used with `dir`, and the other way round.
    ///
    /// # Errors
    /// [`Error::KeyUnfit`] saying which of these is against it, [`Error::NoPrivateKey`] when the operation
    /// needs the private part.
    pub fn check_use(&self, operation: KeyOperation, algorithm: Algorithm) -> Result<(), Error> {
        if operation.key_use() != algorithm.key_use() {
            return Err(Error::KeyUnfit(format!(
                "`{}` is not done with {algorithm}",
                operation.as_str()
            )));
        }
        self.check_fit(algorithm)?;
        if let Some(own) = self.parameters.algorithm
            && own != algorithm
            && !direct_pair(own, algorithm)
            && !direct_pair(algorithm, own)
        {
            return Err(Error::KeyUnfit(format!(
                "its `alg` binds it to {own}, not {algorithm}"
            )));
        }
        if let Some(own) = self.parameters.key_use
            && own != algorithm.key_use()
        {
            return Err(Error::KeyUnfit(format!(
                "its `use` is `{}`, which excludes {algorithm}",
                own.as_str()
            )));
        }
        if let Some(allowed) = &self.parameters.operations
            && !stand_ins(operation, algorithm)
                .iter()
                .any(|one| allowed.contains(one))
        {
            return Err(Error::KeyUnfit(format!(
                "its `key_ops` do not name `{}`",
                operation.as_str()
            )));
        }
        let needs_private = match operation {
            KeyOperation::Sign | KeyOperation::Decrypt | KeyOperation::UnwrapKey => true,
            KeyOperation::Verify
            | KeyOperation::Encrypt
            | KeyOperation::WrapKey
            | KeyOperation::DeriveKey
            | KeyOperation::DeriveBits => false,
        };
        if needs_private && !self.is_private() {
            return Err(Error::NoPrivateKey);
        }
        Ok(())
    }

    /// Whether the key's type, curve and length fit `algorithm`, whatever `alg`, `use` and `key_ops` say.
    #[must_use]
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        match algorithm {
            Algorithm::Signature(algorithm) => {
                let long_enough = match &self.material {
                    Material::Oct(key) => key.k.len() >= mac_key_bytes_min(algorithm),
                    Material::Rsa(_) | Material::Ec(_) | Material::Okp(_) | Material::Akp(_) => {
                        true
                    }
                };
                long_enough && self.signature_algorithms().contains(&algorithm)
            }
            Algorithm::KeyManagement(algorithm) => self.fits_management(algorithm),
            Algorithm::ContentEncryption(encryption) => match &self.material {
                Material::Oct(key) => key.k.len() == encryption.key_bytes(),
                Material::Rsa(_) | Material::Ec(_) | Material::Okp(_) | Material::Akp(_) => false,
            },
        }
    }

    /// The key management algorithms that fit the key's type, curve and length, whatever `alg`, `use` and
    /// `key_ops` say.
    pub fn key_management_algorithms(&self) -> impl Iterator<Item = KeyManagementAlgorithm> {
        KeyManagementAlgorithm::ALL
            .iter()
            .copied()
            .filter(|algorithm| self.fits(Algorithm::KeyManagement(*algorithm)))
    }

    /// The algorithms that fit and that `alg` and `use` allow.
    pub(crate) fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        Algorithm::all().filter(|algorithm| {
            self.fits(*algorithm)
                && self
                    .parameters
                    .algorithm
                    .is_none_or(|own| own == *algorithm)
                && self
                    .parameters
                    .key_use
                    .is_none_or(|own| own == algorithm.key_use())
        })
    }

    /// That `alg`, `use` and `key_ops` contradict neither the key nor each other.
    pub(crate) fn check_parameters(&self) -> Result<(), Error> {
        let parameters = &self.parameters;
        if let Some(algorithm) = parameters.algorithm {
            self.check_fit(algorithm)
                .map_err(|_| Error::KeyInvalid(self.contradiction(algorithm)))?;
        }
        let key_use = parameters.key_use;
        let for_algorithm = parameters.algorithm.map(Algorithm::key_use);
        if let (Some(own), Some(other)) = (key_use, for_algorithm)
            && own != other
        {
            return Err(Error::KeyInvalid(format!(
                "its `use` is `{}`, which contradicts its `alg`",
                own.as_str()
            )));
        }
        if let Some(own) = key_use.or(for_algorithm)
            && let Some(stranger) = parameters
                .operations
                .iter()
                .flatten()
                .find(|operation| operation.key_use() != own)
        {
            return Err(Error::KeyInvalid(format!(
                "its `key_ops` name `{}`, which contradicts its `use` or `alg`",
                stranger.as_str()
            )));
        }
        Ok(())
    }

    fn contradiction(&self, algorithm: Algorithm) -> String {
        format!(
            "its `alg` is {algorithm}, which does not fit {}",
            self.description()
        )
    }

    /// Type, curve and size, for people.
    #[must_use]
    pub fn description(&self) -> String {
        match &self.material {
            Material::Rsa(key) => format!("an RSA key of {} bits", key.n.len() * 8),
            Material::Ec(key) => format!("an EC key on {}", key.curve.as_str()),
            Material::Okp(key) => format!("an {} key", key.curve.as_str()),
            Material::Oct(key) => format!("a secret of {} bytes", key.k.len()),
            Material::Akp(key) => format!("an {} key", key.parameter_set.as_str()),
        }
    }

    /// What the public part of this key is for.
    pub(crate) fn public_operations(&self) -> Option<Vec<KeyOperation>> {
        let own = self.parameters.operations.as_ref()?;
        let mut operations = Vec::with_capacity(own.len());
        for operation in own.iter().map(|one| one.of_public_key()) {
            if !operations.contains(&operation) {
                operations.push(operation);
            }
        }
        Some(operations)
    }

    fn check_fit(&self, algorithm: Algorithm) -> Result<(), Error> {
        if self.fits(algorithm) {
            return Ok(());
        }
        Err(Error::KeyUnfit(format!(
            "{} does not fit {algorithm}",
            self.description()
        )))
    }

    fn fits_management(&self, algorithm: KeyManagementAlgorithm) -> bool {
        use KeyManagementAlgorithm as A;
        let secret = match &self.material {
            Material::Oct(key) => Some(key.k.len()),
            Material::Rsa(_) | Material::Ec(_) | Material::Okp(_) | Material::Akp(_) => None,
        };
        match algorithm {
            A::RsaOaep | A::RsaOaep256 | A::RsaOaep384 | A::RsaOaep512 => {
                matches!(self.material, Material::Rsa(_))
            }
            A::EcdhEs | A::EcdhEsA128Kw | A::EcdhEsA192Kw | A::EcdhEsA256Kw => {
                let curve = match &self.material {
                    Material::Ec(key) => Some(key.curve),
                    Material::Okp(key) => Some(key.curve),
                    Material::Rsa(_) | Material::Oct(_) | Material::Akp(_) => None,
                };
                match curve {
                    Some(Curve::P256 | Curve::P384 | Curve::P521 | Curve::X25519) => true,
                    Some(Curve::Secp256k1 | Curve::Ed25519) | None => false,
                }
            }
            A::A128Kw | A::A128GcmKw => secret == Some(16),
            A::A192Kw | A::A192GcmKw => secret == Some(24),
            A::A256Kw | A::A256GcmKw => secret == Some(32),
            // A password of any length, and a content key of the length that `enc` says.
            A::Pbes2Hs256A128Kw | A::Pbes2Hs384A192Kw | A::Pbes2Hs512A256Kw | A::Dir => {
                secret.is_some()
            }
        }
    }
}

impl ContentEncryption {
    /// The length of the content encryption key (RFC 7518, sections 5.2 and 5.3).
    pub(crate) const fn key_bytes(self) -> usize {
        match self {
            Self::A128Gcm => 16,
            Self::A192Gcm => 24,
            Self::A128CbcHs256 | Self::A256Gcm => 32,
            Self::A192CbcHs384 => 48,
            Self::A256CbcHs512 => 64,
        }
    }
}

/// RFC 7518, section 3.2: a key at least as long as the hash.
const fn mac_key_bytes_min(algorithm: SignatureAlgorithm) -> usize {
    use SignatureAlgorithm as A;
    match algorithm {
        A::Hs256 => 32,
        A::Hs384 => 48,
        A::Hs512 => 64,
        A::Rs256
        | A::Rs384
        | A::Rs512
        | A::Ps256
        | A::Ps384
        | A::Ps512
        | A::Es256
        | A::Es384
        | A::Es512
        | A::Es256k
        | A::EdDsa
        | A::Ed25519
        | A::MlDsa44
        | A::MlDsa65
        | A::MlDsa87 => 0,
    }
}

/// Whether one is `dir` and the other a content encryption.
fn direct_pair(one: Algorithm, other: Algorithm) -> bool {
    match (one, other) {
        (
            Algorithm::KeyManagement(KeyManagementAlgorithm::Dir),
            Algorithm::ContentEncryption(_),
        ) => true,
        (Algorithm::KeyManagement(_) | Algorithm::Signature(_), _)
        | (Algorithm::ContentEncryption(_), _) => false,
    }
}

/// The values of `key_ops` of which one must be there.
fn stand_ins(operation: KeyOperation, algorithm: Algorithm) -> &'static [KeyOperation] {
    use KeyManagementAlgorithm as A;
    use KeyOperation as O;
    let rsa = matches!(
        algorithm,
        Algorithm::KeyManagement(A::RsaOaep | A::RsaOaep256 | A::RsaOaep384 | A::RsaOaep512)
    );
    match operation {
        O::Sign => &[O::Sign],
        O::Verify => &[O::Verify],
        O::Encrypt if rsa => &[O::Encrypt, O::WrapKey],
        O::Encrypt => &[O::Encrypt],
        O::Decrypt if rsa => &[O::Decrypt, O::UnwrapKey],
        O::Decrypt => &[O::Decrypt],
        O::WrapKey if rsa => &[O::WrapKey, O::Encrypt],
        O::WrapKey => &[O::WrapKey],
        O::UnwrapKey if rsa => &[O::UnwrapKey, O::Decrypt],
        O::UnwrapKey => &[O::UnwrapKey],
        O::DeriveKey | O::DeriveBits => &[O::DeriveKey, O::DeriveBits],
    }
}
