//! Tokens as the provider issues them.

use serde_json::json;
use tower_delegation::DenialReason as R;
use tower_delegation_testing::DpopKey;

use super::{ALGORITHMS, Provider};
use crate::{Gate, tampered};

#[tokio::test]
async fn tokens_of_every_algorithm_open_the_service() {
    let Some(provider) = Provider::start() else { return };
    let gate = Gate::behind(provider.layer().build().unwrap()).await;
    for algorithm in ALGORITHMS {
        let token = provider.token(algorithm).await;
        let seen = json!({ "subject": "worker", "client": "worker", "scopes": "orders:read", "user": false });
        assert_eq!(gate.judge(&token).await, Ok(seen), "{algorithm}");
        for (name, token) in tampered(&token) {
            gate.assert_refused(name, &token, R::SignatureInvalid).await;
        }
    }
}

#[tokio::test]
async fn a_user_is_told_from_the_application() {
    let Some(mut provider) = Provider::start() else { return };
    let gate = Gate::behind(provider.layer().build().unwrap()).await;
    let tokens = provider.user_tokens("alice").await;
    let seen =
        json!({ "subject": "alice", "client": "web", "scopes": "orders:read orders:write", "user": true });
    assert_eq!(gate.judge(&tokens.access).await, Ok(seen));
    gate.assert_refused("ID token", &tokens.id, R::TypeNotAccepted).await;
}

#[tokio::test]
async fn refused() {
    let Some(provider) = Provider::start() else { return };
    let gate = Gate::behind(provider.layer().build().unwrap()).await;
    let (good, other) = (provider.token("ES256").await, provider.token("ES256").await);
    let (signing_input, _) = good.rsplit_once('.').unwrap();
    let (_, signature_of_other) = other.rsplit_once('.').unwrap();
    let elsewhere = provider.token_for("https://stock.example.com/ES256").await;
    for (name, token, reason) in [
        ("for another API", elsewhere, R::AudienceMismatch),
        ("opaque", provider.token("opaque").await, R::TokenMalformed),
        ("bound to a key", provider.key_bound_token(&DpopKey::generate()).await, R::ConfirmationUnsupported),
        ("signature of another", format!("{signing_input}.{signature_of_other}"), R::SignatureInvalid),
        ("without a signature", format!("{signing_input}."), R::SignatureInvalid),
    ] {
        gate.assert_refused(name, &token, reason).await;
    }
    assert!(gate.judge(&good).await.is_ok());
}
