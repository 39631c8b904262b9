use std::time::Duration;

use serde_json::json;
use tower_delegation::clock::Timestamp;

use super::*;
use crate::{ClientKey, DpopKey, ExchangeFault, USER_CLAIM, keys::from_base64url};

const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const GATEWAY: (&str, &str) = ("gateway", "s3:cret");

/// An identity provider, and the authorization server of a resource.
async fn two() -> (MockIdp, MockIssuer, TestClock) {
    let (idp, clock) = idp().await;
    let resource = idp.issuer_at("/resource");
    resource.register_client("gateway", "s3:cret");
    resource.accept_grants_of(&idp);
    (idp, resource, clock)
}

fn header(token: &Value) -> Value {
    let header = token.as_str().unwrap().split('.').next().unwrap();
    serde_json::from_slice(&from_base64url(header).unwrap()).unwrap()
}

async fn redeem(
    server: &MockIssuer,
    client: (&str, &str),
    grant: &str,
    more: &[(&str, &str)],
) -> (u16, Value) {
    let mut form = vec![("grant_type", Grant::JwtBearer.as_str()), ("assertion", grant)];
    form.extend(more);
    post(server, client, &form).await
}

#[tokio::test]
async fn an_id_token_becomes_a_grant_and_the_grant_a_token() {
    let (idp, resource, _) = two().await;
    let user = idp.id_token().user("alice").client("gateway").sign();
    idp.register(
        MockClient::new("gateway")
            .secret("s3:cret")
            .exchanges_for(resource.issuer(), ["stock:read", "stock:count"])
            .known_as(resource.issuer(), "gateway-there"),
    );
    resource.register_client("gateway-there", "s");
    let form = [
        ("grant_type", Grant::TokenExchange.as_str()),
        ("requested_token_type", ID_JAG),
        ("subject_token", &user),
        ("subject_token_type", ID_TOKEN),
        ("audience", resource.issuer()),
        ("resource", STOCK),
        ("scope", "stock:read"),
    ];
    let (status, answer) = post(&idp, GATEWAY, &form).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!((&answer["issued_token_type"], &answer["token_type"]), (&json!(ID_JAG), &json!("N_A")));
    assert_eq!(answer.get("refresh_token"), None);
    assert_eq!(header(&answer["access_token"])["typ"], "oauth-id-jag+jwt");
    let grant = claims(&answer["access_token"]);
    for (claim, value) in [
        ("iss", json!(idp.issuer())),
        ("sub", json!("alice")),
        ("aud", json!(resource.issuer())),
        ("client_id", json!("gateway-there")),
        ("scope", json!("stock:read")),
        ("resource", json!([STOCK])),
        ("exp", json!(NOW + 300)),
    ] {
        assert_eq!(grant[claim], value, "{claim}");
    }
    assert!(grant["jti"].is_string() && grant["iat"].is_number());

    let jag = answer["access_token"].as_str().unwrap();
    let (status, answer) = redeem(&resource, ("gateway-there", "s"), jag, &[]).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!((&answer["token_type"], &answer["scope"]), (&json!("Bearer"), &json!("stock:read")));
    assert_eq!((answer.get("issued_token_type"), answer.get("refresh_token")), (None, None));
    let token = claims(&answer["access_token"]);
    assert_eq!((&token["iss"], &token["aud"]), (&json!(resource.issuer()), &json!(STOCK)));
    assert_eq!((&token["sub"], &token[USER_CLAIM]), (&json!("alice"), &json!("alice")));
    assert_eq!(token["act"], json!({ "sub": "gateway", "iss": idp.issuer() }));
    assert_eq!(header(&answer["access_token"])["typ"], "at+jwt");

    let (status, answer) = redeem(&resource, ("gateway-there", "s"), jag, &[]).await;
    assert_eq!((status, &answer["error"]), (400, &json!("invalid_grant")), "it is good for one token");
}

