//! Silent, slow, many and large: what the listener bears.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo, routing::get};
use http::{HeaderMap, Request, Response, Version};
use integration_tests::{AUDIENCE, Answer, AuditLog};
use tokio::{net::TcpStream, sync::Notify, time::timeout};
use tower::{Layer as _, service_fn};
use tower_delegation::{
    ClientIdentity, DelegationContext, DelegationLayer, DenialReason as R, TrustedIssuer,
    credential::{MAX_TOKEN_LEN, PeerInfo},
};
use tower_delegation_rustls::{TlsListener, serve};
use tower_delegation_testing::{MockIdp, MtlsClient, TestPki};

use crate::site::{LOOPS, Loop, Site, bundle, server};

/// Long enough for a request on this machine, short enough to wait for nothing.
const MOMENT: Duration = Duration::from_millis(300);

async fn silent(site: &Site, count: usize) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..count {
        streams.push(TcpStream::connect(site.address).await.unwrap());
    }
    streams
}

#[tokio::test]
async fn silent_connections_hold_up_nobody() {
    let pki = TestPki::new();
    for by in LOOPS {
        let site = Site::start_by(by, server(&pki)).await;
        let _silent = silent(&site, 40).await;
        let client = MtlsClient::new(&pki).build();
        assert!(timeout(Duration::from_secs(4), site.who(&client)).await.unwrap().is_ok(), "{by:?}");
    }
}

#[tokio::test]
async fn handshakes_are_capped() {
    let pki = TestPki::new();
    let limit =
        |listener: TlsListener| listener.max_handshakes(2).handshake_timeout(Duration::from_secs(600));
    let site = Site::start_with(Loop::Ours, server(&pki), limit, Router::new()).await;
    let silent = silent(&site, 2).await;
    let client = MtlsClient::new(&pki).build();
    let mut request = Box::pin(site.who(&client));
    assert!(timeout(MOMENT, &mut request).await.is_err(), "there is no place for a third");
    drop(silent);
    assert!(request.await.is_ok());
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_gives_up_its_place() {
    let pki = TestPki::new();
    for by in LOOPS {
        let limit = |listener: TlsListener| listener.max_handshakes(1).handshake_timeout(MOMENT);
        let site = Site::start_with(by, server(&pki), limit, Router::new()).await;
        let _silent = silent(&site, 3).await;
        let client = MtlsClient::new(&pki).build();
        // The client's own handshake has no longer; on a busy machine it may take two attempts.
        let mut answer = site.who(&client).await;
        for _ in 0..20 {
            if answer.is_err() {
                answer = site.who(&client).await;
            }
        }
        assert!(answer.is_ok(), "{by:?}");
    }
}

#[tokio::test]
async fn connections_are_capped() {
    let pki = TestPki::new();
    for by in LOOPS {
        let limit = |listener: TlsListener| listener.max_connections(1);
        let site = Site::start_with(by, server(&pki), limit, Router::new()).await;
        let (first, second) = (MtlsClient::new(&pki).build(), MtlsClient::new(&pki).build());
        site.who(&first).await.unwrap();
        let mut request = Box::pin(site.who(&second));
        assert!(timeout(MOMENT, &mut request).await.is_err(), "{by:?}: there is no place for a second");
        drop(first);
        assert!(request.await.is_ok(), "{by:?}");
    }
}

#[tokio::test]
async fn large_header_fields_pass() {
    let pki = TestPki::new();
    let length = |headers: HeaderMap| async move { headers["x-large"].len().to_string() };
    let more = Router::new().route("/length", get(length));
    let site = Site::start_with(Loop::Ours, server(&pki), |listener| listener, more).await;
    for client in [MtlsClient::new(&pki).http1().build(), MtlsClient::new(&pki).http2().build()] {
        for length in [16 * 1024, 48 * 1024] {
            let request = client.get(site.url("/length")).header("x-large", "a".repeat(length));
            assert_eq!(request.send().await.unwrap().text().await.unwrap(), length.to_string());
        }
    }
    // Beyond 64 KiB, HTTP/2 refuses.
    let client = MtlsClient::new(&pki).http2().build();
    let answer = client.get(site.url("/length")).header("x-large", "a".repeat(80 * 1024)).send().await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status() == 431));
}

/// A token whose text has `length` bytes, or up to two fewer: base64url has no
/// text of every length.
fn token_of(idp: &MockIdp, length: usize) -> String {
    let padded = |padding| idp.token().claim("padding", "a".repeat(padding)).sign();
    let room = length - padded(0).len();
    let longest = (room / 4 * 3..room).map(padded).take_while(|token| token.len() <= length).last();
    longest.unwrap()
}

