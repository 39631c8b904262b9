//! Nonces of the resource server (RFC 9449 sections 8 and 9).

use std::time::Duration;

use axum::{
    Router,
    routing::{any, get},
};
use integration_tests::{Answer, AuditLog, Served};
use tower_delegation::{DenialReason as R, Dpop, DpopNonces, clock::Clock as _};
use tower_delegation_testing::DpopKey;

use super::{Call, Client, ORIGIN, assert_refused};

const ROTATION: Duration = Duration::from_secs(120);

fn demanding(dpop: Dpop) -> Dpop {
    dpop.nonces(DpopNonces::new().rotate_every(ROTATION))
}

/// The nonce of an answer. Never more than one (8.2-1).
fn nonce(answer: &Answer) -> Option<String> {
    let mut fields = answer.headers.get_all("dpop-nonce").iter();
    let nonce = fields.next()?.to_str().unwrap().to_owned();
    assert!(fields.next().is_none(), "8.2-1: exactly one field line");
    let nqchar = |b: u8| matches!(b, 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
    assert!(!nonce.is_empty() && nonce.bytes().all(nqchar), "8.1-1: {nonce}");
    assert_eq!(answer.headers["cache-control"], "no-store", "8.2-2");
    Some(nonce)
}

impl Client {
    /// `GET /orders` with a nonce.
    fn call_with_nonce(&self, nonce: Option<&str>) -> Call {
        let token = self.token().sign();
        let proof = self.proof(&token);
        self.call_with(&token, nonce.into_iter().fold(proof, |proof, nonce| proof.nonce(nonce)))
    }
}

#[tokio::test]
async fn r9449_9_1_a_challenge_brings_the_nonce_that_opens_the_route() {
    let client = Client::new().await;
    let audit = AuditLog::listen();
    let service = client.serve_with(demanding).await;
    for round in 0..2 {
        let answer = client.call_with_nonce(None).send(&service).await;
        assert_refused("11.3-1: no nonce", &answer, R::DpopNonceMissing);
        assert_eq!(audit.one().field("reason"), "dpop_nonce_missing", "{round}");
        let fresh = nonce(&answer).unwrap();
        let answer = client.call_with_nonce(Some(&fresh)).send(&service).await;
        assert_eq!((answer.status, nonce(&answer)), (200, None), "{round}");
        let _ = audit.take();
        // Still so for those who know one.
        for wrong in ["", "x", "\u{e9}", fresh.get(1..).unwrap(), &format!("{fresh}A"), &"A".repeat(32)] {
            let answer = client.call_with_nonce(Some(wrong)).send(&service).await;
            assert_refused(wrong, &answer, R::DpopNonceNotAccepted);
            assert_eq!(audit.one().field("reason"), "dpop_nonce_not_accepted", "4.3-10: {wrong}");
            assert_eq!(nonce(&answer).as_deref(), Some(fresh.as_str()));
        }
    }
    // Nothing else is told to bring one, and no proof is spent on a challenge.
    let token = client.token().sign();
    let unsigned = client.proof(&token).nonce("x").sign_with(&DpopKey::generate());
    assert!(nonce(&client.call_with(&token, unsigned).send(&service).await).is_some());
    let missing = Call { proofs: vec![], ..client.call() }.send(&service).await;
    assert_refused("7.1-1: no proof at all", &missing, R::DpopProofMissing);
    assert_eq!(nonce(&service.get_anonymously("/orders").await), None);
}

#[tokio::test]
async fn r9449_8_2_a_nonce_rotates_with_an_overlap() {
    let client = Client::new().await;
    let clock = &client.world.clock;
    let service = client.serve_with(demanding).await;
    // To the start of a period.
    let now = clock.now().unix_seconds();
    clock.advance(ROTATION - Duration::from_secs(now.rem_euclid(120).unsigned_abs()));
    let first = nonce(&client.call_with_nonce(None).send(&service).await).unwrap();

    clock.advance(ROTATION - Duration::from_secs(1));
    let answer = client.call_with_nonce(Some(&first)).send(&service).await;
    assert_eq!((answer.status, nonce(&answer)), (200, None), "the last second of its period");

    clock.advance(Duration::from_secs(1));
    let answer = client.call_with_nonce(Some(&first)).send(&service).await;
    assert_eq!(answer.status, 200, "the next period");
    let second = nonce(&answer).unwrap();
    assert_ne!(first, second);
    let answer = client.call_with_nonce(Some(&second)).send(&service).await;
    assert_eq!((answer.status, nonce(&answer)), (200, None));

    clock.advance(ROTATION);
    let answer = client.call_with_nonce(Some(&first)).send(&service).await;
    assert_refused("the period after", &answer, R::DpopNonceNotAccepted);
    let third = nonce(&answer).unwrap();
    assert!(third != first && third != second);
    assert_eq!(client.call_with_nonce(Some(&second)).send(&service).await.status, 200);
}

/// 8.2-2: a nonce is not cached, and what the service says of caching goes first.
#[tokio::test]
async fn r9449_8_2_2_a_response_that_may_be_cached_carries_no_nonce() {
    let client = Client::new().await;
    let answers = |cache_control: &'static str| get(async move || [("cache-control", cache_control)]);
    let router = Router::new()
        .route("/plain", any(async || "plain"))
        .route("/refused", get(super::refund))
        .route("/cached", answers("max-age=60"))
        .route("/private", answers("private, no-cache"))
        .route("/no-store", answers("private, No-Store"));
    let service = Served::start(router.layer(client.layer(demanding).build().unwrap())).await;
    let call = |path: &str, nonce: &str| {
        let token = client.token().sign();
        let proof = client.key.proof("GET", format!("{ORIGIN}{path}")).for_token(&token).nonce(nonce);
        Call { path: path.to_owned(), ..client.call_with(&token, proof) }
    };
    let first = call("/plain", "").send(&service).await;
    let first = nonce(&first).unwrap();
    client.world.clock.advance(ROTATION);
    for (path, cache_control, carries) in [
        ("/plain", "no-store", true),
        ("/refused", "no-store", true),
        ("/cached", "max-age=60", false),
        ("/private", "private, no-cache", false),
        ("/no-store", "private, No-Store", true),
    ] {
        let answer = call(path, &first).send(&service).await;
        assert_eq!(answer.status, if path == "/refused" { 403 } else { 200 }, "{path}");
        assert_eq!(answer.headers["cache-control"], cache_control, "{path}");
        assert_eq!(answer.headers.get_all("dpop-nonce").iter().count(), usize::from(carries), "{path}");
    }
}

/// 11.1-3: with the same keys, replicas accept each other's nonces; else they do not.
#[tokio::test]
async fn r9449_11_1_3_replicas_agree_where_they_share_keys() {
    let client = Client::new().await;
    let shared = |dpop: Dpop| dpop.nonces(DpopNonces::with_keys([[7; 32]]));
    for (name, first, second, status) in [
        ("shared", client.serve_with(shared).await, client.serve_with(shared).await, 200),
        ("their own", client.serve_with(demanding).await, client.serve_with(demanding).await, 401),
    ] {
        let nonce = nonce(&client.call_with_nonce(None).send(&first).await).unwrap();
        assert_eq!(client.call_with_nonce(Some(&nonce)).send(&first).await.status, 200, "{name}");
        assert_eq!(client.call_with_nonce(Some(&nonce)).send(&second).await.status, status, "{name}");
    }
}
