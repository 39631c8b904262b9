//! Algorithms and their keys (RFC 7518, RFC 8037, RFC 9864).

use tower_delegation::{
    DenialReason as R,
    clock::Timestamp,
    jwks::{SelectError, SignatureAlgorithm as A, SkipReason as S},
};
use tower_delegation_testing::{ALGORITHMS, Algorithm, MockIdp, TestClock};

use crate::{
    jwk::{F4, ec, modulus, okp, parse, rsa, serves, skipped, with, without},
    site::{NOW, Site, base64url, from_base64url, with_signature},
};

#[tokio::test]
async fn r7518_3_1_every_algorithm_verifies_with_its_own_key_and_with_no_other() {
    let site = Site::new().await;
    for signs in ALGORITHMS {
        let token = site.idp.token().algorithm(signs);
        assert_eq!(site.refusal(&token.clone().sign()).await, None, "{signs}");
        assert_eq!(site.refusal(&token.clone().without_header("kid").sign()).await, None, "{signs}");
        assert_eq!(site.refusal(&token.clone().tamper_signature().sign()).await, Some(R::SignatureInvalid));
        for says in ALGORITHMS.into_iter().filter(|says| *says != signs) {
            // The key is named: it is for another algorithm.
            let named = token.clone().header("alg", says.as_str()).sign();
            assert_eq!(site.refusal(&named).await, Some(R::KeyMismatch), "{signs} as {says}");
            // It is not: the key of that algorithm is another one. Only the two names
            // of Ed25519 mean the same arithmetic, and their keys differ.
            let unnamed = token.clone().header("alg", says.as_str()).without_header("kid").sign();
            assert_eq!(site.refusal(&unnamed).await, Some(R::SignatureInvalid), "{signs} as {says}");
        }
    }
}

#[tokio::test]
async fn r7518_3_2_1_no_hmac_whatever_the_key() {
    let site = Site::new().await;
    assert_eq!(
        site.refusal(&site.idp.token().hmac_with_public_key().sign()).await,
        Some(R::AlgorithmNotAllowed)
    );
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
        let token = site.idp.token().algorithm(algorithm).hmac_with_public_key().sign();
        assert_eq!(site.refusal(&token).await, Some(R::AlgorithmNotAllowed), "{algorithm}");
    }
    for name in ["HS256", "HS384", "HS512"] {
        assert_eq!(A::from_name(name), None);
    }
}

#[test]
fn r7518_3_3_1_rsa_moduli_and_exponents() {
    for bits in [2048, 2049, 2050, 3072, 4096, 8192] {
        assert_eq!(skipped(rsa(&modulus(bits), F4)), None, "{bits}");
    }
    for bits in [8, 512, 1024, 1536, 2040, 2047, 8193, 8200, 16384] {
        assert_eq!(skipped(rsa(&modulus(bits), F4)), Some(S::RsaSize), "{bits}");
    }
    let n = modulus(2048);
    for e in [&[1, 0, 1][..], &[1, 0, 3], &[0xff, 0xff, 0xff, 0xff]] {
        assert_eq!(skipped(rsa(&n, e)), None, "{e:?}");
    }
    for e in [
        &[1][..],
        &[2],
        &[3],
        &[17],
        &[0xff, 0xff],
        &[1, 0, 0],
        &[1, 0, 2],
        &[1, 0, 0, 0, 0],
        &[1, 0, 0, 0, 1],
        &[0xff; 8],
        &[0xff; 9],
        &[0xff; 256],
    ] {
        assert_eq!(skipped(rsa(&n, e)), Some(S::RsaExponent), "{e:?}");
    }
    let mut even = n.clone();
    *even.last_mut().unwrap() &= 0xfe;
    for (name, n, e) in [
        ("even modulus", even, F4.to_vec()),
        ("leading zero in n", [&[0], n.as_slice()].concat(), F4.to_vec()),
        ("leading zero in e", n.clone(), vec![0, 1, 0, 1]),
        ("no modulus", Vec::new(), F4.to_vec()),
        ("no exponent", n.clone(), Vec::new()),
        ("zero exponent", n, vec![0]),
    ] {
        assert_eq!(skipped(rsa(&n, &e)), Some(S::EncodingInvalid), "{name}");
    }
}

