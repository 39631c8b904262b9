//! A bound token is of use only to whoever it was issued to: by its certificate
//! (RFC 8705 section 3), here and over real TLS sockets; by its key (RFC 9449),
//! in [`dpop`].
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests, which say what they left out"
)]

mod dpop;
mod vectors;

use std::time::Duration;

use axum::{Router, routing::get};
use integration_tests::{AuditLog, Served, Site, World};
use tower_delegation::{
    ClientIdentity, DelegationContext, DenialReason as R, Requirement,
    context::{RequestFacts, SenderConstraint},
    credential::{CertificateTrust, PeerInfo},
    requirement::Decision,
    requires,
};
use tower_delegation_rustls::Pem;
use tower_delegation_testing::{TestIdentity, TestPki};

/// The router behind a layer that takes the client identity from TLS.
fn guarded(world: &World) -> Router {
    router().layer(world.layer().client_identity(ClientIdentity::from_tls()).build().unwrap())
}

fn router() -> Router {
    Router::new().route("/", get(whoami)).route("/bound", get(bound)).route("/web", get(web))
}

async fn whoami(delegation: DelegationContext) -> String {
    let workload = delegation.workload().and_then(|workload| workload.spiffe_id());
    let workload = workload.map_or_else(|| "-".to_owned(), ToString::to_string);
    format!("{} {workload} {}", delegation.subject().id(), delegation.sender_constraint().as_str())
}

#[requires(sender_constrained)]
async fn bound() -> &'static str {
    "bound"
}

#[requires(workload = "spiffe://example.org/shop/*")]
async fn web() -> &'static str {
    "web"
}

/// 8705-3-1, 8705-3-2, 8705-3-3; 8705-6.5-1: another certificate of the same workload is no better.
#[tokio::test]
async fn a_bound_token_works_for_its_holder_and_for_nobody_else() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let site = world.serve_tls(guarded(&world)).await;
    let (web, thief) = (world.pki.workload("/shop/web").issue(), world.pki.workload("/shop/thief").issue());
    let token = world.bound_to(&web).sign();

    let (holder, thief, nobody) = (world.client(Some(&web)), world.client(Some(&thief)), world.client(None));
    // The thief comes before and after the token is in the cache.
    for round in 0..2 {
        for (client, reason) in [(&thief, R::ConfirmationMismatch), (&nobody, R::CertificateMissing)] {
            let answer = site.get(client, "/", &token).await;
            assert_eq!((answer.status, answer.code().as_str()), (401, "invalid_token"), "{round} {reason}");
            assert!(answer.challenge().starts_with("Bearer "), "{round} {reason}");
            assert_eq!(audit.one().field("reason"), reason.code(), "{round}");
        }
        let answer = site.get(&holder, "/", &token).await;
        assert_eq!(answer.status, 200, "{round} {}", answer.body);
        assert_eq!(answer.body, format!("alice {} mutual_tls", spiffe_id(&world, "/shop/web")));
        let event = audit.one();
        assert_eq!(event.field("workload"), spiffe_id(&world, "/shop/web"));
        assert_eq!(event.field("sender_constraint"), "mutual_tls");
    }
}

/// The SPIFFE ID of a workload of the world's PKI.
fn spiffe_id(world: &World, path: &str) -> String {
    let identity = world.pki.workload(path).issue();
    let peer = peer(&identity, CertificateTrust::ChainedToTrustAnchor);
    peer.certificate_at_handshake().unwrap().spiffe_id().unwrap().to_string()
}

fn peer(identity: &TestIdentity, trust: CertificateTrust) -> PeerInfo {
    PeerInfo::with_certificate(([127, 0, 0, 1], 1).into(), &identity.chain_der(), trust).unwrap()
}

/// 9449-7.2-3 for certificates.
#[tokio::test]
async fn a_plain_token_goes_on_where_no_route_demands_a_bound_one() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let site = world.serve_tls(guarded(&world)).await;
    let web = world.pki.workload("/shop/web").issue();
    let token = world.token().sign();
    assert_eq!(site.get(&world.client(None), "/", &token).await.body, "alice - none");
    let expected = format!("alice {} none", spiffe_id(&world, "/shop/web"));
    assert_eq!(site.get(&world.client(Some(&web)), "/", &token).await.body, expected);
    let _ = audit.take();

    for client in [world.client(None), world.client(Some(&web))] {
        let answer = site.get(&client, "/bound", &token).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "invalid_token"));
        assert_eq!(audit.one().field("reason"), "sender_constraint_missing");
    }
    let token = world.bound_to(&web).sign();
    assert_eq!(site.get(&world.client(Some(&web)), "/bound", &token).await.status, 200);
}

