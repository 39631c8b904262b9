//! What was judged before a wait is judged again after it.

use std::{sync::Arc, time::Duration};

use integration_tests::{Answer, AuditLog, Served, World, whoami};
use reqwest::Method;
use tokio::sync::Semaphore;
use tower_delegation::{
    Applications, DelegationLayer, Dpop,
    application::{Application, ApplicationBuilder, ApplicationKind},
    replay::{InMemoryReplayStore, ReplayStore, ReplayStoreError, Sighting, UsedProof},
    revocation::{InMemoryRevocations, Revocation},
    step::Step,
};
use tower_delegation_rustls::{Pem, TlsConfig};
use tower_delegation_testing::{DpopKey, Endpoint, TestPki};

pub(crate) const ORIGIN: &str = "https://api.example.com";
const MINUTE: Duration = Duration::from_secs(60);

/// A store behind a network, which answers when it is let.
#[derive(Clone, Debug)]
pub(crate) struct Slow {
    store: Arc<InMemoryReplayStore>,
    questions: Arc<Semaphore>,
    answers: Arc<Semaphore>,
}

impl Slow {
    pub(crate) fn new() -> Self {
        let none = || Arc::new(Semaphore::new(0));
        Self { store: Arc::default(), questions: none(), answers: none() }
    }

    pub(crate) async fn until_asked(&self) {
        self.questions.acquire().await.unwrap().forget();
    }

    pub(crate) fn answer(&self) {
        self.answers.add_permits(1);
    }
}

impl ReplayStore for Slow {
    fn remember(&self, proof: UsedProof) -> Step<Result<Sighting, ReplayStoreError>> {
        let slow = self.clone();
        Step::wait(async move {
            slow.questions.add_permits(1);
            slow.answers.acquire().await.map_err(ReplayStoreError::unavailable)?.forget();
            slow.store.remember(proof).answer().await
        })
    }
}

/// A service that remembers proofs elsewhere, and all that can be taken back there.
struct Bench {
    world: World,
    proofs: Slow,
    revocations: InMemoryRevocations,
    applications: Applications,
    layer: DelegationLayer,
    service: Served,
    key: DpopKey,
}

fn shop_web(world: &World) -> ApplicationBuilder {
    Application::builder("shop-web", ApplicationKind::Application)
        .issuer(world.idp.issuer())
        .add_client_id("shop-web")
        .allow_any_workload()
        .add_scope("orders:read")
        .acts_for_users()
}

impl Bench {
    async fn new() -> Self {
        let world = World::new().await;
        let proofs = Slow::new();
        let revocations = InMemoryRevocations::new().clock(world.clock.clone());
        let applications = Applications::builder().add_application(shop_web(&world)).build().unwrap();
        let layer = world
            .layer()
            .dpop(Dpop::at(ORIGIN).replay_store(proofs.clone()))
            .revocations(revocations.clone())
            .applications(applications.clone())
            .build()
            .unwrap();
        let service = Served::start(whoami().layer(layer.clone())).await;
        let key = DpopKey::generate().clock(world.clock.clone());
        Self { world, proofs, revocations, applications, layer, service, key }
    }

    /// A request during whose wait for the store `change` happens.
    async fn send(&self, token: &str, change: impl AsyncFnOnce(&Self)) -> Answer {
        let proof = self.key.proof("GET", format!("{ORIGIN}/")).for_token(token).sign();
        let request = self.service.request(Method::GET, "/");
        let request = request.header("authorization", format!("DPoP {token}")).header("dpop", proof);
        let (answer, ()) = tokio::join!(Answer::of(request), async {
            self.proofs.until_asked().await;
            change(self).await;
            self.proofs.answer();
        });
        answer
    }
}

/// The store of used proofs may take its time. What ends, is withdrawn or is taken back
/// meanwhile counts.
#[tokio::test]
async fn what_ends_while_a_proof_is_remembered_is_refused() {
    type Change = fn(&Bench) -> futures_util::future::BoxFuture<'_, ()>;
    let audit = AuditLog::listen();
    let rows: [(&str, Change, u16, &str); 8] = [
        ("nothing", |_| Box::pin(async {}), 200, ""),
        (
            "the subject is revoked",
            |bench| {
                Box::pin(async {
                    let revocation = Revocation::subject(bench.world.idp.issuer(), "alice");
                    bench.revocations.revoke(revocation).unwrap();
                })
            },
            401,
            "subject_revoked",
        ),
        (
            "another subject is revoked",
            |bench| {
                Box::pin(async {
                    let revocation = Revocation::subject(bench.world.idp.issuer(), "bob");
                    bench.revocations.revoke(revocation).unwrap();
                })
            },
            200,
            "",
        ),
        (
            "the token expires",
            |bench| Box::pin(async { bench.world.clock.advance(10 * MINUTE) }),
            401,
            "token_expired",
        ),
        (
            "the proof becomes too old to be accepted",
            |bench| Box::pin(async { bench.world.clock.advance(2 * MINUTE) }),
            401,
            "dpop_proof_expired",
        ),
        (
            "the proof becomes older, and not too old",
            |bench| Box::pin(async { bench.world.clock.advance(MINUTE / 2) }),
            200,
            "",
        ),
        (
            "the application is suspended",
            |bench| {
                Box::pin(async {
                    let suspended = shop_web(&bench.world).suspended();
                    bench.applications.replace(Applications::builder().add_application(suspended)).unwrap();
                })
            },
            403,
            "client_suspended",
        ),
        (
            "the key is withdrawn",
            |bench| {
                Box::pin(async {
                    bench.world.idp.rotate_keys();
                    bench.world.idp.withdraw_old_keys();
                    bench.layer.refresh_keys().await;
                })
            },
            503,
            "keys_unavailable",
        ),
    ];
    for (name, change, status, reason) in rows {
        let bench = Bench::new().await;
        let token = bench.world.token().expires_in(5 * MINUTE).bound_to_key(&bench.key).sign();
        let answer = bench.send(&token, async |_| {}).await;
        assert_eq!(answer.status, 200, "{name}: before");
        let _ = audit.take();
        let answer = bench.send(&token, async |bench| change(bench).await).await;
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        assert_eq!(audit.one().field("reason"), reason, "{name}");
    }
}

/// A certificate is judged before the keys are waited for, and may be good no longer
/// when they are there.
#[tokio::test]
async fn a_certificate_that_ends_while_keys_are_fetched_proves_nothing() {
    let world = World::new().await;
    let identity = world.pki.workload("/shop").issue();
    let token = world.token().bound_to_certificate(identity.certificate_der()).sign();
    for (name, is_replaced, expected) in [("the same anchors", false, 200), ("other anchors", true, 401)] {
        let site = world.serve_tls(world.whoami_of_tls_clients()).await;
        let client = world.client(Some(&identity));
        let fetches = world.idp.requests(Endpoint::Jwks);
        let hold = world.idp.hold(Endpoint::Jwks);
        let (answer, ()) = tokio::join!(site.get(&client, "/", &token), async {
            world.idp.wait_for_requests(Endpoint::Jwks, fetches + 1).await;
            if is_replaced {
                let server = world.pki.server().issue();
                let settings = TlsConfig::builder()
                    .server_certificate(Pem::text(server.chain_pem()), Pem::text(server.key_pem()))
                    .accept_client_certificates(Pem::text(TestPki::new().bundle_pem()));
                site.config.replace(settings).unwrap();
            }
            hold.release();
        });
        assert_eq!(answer.status, expected, "{name}: {answer:?}");
    }
}
