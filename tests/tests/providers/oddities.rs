//! Providers that are a little odd, at a service over HTTP: what no rule demands
//! refuses no token, and what a rule demands and cannot be read is denied.

use std::time::Duration;

use axum::routing::get;
use integration_tests::{AuditLog, Served, whoami};
use serde_json::{Value, json};
use tower_delegation::{
    DelegationContext, DelegationLayer, DenialReason as R, Requirement, TrustedIssuer,
    clock::Timestamp,
    issuer::{ClaimMapping, KindCheck, NameForm, ScopeForm},
    layer::RequireLayer,
    revocation::{InMemoryRevocations, Revocation},
};

use crate::{Mint, NOW, presets, with};

const AUDIENCE: &str = "https://api.example.com";
const ISSUER: &str = "https://idp.test";

/// A service that trusts one issuer: `/` is open to every good token, `/demand`
/// demands `demand`, `/not` that it is not the case.
struct Site {
    served: Served,
    audit: AuditLog,
}

impl Site {
    async fn new(mint: &Mint, issuer: TrustedIssuer, demand: Requirement) -> Self {
        let layer = DelegationLayer::builder().add_issuer(issuer).clock(mint.clock.clone());
        Self::behind(layer.build().unwrap(), demand).await
    }

    async fn behind(layer: DelegationLayer, demand: Requirement) -> Self {
        let guard = |requirement: Requirement| RequireLayer::new(requirement).unwrap();
        let actor = async |delegation: DelegationContext| {
            delegation.actor().map(|actor| actor.id().to_string()).unwrap_or_default()
        };
        let router = whoami()
            .route("/actor", get(actor))
            .route("/demand", get(async || "").layer(guard(demand.clone())))
            .route("/not", get(async || "").layer(guard(Requirement::named("not").not(demand))));
        Self { served: Served::start(router.layer(layer)).await, audit: AuditLog::listen() }
    }

    /// The status, and the reason in the audit event.
    async fn get(&self, path: &str, token: &str) -> (u16, String) {
        let _ = self.audit.take();
        let status = self.served.get(path, token).await.status;
        (status, self.audit.one().field("reason").to_owned())
    }

    /// A good token, whatever a demand makes of it.
    async fn passes(&self, name: &str, token: &str) {
        assert_eq!(self.get("/", token).await, (200, String::new()), "{name}");
    }
}

fn refused(reason: R) -> (u16, String) {
    (401, reason.code().to_owned())
}

fn denied(reason: R) -> (u16, String) {
    (403, reason.code().to_owned())
}

fn allowed() -> (u16, String) {
    (200, String::new())
}

/// What a home-grown provider signs: the seven claims of the profile, a user's mark, no `at+jwt`.
fn plain(own: &Value) -> Value {
    let claims = json!({
        "iss": ISSUER, "sub": "ana", "aud": AUDIENCE, "client_id": "shop", "jti": "t-1",
        "iat": NOW - 100, "exp": NOW + 3600, "scope": "orders:read", "user_id": "ana",
    });
    with(&claims, own)
}

/// The same with `null` kept as a value.
fn with_null(name: &str) -> Value {
    let mut claims = plain(&json!({}));
    claims[name] = Value::Null;
    claims
}

fn mapping() -> ClaimMapping {
    ClaimMapping::rfc9068().accept_generic_type(KindCheck::not_an_id_token()).add_user_claim("user_id")
}

fn trusted(mint: &Mint, mapping: ClaimMapping) -> TrustedIssuer {
    mint.issuer(ISSUER).add_audience(AUDIENCE).claim_mapping(mapping)
}