#[tokio::test]
async fn identity_is_chained_over_two_servers() {
    let (idp, resource, _) = two().await;
    resource.name_subject("alice", "alice@resource");
    let user = idp.token().user("alice").scopes(["orders:read"]).actor("planner").sign();
    for target in ["audience", "resource"] {
        let more = [("requested_token_type", JWT), (target, resource.issuer())];
        let (status, answer) = exchange(&idp, &user, &more).await;
        assert_eq!(status, 200, "{target}: {answer}");
        assert_eq!((&answer["issued_token_type"], &answer["token_type"]), (&json!(JWT), &json!("N_A")));
        assert_eq!(header(&answer["access_token"])["typ"], "authorization-grant+jwt");
        assert_eq!(claims(&answer["access_token"])["aud"], resource.issuer());

        let grant = answer["access_token"].as_str().unwrap();
        let (status, answer) = redeem(&resource, GATEWAY, grant, &[("resource", STOCK)]).await;
        assert_eq!(status, 200, "{target}: {answer}");
        let token = claims(&answer["access_token"]);
        assert_eq!((&token["sub"], &token[USER_CLAIM]), (&json!("alice@resource"), &json!("alice@resource")));
        assert_eq!((&token["aud"], &token["scope"]), (&json!(STOCK), &json!("orders:read")));
        let own = idp.issuer();
        let chain = json!({ "sub": "gateway", "iss": own, "act": { "sub": "planner", "iss": own } });
        assert_eq!(token["act"], chain);
    }
    // A JWT for anything else is an access token.
    let (_, answer) = exchange(&idp, &user, &[("requested_token_type", JWT), ("audience", STOCK)]).await;
    assert_eq!((&answer["issued_token_type"], &answer["token_type"]), (&json!(JWT), &json!("Bearer")));
    assert_eq!(header(&answer["access_token"])["typ"], "at+jwt");
}

#[tokio::test]
async fn an_id_jag_is_refused_before_it_is_issued() {
    let (idp, resource, _) = two().await;
    let user = idp.token().user("alice").sign();
    for (name, more, error) in [
        ("no audience", &[][..], "invalid_request"),
        ("an unknown server", &[("audience", "https://as.example")], "invalid_target"),
        (
            "two servers",
            &[("audience", resource.issuer()), ("audience", "https://as.example")],
            "invalid_target",
        ),
        ("a server as the resource", &[("resource", resource.issuer())], "invalid_request"),
        ("a broader scope", &[("audience", resource.issuer()), ("scope", "admin")], "invalid_scope"),
    ] {
        let mut form = vec![("requested_token_type", ID_JAG)];
        form.extend(more);
        let (status, answer) = exchange(&idp, &user, &form).await;
        assert_eq!((status, &answer["error"]), (400, &json!(error)), "{name}");
    }
    let (status, answer) =
        exchange(&resource, &user, &[("requested_token_type", ID_JAG), ("audience", idp.issuer())]).await;
    assert_eq!((status, &answer["error"]), (400, &json!("invalid_request")), "the trust goes one way");
}

#[tokio::test]
async fn grants_are_refused() {
    let (idp, resource, _) = two().await;
    let (stranger, clocked) = (idp.issuer_at("/stranger"), |s| Timestamp::from_unix_seconds(NOW + s));
    let of = |issuer: &MockIssuer| {
        issuer.token().user("alice").client("gateway").audience(resource.issuer()).typ("oauth-id-jag+jwt")
    };
    let good = || of(&idp);
    let key = DpopKey::generate();
    let rows: [TokenRow<'_>; 15] = [
        ("another issuer", of(&stranger), &[], "invalid_grant"),
        ("another key", good().sign_with_other_key(), &[], "invalid_grant"),
        ("another client", good().client("shop-web"), &[], "invalid_grant"),
        ("no client", good().without("client_id"), &[], "invalid_grant"),
        ("another server", good().audience("https://as.example"), &[], "invalid_grant"),
        ("two servers", good().audiences([resource.issuer(), "https://as.example"]), &[], "invalid_grant"),
        ("an array", good().claim("aud", json!([resource.issuer()])), &[], "invalid_grant"),
        ("the token endpoint", good().audience(resource.token_endpoint()), &[], "invalid_grant"),
        ("expired", good().expires_at(clocked(0)), &[], "invalid_grant"),
        ("no jti", good().without("jti"), &[], "invalid_grant"),
        ("an access token", good().typ("at+jwt"), &[], "invalid_grant"),
        ("an ID token", good().typ("JWT"), &[], "invalid_grant"),
        ("another one's key", good().bound_to_key(&key), &[], "invalid_grant"),
        ("a broader scope", good().scopes(["a"]), &[("scope", "a b")], "invalid_scope"),
        (
            "another resource",
            good().claim("resource", STOCK),
            &[("resource", "https://b.example")],
            "invalid_target",
        ),
    ];
    for (name, grant, more, error) in rows {
        let (status, answer) = redeem(&resource, GATEWAY, &grant.sign(), more).await;
        assert_eq!((status, &answer["error"]), (400, &json!(error)), "{name}");
    }
    for (name, grant, more) in [
        ("as it is", good(), &[][..]),
        ("without a scope", good().scopes(["a", "b"]), &[("scope", "b")]),
        ("one resource as text", good().claim("resource", STOCK), &[("resource", STOCK)]),
    ] {
        assert_eq!(redeem(&resource, GATEWAY, &grant.sign(), more).await.0, 200, "{name}");
    }
    // What is refused for its scope is not used up.
    let grant = good().scopes(["a"]).sign();
    assert_eq!(redeem(&resource, GATEWAY, &grant, &[("scope", "b")]).await.0, 400);
    assert_eq!(redeem(&resource, GATEWAY, &grant, &[("scope", "a")]).await.0, 200);
    // A grant is no subject token, and no token for a service.
    let (status, answer) = exchange(&idp, &good().sign(), &[]).await;
    assert_eq!((status, &answer["error"]), (400, &json!("invalid_request")));
}

