//! No route without a rule: guarded routers, route tables, the last net, and
//! the inventories that come of them.
#![expect(clippy::unwrap_used, reason = "tests")]

mod applications;
mod documents;
mod guarded;
mod table;
mod undecided;

use integration_tests::AUDIENCE;
use tower_delegation::{DelegationLayer, TrustedIssuer, layer::DelegationLayerBuilder};
use tower_delegation_testing::{MockIdp, TokenBuilder, USER_CLAIM};

/// A provider, and the trust in it.
struct World {
    idp: MockIdp,
}

impl World {
    async fn new() -> Self {
        Self { idp: MockIdp::builder().audience(AUDIENCE).start().await }
    }

    fn layer(&self) -> DelegationLayerBuilder {
        let issuer = TrustedIssuer::discover(self.idp.issuer())
            .unwrap()
            .add_audience(AUDIENCE)
            .add_user_claim(USER_CLAIM);
        DelegationLayer::builder().add_issuer(issuer)
    }

    /// alice, through shop-web.
    fn token(&self, scopes: &[&str]) -> TokenBuilder {
        self.idp.token().user("alice").client("shop-web").scopes(scopes.iter().copied())
    }
}

/// What the compiler says of a route without a rule.
#[test]
fn an_unruled_route_does_not_compile() {
    let cases = trybuild::TestCases::new();
    cases.pass("ui/route_inventory/pass/*.rs");
    cases.compile_fail("ui/route_inventory/fail/*.rs");
}