/// RFC 7519 section 4: claims that are not understood are ignored.
#[tokio::test]
async fn grants_as_a_list_after_a_refresh() {
    let mint = Mint::new().await;
    let issuer = mint.issuer("https://tenant.auth0.com/").add_audience(AUDIENCE);
    let demand = Requirement::new().scope("orders:read").on_behalf_of_user();
    let site = Site::new(&mint, issuer.claim_mapping(ClaimMapping::auth0()), demand).await;
    for (name, gty, expected) in [
        ("no grant", json!(null), allowed()),
        ("after a refresh", json!(["refresh_token", "password"]), allowed()),
        ("one in a list", json!(["password"]), allowed()),
        ("a machine's in a list", json!(["client-credentials"]), denied(R::NotOnBehalfOfUser)),
        ("a machine's", json!("client-credentials"), denied(R::NotOnBehalfOfUser)),
        ("a number", json!(1), denied(R::NotOnBehalfOfUser)),
        ("a list of more than texts", json!(["password", 1]), denied(R::NotOnBehalfOfUser)),
    ] {
        let token = mint.sign(Some("JWT"), &with(&presets::auth0(), &json!({ "gty": gty })));
        site.passes(name, &token).await;
        assert_eq!(site.get("/demand", &token).await, expected, "{name}");
    }
}

#[tokio::test]
async fn an_authentication_time_as_a_text() {
    let mint = Mint::new().await;
    let issuer = "http://adfs.corp.test/adfs/services/trust";
    let mapping = ClaimMapping::rfc9068()
        .accept_generic_type(KindCheck::not_an_id_token())
        .subject("upn")
        .client("appid")
        .scopes("scp", ScopeForm::String)
        .allow_absent_token_id()
        .add_user_claim("upn");
    let claims = json!({
        "iss": issuer, "aud": AUDIENCE, "upn": "ana@corp.test", "appid": "7c0e", "scp": "openid",
        "iat": NOW - 100, "exp": NOW + 3600, "auth_time": "2023-11-14T08:00:00.123Z",
    });
    let demand = Requirement::new().max_authentication_age(Duration::from_secs(600));
    let trusted = mint.issuer(issuer).add_audience(AUDIENCE).claim_mapping(mapping);
    let site = Site::new(&mint, trusted, demand).await;
    let text = mint.sign(Some("JWT"), &claims);
    site.passes("a text", &text).await;
    assert_eq!(site.get("/demand", &text).await, denied(R::FactMalformed));
    assert_eq!(site.get("/not", &text).await, denied(R::FactMalformed));
    let number = mint.sign(Some("JWT"), &with(&claims, &json!({ "auth_time": NOW - 60 })));
    assert_eq!(site.get("/demand", &number).await, allowed());
    let none = mint.sign(Some("JWT"), &with(&claims, &json!({ "auth_time": null })));
    assert_eq!(site.get("/demand", &none).await, refused(R::AuthenticationTooOld));
}

/// RFC 7519 section 4.1.6: `iat` is optional. Whatever depends on it denies.
#[tokio::test]
async fn no_time_of_issue() {
    let mint = Mint::new().await;
    let none = mint.sign(Some("JWT"), &plain(&json!({ "iat": null, "nbf": NOW - 100 })));
    let null = mint.sign(Some("JWT"), &with_null("iat"));
    let day = Duration::from_secs(86_400);
    let site = Site::new(&mint, trusted(&mint, mapping()), Requirement::new().max_token_age(day)).await;
    assert_eq!(site.get("/", &none).await, refused(R::ClaimMissing), "not allowed by default");

    let allows = || trusted(&mint, mapping().allow_absent_issued_at());
    let site = Site::new(&mint, allows(), Requirement::new().max_token_age(day)).await;
    site.passes("allowed", &none).await;
    assert_eq!(site.get("/", &null).await, refused(R::ClaimMalformed));
    assert_eq!(site.get("/demand", &none).await, refused(R::TokenAgeNotAllowed));
    assert_eq!(site.get("/not", &none).await, denied(R::Excluded));
    let site = Site::new(&mint, allows(), Requirement::new().max_token_lifetime(day)).await;
    assert_eq!(site.get("/demand", &none).await, denied(R::TokenLifetimeNotAllowed));
    for limited in [allows().max_token_age(day), allows().max_token_lifetime(day)] {
        let site = Site::new(&mint, limited, Requirement::new().scope("orders:read")).await;
        assert_eq!(site.get("/", &none).await, refused(R::ClaimMissing), "a limit of the issuer's");
        site.passes("with `iat`", &mint.sign(Some("JWT"), &plain(&json!({})))).await;
    }

    // A revocation of what was issued before: nothing says that the token is newer.
    let revocations = InMemoryRevocations::new();
    let layer = DelegationLayer::builder().add_issuer(allows()).clock(mint.clock.clone());
    let layer = layer.revocations(revocations.clone()).build().unwrap();
    let site = Site::behind(layer, Requirement::new().scope("orders:read")).await;
    site.passes("not yet revoked", &none).await;
    let long_ago = Timestamp::from_unix_seconds(NOW - 1000);
    revocations.revoke(Revocation::subject(ISSUER, "ana").issued_before(long_ago)).unwrap();
    assert_eq!(site.get("/", &none).await, refused(R::SubjectRevoked));
    site.passes("issued afterwards", &mint.sign(Some("JWT"), &plain(&json!({})))).await;
}