#[tokio::test]
async fn a_grant_can_be_bound_and_spoiled() {
    let (idp, resource, clock) = two().await;
    let key = DpopKey::generate().clock(clock.clone());
    let user = idp.token().user("alice").sign();
    let mut form = exchange_form(&user);
    form.extend([("requested_token_type", ID_JAG), ("audience", resource.issuer())]);
    let ask = async |server: &MockIssuer, form: &[(&str, &str)], key: &DpopKey| {
        let request = http().post(server.token_endpoint()).basic_auth("gateway", Some("s3:cret"));
        let proof = key.proof("POST", server.token_endpoint()).sign();
        request.header("DPoP", proof).form(form).send().await.unwrap().json::<Value>().await.unwrap()
    };
    let answer = ask(&idp, &form, &key).await;
    assert_eq!(answer["token_type"], "N_A");
    let grant = claims(&answer["access_token"]);
    assert_eq!(grant["cnf"], json!({ "jkt": key.thumbprint() }));
    let grant = answer["access_token"].as_str().unwrap().to_owned();
    let redeemed = [("grant_type", Grant::JwtBearer.as_str()), ("assertion", &grant)];
    let other = DpopKey::generate().clock(clock.clone());
    assert_eq!(ask(&resource, &redeemed, &other).await["error"], "invalid_grant");
    let answer = ask(&resource, &redeemed, &key).await;
    assert_eq!(answer["token_type"], "DPoP");
    assert_eq!(claims(&answer["access_token"])["cnf"], json!({ "jkt": key.thumbprint() }));

    for (server, form) in [(&*idp, &form[..])] {
        server.misissue_next(ExchangeFault::OtherType);
        let (_, answer) = post(server, GATEWAY, form).await;
        assert_eq!(answer["issued_token_type"], ID_TOKEN);
        server.misissue_next(ExchangeFault::SecondAudience);
        let (_, answer) = post(server, GATEWAY, form).await;
        let second = json!([resource.issuer(), ExchangeFault::OTHER_AUDIENCE]);
        assert_eq!(claims(&answer["access_token"])["aud"], second);
    }
    let (_, answer) = post(&idp, GATEWAY, &form).await;
    resource.misissue_next(ExchangeFault::ActorDropped);
    let (_, answer) = redeem(&resource, GATEWAY, answer["access_token"].as_str().unwrap(), &[]).await;
    assert_eq!(claims(&answer["access_token"]).get("act"), None);
}

#[tokio::test]
async fn a_workload_acts_by_its_jwt_svid() {
    let (idp, clock) = idp().await;
    let spire = ClientKey::generate().clock(clock.clone());
    idp.trust_spiffe_keys("example.org", &spire.jwks());
    let user = idp.token().user("alice").sign();
    let workload = "spiffe://example.org/ns/shop/sa/copilot";
    let good = || spire.jwt_svid(workload, idp.issuer());
    for (name, svid, typ, expected) in [
        ("as it is", good(), JWT, 200),
        ("as an access token", good(), ACCESS_TOKEN, 400),
        ("expired", good().expires_in(Duration::ZERO), JWT, 400),
        ("for another server", spire.jwt_svid(workload, "https://as.example"), JWT, 400),
        ("another key", good().sign_with(&ClientKey::generate()), JWT, 400),
    ] {
        let svid = svid.sign();
        let more = [("actor_token", svid.as_str()), ("actor_token_type", typ)];
        let (status, answer) = exchange(&idp, &user, &more).await;
        assert_eq!(status, expected, "{name}: {answer}");
        if expected == 200 {
            assert_eq!(claims(&answer["access_token"])["act"], json!({ "sub": workload }), "{name}");
        } else {
            assert_eq!(answer["error"], "invalid_request", "{name}");
        }
    }
}
