//! Tokens that the provider binds to the certificate or the key of their holder.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::header::AUTHORIZATION;
use integration_tests::AuditLog;
use serde_json::{Value, json};
use tower_delegation::{ClientIdentity, DenialReason as R, Dpop};
use tower_delegation_testing::{DpopKey, MtlsClient};

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

/// The service that proofs are made for, whatever socket it listens on.
const ORIGIN: &str = "https://orders.example.com";

#[tokio::test]
async fn a_key_bound_token_works_for_its_holder_and_for_nobody_else() {
    let Some(provider) = Provider::start() else { return };
    let (key, thief) = (DpopKey::generate(), DpopKey::generate());
    let token = provider.key_bound_token(&key).await;
    assert_eq!(claims_of(&token)["cnf"], json!({ "jkt": key.thumbprint() }));

    let audit = AuditLog::listen();
    let layer = provider.layer().client_identity(ClientIdentity::from_tls());
    let unaware = TlsSite::start(layer.build().unwrap(), &provider.pki).await;
    let layer = provider.layer().client_identity(ClientIdentity::from_tls()).dpop(Dpop::at(ORIGIN));
    let site = TlsSite::start(layer.build().unwrap(), &provider.pki).await;
    let client = MtlsClient::new(&provider.pki).build();
    let proof = |key: &DpopKey, path| key.proof("GET", format!("{ORIGIN}{path}")).for_token(&token);
    let used = proof(&key, "/").sign();
    let plain = provider.token("ES256").await;
    let of_plain = key.proof("GET", format!("{ORIGIN}/")).for_token(&plain).sign();
    let accepted = |text: &str| Ok(text.to_owned());
    let refused = |reason: R| Err(reason.code().to_owned());
    for (name, site, path, authorization, proof, expected) in [
        ("no proof", &site, "/", format!("DPoP {token}"), None, refused(R::DpopProofMissing)),
        ("as bearer", &site, "/", format!("Bearer {token}"), None, refused(R::DpopTokenAsBearer)),
        (
            "as bearer, with a proof",
            &site,
            "/",
            format!("Bearer {token}"),
            Some(proof(&key, "/").sign()),
            refused(R::DpopTokenAsBearer),
        ),
        (
            "of another key",
            &site,
            "/",
            format!("DPoP {token}"),
            Some(proof(&thief, "/").sign()),
            refused(R::DpopKeyMismatch),
        ),
        (
            "for another path",
            &site,
            "/",
            format!("DPoP {token}"),
            Some(proof(&key, "/bound").sign()),
            refused(R::DpopProofUriMismatch),
        ),
        (
            "for another token",
            &site,
            "/",
            format!("DPoP {token}"),
            Some(of_plain.clone()),
            refused(R::DpopProofTokenMismatch),
        ),
        ("its own proof", &site, "/", format!("DPoP {token}"), Some(used.clone()), accepted("wallet - dpop")),
        ("replayed", &site, "/", format!("DPoP {token}"), Some(used), refused(R::DpopProofReplayed)),
        (
            "another proof, from the cache",
            &site,
            "/bound",
            format!("DPoP {token}"),
            Some(proof(&key, "/bound").sign()),
            accepted("bound"),
        ),
        (
            "a plain token with a proof",
            &site,
            "/",
            format!("DPoP {plain}"),
            Some(of_plain),
            refused(R::DpopTokenUnbound),
        ),
        (
            "nobody looks",
            &unaware,
            "/",
            format!("DPoP {token}"),
            Some(proof(&key, "/").sign()),
            refused(R::SchemeUnsupported),
        ),
        (
            "nobody looks, as bearer",
            &unaware,
            "/",
            format!("Bearer {token}"),
            None,
            refused(R::ConfirmationUnsupported),
        ),
    ] {
        let request = site.get(&client, path).header(AUTHORIZATION, authorization);
        let request = proof.into_iter().fold(request, |request, proof| request.header("DPoP", proof));
        assert_eq!(TlsSite::judge_request(&audit, request).await, expected, "{name}");
    }
}

/// As above: a provider that looked at no proof would prove nothing here.
#[tokio::test]
async fn the_provider_itself_looks_at_the_proof() {
    let Some(provider) = Provider::start() else { return };
    let key = DpopKey::generate();
    let url = format!("{}/token", provider.issuer);
    let used = key.proof("POST", url.as_str()).sign();
    assert_eq!(provider.ask_for_key_bound(Some(&used)).send().await.unwrap().status(), 200);
    for (name, proof) in [
        ("none", None),
        ("replayed", Some(used)),
        ("for another place", Some(key.proof("POST", format!("{url}s")).sign())),
        (
            "signed by another key",
            Some(key.proof("POST", url.as_str()).sign_with(&DpopKey::generate()).sign()),
        ),
    ] {
        let answer = provider.ask_for_key_bound(proof.as_deref()).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{name}");
    }
}