/// RFC 7519 section 4.1.1: `iss` is compared, and never fetched where the keys are given.
#[tokio::test]
async fn an_issuer_that_is_no_uri() {
    let mint = Mint::new().await;
    for issuer in ["my-issuer", "accounts.google.com", "idp.internal", "urn:example:signer", "My issuer"] {
        let trusted = mint.issuer(issuer).add_audience(AUDIENCE).claim_mapping(mapping());
        let site = Site::new(&mint, trusted, Requirement::new().issuer(issuer)).await;
        let token = mint.sign(Some("JWT"), &plain(&json!({ "iss": issuer })));
        assert_eq!(site.get("/demand", &token).await, allowed(), "{issuer}");
        for other in [format!("https://{issuer}"), issuer.to_uppercase(), format!("{issuer}/")] {
            let token = mint.sign(Some("JWT"), &plain(&json!({ "iss": other })));
            assert_eq!(site.get("/", &token).await, refused(R::IssuerUnknown), "{other}");
        }
    }
    let jwks = mint.idp.jwks().to_string();
    for issuer in ["", " ", "my-issuer ", "a\tb", "no uri: a", "https://"] {
        assert!(TrustedIssuer::with_static_keys(issuer, &jwks).is_err(), "{issuer:?}");
    }
    // What is found by its own name must be a URL.
    assert!(TrustedIssuer::discover("accounts.google.com").is_err());
}