#[tokio::test]
async fn a_route_for_one_kind_of_workload_refuses_the_others() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let site = world.serve_tls(guarded(&world)).await;
    let token = world.token().sign();
    for (path, status) in
        [("/shop/web", 200), ("/shop/web/deeper", 403), ("/shopping/web", 403), ("/shop", 403)]
    {
        let identity = world.pki.workload(path).issue();
        let answer = site.get(&world.client(Some(&identity)), "/web", &token).await;
        assert_eq!(answer.status, status, "{path}");
        let reason = if status == 200 { "" } else { "workload_not_allowed" };
        assert_eq!(audit.one().field("reason"), reason, "{path}");
    }
    assert_eq!(site.get(&world.client(None), "/web", &token).await.status, 403);
}

/// 8705-3-4.
#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_binds_and_names_nobody() {
    let world = World::new().await;
    let site = Site::start(world.server().accept_any_client_certificate(), guarded(&world)).await;
    let own = world.pki.workload("/shop/web").self_signed().issue();
    let token = world.bound_to(&own).sign();
    let client = world.client(Some(&own));
    assert_eq!(
        site.get(&client, "/bound", &token).await.status,
        200,
        "possession of the key is proof enough"
    );
    assert_eq!(site.get(&client, "/web", &token).await.status, 403, "its name is not");
}

#[tokio::test]
async fn a_certificate_that_has_ended_binds_nothing_on_an_open_connection() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let site = world.serve_tls(guarded(&world)).await;
    let web = world.pki.workload("/shop/web").valid_for(Duration::from_secs(120)).issue();
    let client = world.client(Some(&web));
    let token = world.bound_to(&web).expires_in(Duration::from_secs(3600)).sign();
    assert_eq!(site.get(&client, "/", &token).await.status, 200);
    world.clock.advance(Duration::from_secs(300));
    let _ = audit.take();
    assert_eq!(site.get(&client, "/", &token).await.status, 401);
    assert_eq!(audit.one().field("reason"), "certificate_missing");
}

#[tokio::test]
async fn a_removed_authority_binds_nothing_on_an_open_connection() {
    let world = World::new().await;
    let site = world.serve_tls(guarded(&world)).await;
    let web = world.pki.workload("/shop/web").issue();
    let client = world.client(Some(&web));
    let token = world.bound_to(&web).sign();
    assert_eq!(site.get(&client, "/", &token).await.status, 200);
    let other = TestPki::new();
    let next = world.server().accept_client_certificates(Pem::text(other.bundle_pem()));
    site.config.replace(next).unwrap();
    assert_eq!(site.get(&client, "/", &token).await.status, 401);
}

/// 7800-3.1-2: what cannot be checked is never taken as unbound.
#[tokio::test]
async fn client_identity_is_off_unless_configured_and_loud_where_it_cannot_work() {
    let world = World::new().await;
    let audit = AuditLog::listen();
    let web = world.pki.workload("/shop/web").issue();
    let bundle = || Pem::text(world.pki.bundle_pem());

    let unaware = router().layer(world.layer().build().unwrap());
    let site = Site::start(world.server().accept_client_certificates(bundle()), unaware).await;
    let client = world.client(Some(&web));
    assert_eq!(site.get(&client, "/", &world.bound_to(&web).sign()).await.status, 401);
    assert_eq!(audit.one().field("reason"), "confirmation_unsupported");
    assert_eq!(site.get(&client, "/", &world.token().sign()).await.body, "alice - none");

    let plain = Served::start(guarded(&world)).await;
    let _ = audit.take();
    for token in [world.token().sign(), world.bound_to(&web).sign()] {
        let answer = plain.get("/", &token).await;
        assert_eq!((answer.status, answer.code().as_str()), (500, "misconfigured"));
        assert_eq!(audit.one().field("reason"), "peer_info_missing");
    }
}

#[tokio::test]
async fn a_token_without_a_request_is_bound_too() {
    let world = World::new().await;
    let layer = world.layer().client_identity(ClientIdentity::from_tls()).build().unwrap();
    let authenticator = layer.authenticator();
    let (web, other) = (world.pki.workload("/shop/web").issue(), world.pki.workload("/shop/other").issue());
    let trust = CertificateTrust::ChainedToTrustAnchor;
    let token = world.bound_to(&web).sign();
    let refused =
        |outcome: Result<DelegationContext, tower_delegation::Rejection>| outcome.err().unwrap().reason();

    let delegation = authenticator.verify_from(&token, &peer(&web, trust)).await.unwrap();
    assert_eq!(delegation.sender_constraint(), SenderConstraint::MutualTls);
    let requirement = Requirement::new().sender_constrained().workload("spiffe://example.org/shop/web");
    assert_eq!(requirement.evaluate(&delegation, &RequestFacts::none()), Decision::Allow);

    assert_eq!(
        refused(authenticator.verify_from(&token, &peer(&other, trust)).await),
        R::ConfirmationMismatch
    );
    let unknown = PeerInfo::new(([127, 0, 0, 1], 1).into());
    assert_eq!(refused(authenticator.verify_from(&token, &unknown).await), R::CertificateMissing);
    assert_eq!(refused(authenticator.verify(&token).await), R::CertificateMissing);
}
