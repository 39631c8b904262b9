//! What RFC 9449 section 4.3 says to check, one row for each way to fail.

use std::time::Duration;

use integration_tests::AuditLog;
use reqwest::Method;
use serde_json::json;
use tower_delegation::{DenialReason as R, clock::Clock as _, jwks::SignatureAlgorithm};
use tower_delegation_testing::{ALGORITHMS, Algorithm, DpopKey, ProofBuilder};

use super::{Call, Client, ORIGIN, assert_refused};

type ChangeProof = fn(&Client, ProofBuilder) -> ProofBuilder;
type ChangeCall = fn(&Client, &mut Call);

/// A proof that is signed by the right key, and wrong.
const PROOFS: &[(&str, ChangeProof, R)] = &[
    ("4.3-3: without jti", |_, proof| proof.without("jti"), R::DpopProofClaimMissing),
    ("4.3-3: without htm", |_, proof| proof.without("htm"), R::DpopProofClaimMissing),
    ("4.3-3: without htu", |_, proof| proof.without("htu"), R::DpopProofClaimMissing),
    ("4.3-3: without iat", |_, proof| proof.without("iat"), R::DpopProofClaimMissing),
    ("4.3-3: without ath", |_, proof| proof.without("ath"), R::DpopProofClaimMissing),
    ("4.3-3: jti is a number", |_, proof| proof.claim("jti", 1), R::DpopProofClaimMalformed),
    ("4.3-3: htm is an array", |_, proof| proof.claim("htm", json!(["GET"])), R::DpopProofClaimMalformed),
    ("4.3-3: htu is null", |_, proof| proof.claim("htu", json!(null)), R::DpopProofClaimMalformed),
    ("4.3-3: iat is a string", |_, proof| proof.claim("iat", "1"), R::DpopProofClaimMalformed),
    ("4.3-4: typ is JWT", |_, proof| proof.header("typ", "JWT"), R::DpopProofTypeNotAccepted),
    ("4.3-4: typ is that of a token", |_, proof| proof.header("typ", "at+jwt"), R::DpopProofTypeNotAccepted),
    ("4.3-4: no typ", |_, proof| proof.without_header("typ"), R::DpopProofTypeNotAccepted),
    ("4.3-5: none", |_, proof| proof.header("alg", "none").signature(""), R::DpopProofAlgorithmNotAllowed),
    ("4.3-5: HMAC", |_, proof| proof.header("alg", "HS256"), R::DpopProofAlgorithmNotAllowed),
    ("4.3-5: not registered", |_, proof| proof.header("alg", "ES257"), R::DpopProofAlgorithmNotAllowed),
    ("4.3-5: not this key's", |_, proof| proof.header("alg", "ES384"), R::DpopProofKeyInvalid),
    (
        "4.3-6: another key signs",
        |_, proof| proof.sign_with(&DpopKey::generate()),
        R::DpopProofSignatureInvalid,
    ),
    ("4.3-6: no signature", |_, proof| proof.signature(""), R::DpopProofSignatureInvalid),
    ("4.3-6: a signature of zeros", |_, proof| proof.signature([0; 64]), R::DpopProofSignatureInvalid),
    ("4.3-6: no jwk", |_, proof| proof.without_header("jwk"), R::DpopProofKeyInvalid),
    ("4.3-7: d", |client, proof| private(client, proof, "d"), R::DpopProofKeyInvalid),
    ("4.3-7: p", |client, proof| private(client, proof, "p"), R::DpopProofKeyInvalid),
    ("4.3-7: q", |client, proof| private(client, proof, "q"), R::DpopProofKeyInvalid),
    ("4.3-7: dp", |client, proof| private(client, proof, "dp"), R::DpopProofKeyInvalid),
    ("4.3-7: dq", |client, proof| private(client, proof, "dq"), R::DpopProofKeyInvalid),
    ("4.3-7: qi", |client, proof| private(client, proof, "qi"), R::DpopProofKeyInvalid),
    ("4.3-7: oth", |client, proof| private(client, proof, "oth"), R::DpopProofKeyInvalid),
    ("4.3-7: k", |client, proof| private(client, proof, "k"), R::DpopProofKeyInvalid),
    ("4.3-8: another method", |_, proof| proof.claim("htm", "POST"), R::DpopProofMethodMismatch),
    ("4.3-8: lower case", |_, proof| proof.claim("htm", "get"), R::DpopProofMethodMismatch),
    ("4.3-8: HEAD", |_, proof| proof.claim("htm", "HEAD"), R::DpopProofMethodMismatch),
    (
        "4.3-9: another path",
        |_, proof| htu(proof, "https://api.example.com/orders/1"),
        R::DpopProofUriMismatch,
    ),
    (
        "4.3-9: a slash more",
        |_, proof| htu(proof, "https://api.example.com/orders/"),
        R::DpopProofUriMismatch,
    ),
    ("4.3-9: another host", |_, proof| htu(proof, "https://api.example.org/orders"), R::DpopProofUriMismatch),
    (
        "4.3-9: another scheme",
        |_, proof| htu(proof, "http://api.example.com/orders"),
        R::DpopProofUriMismatch,
    ),
    (
        "4.3-9: another port",
        |_, proof| htu(proof, "https://api.example.com:444/orders"),
        R::DpopProofUriMismatch,
    ),
    ("4.3-9: a user", |_, proof| htu(proof, "https://a@api.example.com/orders"), R::DpopProofUriMismatch),
    ("4.3-9: no URI", |_, proof| htu(proof, "/orders"), R::DpopProofUriMismatch),
    ("4.3-11: one hour old", |client, proof| aged(client, proof, 3600), R::DpopProofExpired),
    ("4.3-11: one hour ahead", |client, proof| aged(client, proof, -3600), R::DpopProofFromFuture),
    ("4.3-11: 61 s old", |client, proof| aged(client, proof, 61), R::DpopProofExpired),
    ("4.3-11: 11 s ahead", |client, proof| aged(client, proof, -11), R::DpopProofFromFuture),
    ("4.2-1: exp has passed", |client, proof| dated(client, proof, "exp", -11), R::DpopProofExpired),
    ("4.2-1: nbf lies ahead", |client, proof| dated(client, proof, "nbf", 11), R::DpopProofFromFuture),
    ("4.2-2: a jti of 513 bytes", |_, proof| proof.id("j".repeat(513)), R::DpopProofClaimMalformed),
    ("4.2-2: an empty jti", |_, proof| proof.id(""), R::DpopProofClaimMalformed),
    ("4.3-12a: another token's", |_, proof| proof.for_token("another"), R::DpopProofTokenMismatch),
    ("4.3-12a: empty", |_, proof| proof.claim("ath", ""), R::DpopProofTokenMismatch),
    ("crit", |_, proof| proof.header("crit", json!(["x"])).header("x", 1), R::DpopProofMalformed),
    ("b64", |_, proof| proof.header("b64", true), R::DpopProofMalformed),
    (
        "a member twice",
        |_, proof| proof.claims_json(r#"{"jti":"a","jti":"b","htm":"GET"}"#),
        R::DpopProofMalformed,
    ),
    ("no JSON", |_, proof| proof.claims_json("GET"), R::DpopProofMalformed),
    ("no UTF-8", |_, proof| proof.claims_json([b'"', 0xff]), R::DpopProofMalformed),
    ("a header of no JSON", |_, proof| proof.header_json("[]"), R::DpopProofMalformed),
    ("a header of 4 KiB", |_, proof| proof.header("x", "a".repeat(4096)), R::DpopProofTooLarge),
];

fn private(client: &Client, proof: ProofBuilder, member: &str) -> ProofBuilder {
    let mut jwk = client.key.jwk();
    jwk[member] = "AA".into();
    proof.header("jwk", jwk)
}

fn htu(proof: ProofBuilder, uri: &str) -> ProofBuilder {
    proof.claim("htu", uri)
}

fn aged(client: &Client, proof: ProofBuilder, seconds: i64) -> ProofBuilder {
    dated(client, proof, "iat", -seconds)
}

fn dated(client: &Client, proof: ProofBuilder, claim: &str, seconds: i64) -> ProofBuilder {
    proof.claim(claim, client.world.clock.now().unix_seconds() + seconds)
}

#[tokio::test]
async fn r9449_4_3_a_proof_that_fails_a_check_is_refused() {
    let client = Client::new().await;
    let audit = AuditLog::listen();
    let service = client.serve().await;
    // Before and after the key and the token are known.
    for round in 0..2 {
        for (name, change, reason) in PROOFS {
            let token = client.token().sign();
            let answer = client.call_with(&token, change(&client, client.proof(&token))).send(&service).await;
            assert_refused(&format!("{name}, round {round}"), &answer, *reason);
            assert_eq!(audit.one().field("reason"), reason.code(), "{name}, round {round}");
        }
        let answer = client.call().send(&service).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "alice dpop"));
        let event = audit.one();
        assert_eq!(event.field("sender_constraint"), "dpop");
    }
}

