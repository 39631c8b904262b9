//! The fixture: orders, which calls stock for its callers.

use std::sync::Arc;

use axum::{Router, extract::State, http::Request, response::IntoResponse as _, routing::get};
use integration_tests::{Answer, Served, World};
use serde_json::{Value, json};
use tower_delegation::{
    DelegationContext, DelegationLayer, Dpop, Requirement, TrustedIssuer,
    exchange::{AuthorizationServer, ClientAuthentication, Downstream, Exchange},
    http_client::HttpClient,
    issuer::ClaimMapping,
    layer::DelegationLayerBuilder,
};
use tower_delegation_testing::{MockClient, TokenBuilder, USER_CLAIM};

pub(crate) const STOCK: &str = "https://stock.example.com";

/// The client that orders is at the provider.
pub(crate) const ORDERS: &str = "orders";

pub(crate) struct Shop {
    pub(crate) world: World,
    pub(crate) layer: DelegationLayer,
    pub(crate) exchange: Exchange,
    pub(crate) orders: Served,
    /// Keeps stock alive.
    _stock: Served,
}

impl Shop {
    pub(crate) async fn new() -> Self {
        Self::with(|layer| layer, |downstream| downstream).await
    }

    pub(crate) async fn with(
        layer: impl FnOnce(DelegationLayerBuilder) -> DelegationLayerBuilder,
        downstream: impl FnOnce(Downstream) -> Downstream,
    ) -> Self {
        Self::of(World::new().await, layer, downstream).await
    }

    pub(crate) async fn of(
        world: World,
        layer: impl FnOnce(DelegationLayerBuilder) -> DelegationLayerBuilder,
        downstream: impl FnOnce(Downstream) -> Downstream,
    ) -> Self {
        let stock = stock(&world, |dpop| dpop).await;
        let downstream = downstream(usual(&stock, server(&world)).reads(terms(&world)));
        Self::assemble(world, stock, layer, downstream).await
    }

    /// With another client at the provider, which the test registers.
    pub(crate) async fn of_client(
        world: World,
        client: ClientAuthentication,
        http_client: HttpClient,
        downstream: impl FnOnce(Downstream) -> Downstream,
    ) -> Self {
        let server = AuthorizationServer::discover(world.idp.issuer()).unwrap();
        let server = server.client(ORDERS, client).http_client(http_client);
        Self::of_server(world, server, downstream).await
    }

    /// With another server, and a client there that the test registers.
    pub(crate) async fn of_server(
        world: World,
        server: AuthorizationServer,
        downstream: impl FnOnce(Downstream) -> Downstream,
    ) -> Self {
        let stock = stock(&world, |dpop| dpop).await;
        let downstream = downstream(usual(&stock, server).reads(terms(&world)));
        Self::of_downstream(world, stock, |layer| layer, downstream).await
    }

    /// With a stock that takes DPoP proofs in another way.
    pub(crate) async fn of_stock(
        dpop: impl FnOnce(Dpop) -> Dpop,
        downstream: impl FnOnce(Downstream) -> Downstream,
    ) -> Self {
        let world = World::new().await;
        let stock = stock(&world, dpop).await;
        let downstream = downstream(usual(&stock, server(&world)).reads(terms(&world)));
        Self::assemble(world, stock, |layer| layer, downstream).await
    }

    /// With tokens that are not read.
    pub(crate) async fn opaque() -> Self {
        let world = World::new().await;
        let stock = stock(&world, |dpop| dpop).await;
        let downstream = usual(&stock, server(&world)).opaque("the server's tokens are opaque");
        Self::assemble(world, stock, |layer| layer, downstream).await
    }

    async fn assemble(
        world: World,
        stock: Served,
        layer: impl FnOnce(DelegationLayerBuilder) -> DelegationLayerBuilder,
        downstream: Downstream,
    ) -> Self {
        world.idp.register(MockClient::new(ORDERS).secret_basic("s3cret/+: ü"));
        Self::of_downstream(world, stock, layer, downstream).await
    }

