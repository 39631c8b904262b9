use serde_json::json;
use tower_delegation::clock::Timestamp;

use super::*;
use crate::{DpopKey, ExchangeFault, ProofBuilder};

/// Exchanges with these proofs.
async fn prove(idp: &MockIssuer, proofs: &[&str]) -> (u16, Value, Option<String>) {
    let user = idp.token().user("alice").sign();
    let mut request = http().post(idp.token_endpoint()).basic_auth("gateway", Some("s3:cret"));
    for proof in proofs {
        request = request.header("DPoP", *proof);
    }
    let response = request.form(&exchange_form(&user)).send().await.unwrap();
    let nonce = response.headers().get("dpop-nonce").map(|nonce| nonce.to_str().unwrap().to_owned());
    (response.status().as_u16(), response.json().await.unwrap(), nonce)
}

#[tokio::test]
async fn a_proof_binds_the_token() {
    let (idp, clock) = idp().await;
    let key = DpopKey::generate().clock(clock.clone());
    let proof = || key.proof("POST", idp.token_endpoint()).sign();
    let (status, answer, nonce) = prove(&idp, &[&proof()]).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!((&answer["token_type"], nonce), (&json!("DPoP"), None));
    assert_eq!(claims(&answer["access_token"])["cnf"], json!({ "jkt": key.thumbprint() }));

    idp.misissue_next(ExchangeFault::Unbound);
    let (_, answer, _) = prove(&idp, &[&proof()]).await;
    assert_eq!(claims(&answer["access_token"]).get("cnf"), None);
    assert_eq!(answer["token_type"], "DPoP", "the answer says nothing of it");

    let (_, answer, _) = prove(&idp, &[]).await;
    assert_eq!(answer["token_type"], "Bearer", "a proof is optional");
    idp.register(MockClient::new("gateway").secret("s3:cret").dpop_bound_tokens());
    let (status, answer, _) = prove(&idp, &[]).await;
    assert_eq!((status, &answer["error"]), (400, &json!("invalid_dpop_proof")));
    assert_eq!(prove(&idp, &[&proof()]).await.0, 200);
}

#[tokio::test]
async fn bad_proofs_are_refused() {
    let (idp, clock) = idp().await;
    let key = DpopKey::generate().clock(clock.clone());
    let good = || key.proof("POST", idp.token_endpoint());
    let at = |seconds| Timestamp::from_unix_seconds(NOW + seconds);
    let mut private = key.jwk();
    private["d"] = "AA".into();
    let rows: [(&str, ProofBuilder); 15] = [
        ("another key", good().sign_with(&DpopKey::generate())),
        ("another method", key.proof("GET", idp.token_endpoint())),
        ("another URI", key.proof("POST", idp.issuer())),
        ("another host", key.proof("POST", "https://as.example/token")),
        ("no method", good().without("htm")),
        ("no URI", good().without("htu")),
        ("no time", good().without("iat")),
        ("a minute ago and more", good().issued_at(at(-61))),
        ("in a minute and more", good().issued_at(at(61))),
        ("no jti", good().without("jti")),
        ("no typ", good().without_header("typ")),
        ("another typ", good().header("typ", "JWT")),
        ("no key", good().without_header("jwk")),
        ("a private key", good().header("jwk", private)),
        ("a bad signature", good().signature(vec![0; 64])),
    ];
    for (name, proof) in rows {
        let (status, answer, _) = prove(&idp, &[&proof.sign()]).await;
        assert_eq!((status, &answer["error"]), (400, &json!("invalid_dpop_proof")), "{name}");
    }
    let (one, two) = (good().sign(), good().sign());
    let joined = format!("{one}, {two}");
    for (name, proofs) in
        [("two", vec![one.as_str(), &two]), ("joined", vec![&joined]), ("no JWT", vec!["x"])]
    {
        let (status, answer, _) = prove(&idp, &proofs).await;
        assert_eq!((status, &answer["error"]), (400, &json!("invalid_dpop_proof")), "{name}");
    }
    for (name, proof) in [
        ("a minute ago", good().issued_at(at(-60))),
        ("with a query", key.proof("POST", format!("{}?a=b#c", idp.token_endpoint()))),
        ("in capitals", key.proof("POST", idp.token_endpoint().replace("http", "HTTP"))),
    ] {
        let proof = proof.sign();
        assert_eq!(prove(&idp, &[&proof]).await.0, 200, "{name}");
        let (status, answer, _) = prove(&idp, &[&proof]).await;
        assert_eq!((status, &answer["error"]), (400, &json!("invalid_dpop_proof")), "{name}, again");
    }
}

#[tokio::test]
async fn nonces_are_demanded_and_replaced() {
    let (idp, clock) = idp().await;
    let key = DpopKey::generate().clock(clock.clone());
    let proof = |nonce: Option<&str>| {
        let proof = key.proof("POST", idp.token_endpoint());
        nonce.map_or_else(|| proof.clone(), |nonce| proof.clone().nonce(nonce)).sign()
    };
    assert_eq!(idp.dpop_nonce(), None);
    idp.require_dpop_nonce();
    let (status, answer, first) = prove(&idp, &[&proof(None)]).await;
    assert_eq!((status, &answer["error"]), (400, &json!("use_dpop_nonce")));
    assert_eq!((&first, first.is_some()), (&idp.dpop_nonce(), true));
    let (status, _, again) = prove(&idp, &[&proof(first.as_deref())]).await;
    assert_eq!((status, &again), (200, &first));
    let (status, answer, _) = prove(&idp, &[&proof(Some("wrong"))]).await;
    assert_eq!((status, &answer["error"]), (400, &json!("use_dpop_nonce")));

    idp.require_dpop_nonce();
    let (status, answer, second) = prove(&idp, &[&proof(first.as_deref())]).await;
    assert_eq!((status, &answer["error"]), (400, &json!("use_dpop_nonce")));
    assert_ne!(second, first);
    assert_eq!(prove(&idp, &[&proof(second.as_deref())]).await.0, 200);
    assert_eq!(prove(&idp, &[]).await.0, 200, "who needs no proof needs no nonce");
}
