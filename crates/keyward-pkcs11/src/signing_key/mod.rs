//! Signing keys that are made, used and destroyed in the token.

mod mechanism;

pub(crate) use mechanism::Curve;
use mechanism::{Kind, Signing};

use crate::error::failed;
use crate::token::{Opened, Token};
use crate::{Error, Reference, public_key, reference};
use async_trait::async_trait;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use keyward_jose::{Key, SignatureAlgorithm, Signer, Verifier};
use std::fmt;
use std::sync::Arc;

/// What a new key signs to show that its two parts belong together.
const PROBE: &[u8] = b"keyward makes a key";

/// Whether keys for this algorithm are made in tokens. ML-DSA is not yet: modules that have it are rare, and none to
/// test with is to be had; ES256K is not among what modules have in common.
#[must_use]
pub fn is_made_for(algorithm: SignatureAlgorithm) -> bool {
    Signing::with(algorithm).is_some()
}

impl Token {
    /// What a key that is about to be made will be known by. It is to be written down before the key is made, so that
    /// one that came to nothing is found and destroyed.
    ///
    /// # Errors
    /// [`Error::Internal`] where the system has no random numbers.
    pub fn reference_for_new(&self) -> Result<Reference, Error> {
        let mut id = [0; reference::ID_BYTES];
        aws_lc_rs::rand::fill(&mut id)
            .map_err(|_| Error::Internal("the system has no random numbers".to_owned()))?;
        Ok(Reference::new(self.label(), id))
    }

    /// What references to keys of this token begin with.
    #[must_use]
    pub fn reference_prefix(&self) -> String {
        Reference::prefix(self.label())
    }

    /// Whether the token is there and, as it tells, makes keys for this algorithm and signs with them.
    ///
    /// # Errors
    /// [`Error::Unfit`]; [`Error::Refused`] where it does not; what keeps it from answering.
    pub async fn check_makes(self: &Arc<Self>, algorithm: SignatureAlgorithm) -> Result<(), Error> {
        let signing = signing(algorithm)?;
        self.work(move |opened| {
            let known = opened.mechanisms()?;
            let needed = [signing.kind().generation(), signing.mechanism()];
            for mechanism in needed.map(|one| one.mechanism_type()) {
                if !known.contains(&mechanism) {
                    return Err(Error::Refused {
                        doing: "make a key pair",
                        why: format!("it has no {mechanism}, which {algorithm} needs"),
                    });
                }
            }
            Ok(())
        })
        .await
    }

    /// Makes a key pair in the token, and gives its public part, without `kid` and `alg`. What was known by this
    /// reference before is destroyed. `about` is its label, for people who look into the token.
    ///
    /// # Errors
    /// [`Error::Unfit`] for an algorithm that keys are not made for; [`Error::KeyMixedUp`] where what it signs does not
    /// verify; what keeps the token from making it. A key may be there all the same.
    pub async fn make_signing_key(
        self: &Arc<Self>,
        reference: &Reference,
        algorithm: SignatureAlgorithm,
        about: &str,
    ) -> Result<Key, Error> {
        self.check_place(reference)?;
        let signing = signing(algorithm)?;
        let (reference, about) = (reference.clone(), about.to_owned());
        self.make(move |opened| {
            // The token may have made it and failed after, and is asked once more then: two would be no key at all.
            destroyed(opened, &reference)?;
            let public = made(opened, &reference, signing.kind(), &about)?;
            let private = private(opened, &reference)?;
            check(opened, private, &reference)?;
            let key = told(opened, public, signing.kind())?;
            let mixed_up = |_| mixed_up(opened.token(), &reference);
            let verifier = Verifier::new(&key, algorithm).map_err(mixed_up)?;
            let signature = signed(opened, private, signing, PROBE)?;
            verifier.verify(PROBE, &signature).map_err(mixed_up)?;
            Ok(key)
        })
        .await
    }