/// Groups and roles in every shape, by the mapping that reads it: `200` on `/demand`
/// is a member, and a shape that the mapping does not name is malformed.
#[tokio::test]
async fn groups_and_roles_in_other_shapes() {
    let mint = Mint::new().await;
    let zitadel = "urn:zitadel:iam:org:project:roles";
    let groups = |form| (mapping().add_groups_as("groups", form), Requirement::new().group("admins"));
    let roles = |form| (mapping().add_roles_as(zitadel, form), Requirement::new().role("clerk"));
    let permissions = |form| (mapping().add_permissions_as("p", form), Requirement::new().permission("read"));
    use NameForm::{Array, Either, Members, String};
    type Row = (&'static str, (ClaimMapping, Requirement), Value, (u16, std::string::String));
    let malformed = || denied(R::FactMalformed);
    let rows: Vec<Row> = vec![
        ("a text for a list", groups(Array), json!({ "groups": "admins" }), malformed()),
        ("a text", groups(String), json!({ "groups": "admins" }), allowed()),
        ("a list for a text", groups(String), json!({ "groups": ["admins"] }), malformed()),
        ("a text for either", groups(Either), json!({ "groups": "admins" }), allowed()),
        ("a list for either", groups(Either), json!({ "groups": ["users", "admins"] }), allowed()),
        (
            "a text is not split at spaces",
            groups(Either),
            json!({ "groups": "users admins" }),
            denied(R::GroupMissing),
        ),
        (
            "a text is not split at commas",
            groups(String),
            json!({ "groups": "users,admins" }),
            denied(R::GroupMissing),
        ),
        ("an empty text", groups(Either), json!({ "groups": "" }), malformed()),
        ("a number", groups(Either), json!({ "groups": 1 }), malformed()),
        ("an object for a list", groups(Either), json!({ "groups": { "admins": {} } }), malformed()),
        ("no groups", groups(Either), json!({}), denied(R::GroupsUnknown)),
        ("member names", roles(Members), json!({ zitadel: { "clerk": { "1": "org.test" } } }), allowed()),
        (
            "another member",
            roles(Members),
            json!({ zitadel: { "boss": { "1": "org.test" } } }),
            denied(R::RoleMissing),
        ),
        (
            "a member inside",
            roles(Members),
            json!({ zitadel: { "boss": { "clerk": "x" } } }),
            denied(R::RoleMissing),
        ),
        (
            "a member that is false",
            roles(Members),
            json!({ zitadel: { "clerk": false } }),
            denied(R::RoleMissing),
        ),
        (
            "a member that is empty",
            roles(Members),
            json!({ zitadel: { "clerk": {} } }),
            denied(R::RoleMissing),
        ),
        ("a list for member names", roles(Members), json!({ zitadel: ["clerk"] }), malformed()),
        ("member names for a list", roles(Array), json!({ zitadel: { "clerk": { "1": "x" } } }), malformed()),
        ("permissions as a text", permissions(Either), json!({ "p": "read" }), allowed()),
        ("permissions as a number", permissions(Either), json!({ "p": [1] }), malformed()),
    ];
    for (name, (mapping, demand), own, expected) in rows {
        let site = Site::new(&mint, trusted(&mint, mapping), demand).await;
        let token = mint.sign(Some("JWT"), &plain(&own));
        site.passes(name, &token).await;
        assert_eq!(site.get("/demand", &token).await, expected, "{name}");
        if expected == malformed() {
            assert_eq!(site.get("/not", &token).await, expected, "{name}: not the case");
        }
    }
    // `null` is no list, and nothing malformed.
    let (mapping, demand) = groups(Array);
    let site = Site::new(&mint, trusted(&mint, mapping), demand).await;
    let null = mint.sign(Some("JWT"), &with_null("groups"));
    site.passes("null", &null).await;
    assert_eq!(site.get("/demand", &null).await, denied(R::GroupsUnknown));
}

/// RFC 8693 section 4.1: any claims in `act` identify the actor.
#[tokio::test]
async fn an_actor_that_is_named_as_a_client() {
    let mint = Mint::new().await;
    let demand = Requirement::new().actor("desk-agent");
    let agent = |act: Value| mint.sign(Some("JWT"), &plain(&json!({ "act": act })));
    let by_client = agent(json!({ "client_id": "desk-agent" }));
    let site = Site::new(&mint, trusted(&mint, mapping()), demand.clone()).await;
    assert_eq!(site.get("/", &by_client).await, refused(R::ActorMalformed), "not by default");

    let site = Site::new(&mint, trusted(&mint, mapping().add_actor_id("client_id")), demand.clone()).await;
    assert_eq!(site.get("/demand", &by_client).await, allowed());
    assert_eq!(site.served.get("/actor", &by_client).await.body, "desk-agent");
    for (name, act, expected) in [
        ("with its issuer", json!({ "client_id": "desk-agent", "iss": ISSUER }), allowed()),
        (
            "another issuer's",
            json!({ "client_id": "desk-agent", "iss": "https://x" }),
            denied(R::ActorNotAllowed),
        ),
        ("`sub` comes first", json!({ "sub": "desk-agent", "client_id": "x" }), allowed()),
        ("`sub` names another", json!({ "sub": "x", "client_id": "desk-agent" }), denied(R::ActorNotAllowed)),
        (
            "only an earlier one",
            json!({ "sub": "x", "act": { "client_id": "desk-agent" } }),
            denied(R::ActorNotAllowed),
        ),
        ("no name", json!({ "azp": "desk-agent" }), refused(R::ActorMalformed)),
        ("a number", json!({ "client_id": 1 }), refused(R::ActorMalformed)),
        ("an empty name", json!({ "client_id": "" }), refused(R::ActorMalformed)),
        (
            "a good name and a bad one",
            json!({ "sub": "desk-agent", "client_id": 1 }),
            refused(R::ActorMalformed),
        ),
        ("a text", json!("desk-agent"), refused(R::ActorMalformed)),
    ] {
        assert_eq!(site.get("/demand", &agent(act)).await, expected, "{name}");
    }
    let only = Site::new(&mint, trusted(&mint, mapping().actor_id("client_id")), demand).await;
    assert_eq!(only.get("/demand", &by_client).await, allowed());
    assert_eq!(only.get("/", &agent(json!({ "sub": "desk-agent" }))).await, refused(R::ActorMalformed));
}

/// RFC 7515 section 4.1.9: `JWT` means `application/jwt`.
#[tokio::test]
async fn a_type_that_is_written_out() {
    let mint = Mint::new().await;
    let types = [
        ("application/jwt", true, false),
        ("application/JWT", true, false),
        ("Application/Jwt", true, false),
        ("JWT", true, false),
        ("application/at+jwt", true, true),
        ("APPLICATION/AT+JWT", true, true),
        ("text/jwt", false, false),
        ("application/application/jwt", false, false),
        ("application/logout+jwt", false, false),
    ];
    let expected = |is_accepted| if is_accepted { allowed() } else { refused(R::TypeNotAccepted) };
    let demand = || Requirement::new().scope("orders:read");
    let strict = Site::new(&mint, trusted(&mint, ClaimMapping::rfc9068()), demand()).await;
    for (typ, _, by_profile) in types {
        let token = mint.sign(Some(typ), &plain(&json!({})));
        assert_eq!(strict.get("/", &token).await, expected(by_profile), "{typ}, by the profile");
    }
    let generic = Site::new(&mint, trusted(&mint, mapping()), demand()).await;
    for (typ, by_generic, _) in types {
        let token = mint.sign(Some(typ), &plain(&json!({})));
        assert_eq!(generic.get("/", &token).await, expected(by_generic), "{typ}");
    }
    // A token of no kind at all is still told from an ID token; `null` does not hide it.
    for nonce in [json!("n"), json!(1)] {
        let token = mint.sign(Some("application/jwt"), &plain(&json!({ "nonce": nonce })));
        assert_eq!(generic.get("/", &token).await.1, R::NotAnAccessToken.code());
    }
    let null = mint.sign(Some("application/jwt"), &with_null("nonce"));
    assert_eq!(generic.get("/", &null).await.1, R::NotAnAccessToken.code(), "nonce null");
}

#[tokio::test]
async fn two_names_of_the_client() {
    let mint = Mint::new().await;
    let both = || mapping().client("azp").add_client("client_id");
    let token = |own: Value| mint.sign(Some("JWT"), &plain(&own));
    let differing = token(json!({ "azp": "web", "client_id": "shop" }));
    let site = Site::new(&mint, trusted(&mint, both()), Requirement::new().client("web")).await;
    assert_eq!(site.get("/", &differing).await, refused(R::ClaimsContradictory), "by default");
    let first = trusted(&mint, both().allow_differing_clients());
    let site = Site::new(&mint, first, Requirement::new().client("web")).await;
    for (name, own, expected) in [
        ("the first counts", json!({ "azp": "web", "client_id": "shop" }), allowed()),
        ("not the second", json!({ "azp": "x", "client_id": "web" }), denied(R::ClientNotAllowed)),
        ("alone", json!({ "azp": null, "client_id": "web" }), allowed()),
        ("a second that is none", json!({ "azp": "web", "client_id": 1 }), refused(R::ClaimMalformed)),
        ("none", json!({ "azp": null, "client_id": null }), refused(R::ClaimMissing)),
    ] {
        assert_eq!(site.get("/demand", &token(own)).await, expected, "{name}");
    }
}

/// Every fact that no rule demands: malformed, it refuses nothing; what demands
/// it is denied, and so is what demands that it is not the case.
#[tokio::test]
async fn a_malformed_fact_denies_what_demands_it() {
    let mint = Mint::new().await;
    let new = Requirement::new;
    let rows: Vec<(&str, Value, Requirement)> = vec![
        ("acr", json!(2), new().acr("2")),
        ("acr", json!(["2"]), new().acr("2")),
        ("auth_time", json!(true), new().max_authentication_age(Duration::from_secs(60))),
        ("tenant", json!(["acme"]), new().tenant("acme")),
        ("tenant", json!(""), new().tenant("acme")),
        ("roles", json!("clerk"), new().role("clerk")),
        ("roles", json!(["clerk", 1]), new().any_role(["clerk", "boss"])),
        ("permissions", json!({}), new().permission("read")),
        ("groups", json!(true), new().group("admins")),
    ];
    for (claim, value, demand) in rows {
        let mapping = mapping().tenant("tenant").add_roles("roles").add_permissions("permissions");
        let either = new().any_of([demand.clone(), new().scope("orders:read")]);
        let site = Site::new(&mint, trusted(&mint, mapping.clone().add_groups("groups")), demand).await;
        let token = mint.sign(Some("JWT"), &plain(&json!({ claim: value })));
        site.passes(claim, &token).await;
        for path in ["/demand", "/not"] {
            assert_eq!(site.get(path, &token).await, denied(R::FactMalformed), "{claim} {value} {path}");
        }
        // The event names it, and never what it says.
        let _ = site.audit.take();
        let _ = site.served.get("/", &token).await;
        assert_eq!(site.audit.one().field("malformed_claims"), claim);
        let site = Site::new(&mint, trusted(&mint, mapping.add_groups("groups")), either).await;
        assert_eq!(site.get("/demand", &token).await, allowed(), "{claim}: another alternative holds");
        // `null` is absent.
        let null = mint.sign(Some("JWT"), &with_null(claim));
        site.passes(claim, &null).await;
        assert_eq!(site.audit.take().len(), 0);
    }
}

/// Where the client stands for the audience, a token without one opens who knows what.
#[tokio::test]
async fn no_audience_is_within_no_bound() {
    let mint = Mint::new().await;
    let mapping = mapping().insecure_clients_instead_of_audience(["shop"]);
    let demand = Requirement::new().audiences_within([AUDIENCE]);
    let site = Site::new(&mint, trusted(&mint, mapping), demand).await;
    let named = mint.sign(Some("JWT"), &plain(&json!({})));
    assert_eq!(site.get("/demand", &named).await, allowed());
    let none = mint.sign(Some("JWT"), &plain(&json!({ "aud": null })));
    site.passes("no audience", &none).await;
    assert_eq!(site.get("/demand", &none).await, denied(R::AudienceTooBroad));
    assert_eq!(site.get("/not", &none).await, denied(R::Excluded));
}

/// The claims without which nothing can be decided refuse the token, as ever.
#[tokio::test]
async fn what_a_token_rests_on_must_be_good() {
    let mint = Mint::new().await;
    let mapping = mapping().tenant("tenant").require_tenant_in_issuer();
    let issuer = format!("{ISSUER}/acme");
    let trusted = mint.issuer(&issuer).add_audience(AUDIENCE).claim_mapping(mapping);
    let site = Site::new(&mint, trusted, Requirement::new().scope("orders:read")).await;
    let good = plain(&json!({ "iss": issuer, "tenant": "acme" }));
    site.passes("good", &mint.sign(Some("JWT"), &good)).await;
    for (claim, value, reason) in [
        ("sub", json!(1), R::ClaimMalformed),
        ("aud", json!(1), R::ClaimMalformed),
        ("exp", json!("never"), R::ClaimMalformed),
        ("nbf", json!("now"), R::ClaimMalformed),
        ("iat", json!("now"), R::ClaimMalformed),
        ("jti", json!(1), R::ClaimMalformed),
        ("sid", json!(1), R::ClaimMalformed),
        ("sid", json!(null), R::ClaimMalformed),
        ("cnf", json!(null), R::ConfirmationMalformed),
        ("act", json!(null), R::ActorMalformed),
        ("client_id", json!(1), R::ClaimMalformed),
        ("client_id", json!(null), R::ClaimMalformed),
        ("scope", json!(["orders:read"]), R::ClaimMalformed),
        ("scope", json!(null), R::ClaimMalformed),
        ("tenant", json!(1), R::ClaimMalformed),
        ("tenant", json!(null), R::ClaimMalformed),
        ("tenant", json!("other"), R::ClaimsContradictory),
    ] {
        let mut claims = good.clone();
        claims[claim] = value.clone();
        let token = mint.sign(Some("JWT"), &claims);
        assert_eq!(site.get("/", &token).await, refused(reason), "{claim} {value}");
    }
}
