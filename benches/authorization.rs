//! `cargo bench --bench authorization`: what decisions and their record add to a
//! request whose token has been seen before, in one process and on one thread.
//!
//! | benchmark | what it is |
//! |---|---|
//! | `requirement/{n}` | evaluating a requirement of `n` demands |
//! | `request/plain` | one of 100 plain tokens, no rule |
//! | `request/table/{n}` | the same behind a table of `n` routes: raw paths are matched |
//! | `request/audit/null` | the same, and the event goes to a queue whose writer discards it |
//! | `request/audit/json-lines` | the same, and the event goes to JSON lines in a file |
//! | `request/everything` | bound to the connection's certificate, a registry, a million revocations, a table whose row has ten demands, JSON lines |

use std::{
    fs::File,
    hint::black_box,
    time::{Duration, Instant},
};

use axum::{Router, body::Body};
use criterion::Criterion;
use http::{Request, StatusCode, header::AUTHORIZATION};
use tokio::runtime::{Builder, Runtime};
use tower::Service as _;
use tower_delegation::{
    Applications, ClientIdentity, DelegationLayer, RequestFacts, Requirement, RouteTable, RouteTableLayer,
    TrustedIssuer,
    application::{Application, ApplicationKind},
    audit::{Audit, AuditEvent, AuditSink, JsonLines, Overflow, SinkError},
    credential::{CertificateTrust, PeerInfo},
    layer::DelegationLayerBuilder,
    requirement::Decision,
    revocation::{InMemoryRevocations, Revocation},
};
use tower_delegation_benches::{AUDIENCE, PATH, Provider, ours, subject::BATCH};
use tower_delegation_testing::{Algorithm, TestPki};

/// How many tokens are live at the same time.
const LIVE: usize = 100;

const CLIENT: &str = "orders-web";
const WORKLOAD: &str = "spiffe://example.org/orders";

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .nresamples(10_000)
        .configure_from_args();
    let server = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let client = Builder::new_current_thread().enable_all().build().unwrap();
    let bench = Bench { provider: Provider::start(&server, Algorithm::Es256), client };
    bench.requirements(&mut criterion);
    bench.requests(&mut criterion);
    criterion.final_summary();
}

struct Bench {
    provider: Provider,
    client: Runtime,
}

/// Writes nothing, as fast as can be.
#[derive(Debug)]
struct Null;

impl AuditSink for Null {
    fn record(&self, event: &AuditEvent) -> Result<(), SinkError> {
        black_box(event);
        Ok(())
    }
}

impl Bench {
    fn requirements(&self, criterion: &mut Criterion) {
        let layer = self.layer(|layer| layer);
        let token = self.provider.token().actor("copilot").earlier_actor("planner").sign();
        let delegation = self.client.block_on(layer.authenticator().verify(&token)).unwrap();
        let ten = Requirement::named("ten")
            .issuer(self.provider.issuer())
            .audience(AUDIENCE)
            .max_token_lifetime(Duration::from_secs(24 * 3600))
            .delegated()
            .max_actors(4)
            .deny_actor("worm")
            .actor("copilot")
            .client(CLIENT)
            .acr("urn:mace:incommon:iap:silver")
            .scope("orders:write");
        for (name, requirement) in [
            ("0", Requirement::named("none")),
            ("1", Requirement::named("one").scope("orders:write")),
            ("10", ten),
        ] {
            let facts = RequestFacts::none();
            assert_eq!(requirement.evaluate(&delegation, &facts), Decision::Allow, "{name}");
            criterion.bench_function(&format!("requirement/{name}"), |bencher| {
                bencher.iter(|| black_box(&requirement).evaluate(black_box(&delegation), &facts));
            });
        }
    }

    fn requests(&self, criterion: &mut Criterion) {
        let plain: Vec<String> = self.provider.stream().take(LIVE).collect();
        let pki = TestPki::new();
        let identity = pki.workload("/orders").issue();
        let bound = self.provider.token().bound_to_certificate(identity.certificate_der());
        let bound: Vec<String> = (0..LIVE).map(|_| bound.clone().sign()).collect();
        let trust = CertificateTrust::ChainedToTrustAnchor;
        let peer =
            PeerInfo::with_certificate(([127, 0, 0, 1], 1).into(), &identity.chain_der(), trust).unwrap();

        let bare = |layer: DelegationLayer| ours::router().layer(layer);
        self.row(criterion, "request/plain", bare(self.layer(|layer| layer)), &plain, &peer);
        for count in [10, 1_000, 10_000] {
            // A service of plain tower finds its row by the path, as a table can do without axum.
            let table = table(count, "any_caller = true");
            let guarded = Router::new().fallback(async || "ok").layer(RouteTableLayer::new(&table));
            let router = guarded.layer(self.layer(|layer| layer));
            self.row(criterion, &format!("request/table/{count}"), router, &plain, &peer);
        }
        let null = self.layer(|layer| layer.add_audit(Audit::new(Null).overflow(Overflow::DropAndCount)));
        self.row(criterion, "request/audit/null", bare(null), &plain, &peer);
        let lines = || {
            let file = File::create(std::env::temp_dir().join("tower-delegation-bench.jsonl")).unwrap();
            Audit::new(JsonLines::to(file)).overflow(Overflow::DropAndCount)
        };
        let json = self.layer(|layer| layer.add_audit(lines()));
        self.row(criterion, "request/audit/json-lines", bare(json), &plain, &peer);
        self.row(criterion, "request/everything", self.everything(lines()), &bound, &peer);
    }