    /// Whether the token has the private part of a key.
    ///
    /// # Errors
    /// What keeps the token from being asked.
    pub async fn has_signing_key(self: &Arc<Self>, reference: &Reference) -> Result<bool, Error> {
        self.check_place(reference)?;
        let reference = reference.clone();
        self.work(move |opened| Ok(!opened.all(&private_part(&reference))?.is_empty()))
            .await
    }

    /// Destroys a key, both parts; whether there was any.
    ///
    /// # Errors
    /// What keeps the token from destroying it.
    pub async fn destroy_signing_key(
        self: &Arc<Self>,
        reference: &Reference,
    ) -> Result<bool, Error> {
        self.check_place(reference)?;
        let reference = reference.clone();
        self.work(move |opened| destroyed(opened, &reference)).await
    }

    /// What signs with a key of the token. Whether the token has it shows when something is to be signed.
    ///
    /// # Errors
    /// [`Error::Unfit`]; [`Error::Elsewhere`]; [`Error::KeyMixedUp`] where the public key is not for this algorithm.
    pub fn signer(
        self: &Arc<Self>,
        reference: &Reference,
        public: &Key,
        algorithm: SignatureAlgorithm,
    ) -> Result<TokenSigner, Error> {
        self.check_place(reference)?;
        let verifier =
            Verifier::new(public, algorithm).map_err(|_| mixed_up(self.label(), reference))?;
        Ok(TokenSigner {
            token: Arc::clone(self),
            reference: reference.clone(),
            kid: public.kid().map(Box::from),
            algorithm,
            signing: signing(algorithm)?,
            verifier,
        })
    }

    fn check_place(&self, reference: &Reference) -> Result<(), Error> {
        if reference.token() == self.label() {
            return Ok(());
        }
        Err(Error::Elsewhere {
            token: self.label().to_owned(),
            reference: reference.to_string(),
        })
    }
}

/// A key in a token with one algorithm. What the token makes is verified before it leaves: a key that was taken for
/// another, and a device that computes wrongly, must not be seen from outside.
pub struct TokenSigner {
    token: Arc<Token>,
    reference: Reference,
    kid: Option<Box<str>>,
    algorithm: SignatureAlgorithm,
    signing: Signing,
    verifier: Verifier,
}

#[async_trait]
impl Signer for TokenSigner {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, keyward_jose::Error> {
        let outside = |error: Error| keyward_jose::Error::Signer(error.to_string());
        let (reference, signing, owned) = (self.reference.clone(), self.signing, message.to_vec());
        let signature = self
            .token
            .work(move |opened| {
                let key = private(opened, &reference)?;
                signed(opened, key, signing, &owned)
            })
            .await
            .map_err(outside)?;
        self.verifier
            .verify(message, &signature)
            .map_err(|_| outside(mixed_up(self.token.label(), &self.reference)))?;
        Ok(signature)
    }
}

impl fmt::Debug for TokenSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSigner")
            .field("algorithm", &self.algorithm)
            .field("reference", &self.reference)
            .finish_non_exhaustive()
    }
}

fn signing(algorithm: SignatureAlgorithm) -> Result<Signing, Error> {
    Signing::with(algorithm).ok_or(Error::Unfit {
        algorithm: algorithm.as_str(),
    })
}

fn named(reference: &Reference) -> String {
    format!("private key {reference}")
}

fn mixed_up(token: &str, reference: &Reference) -> Error {
    Error::KeyMixedUp {
        token: token.to_owned(),
        key: named(reference),
    }
}

fn private(opened: &Opened<'_>, reference: &Reference) -> Result<ObjectHandle, Error> {
    opened.only(&private_part(reference), || named(reference))
}

fn private_part(reference: &Reference) -> [Attribute; 2] {
    [
        Attribute::Class(ObjectClass::PRIVATE_KEY),
        Attribute::Id(reference.id.to_vec()),
    ]
}

