//! Which request a proof is for: its method, and its URI as the client sent it.

use axum::{Router, routing::get};
use integration_tests::{AuditLog, Served};
use reqwest::Method;
use tower_delegation::{DenialReason as R, Dpop};

use super::{Call, Client, ORIGIN, assert_refused, whoami};

impl Client {
    /// `GET` of `path` with a proof for `uri`.
    fn get(&self, path: &str, uri: &str) -> Call {
        let token = self.token().sign();
        let proof = self.key.proof("GET", uri).for_token(&token);
        Call { path: path.to_owned(), ..self.call_with(&token, proof) }
    }
}

#[tokio::test]
async fn r9449_4_3_h2_the_path_is_the_one_that_the_client_sent() {
    let client = Client::new().await;
    let layer = client.layer(|dpop| dpop).build().unwrap();
    let orders = || Router::new().route("/orders/{id}", get(whoami));
    let inside = Router::new().nest("/v1", orders().layer(layer.clone()));
    let deeper = Router::new().nest("/v1", Router::new().nest("/shop", orders().layer(layer.clone())));
    let around = Router::new().nest("/v1", orders()).layer(layer);
    for (name, router, path) in [
        ("the layer is inside", inside, "/v1/orders/7"),
        ("two levels", deeper, "/v1/shop/orders/7"),
        ("the layer is around", around, "/v1/orders/7"),
    ] {
        let service = Served::start(router).await;
        let answer = client.get(path, &format!("{ORIGIN}{path}")).send(&service).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.body);
        let stripped = client.get(path, &format!("{ORIGIN}/orders/7")).send(&service).await;
        assert_refused(name, &stripped, R::DpopProofUriMismatch);
    }
}

#[tokio::test]
async fn r9449_4_3_h1_the_origin_comes_from_the_configuration() {
    let client = Client::new().await;
    let service = client.serve().await;
    let good = client.call();
    for (name, field, value) in [
        ("Host", "host", "evil.example"),
        ("X-Forwarded-Host", "x-forwarded-host", "evil.example"),
        ("X-Forwarded-Proto", "x-forwarded-proto", "http"),
        ("Forwarded", "forwarded", "host=evil.example;proto=http"),
    ] {
        for (uri, status) in [
            ("https://evil.example/orders", 401),
            ("http://evil.example/orders", 401),
            ("http://api.example.com/orders", 401),
            ("https://api.example.com/orders", 200),
        ] {
            let call = client.get("/orders", uri);
            let request = service.request(Method::GET, "/orders").header(field, value);
            let request =
                request.header("authorization", &call.authorization[0]).header("dpop", &call.proofs[0]);
            assert_eq!(request.send().await.unwrap().status(), status, "{name} {uri}");
        }
    }
    assert_eq!(good.send(&service).await.status, 200);
}

#[tokio::test]
async fn several_origins_and_a_prefix_that_a_proxy_takes_off() {
    let client = Client::new().await;
    let dpop = |_: Dpop| Dpop::at("https://shop.example/api/").add_origin("https://orders.internal:8443");
    let service = client.serve_with(dpop).await;
    for (uri, status) in [
        ("https://shop.example/api/orders", 200),
        ("https://orders.internal:8443/orders", 200),
        ("https://shop.example/orders", 401),
        ("https://shop.example/api/api/orders", 401),
        ("https://orders.internal/orders", 401),
        ("https://orders.internal:8443/api/orders", 401),
    ] {
        assert_eq!(client.get("/orders", uri).send(&service).await.status, status, "{uri}");
    }
}

#[tokio::test]
async fn r9449_4_3_8_head_is_not_get() {
    let client = Client::new().await;
    let audit = AuditLog::listen();
    let service = client.serve().await;
    let head = |method: &str| {
        let token = client.token().sign();
        let proof = client.key.proof(method, format!("{ORIGIN}/orders")).for_token(&token);
        Call { method: Method::HEAD, ..client.call_with(&token, proof) }
    };
    // axum serves HEAD by the handler of GET, which makes no difference here.
    assert_eq!(head("HEAD").send(&service).await.status, 200);
    let _ = audit.take();
    for method in ["GET", "head", "Head", ""] {
        assert_eq!(head(method).send(&service).await.status, 401, "{method:?}");
        assert_eq!(audit.one().field("reason"), "dpop_proof_method_mismatch", "{method:?}");
    }
}

#[tokio::test]
async fn r9449_4_3_9_spellings_of_the_path_and_the_query() {
    let client = Client::new().await;
    let service = client.serve().await;
    for (name, path, uri, status) in [
        ("the query does not count", "/orders?page=2", "https://api.example.com/orders", 200),
        ("nor does the proof's", "/orders?page=2", "https://api.example.com/orders?page=3", 200),
        ("an encoded slash", "/orders/a%2fb", "https://api.example.com/orders/a%2Fb", 200),
        ("unreserved", "/orders/%7Ea", "https://api.example.com/orders/~a", 200),
        ("a slash is no encoded one", "/orders/a%2fb", "https://api.example.com/orders/a/b", 401),
        ("reserved", "/orders/a%3Ab", "https://api.example.com/orders/a:b", 401),
    ] {
        let answer = client.get(path, uri).send(&service).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.body);
    }
}
