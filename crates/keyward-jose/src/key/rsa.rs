//! RSA keys: their bounds, and completing those that have lost their primes.

use super::{Rsa, RsaPrivate};
use crate::Error;
use aws_lc_rs::rsa::{KeyPair, KeyPairComponents, PublicEncryptingKey, PublicKeyComponents};
use num_bigint::BigUint;
use zeroize::Zeroizing;

/// Below this, factoring is within reach, and RFC 7518 (sections 3.3 and 4.2) forbids it.
pub(crate) const MODULUS_BITS_MIN: usize = 2048;
/// Above this, a single verification takes milliseconds, which makes a key a weapon.
pub(crate) const MODULUS_BITS_MAX: usize = 8192;
/// What the cryptographic library takes; all keys in use have 65537 or 3.
const EXPONENT_BITS_MAX: usize = 33;

impl Rsa {
    /// A public key. Both numbers are big-endian without leading zeros.
    pub(crate) fn public(n: Vec<u8>, e: Vec<u8>) -> Result<Self, Error> {
        let bits = bit_length("n", &n)?;
        if !(MODULUS_BITS_MIN..=MODULUS_BITS_MAX).contains(&bits) {
            return Err(Error::KeyInvalid(format!(
                "the RSA modulus has {bits} bits; {MODULUS_BITS_MIN} to {MODULUS_BITS_MAX} are taken"
            )));
        }
        if even(&n) {
            return Err(Error::KeyInvalid("the RSA modulus is even".to_owned()));
        }
        if even(&e) || e == [1] || bit_length("e", &e)? > EXPONENT_BITS_MAX {
            return Err(Error::KeyInvalid(format!(
                "the RSA exponent must be odd, at least 3 and at most {EXPONENT_BITS_MAX} bits long"
            )));
        }
        let _parsed: PublicEncryptingKey = PublicKeyComponents { n: &n, e: &e }
            .try_into()
            .map_err(|_| Error::KeyInvalid("the RSA public key is not sound".to_owned()))?;
        Ok(Self {
            n,
            e,
            private: None,
        })
    }

    /// A private key of which all is known; that all belongs together is checked.
    pub(crate) fn private(n: Vec<u8>, e: Vec<u8>, private: RsaPrivate) -> Result<Self, Error> {
        let mut key = Self::public(n, e)?;
        for (name, number) in [
            ("d", &private.d),
            ("p", &private.p),
            ("q", &private.q),
            ("dp", &private.dp),
            ("dq", &private.dq),
            ("qi", &private.qi),
        ] {
            // One number longer than the modulus would only cost time.
            if bit_length(name, number)? > MODULUS_BITS_MAX {
                return Err(Error::KeyMember(name, "it is too long".to_owned()));
            }
        }
        KeyPair::from_components(&KeyPairComponents {
            public_key: PublicKeyComponents {
                n: &key.n,
                e: &key.e,
            },
            d: private.d.as_slice(),
            p: private.p.as_slice(),
            q: private.q.as_slice(),
            dP: private.dp.as_slice(),
            dQ: private.dq.as_slice(),
            qInv: private.qi.as_slice(),
        })
        .map_err(|_| {
            Error::KeyInvalid("the RSA private values do not belong together".to_owned())
        })?;
        key.private = Some(private);
        Ok(key)
    }

    /// A private key of which only `n`, `e` and `d` are given: RFC 7518 (section 6.3.2) allows it, and
    /// the primes can be found from them.
    pub(crate) fn complete(n: Vec<u8>, e: Vec<u8>, d: Zeroizing<Vec<u8>>) -> Result<Self, Error> {
        let key = Self::public(n, e)?;
        if bit_length("d", &d)? > MODULUS_BITS_MAX {
            return Err(Error::KeyMember("d", "it is too long".to_owned()));
        }
        let private = find_primes(&key.n, &key.e, d)
            .ok_or_else(|| Error::KeyInvalid("`d` does not belong to `n` and `e`".to_owned()))?;
        Self::private(key.n, key.e, private)
    }
}

fn even(number: &[u8]) -> bool {
    number.last().is_none_or(|last| last & 1 == 0)
}

/// The bits of a big-endian number, which must not be zero nor have leading zeros (RFC 7518, section 2,
/// on Base64urlUInt).
fn bit_length(name: &'static str, number: &[u8]) -> Result<usize, Error> {
    match number.first() {
        None => Err(Error::KeyMember(name, "it is empty".to_owned())),
        Some(0) => Err(Error::KeyMember(
            name,
            "it is zero or has leading zero bytes".to_owned(),
        )),
        Some(first) => Ok(number.len() * 8 - first.leading_zeros() as usize),
    }
}

/// The primes of `n`, by the probabilistic method of NIST SP 800-56B revision 2, appendix C.1.
///
/// `num-bigint` does the arithmetic: MIT or Apache-2.0, kept by the rust-num organization, and already
/// below `x509-parser`. Its numbers are not wiped and its time depends on them, so the intermediate
/// values of this one path stay in freed memory; it runs once, when such a key is imported. What comes
/// out is wiped as all private values are.
fn find_primes(n: &[u8], e: &[u8], d: Zeroizing<Vec<u8>>) -> Option<RsaPrivate> {
    /// Each finds the primes with a probability of at least one half.
    const BASES: [u32; 64] = [
        2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89,
        97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167, 173, 179, 181,
        191, 193, 197, 199, 211, 223, 227, 229, 233, 239, 241, 251, 257, 263, 269, 271, 277, 281,
        283, 293, 307, 311,
    ];
    let one = BigUint::from(1_u8);
    let n = BigUint::from_bytes_be(n);
    let exponent = BigUint::from_bytes_be(&d);
    if exponent >= n {
        return None;
    }
    let multiple = BigUint::from_bytes_be(e) * &exponent - &one;
    let twos = multiple.trailing_zeros().filter(|twos| *twos > 0)?;
    let odd = &multiple >> twos;
    let minus_one = &n - &one;
    for base in BASES {
        let mut root = BigUint::from(base).modpow(&odd, &n);
        if root == one || root == minus_one {
            continue;
        }
        let mut found = None;
        let mut ended = false;
        for _ in 0..twos {
            let square = &root * &root % &n;
            if square == one {
                found = Some(greatest_common_divisor(&root - &one, n.clone()));
                break;
            }
            if square == minus_one {
                ended = true;
                break;
            }
            root = square;
        }
        match found {
            Some(prime) => return crt(&n, prime, &exponent, d),
            // A base whose power is not 1 shows that `d` is not the inverse of `e`.
            None if !ended => return None,
            None => {}
        }
    }
    None
}

fn crt(
    n: &BigUint,
    prime: BigUint,
    exponent: &BigUint,
    d: Zeroizing<Vec<u8>>,
) -> Option<RsaPrivate> {
    let one = BigUint::from(1_u8);
    let other = n / &prime;
    let (p, q) = if prime > other {
        (prime, other)
    } else {
        (other, prime)
    };
    if q <= one || &p * &q != *n {
        return None;
    }
    let bytes = |number: &BigUint| Zeroizing::new(number.to_bytes_be());
    Some(RsaPrivate {
        d,
        dp: bytes(&(exponent % (&p - &one))),
        dq: bytes(&(exponent % (&q - &one))),
        qi: bytes(&q.modinv(&p)?),
        p: bytes(&p),
        q: bytes(&q),
    })
}

fn greatest_common_divisor(mut a: BigUint, mut b: BigUint) -> BigUint {
    while b.bits() > 0 {
        let rest = &a % &b;
        a = std::mem::replace(&mut b, rest);
    }
    a
}