#[tokio::test]
async fn the_longest_token_passes_over_http2_and_a_longer_one_is_told_so() {
    let (pki, idp) = (TestPki::new(), MockIdp::builder().audience(AUDIENCE).start().await);
    let audit = AuditLog::listen();
    let issuer = TrustedIssuer::discover(idp.issuer()).unwrap().add_audience(AUDIENCE);
    let layer = DelegationLayer::builder().add_issuer(issuer).client_identity(ClientIdentity::from_tls());
    let whoami = async |delegation: DelegationContext| delegation.subject().id().to_string();
    let more = Router::new().route("/whoami", get(whoami)).layer(layer.build().unwrap());
    let site = Site::start_with(Loop::Ours, server(&pki), |listener| listener, more).await;
    // Both are offered; the handshake settles on HTTP/2 (ALPN, RFC 9113 section 3.2).
    let client = MtlsClient::new(&pki).build();

    let longest = token_of(&idp, MAX_TOKEN_LEN);
    assert!((MAX_TOKEN_LEN - 2..=MAX_TOKEN_LEN).contains(&longest.len()));
    for _ in 0..2 {
        let answer = client.get(site.url("/whoami")).bearer_auth(&longest).send().await.unwrap();
        assert_eq!((answer.version(), answer.status().as_u16()), (Version::HTTP_2, 200));
        let _ = audit.take();
    }
    for length in [MAX_TOKEN_LEN + 4, 3 * MAX_TOKEN_LEN] {
        let token = token_of(&idp, length);
        assert!(token.len() > MAX_TOKEN_LEN);
        let answer = Answer::of(client.get(site.url("/whoami")).bearer_auth(token)).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "invalid_token"), "{length}");
        assert!(answer.challenge().contains(r#"error="invalid_token""#), "{}", answer.challenge());
        assert_eq!(audit.one().field("reason"), R::TokenTooLarge.code(), "{length}");
        // The connection is as good as before.
        let answer = client.get(site.url("/whoami")).bearer_auth(&longest).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{length}");
        let _ = audit.take();
    }
}

#[tokio::test]
async fn a_service_without_axum_is_told_the_peer() {
    let (pki, idp) = (TestPki::new(), MockIdp::builder().audience(AUDIENCE).start().await);
    let orders = pki.workload("/ns/shop/sa/orders").issue();
    let issuer = TrustedIssuer::discover(idp.issuer()).unwrap().add_audience(AUDIENCE);
    let layer = DelegationLayer::builder().add_issuer(issuer).client_identity(ClientIdentity::from_tls());
    let inner = service_fn(async |request: Request<Body>| {
        let extensions = request.extensions();
        let workload = extensions.get::<DelegationContext>().unwrap().workload().unwrap();
        Ok::<_, Infallible>(Response::new(Body::from(workload.spiffe_id().unwrap().to_string())))
    });
    let layered = layer.build().unwrap().layer(inner);
    // What only axum puts there is gone before the layer looks.
    let service = service_fn(move |mut request: Request<Body>| {
        request.extensions_mut().remove::<ConnectInfo<PeerInfo>>().unwrap();
        tower::ServiceExt::oneshot(layered.clone(), request)
    });
    let config = server(&pki).accept_client_certificates(bundle(&pki)).build().unwrap();
    let listener = TlsListener::bind("127.0.0.1:0", config).await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let served = tokio::spawn(serve(listener, service, std::future::pending()));
    let client = MtlsClient::new(&pki).identity(&orders).build();
    let answer = Answer::of(client.get(url).bearer_auth(idp.token().sign())).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "spiffe://example.org/ns/shop/sa/orders"));
    served.abort();
}

#[tokio::test]
async fn a_shutdown_waits_for_requests_under_way() {
    let pki = TestPki::new();
    for by in LOOPS {
        for client in [MtlsClient::new(&pki).http1().build(), MtlsClient::new(&pki).http2().build()] {
            let (arrived, answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
            let slow = {
                let (arrived, answer) = (Arc::clone(&arrived), Arc::clone(&answer));
                move || async move {
                    arrived.notify_one();
                    answer.notified().await;
                    "answered"
                }
            };
            let more = Router::new().route("/slow", get(slow));
            let mut site = Site::start_with(by, server(&pki), |listener| listener, more).await;
            let _silent = silent(&site, 1).await;
            let request = tokio::spawn(client.get(site.url("/slow")).send());
            arrived.notified().await;

            site.stop();
            // New connections find nobody, as soon as the loop has heard of it.
            while TcpStream::connect(site.address).await.is_ok() {
                tokio::task::yield_now().await;
            }
            answer.notify_one();
            assert_eq!(request.await.unwrap().unwrap().text().await.unwrap(), "answered", "{by:?}");
            drop(client);
            site.ended().await;
        }
    }
}
