use serde_json::json;

use super::*;
use crate::{ClientAuthMethod, Endpoint};

#[tokio::test]
async fn requests_are_remembered_without_their_secrets_in_debug() {
    let (idp, _) = idp().await;
    assert!(idp.last_token_request().is_none());
    let user = idp.token().scopes(["orders:read"]).sign();
    let more = [("resource", STOCK), ("resource", "https://b.example"), ("scope", "orders:read")];
    exchange(&idp, &user, &more).await;

    let seen = idp.last_token_request().unwrap();
    assert_eq!(seen.parameter("subject_token"), Some(user.as_str()));
    assert_eq!(seen.parameters("resource").collect::<Vec<_>>(), [STOCK, "https://b.example"]);
    assert_eq!(seen.parameter("actor_token"), None);
    assert_eq!(seen.parameter_names().next(), Some("grant_type"));
    assert_eq!(seen.client_id(), Some("gateway"));
    assert_eq!(seen.client_auth_method(), Some(ClientAuthMethod::ClientSecretBasic));
    assert_eq!(seen.error(), None);
    assert!(seen.headers().contains_key(header::AUTHORIZATION));
    let shown = format!("{seen:?}");
    assert!(shown.contains(STOCK) && shown.contains("subject_token"), "{shown}");
    assert!(!shown.contains(&user) && !shown.contains("s3:cret") && !shown.contains("Basic "), "{shown}");

    let post_form =
        [("client_id", "gateway"), ("client_secret", "s3:cret"), ("grant_type", "x"), ("odd", "S")];
    http().post(idp.token_endpoint()).form(&post_form).send().await.unwrap();
    let seen = idp.last_token_request().unwrap();
    assert_eq!(seen.client_auth_method(), Some(ClientAuthMethod::ClientSecretPost));
    assert_eq!(seen.error(), Some("unsupported_grant_type"));
    assert_eq!(seen.parameter("client_secret"), Some("s3:cret"));
    let shown = format!("{seen:?}");
    assert!(
        !shown.contains("s3:cret") && !shown.contains("\"S\""),
        "what is not known may be secret: {shown}"
    );

    post(&idp, ("gateway", "wrong"), &[("grant_type", "client_credentials")]).await;
    let seen = idp.last_token_request().unwrap();
    assert_eq!((seen.client_id(), seen.error()), (None, Some("invalid_client")));
    assert_eq!(idp.token_requests().len(), 3);
    assert_eq!(idp.requests(Endpoint::Token), 3);
}

#[tokio::test]
async fn a_secret_is_accepted_where_it_is_registered() {
    let (idp, _) = idp().await;
    idp.register(MockClient::new("basic").secret_basic("s"));
    idp.register(MockClient::new("post").secret_post("s"));
    idp.register(MockClient::new("none"));
    idp.register(MockClient::new("two").secret("old").secret("new"));
    let grant = ("grant_type", "client_credentials");
    for (name, id, secret, by_basic, by_post) in [
        ("basic only", "basic", "s", 200, 401),
        ("post only", "post", "s", 401, 200),
        ("without a credential", "none", "", 401, 401),
        ("two secrets, the old one", "two", "old", 200, 200),
        ("two secrets, the new one", "two", "new", 200, 200),
        ("two secrets, another", "two", "other", 401, 401),
    ] {
        let (status, answer) = post(&idp, (id, secret), &[grant]).await;
        assert_eq!(status, by_basic, "{name}: {answer}");
        assert!(status == 200 || answer["error"] == json!("invalid_client"), "{name}");
        let form = [grant, ("client_id", id), ("client_secret", secret)];
        let answer = http().post(idp.token_endpoint()).form(&form).send().await.unwrap();
        assert_eq!(answer.status(), by_post, "{name}");
    }
}

#[test]
fn debug_of_a_client_shows_its_methods() {
    let shown = format!("{:?}", MockClient::new("gateway").secret("s3:cret"));
    assert!(shown.contains("client_secret_basic") && !shown.contains("s3:cret"), "{shown}");
}
