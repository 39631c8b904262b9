//! The other end of the connection, in a context that is kept.

use axum::{
    Router,
    extract::Request,
    middleware::{Next, from_fn},
    routing::get,
};
use integration_tests::{Answer, Served, World};
use reqwest::Method;
use tower_delegation::{
    ClientIdentity, DelegationContext, DenialReason, RequestFacts, Requirement,
    credential::{ClientCertHeader, TrustedHop, WorkloadIdentity, WorkloadIdentitySource, WorkloadRequest},
    revocation::{InMemoryRevocations, Revocation},
    spiffe::SpiffeId,
};
use tower_delegation_rustls::{Pem, TlsConfig};
use tower_delegation_testing::TestPki;

use super::{DESK, Kept, MINUTE, Pause, reason};

/// Knows the caller for ten minutes at a time.
#[derive(Debug)]
struct Sidecar;

impl WorkloadIdentitySource for Sidecar {
    fn identify(&self, mut request: WorkloadRequest<'_>) -> Result<Option<WorkloadIdentity>, DenialReason> {
        let caller = request.take_header(&"x-caller".parse().unwrap())?;
        let caller = caller.map(|caller| SpiffeId::new(caller.to_str().unwrap()).unwrap());
        let until = request.now.saturating_add(10 * MINUTE);
        Ok(caller.map(|caller| WorkloadIdentity::of_spiffe_id(caller).until(until)))
    }
}

/// What a source says of the workload ends by itself; the token goes on without it.
#[tokio::test]
async fn a_workload_whose_identity_has_ended_is_known_no_longer() {
    let world = World::new().await;
    let layer = world.layer().client_identity(ClientIdentity::from_source(Sidecar)).build().unwrap();
    let kept = Kept::default();
    let keep = {
        let kept = kept.clone();
        async move |delegation: DelegationContext| *kept.lock().unwrap() = Some(delegation)
    };
    let service = Served::start(Router::new().route("/", get(keep)).layer(layer)).await;
    let request = service.request(Method::GET, "/").header("x-caller", DESK);
    let token = world.token().expires_in(60 * MINUTE).sign();
    assert_eq!(Answer::of(request.bearer_auth(token)).await.status, 200);
    let kept = kept.lock().unwrap().take().unwrap();
    let (desk, anyone) = (Requirement::new().workload(DESK), Requirement::new());
    for (name, minutes, [recheck, of_desk, of_anyone]) in [
        ("at once", 0, ["", "", ""]),
        ("still", 9, ["", "", ""]),
        ("then", 1, ["context_outdated", "workload_not_allowed", ""]),
        ("for good", 9, ["context_outdated", "workload_not_allowed", ""]),
        ("with the token", 60, ["token_expired", "token_expired", "token_expired"]),
    ] {
        world.clock.advance(minutes * MINUTE);
        assert_eq!(reason(&kept.recheck()), recheck, "{name}");
        assert_eq!(reason(&kept.authorize(&desk, &RequestFacts::none())), of_desk, "{name}");
        assert_eq!(reason(&kept.authorize(&anyone, &RequestFacts::none())), of_anyone, "{name}");
    }
}

/// The certificate of the connection, over mutual TLS: it ends, or its authority goes.
#[tokio::test]
async fn a_certificate_that_has_ended_proves_nothing_in_a_kept_context() {
    for (name, is_bound, anchors_go, minutes, [recheck, of_web]) in [
        ("bound, nothing happens", true, false, 0, ["", ""]),
        ("plain, nothing happens", false, false, 0, ["", ""]),
        ("bound, the certificate expires", true, false, 3, ["certificate_missing", "certificate_missing"]),
        ("plain, the certificate expires", false, false, 3, ["context_outdated", "workload_not_allowed"]),
        ("bound, the authority is removed", true, true, 0, ["certificate_missing", "certificate_missing"]),
        ("plain, the authority is removed", false, true, 0, ["context_outdated", "workload_not_allowed"]),
    ] {
        let world = World::new().await;
        let kept = Kept::default();
        let keep = {
            let kept = kept.clone();
            async move |delegation: DelegationContext| *kept.lock().unwrap() = Some(delegation)
        };
        let layer = world.layer().client_identity(ClientIdentity::from_tls()).build().unwrap();
        let site = world.serve_tls(Router::new().route("/", get(keep)).layer(layer)).await;
        let web = world.pki.workload("/web").valid_for(2 * MINUTE).issue();
        let token = world.token().expires_in(60 * MINUTE);
        let token = if is_bound { token.bound_to_certificate(web.certificate_der()) } else { token };
        let answer = site.get(&world.client(Some(&web)), "/", &token.sign()).await;
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
        let kept = kept.lock().unwrap().take().unwrap();
        let of = Requirement::new().workload("spiffe://example.org/web");
        assert!(kept.recheck().is_ok() && kept.permits(&of, &RequestFacts::none()), "{name}: before");
        world.clock.advance(minutes * MINUTE);
        if anchors_go {
            let server = world.pki.server().issue();
            let settings = TlsConfig::builder()
                .server_certificate(Pem::text(server.chain_pem()), Pem::text(server.key_pem()))
                .accept_client_certificates(Pem::text(TestPki::new().bundle_pem()));
            site.config.replace(settings).unwrap();
        }
        assert_eq!(reason(&kept.recheck()), recheck, "{name}");
        assert_eq!(reason(&kept.authorize(&of, &RequestFacts::none())), of_web, "{name}");
    }
}

/// The proxy that has passed a request on can be revoked as long as the context is kept.
#[tokio::test]
async fn a_proxy_that_is_revoked_passes_nothing_on() {
    const GATEWAY: &str = "spiffe://example.org/gateway";
    let world = World::new().await;
    let kept = Kept::default();
    let keep = {
        let kept = kept.clone();
        async move |delegation: DelegationContext| *kept.lock().unwrap() = Some(delegation)
    };
    let revocations = InMemoryRevocations::new();
    let hop = TrustedHop::spiffe(GATEWAY).unwrap();
    let identity = ClientIdentity::from_proxy(ClientCertHeader::xfcc(), hop);
    let layer = world.layer().client_identity(identity).revocations(revocations.clone()).build().unwrap();
    let inner = layer.clone();
    let pause = Pause::new();
    let held = pause.clone();
    let router = Router::new()
        .route("/inner", get(async |_: DelegationContext| "orders").layer(inner))
        .layer(from_fn(move |request: Request, next: Next| {
            let held = held.clone();
            async move {
                held.hold().await;
                next.run(request).await
            }
        }))
        .route("/", get(keep))
        .layer(layer);
    let site = world.serve_tls(router).await;
    let gateway = world.client(Some(&world.pki.workload("/gateway").issue()));
    let token = world.token().sign();
    assert_eq!(site.get(&gateway, "/", &token).await.status, 200);
    let kept = kept.lock().unwrap().take().unwrap();
    assert!(kept.recheck().is_ok());
    let revoke = || revocations.revoke(Revocation::workload(SpiffeId::new(GATEWAY).unwrap())).unwrap();
    let (answer, ()) = tokio::join!(site.get(&gateway, "/inner", &token), async {
        pause.arrived.acquire().await.unwrap().forget();
        revoke();
        pause.go_on.add_permits(1);
    });
    assert_eq!(answer.status, 401, "{answer:?}");
    assert_eq!(reason(&kept.recheck()), "workload_revoked");
    assert!(!kept.permits(&Requirement::new(), &RequestFacts::none()));
}