/// A power of 65537 has the fingerprint of CVE-2017-15361 by construction.
#[test]
fn r7518_3_3_1_a_modulus_that_can_be_factored() {
    let power = |exponent: usize| {
        let mut n = vec![1_u8];
        for _ in 0..exponent {
            // Times 65537: plus itself, shifted by 16 bits.
            let (shifted, same) = ([n.as_slice(), &[0, 0]].concat(), [&[0, 0], n.as_slice()].concat());
            let mut carry = 0;
            let mut sum: Vec<u8> = Vec::new();
            for (a, b) in shifted.iter().rev().zip(same.iter().rev()) {
                let digit = u16::from(*a) + u16::from(*b) + carry;
                sum.push(digit.to_le_bytes()[0]);
                carry = digit >> 8;
            }
            sum.extend((carry > 0).then_some(1));
            sum.reverse();
            n = sum;
        }
        n
    };
    for exponent in [128, 129, 150, 200] {
        assert_eq!(skipped(rsa(&power(exponent), F4)), Some(S::RsaModulusWeak), "{exponent}");
    }
}

/// The order of P-256 (FIPS 186-4 appendix D.1.2.3).
const P256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
    0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// The DER form of an ECDSA signature.
fn der(fixed: &[u8]) -> Vec<u8> {
    let integer = |half: &[u8]| {
        let zeros = half.iter().take_while(|octet| **octet == 0).count();
        let digits = &half[zeros..];
        let sign: &[u8] = if digits[0] & 0x80 == 0 { &[] } else { &[0] };
        [&[2, u8::try_from(sign.len() + digits.len()).unwrap()], sign, digits].concat()
    };
    let (r, s) = fixed.split_at(fixed.len() / 2);
    let body = [integer(r), integer(s)].concat();
    let len = u8::try_from(body.len()).unwrap();
    let head: &[u8] = if len < 0x80 { &[0x30, len] } else { &[0x30, 0x81, len] };
    [head, &body].concat()
}

#[tokio::test]
async fn r7518_3_4_1_ecdsa_signatures_are_r_and_s_at_full_length() {
    let site = Site::new().await;
    for (algorithm, len) in [(Algorithm::Es256, 64), (Algorithm::Es384, 96), (Algorithm::Es512, 132)] {
        let token = site.idp.token().algorithm(algorithm).sign();
        let good = from_base64url(token.rsplit_once('.').unwrap().1);
        assert_eq!(good.len(), len);
        assert_eq!(site.refusal(&token).await, None);
        let (r, s) = good.split_at(len / 2);
        let zero = vec![0; len / 2];
        for (name, signature) in [
            ("DER", der(&good)),
            ("nothing", Vec::new()),
            ("short", good[..len - 1].to_vec()),
            ("long", [&good, &[0][..]].concat()),
            ("a zero before each half", [&[0], r, &[0], s].concat()),
            ("twice", [good.as_slice(), &good].concat()),
            ("swapped", [s, r].concat()),
            ("r is zero", [&zero, s].concat()),
            ("s is zero", [r, &zero].concat()),
            ("both are zero", vec![0; len]),
            ("all ones", vec![0xff; len]),
            ("of another length", vec![1; 64 + 96 - len.min(96)]),
        ] {
            let token = with_signature(&token, &signature);
            assert_eq!(site.refusal(&token).await, Some(R::SignatureInvalid), "{algorithm} {name}");
        }
    }
    let token = site.idp.token().sign();
    let good = from_base64url(token.rsplit_once('.').unwrap().1);
    for signature in [
        [&P256_ORDER, &good[32..]].concat(),
        [&good[..32], &P256_ORDER].concat(),
        [P256_ORDER, P256_ORDER].concat(),
        [&[&[0; 31][..], &[1]].concat(), &P256_ORDER[..]].concat(),
    ] {
        assert_eq!(site.refusal(&with_signature(&token, &signature)).await, Some(R::SignatureInvalid));
    }
}

#[test]
fn r7518_3_4_2_points_are_on_their_curve_at_full_length() {
    let octets = |name: &str| from_base64url(ec()[name].as_str().unwrap());
    let (x, y) = (octets("x"), octets("y"));
    let mut off = y.clone();
    off[31] ^= 1;
    let key = |x: &[u8], y: &[u8]| with(with(ec(), "x", base64url(x)), "y", base64url(y));
    for (name, key, reason) in [
        ("off the curve", key(&x, &off), S::KeyInvalid),
        ("swapped", key(&y, &x), S::KeyInvalid),
        ("zero", key(&[0; 32], &[0; 32]), S::KeyInvalid),
        ("beyond the field", key(&[0xff; 32], &[0xff; 32]), S::KeyInvalid),
        ("x is short", key(&x[1..], &y), S::EncodingInvalid),
        ("x has a zero too many", key(&[&[0], x.as_slice()].concat(), &y), S::EncodingInvalid),
        ("y is empty", key(&x, &[]), S::EncodingInvalid),
        ("a point in x", key(&[&[4], x.as_slice(), &y].concat(), &y), S::EncodingInvalid),
        ("of P-384", with(ec(), "crv", "P-384"), S::EncodingInvalid),
        ("of P-521", with(ec(), "crv", "P-521"), S::EncodingInvalid),
    ] {
        assert_eq!(skipped(key), Some(reason), "{name}");
    }
}

