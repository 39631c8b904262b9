//! Bodies pass while they are made: large ones, and slow ones.

use std::{convert::Infallible, time::Duration};

use axum::{Router, body::Body, extract::Request, routing::post};
use bytes::Bytes;
use http_body_util::channel::{Channel, Sender};
use reqwest::Response;

use crate::site::{Gateway, Site};

/// Sends back what it is sent, piece by piece.
fn echo() -> Router {
    Router::new().route("/orders", post(async |request: Request| Body::new(request.into_body())))
}

/// Starts a request whose body is sent by hand.
async fn begin(site: &Site, gateway: &Gateway) -> (Sender<Bytes, Infallible>, Response) {
    let (mut sender, body) = Channel::<Bytes, Infallible>::new(1);
    let request = site.client().post(format!("{}/orders", gateway.api)).bearer_auth(site.alice().sign());
    let sending = tokio::spawn(request.body(reqwest::Body::wrap(body)).send());
    sender.send_data(Bytes::from_static(b"begun ")).await.unwrap();
    let response = sending.await.unwrap().unwrap();
    assert_eq!(response.status(), 200);
    (sender, response)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_piece_passes_before_the_next_is_there() {
    let site = Site::of(echo()).await;
    let gateway = site.start().await;
    let (mut sender, mut response) = begin(&site, &gateway).await;
    assert_eq!(response.chunk().await.unwrap().unwrap(), "begun ");
    for piece in ["one ", "two ", "three"] {
        sender.send_data(Bytes::from_static(piece.as_bytes())).await.unwrap();
        assert_eq!(response.chunk().await.unwrap().unwrap(), piece);
    }
    drop(sender);
    assert_eq!(response.text().await.unwrap(), "", "and the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_may_be_large() {
    let site = Site::of(echo()).await;
    let gateway = site.start().await;
    let body: Vec<u8> = (0..16 * 1024 * 1024_u32).map(|at| at.to_le_bytes()[0]).collect();
    let request = site.client().post(format!("{}/orders", gateway.api)).bearer_auth(site.alice().sign());
    let answer = request.body(body.clone()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.bytes().await.unwrap() == body, "every byte, in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_may_be_slow_for_longer_than_the_time_out() {
    let site = Site::of(echo()).await;
    site.idle_timeout(Duration::from_secs(1));
    let gateway = site.start().await;
    let (mut sender, response) = begin(&site, &gateway).await;
    for _ in 0..15 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        sender.send_data(Bytes::from_static(b".")).await.unwrap();
    }
    drop(sender);
    assert_eq!(response.text().await.unwrap(), "begun ...............");
}
