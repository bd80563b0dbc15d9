//! Keys for tests.

use crate::SignatureAlgorithm;
use crate::base64url::decode;
use crate::key::{Akp, Curve, Ec, Key, Material, MlDsa, Oct, Okp, Parameters, Rsa, RsaPrivate};
use aws_lc_rs::encoding::AsBigEndian;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P256K1_SHA256_FIXED_SIGNING,
    ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, ML_DSA_44_SIGNING, ML_DSA_65_SIGNING,
    ML_DSA_87_SIGNING, PqdsaKeyPair, PqdsaSigningAlgorithm,
};
use zeroize::Zeroizing;

/// The key of RFC 7515, appendix A.2.
const RSA: [&str; 7] = [
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
    "Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-7YwVol2NXOoAJe46sui395IW_GO-pWJ1O0BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M_V51gfpRLI9JYanrC4D4qAdGcopV_0ZHHzQlBjudU2QvXt4ehNYTCBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl_x_jTj3ccPDVZFD9pIuhLhBOneufuBiB4cS98l2SR_RQyGWSeWjnczT0QU91p1DhOVRuOopznQ",
    "4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB0Hw_Py5PJdTJNPY8cQn7ouZ2KKDcmnPGBY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJTBgIPgtldC-KDV5z-y2XDwGUc",
    "uQPEfgmVtjL0Uyyx88GZFF1fOunH3-7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYsp1ZSe7zFYHj7C6ul7TjeLQeZD_YwD66t62wDmpe_HlB-TnBA-njbglfIsRLtXlnDzQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9RWdc",
    "BwKfV3Akq5_MFZDFZCnW-wzl-CCo83WoZvnLQwCTeDv8uzluRSnm71I3QCLdhrqE2e9YkxvuxdBfpT_PI7Yz-FOKnu1R6HsJeDCjn12Sk3vmAktV2zb34MCdy7cpdTh_YVr7tss2u6vneTwrA86rZtu5Mbr1C1XsmvkxHQAdYo0",
    "h_96-mK1R_7glhsum81dZxjTnYynPbZpHziZjeeHcXYsXaaMwkOlODsWa7I9xXDoRwbKgB719rrmI2oKr6N3Do9U0ajaHF-NKJnwgjMd2w9cjz3_-kyNlxAr2v4IKhGNpmM5iIgOS1VZnOZ68m6_pbLBSp3nssTdlqvd0tIiTHU",
    "IYd7DHOhrWvxkwPQsRM2tOgrjbcrfvtQJipd-DlcxyVuuM9sQLdgjVk2oy26F0EmpScGLq2MowX7fhd_QJQ3ydy5cY7YIBi87w93IKLEdfnbJtoOPLUW0ITrJReOgo1cq9SbsxYawBgfp_gh6A5603k2-ZQwVK0JKSHuLFkuQ3U",
];

fn bytes(text: &str) -> Vec<u8> {
    decode("test", text).unwrap()
}

pub(crate) fn of(material: Material) -> Key {
    Key {
        material,
        parameters: Parameters::default(),
    }
}

pub(crate) fn named(kid: &str, mut key: Key) -> Key {
    key.parameters.kid = Some(kid.to_owned());
    key
}

pub(crate) fn oct(secret: &[u8]) -> Key {
    of(Material::Oct(Oct {
        k: Zeroizing::new(secret.to_vec()),
    }))
}

/// The one RSA key (making one takes long).
pub(crate) fn rsa() -> Key {
    let [n, d, p, q, dp, dq, qi] = RSA.map(bytes);
    of(Material::Rsa(Rsa {
        n,
        e: vec![1, 0, 1],
        private: Some(RsaPrivate {
            d: d.into(),
            p: p.into(),
            q: q.into(),
            dp: dp.into(),
            dq: dq.into(),
            qi: qi.into(),
        }),
    }))
}

fn ec(curve: Curve, algorithm: &'static EcdsaSigningAlgorithm) -> Key {
    let pair = EcdsaKeyPair::generate(algorithm).unwrap();
    let point = pair.public_key().as_ref()[1..].to_vec();
    let (x, y) = point.split_at(point.len() / 2);
    let d = pair.private_key().as_be_bytes().unwrap();
    of(Material::Ec(Ec {
        curve,
        x: x.to_vec(),
        y: y.to_vec(),
        d: Some(Zeroizing::new(d.as_ref().to_vec())),
    }))
}

pub(crate) fn ed25519(seed: &[u8]) -> Key {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).unwrap();
    of(Material::Okp(Okp {
        curve: Curve::Ed25519,
        x: pair.public_key().as_ref().to_vec(),
        d: Some(Zeroizing::new(seed.to_vec())),
    }))
}

pub(crate) fn ml_dsa(
    parameter_set: MlDsa,
    algorithm: &'static PqdsaSigningAlgorithm,
    seed: &[u8],
) -> Key {
    let pair = PqdsaKeyPair::from_seed(algorithm, seed).unwrap();
    of(Material::Akp(Akp {
        parameter_set,
        public: pair.public_key().as_ref().to_vec(),
        seed: Some(Zeroizing::new(seed.to_vec())),
    }))
}

/// A new private key that fits the algorithm (of RSA, always the same one).
pub(crate) fn for_algorithm(algorithm: SignatureAlgorithm) -> Key {
    use SignatureAlgorithm as A;
    let mut random = [0; 64];
    aws_lc_rs::rand::fill(&mut random).unwrap();
    match algorithm {
        A::Hs256 | A::Hs384 | A::Hs512 => oct(&random),
        A::Rs256 | A::Rs384 | A::Rs512 | A::Ps256 | A::Ps384 | A::Ps512 => rsa(),
        A::Es256 => ec(Curve::P256, &ECDSA_P256_SHA256_FIXED_SIGNING),
        A::Es384 => ec(Curve::P384, &ECDSA_P384_SHA384_FIXED_SIGNING),
        A::Es512 => ec(Curve::P521, &ECDSA_P521_SHA512_FIXED_SIGNING),
        A::Es256k => ec(Curve::Secp256k1, &ECDSA_P256K1_SHA256_FIXED_SIGNING),
        A::EdDsa | A::Ed25519 => ed25519(&random[..32]),
        A::MlDsa44 => ml_dsa(MlDsa::MlDsa44, &ML_DSA_44_SIGNING, &random[..32]),
        A::MlDsa65 => ml_dsa(MlDsa::MlDsa65, &ML_DSA_65_SIGNING, &random[..32]),
        A::MlDsa87 => ml_dsa(MlDsa::MlDsa87, &ML_DSA_87_SIGNING, &random[..32]),
    }
}

/// The key without its private part.
pub(crate) fn public(key: &Key) -> Key {
    let mut key = key.clone();
    match &mut key.material {
        Material::Rsa(key) => key.private = None,
        Material::Ec(key) => key.d = None,
        Material::Okp(key) => key.d = None,
        Material::Akp(key) => key.seed = None,
        Material::Oct(_) => {}
    }
    key
}
