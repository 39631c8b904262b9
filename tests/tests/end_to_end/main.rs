//! From a real token on a socket to a handler that reads `DelegationContext`.
#![expect(clippy::unwrap_used, clippy::string_slice, reason = "tests")]

mod anonymous;
mod audit;
mod cached;
mod claims;
mod context;
mod issuers;
mod outage;
mod refusals;
mod requirement;
mod tower_contract;
mod typed;

use axum::{Router, routing::get};
use integration_tests::{AUDIENCE, Served};
use tower_delegation::{DelegationContext, DelegationLayer, TrustedIssuer, layer::DelegationLayerBuilder};
use tower_delegation_testing::{MockIdp, TestClock, TokenBuilder, USER_CLAIM};

/// A provider, and a clock that it shares with the service.
struct World {
    clock: TestClock,
    idp: MockIdp,
}

impl World {
    async fn new() -> Self {
        let clock = TestClock::new();
        let idp = MockIdp::builder().clock(clock.clone()).audience(AUDIENCE).start().await;
        Self { clock, idp }
    }

    /// The usual trust: the provider's metadata, this service's audience.
    fn issuer(&self) -> TrustedIssuer {
        TrustedIssuer::discover(self.idp.issuer()).unwrap().add_audience(AUDIENCE).add_user_claim(USER_CLAIM)
    }

    fn layer(&self) -> DelegationLayerBuilder {
        DelegationLayer::builder().add_issuer(self.issuer()).clock(self.clock.clone())
    }

    /// `GET /` answers the subject's id behind the usual layer.
    async fn serve(&self) -> Served {
        Served::start(whoami().layer(self.layer().build().unwrap())).await
    }

    /// A good token: alice, through shop-web, may read orders.
    fn token(&self) -> TokenBuilder {
        self.idp.token().user("alice").client("shop-web").scopes(["orders:read"])
    }
}

/// `GET /` answers the subject's id.
fn whoami() -> Router {
    Router::new().route("/", get(async |delegation: DelegationContext| delegation.subject().id().to_string()))
}
