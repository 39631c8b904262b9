//! A redirect of a downstream takes no token anywhere.

use http::Response;
use reqwest::{ClientBuilder, redirect};
use tower_delegation::exchange::outgoing::DownstreamClient;

use crate::{shop::Shop, witness::Witness};

const STATUSES: [u16; 5] = [301, 302, 303, 307, 308];

/// Sends everyone to `location`, by the status that the path names.
async fn redirecting(location: String) -> Witness {
    Witness::answering(move |seen| {
        let status = seen.line.rsplit('/').next().and_then(|status| status.parse::<u16>().ok());
        let answer = Response::builder().header("location", &location);
        answer.status(status.unwrap_or(200)).body(String::new()).unwrap()
    })
    .await
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_nothing_goes_along() {
    let shop = Shop::new().await;
    let caller = shop.caller().await;
    let elsewhere = Witness::start().await;
    let port = elsewhere.served.base.rsplit(':').next().unwrap();
    for (name, location) in [
        ("another port", format!("{}/landed", elsewhere.served.base)),
        ("another host", format!("http://localhost:{port}/landed")),
        ("without a scheme", format!("//127.0.0.1:{port}/landed")),
        ("its own origin", String::from("/landed")),
    ] {
        let stock = redirecting(location).await;
        let exchange = || shop.exchange_at(&stock.served.base);
        let eager = ClientBuilder::new().redirect(redirect::Policy::limited(5)).referer(true);
        for client in [
            DownstreamClient::new(exchange()).unwrap(),
            DownstreamClient::with_client(exchange(), eager).unwrap(),
        ] {
            for status in STATUSES {
                let path = format!("/{status}");
                let answer = client.post(&path).body("x").on_behalf_of(&caller).send().await.unwrap();
                assert_eq!(answer.status(), status, "{name}");
                let answer = client.get(&path).dangerous_with_callers_token("why", &caller).send().await;
                assert_eq!(answer.unwrap().status(), status, "{name}");
                assert_eq!(stock.take().len(), 2, "{name}: it is asked once each time");
            }
        }
    }
    assert_eq!(elsewhere.take().len(), 0);
}

#[tokio::test]
async fn the_control_follows_redirects() {
    let elsewhere = Witness::start().await;
    let stock = redirecting(format!("{}/landed", elsewhere.served.base)).await;
    let client = ClientBuilder::new().build().unwrap();
    let request =
        client.get(format!("{}/307", stock.served.base)).header("dpop", "proof").bearer_auth("token");
    request.send().await.unwrap();
    let seen = elsewhere.one();
    assert_eq!(seen.field("authorization"), None, "reqwest removes what it knows");
    assert_eq!(seen.field("dpop"), Some("proof"), "and takes along what it does not");
}