    async fn of_downstream(
        world: World,
        stock: Served,
        layer: impl FnOnce(DelegationLayerBuilder) -> DelegationLayerBuilder,
        downstream: Downstream,
    ) -> Self {
        let layer = layer(world.layer()).build().unwrap();
        let exchange = layer.exchange(downstream).unwrap();
        let orders = Served::start(orders(exchange.clone()).layer(layer.clone())).await;
        Self { world, layer, exchange, orders, _stock: stock }
    }

    /// alice, through shop-web.
    pub(crate) fn token(&self) -> TokenBuilder {
        self.world.token().scopes(["stock:read", "orders:read"])
    }

    pub(crate) async fn call(&self, token: &str) -> Answer {
        self.orders.get("/stock", token).await
    }

    /// What stock saw of a call that it served.
    pub(crate) async fn seen(&self, token: &str) -> Value {
        let answer = self.call(token).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }

    pub(crate) fn exchanges(&self) -> usize {
        self.world.idp.token_requests().len()
    }
}

/// The server that exchanges tokens.
pub(crate) fn server(world: &World) -> AuthorizationServer {
    AuthorizationServer::discover(world.idp.issuer())
        .unwrap()
        .client(ORDERS, ClientAuthentication::secret_basic("s3cret/+: ü"))
}

/// The terms by which tokens for stock are read.
pub(crate) fn terms(world: &World) -> TrustedIssuer {
    let terms = TrustedIssuer::discover(world.idp.issuer()).unwrap();
    let terms = terms.may_speak_for("https://agents.example.com");
    terms.claim_mapping(ClaimMapping::rfc9068().tenant("tenant")).add_user_claim(USER_CLAIM)
}

fn usual(stock: &Served, server: AuthorizationServer) -> Downstream {
    Downstream::new("stock", &stock.base, server)
        .resource(STOCK)
        .require(Requirement::named("calls stock").on_behalf_of_user())
        .add_scopes(["stock:read", "stock:write"])
}

/// Answers what its token says.
async fn stock(world: &World, dpop: impl FnOnce(Dpop) -> Dpop) -> Served {
    let issuer = TrustedIssuer::discover(world.idp.issuer()).unwrap();
    let issuer = issuer.add_audience(STOCK).add_user_claim(USER_CLAIM);
    let layer = DelegationLayer::builder().add_issuer(issuer).clock(world.clock.clone());
    let seen = async |delegation: DelegationContext| {
        let actors: Vec<_> = delegation.actors().iter().map(|actor| actor.id().to_string()).collect();
        axum::Json(json!({
            "sub": delegation.subject().id().as_str(),
            "actors": actors,
            "aud": delegation.audience().iter().map(ToString::to_string).collect::<Vec<_>>(),
            "scope": delegation.scopes().as_str(),
            "exp": delegation.expires_at().unix_seconds(),
            "sender_constraint": delegation.sender_constraint().as_str(),
        }))
    };
    Served::start_with(|base| {
        let layer = layer.dpop(dpop(Dpop::at(base))).build().unwrap();
        Router::new().route("/items", get(seen)).layer(layer)
    })
    .await
}

/// Calls stock for its caller, and hands on its answer.
fn orders(exchange: Exchange) -> Router {
    let stock = async |State(exchange): State<Arc<Exchange>>, delegation: DelegationContext| {
        let token = match exchange.on_behalf_of(&delegation).token().await {
            Ok(token) => token,
            Err(error) => return tower_delegation::Rejection::from(error).into_response(),
        };
        let url = format!("{}items", exchange.url());
        let send = async || {
            let mut request = Request::get(&url).body(reqwest::Body::default()).unwrap();
            token.authorize(&mut request).unwrap();
            reqwest::Client::default().execute(request.try_into().unwrap()).await.unwrap()
        };
        let mut response = send().await;
        if token.learn_nonce(response.headers()) && response.status() == 401 {
            response = send().await;
        }
        (response.status(), response.text().await.unwrap()).into_response()
    };
    Router::new().route("/stock", get(stock)).with_state(Arc::new(exchange))
}