    fn everything(&self, audit: Audit) -> Router {
        let application = Application::builder(CLIENT, ApplicationKind::Application)
            .issuer(self.provider.issuer())
            .add_client_id(CLIENT)
            .add_workload(WORKLOAD)
            .add_scopes(["openid", "profile", "orders:read", "orders:write", "invoices:read"])
            .acts_for_users();
        let applications = Applications::builder().add_application(application).build().unwrap();
        let revocations = InMemoryRevocations::new();
        let revoked = (0..1_000_000).map(|id| Revocation::token(self.provider.issuer(), id.to_string()));
        revocations.revoke_each(revoked).unwrap();
        let layer = self.layer(|layer| {
            layer
                .client_identity(ClientIdentity::from_tls())
                .applications(applications)
                .revocations(revocations)
                .add_audit(audit)
        });
        let row = format!(
            r#"
            issuer = "{issuer}"
            audience = "{AUDIENCE}"
            max_token_lifetime = 86400
            mutual_tls = true
            workload = "{WORKLOAD}"
            on_behalf_of_user = true
            not_delegated = true
            client = "{CLIENT}"
            presenter_kind = "application"
            scope = "orders:write"
            "#,
            issuer = self.provider.issuer(),
        );
        ours::router().layer(RouteTableLayer::new(&table(100, &row))).layer(layer)
    }

    fn layer(
        &self,
        settings: impl FnOnce(DelegationLayerBuilder) -> DelegationLayerBuilder,
    ) -> DelegationLayer {
        let issuer = TrustedIssuer::with_static_keys(self.provider.issuer(), &self.provider.jwks()).unwrap();
        settings(
            DelegationLayer::builder().add_issuer(issuer.add_audience(AUDIENCE).add_user_claim("preferred_username")),
        )
        .build()
        .unwrap()
    }

    fn row(
        &self,
        criterion: &mut Criterion,
        name: &str,
        service: Router,
        tokens: &[String],
        peer: &PeerInfo,
    ) {
        let mut service = service.with_state(());
        self.time(&mut service, LIVE as u64, tokens, peer);
        criterion.bench_function(name, |bencher| {
            bencher.iter_custom(|count| self.time(&mut service, count, tokens, peer));
        });
    }

    /// How long `count` requests take. Making them does not count.
    fn time(&self, service: &mut Router, count: u64, tokens: &[String], peer: &PeerInfo) -> Duration {
        let count = usize::try_from(count).unwrap();
        let mut elapsed = Duration::ZERO;
        for first in (0..count).step_by(BATCH) {
            let numbers = first..count.min(first + BATCH);
            let batch: Vec<_> = numbers.map(|number| request(&tokens[number % tokens.len()], peer)).collect();
            elapsed += self.client.block_on(async {
                let start = Instant::now();
                for request in batch {
                    let response = black_box(service.call(black_box(request)).await.unwrap());
                    assert_eq!(response.status(), StatusCode::OK);
                }
                start.elapsed()
            });
        }
        elapsed
    }
}

/// A table whose row for the measured path stands among `count` others.
fn table(count: usize, row: &str) -> RouteTable {
    let mut text = format!("[[route]]\nmethods = [\"GET\"]\npath = \"{PATH}\"\n{row}\n");
    for number in 1..count {
        text += &format!(
            "[[route]]\nmethods = [\"GET\"]\npath = \"/area{}/{{id}}/part{number}\"\nany_caller = true\n",
            number % 50
        );
    }
    RouteTable::from_toml(&text).unwrap()
}

fn request(token: &str, peer: &PeerInfo) -> Request<Body> {
    let mut request =
        Request::get(PATH).header(AUTHORIZATION, format!("Bearer {token}")).body(Body::empty()).unwrap();
    request.extensions_mut().insert(peer.clone());
    request
}
