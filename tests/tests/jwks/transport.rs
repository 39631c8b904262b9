//! Where keys are fetched from, and which answers are taken.

use axum::http::{Response, StatusCode};
use integration_tests::AUDIENCE;
use tower_delegation::{ConfigError, DelegationLayer, TrustedIssuer, jwks::KeySourceErrorKind};
use tower_delegation_testing::{Endpoint, MockIdp};

use crate::{Observed, lasting};

#[tokio::test]
async fn redirects_are_not_followed() {
    let world = lasting().await;
    let stranger = MockIdp::builder().clock(world.clock.clone()).start().await;
    let neighbour = world.idp.issuer_at("/neighbour");
    let redirect = |status: u16, location: &str| {
        Response::builder().status(status).header("location", location).body("").unwrap()
    };
    for status in [301, 302, 303, 307, 308] {
        for (name, keys, metadata) in [
            ("same origin", neighbour.jwks_uri(), neighbour.issuer()),
            ("other origin", stranger.jwks_uri(), stranger.issuer()),
        ] {
            world.idp.answer_with(Endpoint::Jwks, redirect(status, &keys));
            let service = world.service();
            let answer = service.call(&world.token().sign()).await;
            assert_eq!(answer, StatusCode::SERVICE_UNAVAILABLE, "{status}, {name}");
            assert_eq!(service.last_error(), Some(KeySourceErrorKind::Refused), "{status}, {name}");
            world.idp.recover(Endpoint::Jwks);

            let metadata = format!("{metadata}/.well-known/openid-configuration");
            world.idp.answer_with(Endpoint::Discovery, redirect(status, &metadata));
            let service = world.service();
            let answer = service.call(&world.token().sign()).await;
            assert_eq!(answer, StatusCode::SERVICE_UNAVAILABLE, "metadata: {status}, {name}");
            world.idp.recover(Endpoint::Discovery);
        }
    }
    for issuer in [&neighbour, &*stranger] {
        assert_eq!((issuer.requests(Endpoint::Jwks), issuer.requests(Endpoint::Discovery)), (0, 0));
    }
}