/// All that the reference names; whether that was anything.
fn destroyed(opened: &Opened<'_>, reference: &Reference) -> Result<bool, Error> {
    let found = opened.all(&[Attribute::Id(reference.id.to_vec())])?;
    let was_there = !found.is_empty();
    for object in found {
        opened
            .session()
            .destroy_object(object)
            .map_err(failed("destroy a key"))?;
    }
    Ok(was_there)
}

/// The public part. The private one is looked for as whoever signs with it does.
fn made(
    opened: &Opened<'_>,
    reference: &Reference,
    kind: Kind,
    about: &str,
) -> Result<ObjectHandle, Error> {
    let in_common = [
        Attribute::Token(true),
        Attribute::Id(reference.id.to_vec()),
        Attribute::Label(about.as_bytes().to_vec()),
    ];
    let mut public = in_common.to_vec();
    public.extend([Attribute::Private(false), Attribute::Verify(true)]);
    public.extend(kind.parameters());
    let mut private = in_common.to_vec();
    private.extend([
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
        Attribute::Decrypt(false),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
    ]);
    opened
        .session()
        .generate_key_pair(&kind.generation(), &public, &private)
        .map(|(public, _)| public)
        .map_err(failed("make a key pair"))
}

fn check(opened: &Opened<'_>, private: ObjectHandle, reference: &Reference) -> Result<(), Error> {
    let needed = [
        (Attribute::Sensitive(true), "CKA_SENSITIVE is not true"),
        (
            Attribute::Extractable(false),
            "CKA_EXTRACTABLE is not false",
        ),
        (Attribute::Private(true), "CKA_PRIVATE is not true"),
        (Attribute::Sign(true), "CKA_SIGN is not true"),
    ];
    // What a module does not know of a kind of key it does not tell.
    let unwanted = [
        (Attribute::Decrypt(true), "CKA_DECRYPT is true"),
        (Attribute::Unwrap(true), "CKA_UNWRAP is true"),
        (Attribute::Derive(true), "CKA_DERIVE is true"),
    ];
    let asked: Vec<AttributeType> = needed
        .iter()
        .chain(&unwanted)
        .map(|(attribute, _)| attribute.attribute_type())
        .collect();
    let told = opened
        .session()
        .get_attributes(private, &asked)
        .map_err(failed("tell a key's attributes"))?;
    let missing = needed.into_iter().find(|(one, _)| !told.contains(one));
    let excess = unwanted.into_iter().find(|(one, _)| told.contains(one));
    match missing.or(excess) {
        None => Ok(()),
        Some((_, why)) => Err(Error::KeyExposed {
            token: opened.token().to_owned(),
            key: named(reference),
            why,
        }),
    }
}

fn told(opened: &Opened<'_>, public: ObjectHandle, kind: Kind) -> Result<Key, Error> {
    let asked = match kind {
        Kind::Rsa => &[AttributeType::Modulus, AttributeType::PublicExponent][..],
        Kind::Curve(_) => &[AttributeType::EcPoint],
    };
    let told = opened
        .session()
        .get_attributes(public, asked)
        .map_err(failed("tell a public key"))?;
    match (kind, told.as_slice()) {
        (
            Kind::Rsa,
            [
                Attribute::Modulus(modulus),
                Attribute::PublicExponent(exponent),
            ],
        ) => public_key::rsa(modulus, exponent),
        (Kind::Curve(curve), [Attribute::EcPoint(point)]) => public_key::on_curve(curve, point),
        (Kind::Rsa | Kind::Curve(_), _) => Err(Error::Internal(
            "the PKCS#11 token does not tell a public key that it has made".to_owned(),
        )),
    }
}

fn signed(
    opened: &Opened<'_>,
    private: ObjectHandle,
    signing: Signing,
    message: &[u8],
) -> Result<Vec<u8>, Error> {
    let mechanism: Mechanism<'_> = signing.mechanism();
    let signature = opened
        .session()
        .sign(&mechanism, private, &signing.input(message))
        .map_err(failed("sign"))?;
    signing.output(signature).ok_or_else(|| {
        Error::Internal("the PKCS#11 token made a signature of a wrong length".to_owned())
    })
}
