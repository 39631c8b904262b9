//! The caller's own token is passed on only by a call that says that it is dangerous.

use std::time::Duration;

use http::{Request, StatusCode};
use integration_tests::AuditLog;
use tower_delegation::proof::Dpop;
use tower_delegation::{
    ClientIdentity,
    credential::{CertificateTrust, PeerInfo},
    names::IssuerUrl,
    revocation::{InMemoryRevocations, Revocation},
};
use tower_delegation_testing::{DpopKey, Endpoint};

use crate::{shop::Shop, witness::Witness};

#[tokio::test]
async fn it_goes_to_the_downstream_with_the_reason_on_record() {
    let (shop, stock) = (Shop::new().await, Witness::start().await);
    let client = shop.client_of(&stock);
    let token = shop.token().sign();
    let caller = shop.layer.authenticator().verify(&token).await.unwrap();
    let heard = AuditLog::listen();
    for _ in 0..2 {
        client
            .get("/items")
            .dangerous_with_callers_token("stock cannot exchange yet", &caller)
            .send()
            .await
            .unwrap();
        let seen = stock.one();
        assert_eq!(seen.field("authorization"), Some(&*format!("Bearer {token}")));
        let event = heard.one();
        assert_eq!(event.field("passed_on"), "stock cannot exchange yet");
        assert_eq!(event.field("downstream"), "stock");
        assert_eq!(event.field("subject"), "alice");
        assert_eq!(event.field("issued_scopes"), "stock:read orders:read");
        assert_eq!(event.field("decision"), "allow");
    }
    assert_eq!(shop.exchanges(), 0, "nothing is exchanged");
    let own = client.exchange().dangerous_callers_token("why", &caller).await.unwrap();
    for (url, is_own) in [(client.exchange().url(), true), ("http://127.0.0.1:1/", false), ("/items", false)]
    {
        let mut request = Request::get(url).body(()).unwrap();
        assert_eq!(own.authorize(&mut request).is_ok(), is_own, "{url}");
        assert!(!format!("{request:?}{own:?}").contains(&token), "{url}");
    }
}

#[tokio::test]
async fn it_is_refused_where_an_exchange_would_be_and_without_a_reason() {
    let revocations = InMemoryRevocations::new();
    let shop = Shop::with(|layer| layer.revocations(revocations.clone()), |stock| stock).await;
    let stock = Witness::start().await;
    let client = shop.client_of(&stock);
    let verify = async |token: String| shop.layer.authenticator().verify(&token).await.unwrap();
    let robot = verify(shop.world.idp.token().client("robot").scopes(["stock:read"]).sign()).await;
    let over = verify(shop.token().expires_in(Duration::from_secs(1)).sign()).await;
    let revoked = verify(shop.token().user("bob").sign()).await;
    revocations.revoke(Revocation::subject(IssuerUrl::from(shop.world.idp.issuer()), "bob")).unwrap();
    let other = shop.world.layer().build().unwrap();
    let of_another = other.authenticator().verify(&shop.token().sign()).await.unwrap();
    let alice = verify(shop.token().sign()).await;
    shop.world.clock.advance(Duration::from_secs(90));
    for (name, caller, reason, code, status) in [
        ("no user", &robot, "why", "not_on_behalf_of_user", 403),
        ("expired", &over, "why", "token_expired", 401),
        ("revoked", &revoked, "why", "subject_revoked", 401),
        ("of another layer", &of_another, "why", "exchange_misconfigured", 500),
        ("no reason", &alice, "", "exchange_misconfigured", 500),
        ("white space", &alice, " \t", "exchange_misconfigured", 500),
    ] {
        let heard = AuditLog::listen();
        let call = client.get("/items").dangerous_with_callers_token(reason, caller);
        let error = call.send().await.unwrap_err();
        assert_eq!((error.reason().code(), error.rejection().status().as_u16()), (code, status), "{name}");
        let event = heard.one();
        assert_eq!((event.field("decision"), event.field("reason")), ("deny", code), "{name}");
        assert_eq!(event.field("issued_scopes"), "", "{name}");
    }
    assert_eq!(stock.take().len(), 0);
    client.get("/items").dangerous_with_callers_token("why", &alice).send().await.unwrap();
    assert_eq!(stock.take().len(), 1);
}

#[tokio::test]
async fn a_token_that_is_bound_to_its_presenter_is_not_passed_on() {
    let origin = "https://orders.example.com";
    let shop = Shop::with(
        |layer| layer.client_identity(ClientIdentity::from_tls()).dpop(Dpop::at(origin)),
        |stock| stock,
    )
    .await;
    let stock = Witness::start().await;
    let client = shop.client_of(&stock);
    let identity = shop.world.workload("/shop");
    let key = DpopKey::generate().clock(shop.world.clock.clone());
    let trust = CertificateTrust::ChainedToTrustAnchor;
    let peer = PeerInfo::with_certificate(([127, 0, 0, 1], 1).into(), &identity.chain_der(), trust).unwrap();
    let plain = shop.token();
    let by_certificate = shop.token().bound_to_certificate(identity.certificate_der());
    let by_key = shop.token().bound_to_key(&key);
    for (name, token, scheme, is_bound) in [
        ("plain", plain, "Bearer", false),
        ("bound to a certificate", by_certificate, "Bearer", true),
        ("bound to a key", by_key, "DPoP", true),
    ] {
        let token = token.sign();
        let proof = key.proof("GET", format!("{origin}/items")).for_token(&token).sign();
        let mut request = Request::get("/items").header("authorization", format!("{scheme} {token}"));
        if scheme == "DPoP" {
            request = request.header("dpop", proof);
        }
        let mut head = request.extension(peer.clone()).body(()).unwrap().into_parts().0;
        let caller = shop.layer.authenticator().authenticate(&mut head).await.unwrap().unwrap();
        let answer = client.get("/items").dangerous_with_callers_token("why", &caller).send().await;
        let code = answer.as_ref().err().map(|error| error.reason().code());
        assert_eq!(code, is_bound.then_some("pass_through_bound"), "{name}");
        assert_eq!(stock.take().len(), usize::from(!is_bound), "{name}");
        if let Err(error) = answer {
            assert_eq!(error.rejection().status(), 500, "{name}");
        }
    }
}

#[tokio::test]
async fn it_is_never_what_becomes_of_an_exchange_that_fails() {
    let (shop, stock) = (Shop::new().await, Witness::start().await);
    let (client, caller) = (shop.client_of(&stock), shop.caller().await);
    for status in [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND] {
        shop.world.idp.fail_with(Endpoint::Token, status);
        shop.world.clock.advance(Duration::from_secs(6));
        client.get("/items").on_behalf_of(&caller).send().await.unwrap_err();
        assert_eq!(stock.take().len(), 0, "{status}");
    }
}