/// A request whose token, scheme or fields are wrong.
const CALLS: &[(&str, ChangeCall, R)] = &[
    ("4.3-1: two fields", |client, call| call.proofs.extend(client.call().proofs), R::DpopProofMultiple),
    ("4.3-1: the same twice", |_, call| call.proofs.extend(call.proofs.clone()), R::DpopProofMultiple),
    (
        "4.3-1: two in one field",
        |client, call| call.proofs = vec![[&call.proofs[0], ",", &client.call().proofs[0]].concat()],
        R::DpopProofMultiple,
    ),
    ("4.3-2: no JWT", |_, call| call.proofs = vec!["proof".to_owned()], R::DpopProofMalformed),
    ("4.3-2: empty", |_, call| call.proofs = vec![String::new()], R::DpopProofMalformed),
    ("4.3-2: padded", |_, call| call.proofs[0].push('='), R::DpopProofMalformed),
    ("4.3-2: JSON", |_, call| call.proofs = vec![r#"{"payload":""}"#.to_owned()], R::DpopProofMalformed),
    ("4.3-2: 8 KiB and more", |_, call| call.proofs = vec!["a".repeat(8193)], R::DpopProofTooLarge),
    ("7.1-1: no proof", |_, call| call.proofs.clear(), R::DpopProofMissing),
    ("4.3-8: POST with a proof for GET", |_, call| call.method = Method::POST, R::DpopProofMethodMismatch),
    ("4.3-9: another path", |_, call| call.path = "/orders/1".to_owned(), R::DpopProofUriMismatch),
    (
        "4.3-12b: another key's token",
        |client, call| {
            let token = client.world.token().bound_to_key(&DpopKey::generate()).sign();
            *call = client.call_with(&token, client.proof(&token));
        },
        R::DpopKeyMismatch,
    ),
    (
        "4.3-12a, 11.1: a stolen token with the thief's proof",
        |client, call| {
            let (token, thief) =
                (client.token().sign(), DpopKey::generate().clock(client.world.clock.clone()));
            *call =
                client.call_with(&token, thief.proof("GET", format!("{ORIGIN}/orders")).for_token(&token));
        },
        R::DpopKeyMismatch,
    ),
    (
        "7.1-2: a token that is not bound",
        |client, call| {
            let token = client.world.token().sign();
            *call = client.call_with(&token, client.proof(&token));
        },
        R::DpopTokenUnbound,
    ),
    (
        "7.1-2: a token that is bound to a certificate only",
        |client, call| {
            let token = client.world.token().bound_to_certificate(b"DER").sign();
            *call = client.call_with(&token, client.proof(&token));
        },
        R::DpopTokenUnbound,
    ),
    (
        "an expired token",
        |client, call| {
            let token =
                client.token().expires_at(client.world.clock.now().saturating_sub(Duration::from_secs(60)));
            let token = token.sign();
            *call = client.call_with(&token, client.proof(&token));
        },
        R::TokenExpired,
    ),
    (
        "6.1-1: a jkt of 42 characters",
        |client, call| {
            let token = client.world.token().claim("cnf", json!({ "jkt": "A".repeat(42) })).sign();
            *call = client.call_with(&token, client.proof(&token));
        },
        R::ConfirmationMalformed,
    ),
    (
        "7800-3.4-1: a kid beside jkt",
        |client, call| {
            let cnf = json!({ "jkt": client.key.thumbprint(), "kid": "k1" });
            let token = client.world.token().claim("cnf", cnf).sign();
            *call = client.call_with(&token, client.proof(&token));
        },
        R::ConfirmationUnsupported,
    ),
    (
        "7800-3.1-1: bound to a certificate too, which is not there",
        |client, call| {
            let token = client.token().bound_to_certificate(b"DER").sign();
            *call = client.call_with(&token, client.proof(&token));
        },
        R::ConfirmationUnsupported,
    ),
];

#[tokio::test]
async fn r9449_7_1_a_request_without_token_and_proof_that_fit_is_refused() {
    let client = Client::new().await;
    let audit = AuditLog::listen();
    let service = client.serve().await;
    for (name, change, reason) in CALLS {
        let mut call = client.call();
        change(&client, &mut call);
        let answer = call.send(&service).await;
        assert_refused(name, &answer, *reason);
        assert_eq!(audit.one().field("reason"), reason.code(), "{name}");
    }
    assert_eq!(client.call().send(&service).await.status, 200);
}

#[tokio::test]
async fn r9449_4_3_variants_of_a_good_proof_are_accepted() {
    let client = Client::new().await;
    let service = client.serve().await;
    let rows: &[(&str, ChangeProof)] = &[
        ("4.2-1: unknown members", |_, proof| {
            proof.header("kid", "k").header("x", 1).claim("y", json!([{}]))
        }),
        ("4.3-4: typ in upper case", |_, proof| proof.header("typ", "DPOP+JWT")),
        ("4.3-4: typ in full", |_, proof| proof.header("typ", "application/dpop+jwt")),
        ("4.3-9: query and fragment", |_, proof| htu(proof, "https://api.example.com/orders?a=b#c")),
        ("4.3-9: case of scheme and host", |_, proof| htu(proof, "HTTPS://API.example.COM/orders")),
        ("4.3-9: default port", |_, proof| htu(proof, "https://api.example.com:443/orders")),
        ("4.3-9: unreserved characters", |_, proof| htu(proof, "https://api.example.com/%6frders")),
        ("4.3-9: dot segments", |_, proof| htu(proof, "https://api.example.com/x/../orders")),
        ("4.3-10: a nonce that nobody asked for", |_, proof| proof.nonce("x")),
        ("4.3-11: 60 s old", |client, proof| aged(client, proof, 60)),
        ("4.3-11: 10 s ahead", |client, proof| aged(client, proof, -10)),
        ("4.3-11: a fraction", |client, proof| {
            proof.claim("iat", client.world.clock.now().unix_seconds() as f64 + 0.5)
        }),
        ("4.2-1: exp and nbf", |client, proof| dated(client, dated(client, proof, "exp", 1), "nbf", -1)),
        ("4.2-2: a jti of 512 bytes", |_, proof| proof.id("j".repeat(512))),
    ];
    for (name, change) in rows {
        let token = client.token().sign();
        let answer = client.call_with(&token, change(&client, client.proof(&token))).send(&service).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "alice dpop"), "{name}");
    }
    // 4.1-1 and 7.1-1: the names of field and scheme have no case.
    for scheme in ["dpop", "DPOP", "DPoP"] {
        let mut call = client.call();
        call.authorization[0].replace_range(..4, scheme);
        assert_eq!(call.send(&service).await.status, 200, "{scheme}");
    }
}

/// 4.3-5: each algorithm that the challenge names is accepted, and no other.
#[tokio::test]
async fn r9449_4_3_5_the_algorithms_of_the_policy() {
    let mut client = Client::new().await;
    let any = client.serve().await;
    let some = client.serve_with(|dpop| dpop.algorithms([SignatureAlgorithm::EdDsa])).await;
    for algorithm in ALGORITHMS {
        client.key = DpopKey::of(algorithm).clock(client.world.clock.clone());
        assert_eq!(client.call().send(&any).await.status, 200, "{algorithm}");
        let expected = if algorithm == Algorithm::EdDsa { 200 } else { 401 };
        let answer = client.call().send(&some).await;
        assert_eq!(answer.status, expected, "{algorithm}");
        if expected == 401 {
            assert!(answer.challenges[1].ends_with(r#", algs="EdDSA""#), "{:?}", answer.challenges);
        }
    }
}
