//! Who a subject is taken for.

use axum::routing::get;
use integration_tests::{AUDIENCE, AuditLog, Served, World, whoami};
use serde_json::{Value, json};
use tower_delegation::{
    DelegationLayer, Requirement, SubjectKind, TrustedIssuer,
    clock::Clock as _,
    issuer::{ClaimCondition, ClaimMapping},
    layer::RequireLayer,
};
use tower_delegation_testing::{TokenBuilder, USER_CLAIM};
use tracing::Level;

/// Where the library says why no user was found.
const LOG: &str = "tower_delegation::issuer::claim_condition";

/// A service with a route for those who act for a user, and one for services.
async fn serve(world: &World, issuer: TrustedIssuer) -> Served {
    let layer = DelegationLayer::builder().add_issuer(issuer).clock(world.clock.clone());
    let guard = |requirement: Requirement| RequireLayer::new(requirement).unwrap();
    let router = whoami()
        .route("/user", get(async || "").layer(guard(Requirement::new().on_behalf_of_user())))
        .route(
            "/service",
            get(async || "").layer(guard(Requirement::new().subject_kind(SubjectKind::Service))),
        )
        .layer(layer.build().unwrap());
    Served::start(router).await
}

/// A name, a service, a token, and the statuses of `/user` and `/service`.
type Row<'s> = (&'static str, &'s Served, TokenBuilder, (u16, u16));

/// Sends each token to each route of its service.
async fn judge(rows: Vec<Row<'_>>) {
    for (name, site, token, (user, service)) in rows {
        let token = token.sign();
        assert_eq!(site.get("/", &token).await.status, 200, "{name}: the token itself is good");
        assert_eq!(site.get("/user", &token).await.status, user, "{name}: for a user");
        assert_eq!(site.get("/service", &token).await.status, service, "{name}: for a service");
    }
}

/// No mark, no user: neither another name than the client's nor a claim about
/// sessions proves one (RFC 9068 section 2.2 says only whom `sub` names without
/// a resource owner).
#[tokio::test]
async fn only_what_the_operator_names_proves_a_user() {
    let world = World::new().await;
    let bare = || TrustedIssuer::discover(world.idp.issuer()).unwrap().add_audience(AUDIENCE);
    let default = serve(&world, bare()).await;
    let marked = serve(&world, bare().add_user_claim(USER_CLAIM)).await;
    let mapped = bare().add_user_claim(USER_CLAIM).claim_mapping(ClaimMapping::rfc9068().tenant("tenant"));
    let mapped = serve(&world, mapped).await;
    let assumed = serve(&world, bare().assume_user_unless_client()).await;
    let token = || world.idp.token().client("abc");
    let rows: Vec<Row<'_>> = vec![
        ("default: the client itself", &default, token().subject("abc"), (403, 200)),
        ("default: the client in other words", &default, token().subject("abc@clients"), (403, 403)),
        ("default: the client with another prefix", &default, token().subject("client:abc"), (403, 403)),
        ("default: another name", &default, token().subject("alice"), (403, 403)),
        ("default: a mark that is not named", &default, token().user("alice"), (403, 403)),
        (
            "default: auth_time, acr, amr and sid",
            &default,
            token().subject("m-1").auth_time(world.clock.now()).acr("1").amr(["pwd"]).session("s"),
            (403, 403),
        ),
        ("marked: a user", &marked, token().user("alice"), (200, 403)),
        ("marked: no mark", &marked, token().subject("alice"), (403, 403)),
        ("marked: the client in other words", &marked, token().subject("abc@clients"), (403, 403)),
        ("marked: the client with the mark", &marked, token().user("abc"), (403, 200)),
        ("marked: null", &marked, token().claim(USER_CLAIM, ()), (403, 403)),
        ("marked: false", &marked, token().claim(USER_CLAIM, false), (403, 403)),
        ("marked: an empty text", &marked, token().claim(USER_CLAIM, ""), (403, 403)),
        ("marked, then mapped", &mapped, token().user("alice"), (200, 403)),
        ("assumed: another name", &assumed, token().subject("alice"), (200, 403)),
        ("assumed: the client itself", &assumed, token().subject("abc"), (403, 200)),
    ];
    judge(rows).await;
}