#[tokio::test]
async fn a_key_set_is_taken_of_any_media_type_and_metadata_of_a_json_one() {
    let world = lasting().await;
    let rows = [
        (Some("application/json"), true),
        (Some("Application/JSON; charset=utf-8"), true),
        (Some("application/jwk-set+json"), true),
        (Some("text/html"), false),
        (Some("text/plain"), false),
        (Some("application/jsonp"), false),
        (Some("application/octet-stream"), false),
        (Some("binary/octet-stream"), false),
        (Some(""), false),
        (None, false),
    ];
    let typed = |document: String, content_type: Option<&str>| {
        let mut answer = Response::new(document);
        if let Some(content_type) = content_type {
            answer.headers_mut().insert("content-type", content_type.parse().unwrap());
        }
        answer
    };
    for (content_type, is_json) in rows {
        world.idp.answer_with(Endpoint::Jwks, typed(world.idp.jwks().to_string(), content_type));
        let service = world.service();
        assert_eq!(service.call(&world.token().sign()).await, StatusCode::OK, "{content_type:?}");

        world.idp.answer_with(Endpoint::Discovery, typed(world.idp.metadata().to_string(), content_type));
        let service = world.service();
        let expected = if is_json { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        assert_eq!(service.call(&world.token().sign()).await, expected, "metadata: {content_type:?}");
        world.idp.recover(Endpoint::Discovery);
    }
    for status in [201, 203, 204, 206, 304, 400, 401, 403, 410, 429, 500] {
        let answer = Response::builder().status(status).header("content-type", "application/json");
        world.idp.answer_with(Endpoint::Jwks, answer.body(world.idp.jwks().to_string()).unwrap());
        let service = world.service();
        let answer = service.call(&world.token().sign()).await;
        assert_eq!(answer, StatusCode::SERVICE_UNAVAILABLE, "status {status}");
    }
}

#[tokio::test]
async fn nothing_is_asked_for_in_a_coding_and_one_that_comes_is_an_error_of_its_own() {
    let world = lasting().await;
    let service = world.warm_service().await;
    for endpoint in [Endpoint::Discovery, Endpoint::Jwks] {
        let sent = world.idp.last_request_headers(endpoint).unwrap();
        assert_eq!(sent["accept-encoding"], "identity", "{endpoint:?}");
    }
    assert_eq!(service.call_at_once(&world.token().sign()), StatusCode::OK);
    let documents = [
        (Endpoint::Jwks, world.idp.jwks().to_string()),
        (Endpoint::Discovery, world.idp.metadata().to_string()),
    ];
    for (endpoint, document) in documents {
        for (coding, is_taken) in
            [("identity", true), ("", true), ("gzip", false), ("br", false), ("identity, zstd", false)]
        {
            // Also where the body is not in the coding that its field names.
            let answer = Response::builder().header("content-encoding", coding);
            let answer = answer.header("content-type", "application/json");
            world.idp.answer_with(endpoint, answer.body(document.clone()).unwrap());
            let service = world.service();
            let expected = if is_taken { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            assert_eq!(service.call(&world.token().sign()).await, expected, "{endpoint:?} {coding}");
            let error = (!is_taken).then_some(KeySourceErrorKind::ContentEncoding);
            assert_eq!(service.last_error(), error, "{endpoint:?} {coding}");
        }
        world.idp.recover(endpoint);
    }
}

#[test]
fn plain_http_to_another_machine_does_not_build() {
    let issuer = "https://idp.example.com";
    for url in ["http://idp.example.com/jwks", "http://192.0.2.1/jwks", "ftp://idp.example.com/jwks", "/jwks"]
    {
        for made in [
            TrustedIssuer::with_jwks_url(issuer, url),
            TrustedIssuer::discover(url),
            TrustedIssuer::discover_at(issuer, url),
        ] {
            let built = made.and_then(|issuer| {
                DelegationLayer::builder().add_issuer(issuer.add_audience(AUDIENCE)).build()
            });
            assert!(matches!(built, Err(ConfigError::InvalidUrl { .. })), "{url}");
        }
    }
}

/// That an `https` issuer's metadata cannot send us to plain `http` on a
/// loopback address either is shown beside the code, in `issuer/discovery.rs`:
/// it takes a provider with a certificate.
#[tokio::test]
async fn metadata_does_not_lead_to_plain_http_nor_to_credentials() {
    let world = lasting().await;
    let address = world.idp.address();
    for jwks_uri in [
        "http://idp.example.com/jwks".to_owned(),
        "http://192.0.2.1/jwks".to_owned(),
        format!("http://user:secret@{address}/jwks"),
        "file:///etc/jwks".to_owned(),
        "/jwks".to_owned(),
        String::new(),
    ] {
        world.idp.set_metadata("jwks_uri", jwks_uri.as_str());
        let service = world.service();
        let answer = service.call(&world.token().sign()).await;
        assert_eq!(answer, StatusCode::SERVICE_UNAVAILABLE, "{jwks_uri}");
        assert_eq!(service.last_error(), Some(KeySourceErrorKind::MetadataInvalid), "{jwks_uri}");
    }
    world.idp.remove_metadata("jwks_uri");
    let service = world.service();
    assert_eq!(service.call(&world.token().sign()).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(world.fetches(), 0);
}

#[tokio::test]
async fn metadata_of_another_issuer_is_not_followed() {
    let world = lasting().await;
    let evil = world.idp.issuer_at("/evil");
    let own = world.idp.issuer();
    for named in [evil.issuer().to_owned(), format!("{own}/"), own.replace("http", "HTTP"), String::new()] {
        world.idp.set_metadata("issuer", named.as_str());
        world.idp.set_metadata("jwks_uri", evil.jwks_uri());
        let service = world.service();
        for token in [world.token(), evil.token().issuer(own).audience(AUDIENCE)] {
            assert_eq!(service.call(&token.sign()).await, StatusCode::SERVICE_UNAVAILABLE, "{named:?}");
        }
        assert_eq!(service.last_error(), Some(KeySourceErrorKind::IssuerMismatch), "{named:?}");
    }
    assert_eq!(evil.requests(Endpoint::Jwks), 0);
}

#[tokio::test]
async fn what_is_sent_names_no_key_and_no_token() {
    let world = lasting().await;
    let service = world.warm_service().await;
    let token = world.token().header("kid", "../stranger?a=b").sign();
    assert_eq!(service.call(&token).await, StatusCode::UNAUTHORIZED);
    assert_eq!(world.fetches(), 2, "at the same path as ever");
    let sent = world.idp.last_request_headers(Endpoint::Jwks).unwrap();
    for name in ["authorization", "cookie", "referer"] {
        assert!(!sent.contains_key(name), "{name}");
    }
    assert!(!format!("{sent:?}").contains("stranger"), "{sent:?}");
}
