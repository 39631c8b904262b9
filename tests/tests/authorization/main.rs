//! The whole vocabulary of a requirement, through real requests: what each
//! demand refuses, and what it lets in.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod applications;
mod attributes;
mod challenges;
mod comparisons;
mod composition;
mod declaration;
mod details;
mod dpop;
mod grants;
mod leniency;
mod parties;
mod scenarios;
mod token;

use std::time::Duration;

use axum::{Router, routing::get};
use integration_tests::{Answer, AuditLog, Served, World};
use reqwest::{Method, RequestBuilder};
use tower_delegation::{
    DenialReason as R, RequireLayer, Requirement, layer::DelegationLayerBuilder, reason::RejectionKind,
};
use tower_delegation_testing::TokenBuilder;

/// Where requests go unless a row says otherwise: tenant, then account.
const PATH: &str = "/acme/accounts/alice";

type Change = fn(TokenBuilder) -> TokenBuilder;

/// One demand, one token. `None`: let in.
type Row = (&'static str, Requirement, Change, Option<R>);

/// What this binary asks of a [`World`].
trait Judging {
    /// A good token: alice of acme, through shop-web, may read orders.
    fn member(&self) -> TokenBuilder;
    /// `GET /{tenant}/accounts/{account}` behind this requirement.
    async fn guard(&self, requirement: Requirement) -> Served;
    /// The same behind this layer.
    async fn guard_behind(&self, layer: DelegationLayerBuilder, requirement: Requirement) -> Served;
    /// Sends each row's token, and reads answer and audit event.
    async fn check(&self, rows: Vec<Row>);
    /// The same with a token and a path of each row's own.
    async fn check_requests(&self, rows: Vec<(&str, Requirement, String, &str, Option<R>)>);
}

impl Judging for World {
    fn member(&self) -> TokenBuilder {
        self.token().claim("tenant", "acme").expires_in(Duration::from_secs(3600))
    }

    async fn guard(&self, requirement: Requirement) -> Served {
        self.guard_behind(self.layer(), requirement).await
    }

    async fn guard_behind(&self, layer: DelegationLayerBuilder, requirement: Requirement) -> Served {
        let guard = RequireLayer::new(requirement).unwrap();
        let router =
            Router::new().route("/{tenant}/accounts/{account}", get(async || "in").route_layer(guard));
        Served::start(router.layer(layer.build().unwrap())).await
    }

    async fn check(&self, rows: Vec<Row>) {
        let requests = rows.into_iter().map(|(name, requirement, change, expected)| {
            (name, requirement, change(self.member()).sign(), PATH, expected)
        });
        self.check_requests(requests.collect()).await;
    }

    async fn check_requests(&self, rows: Vec<(&str, Requirement, String, &str, Option<R>)>) {
        let audit = AuditLog::listen();
        let mut router = Router::new();
        for (at, (_, requirement, ..)) in rows.iter().enumerate() {
            let guard = RequireLayer::new(requirement.clone()).unwrap();
            let path = format!("/{at}/{{tenant}}/accounts/{{account}}");
            router = router.route(&path, get(async || "in").route_layer(guard));
        }
        let service = Served::start(router.layer(self.layer().build().unwrap())).await;
        for (at, (name, _, token, path, expected)) in rows.into_iter().enumerate() {
            let request = service.request(Method::GET, &format!("/{at}{path}")).bearer_auth(token);
            judge(name, request, expected, &audit).await;
        }
    }
}

/// Is the answer the one that this denial has, or a success?
async fn judge(name: &str, request: RequestBuilder, expected: Option<R>, audit: &AuditLog) {
    let answer = Answer::of(request).await;
    assert_eq!(audit.one().field("reason"), expected.map_or("", R::code), "{name}");
    let (status, error) = match expected.map(R::kind) {
        None => (200, None),
        Some(RejectionKind::InvalidToken) => (401, Some("invalid_token")),
        Some(RejectionKind::InsufficientUserAuthentication) => {
            (401, Some("insufficient_user_authentication"))
        }
        Some(RejectionKind::InsufficientScope) => (403, Some("insufficient_scope")),
        Some(RejectionKind::Misconfigured) => (500, None),
        Some(_) => (403, None),
    };
    assert_eq!(answer.status, status, "{name}: {}", answer.body);
    if status == 200 || status == 500 {
        assert_eq!(answer.challenges, [""; 0], "{name}");
    } else {
        assert_eq!(parameter(answer.challenge(), "error").as_deref(), error, "{name}");
    }
}

/// The challenge read by a parser that is not ours: one `Bearer` challenge, and
/// this parameter of it.
fn parameter(challenge: &str, name: &str) -> Option<String> {
    let parsed = http_auth::parse_challenges(challenge).unwrap();
    let [bearer] = parsed.as_slice() else { panic!("{challenge}") };
    assert_eq!(bearer.scheme, "Bearer");
    let mut named = bearer.params.iter().filter(|(known, _)| *known == name);
    let value = named.next().map(|(_, value)| value.to_unescaped());
    assert!(named.next().is_none(), "{name} is given twice: {challenge}");
    value
}
