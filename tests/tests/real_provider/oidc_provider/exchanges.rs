//! Exchanges, of which the provider judges who asks, and what the token is bound to.

use std::sync::Arc;

use axum::{Router, extract::State, routing::get};
use integration_tests::{AUDIENCE, Served};
use reqwest::Client;
use tower_delegation::{
    DelegationContext, DelegationLayer, Dpop, Requirement, TrustedIssuer,
    exchange::{AuthorizationServer, ClientAuthentication, Downstream, Exchange, SigningKey},
    http_client::HttpClient,
    jwks::SignatureAlgorithm,
};
use tower_delegation_testing::{ClientKey, TestIdentity};

use super::{Provider, WORKER, resource};

/// What stock is called in `aud`. It is asked for by another name, which tells the provider how
/// to sign.
const STOCK: &str = "https://stock.example.com";

fn signing(key: &ClientKey) -> SigningKey {
    let signing = SigningKey::from_pem(key.private_key_pem(), SignatureAlgorithm::Es256);
    signing.unwrap().key_id(key.key_id())
}

impl Provider {
    fn terms(&self) -> TrustedIssuer {
        TrustedIssuer::discover(&self.issuer).unwrap().assume_user_unless_client()
    }

    fn assertion(&self) -> ClientAuthentication {
        ClientAuthentication::private_key_jwt(signing(&self.client_key))
    }

    /// Stock, as `client` asks for it.
    fn stock(
        &self,
        client: &str,
        proof: ClientAuthentication,
        identity: Option<&TestIdentity>,
    ) -> Downstream {
        self.stock_at(STOCK, client, proof, identity)
    }

    fn stock_at(
        &self,
        url: &str,
        client: &str,
        proof: ClientAuthentication,
        identity: Option<&TestIdentity>,
    ) -> Downstream {
        let http = HttpClient::new().add_root_certificates(self.pki.bundle_pem());
        let http = match identity {
            Some(identity) => http.client_certificate(identity.chain_pem(), identity.key_pem()),
            None => http,
        };
        let server = AuthorizationServer::discover(&self.issuer).unwrap();
        Downstream::new("stock", url, server.client(client, proof).http_client(http))
            .resource("https://stock.example.com/ES256")
            .audience(STOCK)
            .require(Requirement::named("calls stock").on_behalf_of_user())
            .add_scopes(["orders:read"])
            .reads(self.terms())
    }
}

/// What comes of asking for a token on behalf of a user: nothing that went wrong, or the
/// provider's code and the reason.
async fn outcome(
    layer: &DelegationLayer,
    stock: Downstream,
    token: &str,
) -> Result<(), (String, &'static str)> {
    let exchange = layer.exchange(stock).unwrap();
    let caller = layer.authenticator().verify(token).await.unwrap();
    let token = exchange.on_behalf_of(&caller).token().await;
    token
        .map(drop)
        .map_err(|error| (error.oauth_error().unwrap_or_default().to_owned(), error.reason().code()))
}