#[tokio::test]
async fn r7518_3_4_2_each_curve_has_its_algorithm() {
    let site = Site::new().await;
    for (curve, algorithm) in [("P-256", "ES256"), ("P-384", "ES384"), ("P-521", "ES512")] {
        let jwks = site.idp.jwks();
        let published = jwks["keys"].as_array().unwrap().iter().find(|key| key["crv"] == curve).unwrap();
        let key = without(published.clone(), "alg");
        assert_eq!(serves(key.clone()), [A::from_name(algorithm).unwrap()]);
        for other in ["ES256", "ES384", "ES512"].into_iter().filter(|other| *other != algorithm) {
            assert_eq!(skipped(with(key.clone(), "alg", other)), Some(S::AlgorithmUnfit), "{curve} {other}");
        }
        // A coordinate that begins with a zero keeps it: the length decides.
        for name in ["x", "y"] {
            let mut octets = from_base64url(key[name].as_str().unwrap());
            octets.remove(0);
            assert_eq!(skipped(with(key.clone(), name, base64url(octets))), Some(S::EncodingInvalid));
        }
    }
}

#[tokio::test]
async fn r7518_3_5_1_pss_and_pkcs1_are_not_each_other() {
    // One RSA key without `alg` serves all six names; the signatures differ all the same.
    let clock = TestClock::at(Timestamp::from_unix_seconds(NOW));
    let idp = MockIdp::builder().clock(clock.clone()).algorithms([Algorithm::Rs256]).start().await;
    let key = without(without(idp.jwks()["keys"][0].clone(), "alg"), "kid");
    let set = parse([key]);
    let names = [
        Algorithm::Rs256,
        Algorithm::Rs384,
        Algorithm::Rs512,
        Algorithm::Ps256,
        Algorithm::Ps384,
        Algorithm::Ps512,
    ];
    for signs in names {
        let signature = idp.sign_bytes(signs, b"a.b");
        for says in names {
            let key = set.select(A::from_name(says.as_str()).unwrap(), None).unwrap();
            assert_eq!(key.verify(b"a.b", &signature).is_ok(), signs == says, "{signs} as {says}");
        }
        let key = set.select(A::from_name(signs.as_str()).unwrap(), None).unwrap();
        for signature in [&signature[1..], &[&[0], signature.as_slice()].concat(), &[], &[0; 256], &[1; 256]]
        {
            assert!(key.verify(b"a.b", signature).is_err(), "{signs}");
        }
    }
}

#[test]
fn r8037_3_1_1_only_ed25519_signs() {
    assert_eq!(skipped(okp()), None);
    for curve in ["X25519", "X448", "Ed448", "ed25519", "P-256", "secp256k1", ""] {
        assert_eq!(skipped(with(okp(), "crv", curve)), Some(S::CurveUnknown), "{curve}");
    }
    assert_eq!(skipped(with(ec(), "crv", "Ed25519")), Some(S::CurveUnknown));
    for len in [0, 31, 33, 57, 64] {
        assert_eq!(skipped(with(okp(), "x", base64url(vec![9; len]))), Some(S::EncodingInvalid), "{len}");
    }
}

/// Two identifiers: a key for one never serves the other.
#[test]
fn r9864_2_2_eddsa_and_ed25519_are_two_names() {
    assert_eq!(serves(with(okp(), "alg", "EdDSA")), [A::EdDsa]);
    assert_eq!(serves(with(okp(), "alg", "Ed25519")), [A::Ed25519]);
    let set = parse([with(okp(), "alg", "Ed25519")]);
    assert_eq!(set.select(A::EdDsa, Some("okp")).unwrap_err(), SelectError::Mismatch);
    assert_eq!(set.select(A::EdDsa, None).unwrap_err(), SelectError::Unknown);
}

#[tokio::test]
async fn r8037_3_1_ed25519_signatures_are_64_octets() {
    let site = Site::new().await;
    for algorithm in [Algorithm::EdDsa, Algorithm::Ed25519] {
        let token = site.idp.token().algorithm(algorithm).sign();
        let good = from_base64url(token.rsplit_once('.').unwrap().1);
        for signature in [&good[..63], &[good.as_slice(), &[0]].concat(), &[], &[0; 64], &[0xff; 64]] {
            assert_eq!(site.refusal(&with_signature(&token, signature)).await, Some(R::SignatureInvalid));
        }
    }
}