/// What the operator named proves a user only where it says something, and no
/// user is named like a client, by whichever claim.
#[tokio::test]
async fn an_empty_mark_and_a_clients_name_prove_no_user() {
    let world = World::new().await;
    let bare = || TrustedIssuer::discover(world.idp.issuer()).unwrap().add_audience(AUDIENCE);
    let marked = serve(&world, bare().add_user_claim("person")).await;
    let differing = ClaimMapping::rfc9068().add_client("azp").allow_differing_clients();
    let differing = serve(&world, bare().claim_mapping(differing).assume_user_unless_client()).await;
    let by_uid = ClaimMapping::rfc9068().subject("uid").add_subject("sub").add_user_claim("uid");
    let by_uid = serve(&world, bare().claim_mapping(by_uid)).await;
    let token = || world.idp.token().subject("alice").client("shop");
    let person = |value: Value| token().claim("person", value);
    let of = |subject: &str, azp: &str| token().subject(subject).claim("azp", azp);
    let uid = |subject: &str| token().subject(subject).claim("uid", "u-1");
    let rows: Vec<Row<'_>> = vec![
        ("a text", &marked, person(json!("alice")), (200, 403)),
        ("true", &marked, person(json!(true)), (200, 403)),
        ("a list with a text", &marked, person(json!(["", "a"])), (200, 403)),
        ("an empty list", &marked, person(json!([])), (403, 403)),
        ("an empty object", &marked, person(json!({})), (403, 403)),
        ("a list of empty texts", &marked, person(json!(["", " "])), (403, 403)),
        ("a list of null", &marked, person(json!([null])), (403, 403)),
        ("an object of empty values", &marked, person(json!({ "id": null, "of": [] })), (403, 403)),
        ("a blank text", &marked, person(json!("\t\u{a0}")), (403, 403)),
        ("false as a text", &marked, person(json!("false")), (403, 403)),
        ("zero", &marked, person(json!(0)), (403, 403)),
        ("differing clients: a user", &differing, of("alice", "gateway"), (200, 403)),
        ("differing clients: the first", &differing, of("shop", "gateway"), (403, 200)),
        ("differing clients: the second", &differing, of("gateway", "gateway"), (403, 200)),
        ("another subject's claim: a user", &by_uid, uid("alice"), (200, 403)),
        ("another subject's claim: `sub` is the client", &by_uid, uid("shop"), (403, 200)),
    ];
    judge(rows).await;
}

/// A test that cannot read its claim ends the search: no later test decides by
/// the absence of what could not be read.
#[tokio::test]
async fn what_cannot_be_read_proves_nothing() {
    let world = World::new().await;
    let mapping = ClaimMapping::rfc9068().subject_kinds([
        (ClaimCondition::equals("grant", "machine"), SubjectKind::Service),
        (ClaimCondition::present(USER_CLAIM), SubjectKind::User),
    ]);
    let site = serve(&world, world.issuer().claim_mapping(mapping)).await;
    for (name, grant, status) in [
        ("absent", json!({}), 200),
        ("null", json!({ "grant": null }), 200),
        ("another text", json!({ "grant": "person" }), 200),
        ("a list without it", json!({ "grant": ["a", "b"] }), 200),
        ("a list with it", json!({ "grant": ["a", "machine"] }), 403),
        ("a list with more than texts", json!({ "grant": ["a", 1] }), 403),
        ("a number", json!({ "grant": 1 }), 403),
        ("an object", json!({ "grant": { "machine": true } }), 403),
    ] {
        let mut token = world.token();
        for (claim, value) in grant.as_object().unwrap() {
            token = token.claim(claim, value.clone());
        }
        let token = token.sign();
        assert_eq!(site.get("/", &token).await.status, 200, "{name}: the token itself is good");
        assert_eq!(site.get("/user", &token).await.status, status, "{name}");
        assert_eq!(site.get("/service", &token).await.status, 403, "{name}: no service");
    }
}

/// A machine that trades its own token stays what it is.
#[tokio::test]
async fn an_exchange_makes_no_user_of_a_machine() {
    let world = World::new().await;
    world.idp.register_client("gateway", "secret");
    let site = serve(&world, world.issuer()).await;
    for (name, subject_token, status) in [
        ("a machine's", world.idp.token().subject("batch").client("batch"), 403),
        ("of an unknown kind", world.idp.token().subject("batch-7").client("batch").session("s"), 403),
        ("a user's", world.idp.token().user("alice").client("shop-web"), 200),
    ] {
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", &subject_token.sign()),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("audience", AUDIENCE),
        ];
        let request =
            world.client(None).post(world.idp.token_endpoint()).basic_auth("gateway", Some("secret"));
        let answer: Value = request.form(&form).send().await.unwrap().json().await.unwrap();
        let exchanged = answer["access_token"].as_str().unwrap();
        assert_eq!(site.get("/", exchanged).await.status, 200, "{name}: the token itself is good");
        assert_eq!(site.get("/user", exchanged).await.status, status, "{name}");
    }
}

/// The log says which call would help; the answer does not.
#[tokio::test]
async fn a_refusal_for_an_unknown_kind_names_the_remedy_in_the_log() {
    let world = World::new().await;
    let site =
        serve(&world, TrustedIssuer::discover(world.idp.issuer()).unwrap().add_audience(AUDIENCE)).await;
    let log = AuditLog::listen_to(LOG);
    for (name, path, token, lines) in [
        ("of unknown kind", "/user", world.idp.token().subject("alice").client("shop-web"), 1),
        ("a service", "/user", world.idp.token().subject("batch").client("batch"), 0),
        ("another rule", "/service", world.idp.token().subject("alice").client("shop-web"), 0),
        ("no rule", "/", world.idp.token().subject("alice").client("shop-web"), 0),
    ] {
        let answer = site.get(path, &token.sign()).await;
        assert!(!answer.body.contains("add_user_claim"), "{name}");
        let heard = log.take();
        assert_eq!(heard.len(), lines, "{name}: {heard:?}");
        for line in heard {
            assert_eq!(line.level, Level::DEBUG);
            let message = line.field("message");
            assert!(message.contains("TrustedIssuer::add_user_claim"), "{message}");
            assert!(message.contains("assume_user_unless_client"), "{message}");
            assert_eq!(line.field("issuer"), world.idp.issuer());
        }
    }
}