#[tokio::test]
async fn the_provider_takes_our_client_for_what_it_proves() {
    let Some(mut provider) = Provider::start() else { return };
    let layer = provider.layer().build().unwrap();
    let token = provider.user_tokens("alice").await.access;
    let worker = provider.pki.workload(WORKER).issue();
    let other = provider.pki.workload("/shop/other").issue();
    let stranger = || ClientAuthentication::private_key_jwt(signing(&ClientKey::generate()));
    let secret = || ClientAuthentication::secret_basic("guessed");
    let mutual_tls = ClientAuthentication::mutual_tls;
    let misconfigured = |code: &str| Err((code.to_owned(), "exchange_misconfigured"));
    let rows = [
        ("7523-2.2-1: an assertion", provider.stock("orders-jwt", provider.assertion(), None), Ok(())),
        (
            "an assertion by another key",
            provider.stock("orders-jwt", stranger(), None),
            misconfigured("invalid_client"),
        ),
        ("a secret", provider.stock("orders-jwt", secret(), None), misconfigured("invalid_client")),
        (
            "a certificate in place of an assertion",
            provider.stock("orders-jwt", mutual_tls(), Some(&worker)),
            misconfigured("invalid_client"),
        ),
        (
            "a client that is not known",
            provider.stock("nobody", provider.assertion(), None),
            misconfigured("invalid_client"),
        ),
        (
            "8705-2: a certificate, to which the token is bound",
            provider.stock("orders-mtls", mutual_tls(), Some(&worker)).certificate_bound(),
            Ok(()),
        ),
        (
            "8705-2: of another workload",
            provider.stock("orders-mtls", mutual_tls(), Some(&other)).certificate_bound(),
            misconfigured("invalid_client"),
        ),
        (
            "an assertion in place of a certificate",
            provider.stock("orders-mtls", provider.assertion(), Some(&worker)).certificate_bound(),
            misconfigured("invalid_client"),
        ),
        (
            "8705-3: bound, where that was not agreed",
            provider.stock("orders-mtls", mutual_tls(), Some(&worker)),
            Err((String::new(), "exchange_binding_mismatch")),
        ),
        (
            "8705-3: not bound, where that was agreed",
            provider.stock("orders-jwt", provider.assertion(), Some(&worker)).certificate_bound(),
            Err((String::new(), "exchange_binding_mismatch")),
        ),
        (
            "9449-5: a proof, with the nonce that is demanded",
            provider.stock("orders-dpop", provider.assertion(), None).dpop_bound(),
            Ok(()),
        ),
        (
            "9449-5: no proof",
            provider.stock("orders-dpop", provider.assertion(), None),
            // It says of our own request what RFC 6749 section 5.2 says of the caller's grant.
            Err(("invalid_grant".to_owned(), "exchange_subject_refused")),
        ),
        (
            "9449-5: a proof of a client that need not have one",
            provider.stock("orders-jwt", provider.assertion(), None).dpop_bound(),
            Ok(()),
        ),
        (
            "8693-c7: for another audience",
            provider.stock("orders-jwt", provider.assertion(), None).audience(AUDIENCE),
            Err((String::new(), "exchange_audience_mismatch")),
        ),
        (
            "8707-2: a target that it does not serve",
            provider.stock("orders-jwt", provider.assertion(), None).resource(&resource("HS256")),
            misconfigured("invalid_target"),
        ),
    ];
    for (name, stock, expected) in rows {
        assert_eq!(outcome(&layer, stock, &token).await, expected, "{name}");
    }
}

#[tokio::test]
async fn a_key_bound_token_is_served_by_the_downstream_with_our_proof() {
    let Some(mut provider) = Provider::start() else { return };
    let http = HttpClient::new().add_root_certificates(provider.pki.bundle_pem());
    let layer = DelegationLayer::builder().http_client(http);
    let layer = layer.add_issuer(provider.terms().add_audience(STOCK));
    let whoami = async |delegation: DelegationContext| delegation.subject().id().to_string();
    let stock = Served::start_with(|base| {
        Router::new().route("/", get(whoami)).layer(layer.dpop(Dpop::at(base)).build().unwrap())
    })
    .await;

    let layer = provider.layer().build().unwrap();
    let bound = provider.stock_at(&stock.base, "orders-dpop", provider.assertion(), None).dpop_bound();
    let exchange = layer.exchange(bound).unwrap();
    let call = async |State(exchange): State<Arc<Exchange>>, delegation: DelegationContext| {
        let token = exchange.on_behalf_of(&delegation).token().await.unwrap();
        let mut request = http::Request::get(exchange.url()).body(reqwest::Body::default()).unwrap();
        token.authorize(&mut request).unwrap();
        let answer = Client::default().execute(request.try_into().unwrap()).await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    let orders = Router::new().route("/", get(call)).with_state(Arc::new(exchange)).layer(layer);
    let orders = Served::start(orders).await;
    let token = provider.user_tokens("alice").await.access;
    let answer = orders.get("/", &token).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "alice"));
}
