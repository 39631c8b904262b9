//! What the caller reads where something does not work: 502 and 504 are about the service
//! behind, 503 about the gateway's own issuer, 408 about the caller.

use std::{convert::Infallible, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{StatusCode, header::WWW_AUTHENTICATE},
    response::IntoResponse as _,
    routing::{get, post},
};
use bytes::Bytes;
use http_body_util::channel::Channel;
use reqwest::Response;
use serde_json::Value;
use tokio::net::TcpListener;
use tower_delegation_testing::Endpoint;

use crate::site::{Gateway, Site};

async fn read(site: &Site, gateway: &Gateway) -> Response {
    let request = site.client().get(format!("{}/orders", gateway.api));
    request.bearer_auth(site.alice().sign()).send().await.unwrap()
}

async fn code(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let problem: Value = answer.json().await.unwrap();
    (status, problem["code"].as_str().unwrap().to_owned())
}

fn expected(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn a_service_that_cannot_be_reached_is_a_502() {
    let mut site = Site::of(Router::new()).await;
    let gateway = site.start().await;
    site.end_service();
    while code(read(&site, &gateway).await).await != expected(502, "upstream_unreachable") {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_service_without_tls_is_a_502_and_gets_no_token() {
    let site = Site::of(Router::new()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    site.configure(&format!("https://{}", listener.local_addr().unwrap()), "30000");
    let plain = Router::new().route("/orders", get(async || "welcome"));
    let served = tokio::spawn(async move { axum::serve(listener, plain).await });
    let gateway = site.start().await;
    assert_eq!(code(read(&site, &gateway).await).await, expected(502, "upstream_unreachable"));
    served.abort();
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_a_504() {
    let hangs = async || -> StatusCode { std::future::pending().await };
    let site = Site::of(Router::new().route("/orders", get(hangs))).await;
    site.idle_timeout(Duration::from_millis(200));
    let gateway = site.start().await;
    assert_eq!(code(read(&site, &gateway).await).await, expected(504, "upstream_timeout"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_stops_sending_is_a_408() {
    let collects = async |body: Bytes| body.len().to_string();
    let site = Site::of(Router::new().route("/orders", post(collects))).await;
    site.idle_timeout(Duration::from_millis(200));
    let gateway = site.start().await;
    let (mut sender, body) = Channel::<Bytes, Infallible>::new(1);
    let request = site.client().post(format!("{}/orders", gateway.api)).bearer_auth(site.alice().sign());
    let sending = tokio::spawn(request.body(reqwest::Body::wrap(body)).send());
    sender.send_data(Bytes::from_static(b"begun")).await.unwrap();
    let answer = sending.await.unwrap().unwrap();
    assert_eq!(code(answer).await, expected(408, "request_stalled"));
}

#[tokio::test]
async fn an_answer_that_stops_is_broken_off() {
    let stops = async || {
        let (mut sender, body) = Channel::<Bytes, Infallible>::new(1);
        sender.send_data(Bytes::from_static(b"begun")).await.unwrap();
        // Neither more nor an end.
        std::mem::forget(sender);
        Body::new(body)
    };
    let site = Site::of(Router::new().route("/orders", get(stops))).await;
    site.idle_timeout(Duration::from_millis(200));
    let gateway = site.start().await;
    let mut answer = read(&site, &gateway).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "begun");
    assert!(answer.chunk().await.is_err(), "the caller sees that it is not whole");
}

#[tokio::test]
async fn what_the_gateway_lacks_itself_is_a_503_and_the_services_own_503_is_another() {
    let busy = async || (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "7")], "busy").into_response();
    let site = Site::of(Router::new().route("/orders", get(busy))).await;
    let gateway = site.start().await;
    let answer = read(&site, &gateway).await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (503, &"7".parse().unwrap()));
    assert_eq!(answer.text().await.unwrap(), "busy");
    site.idp.fail_with(Endpoint::Token, StatusCode::BAD_GATEWAY);
    let answer = read(&site, &gateway).await;
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(code(answer).await, expected(503, "temporarily_unavailable"));
}

#[tokio::test]
async fn a_refusal_of_the_service_asks_the_caller_for_its_own_token() {
    let refuses = async || {
        let challenge = "DPoP realm=\"internal\", resource_metadata=\"https://orders.internal/\"";
        (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, challenge)], "{}").into_response()
    };
    let site = Site::of(Router::new().route("/orders", get(refuses))).await;
    let gateway = site.start().await;
    let answer = read(&site, &gateway).await;
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.headers()[WWW_AUTHENTICATE], "Bearer error=\"invalid_token\"");
}

#[tokio::test]
async fn the_gateways_certificate_is_followed() {
    let site = Site::of(Router::new().route("/orders", get(async || "read"))).await;
    site.present("/edge/other");
    let gateway = site.start().await;
    assert_eq!(
        read(&site, &gateway).await.status(),
        403,
        "the service knows this workload, and not as the gateway"
    );
    site.present(crate::site::WORKLOAD);
    while read(&site, &gateway).await.status() != 200 {
        tokio::task::yield_now().await;
    }
}
