//! Tokens that the provider binds to the certificate or the key of their holder.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use integration_tests::AuditLog;
use serde_json::{Value, json};
use tower_delegation::{ClientIdentity, DenialReason as R};
use tower_delegation_testing::MtlsClient;

use super::{Provider, WORKER, claims_of, resource};
use crate::{Gate, tls::TlsSite};

#[tokio::test]
async fn a_certificate_bound_token_works_for_its_holder_and_for_nobody_else() {
    let Some(provider) = Provider::start() else { return };
    let worker = provider.pki.workload(WORKER).issue();
    let (other, renewed) =
        (provider.pki.workload("/shop/other").issue(), provider.pki.workload(WORKER).issue());
    let token = provider.certificate_bound_token(&worker, &resource("ES256")).await;
    let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, &worker.chain_der()[0]));
    assert_eq!(claims_of(&token)["cnf"], json!({ "x5t#S256": thumbprint }));

    let audit = AuditLog::listen();
    let layer = || provider.layer().client_identity(ClientIdentity::from_tls());
    let site = TlsSite::start(layer().build().unwrap(), &provider.pki).await;
    let unaware = TlsSite::start(provider.layer().build().unwrap(), &provider.pki).await;
    let client = MtlsClient::new(&provider.pki);
    let [holder, thief, renewed] =
        [&worker, &other, &renewed].map(|identity| client.clone().identity(identity).build());
    let nobody = client.build();
    let plain = provider.token("ES256").await;
    let refused = |reason: R| Err(reason.code().to_owned());
    let seen =
        |subject: &str, workload: &str, constraint: &str| Ok(format!("{subject} {workload} {constraint}"));
    let spiffe_id = format!("spiffe://example.org{WORKER}");
    // Twice, since the second time the token is in the cache.
    for round in 0..2 {
        for (name, site, client, token, expected) in [
            ("another certificate", &site, &thief, &token, refused(R::ConfirmationMismatch)),
            (
                "another certificate of the same name",
                &site,
                &renewed,
                &token,
                refused(R::ConfirmationMismatch),
            ),
            ("no certificate", &site, &nobody, &token, refused(R::CertificateMissing)),
            ("nobody looks", &unaware, &holder, &token, refused(R::ConfirmationUnsupported)),
            ("its own certificate", &site, &holder, &token, seen("mtls-worker", &spiffe_id, "mutual_tls")),
            ("plain, with a certificate", &site, &holder, &plain, seen("worker", &spiffe_id, "none")),
            ("plain, without one", &site, &nobody, &plain, seen("worker", "-", "none")),
        ] {
            assert_eq!(site.judge(&audit, client, "/", Some(token)).await, expected, "{name}, {round}");
        }
        for (name, token, expected) in [
            ("bound", &token, Ok("bound".to_owned())),
            ("plain", &plain, refused(R::SenderConstraintMissing)),
        ] {
            assert_eq!(site.judge(&audit, &holder, "/bound", Some(token)).await, expected, "{name}, {round}");
        }
    }
    // Where TLS ends elsewhere, and nobody says who the client is.
    Gate::behind(provider.layer().build().unwrap())
        .await
        .assert_refused("no TLS", &token, R::ConfirmationUnsupported)
        .await;
}

/// Without it, the tokens above would prove nothing.
#[tokio::test]
async fn the_provider_itself_looks_at_the_certificate() {
    let Some(provider) = Provider::start() else { return };
    let other = provider.pki.workload("/shop/other").issue();
    let own = provider.pki.workload(WORKER).self_signed().issue();
    for (name, identity) in
        [("none", None), ("of another workload", Some(&other)), ("self-signed", Some(&own))]
    {
        let answer = provider.ask_for_certificate_bound(identity, &resource("ES256")).await;
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["error"], "invalid_client", "{name}: {body}");
    }
}

/// The library cannot check a proof of possession (RFC 9449) yet.
#[tokio::test]
async fn a_key_bound_token_is_no_plain_bearer_token() {
    let Some(mut provider) = Provider::start() else { return };
    let token = provider.key_bound_token().await;
    assert!(claims_of(&token)["cnf"]["jkt"].is_string());
    let audit = AuditLog::listen();
    let layer = provider.layer().client_identity(ClientIdentity::from_tls()).build().unwrap();
    let site = TlsSite::start(layer, &provider.pki).await;
    let worker = provider.pki.workload(WORKER).issue();
    let client = MtlsClient::new(&provider.pki);
    for client in [client.build(), client.clone().identity(&worker).build()] {
        let refused = Err(R::ConfirmationUnsupported.code().to_owned());
        assert_eq!(site.judge(&audit, &client, "/", Some(&token)).await, refused);
    }
}
