//! The calls of the tour: who, through which application, what, and what has
//! to come of it.

use std::time::Duration;

use reqwest::Method;
use tower_delegation::clock::{Clock as _, SystemClock};
use tower_delegation_testing::{Algorithm, MockIdp};

use crate::{api::AUDIENCE, idp_client::IdpClient};

/// One call, and its expected outcome.
pub(crate) struct Call {
    pub(crate) who: &'static str,
    pub(crate) application: &'static str,
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) token: Option<String>,
    pub(crate) expected: Expected,
}

/// The status that the client gets, and the outcome that the operator reads.
pub(crate) struct Expected {
    pub(crate) status: u16,
    pub(crate) outcome: &'static str,
}

fn served(status: u16) -> Expected {
    Expected { status, outcome: "allow" }
}

fn refused(status: u16, outcome: &'static str) -> Expected {
    Expected { status, outcome }
}

/// Every call of the tour, with tokens that are good right now.
pub(crate) async fn calls(idp: &MockIdp) -> Result<Vec<Call>, Box<dyn std::error::Error>> {
    let now = SystemClock::new().now();
    let alice = || idp.token().subject("alice").client("shop-web").audience(AUDIENCE);
    let reader = || alice().scopes(["orders:read"]);
    let refunder = || alice().scopes(["orders:read", "orders:refund"]);
    let agent = || alice().scopes(["orders:draft", "orders:refund"]).actor("copilot");
    let stranger = idp.issuer_at("/stranger");

    // Two tokens from the provider's token endpoint, as a service would get them.
    let endpoint = IdpClient::new(idp.token_endpoint());
    let warehouse = endpoint.client_credentials("warehouse-sync", AUDIENCE, "orders:export").await?;
    let exchanged = endpoint.exchange("copilot", &agent_subject(idp), AUDIENCE, "orders:draft").await?;

    let get = |path| (Method::GET, path);
    let post = |path| (Method::POST, path);
    let row = |who, application, (method, path), token, expected| Call {
        who,
        application,
        method,
        path,
        token,
        expected,
    };
    let orders = || get("/orders");
    let refund = || post("/orders/7/refund");
    let draft = || post("/orders/7/draft-reply");
    Ok(vec![
        row("nobody", "-", get("/health"), None, refused(200, "none")),
        row("nobody", "-", orders(), None, refused(401, "credentials_missing")),
        row("alice", "shop-web", orders(), Some(reader().sign()), served(200)),
        row(
            "alice",
            "shop-web (RS256)",
            orders(),
            Some(reader().algorithm(Algorithm::Rs256).sign()),
            served(200),
        ),
        row("alice", "shop-web", refund(), Some(refunder().sign()), served(200)),
        row(
            "alice",
            "shop-web, scope missing",
            refund(),
            Some(reader().sign()),
            refused(403, "scope_missing"),
        ),
        row(
            "alice",
            "newsletter: right user, wrong application",
            refund(),
            Some(refunder().client("newsletter").sign()),
            refused(403, "client_not_allowed"),
        ),
        row(
            "alice",
            "shop-web, token for billing",
            orders(),
            Some(reader().audience("https://billing.example.com").sign()),
            refused(401, "audience_mismatch"),
        ),
        row(
            "alice",
            "shop-web, expired",
            orders(),
            Some(reader().issued_at(now.saturating_sub(Duration::from_secs(3600))).sign()),
            refused(401, "token_expired"),
        ),
        row(
            "mallory",
            "forged: another key",
            orders(),
            Some(reader().sign_with_other_key().sign()),
            refused(401, "signature_invalid"),
        ),
        row(
            "mallory",
            "forged: changed on the way",
            orders(),
            Some(reader().tamper_payload().sign()),
            refused(401, "signature_invalid"),
        ),
        row(
            "mallory",
            "forged: alg none",
            orders(),
            Some(reader().unsigned().sign()),
            refused(401, "algorithm_not_allowed"),
        ),
        row(
            "mallory",
            "another issuer's token",
            orders(),
            Some(stranger.token().audience(AUDIENCE).scopes(["orders:read"]).sign()),
            refused(401, "issuer_unknown"),
        ),
        row(
            "alice",
            "shop-web, ID token",
            orders(),
            Some(idp.id_token().subject("alice").audience(AUDIENCE).sign()),
            refused(401, "type_not_accepted"),
        ),
        row(
            "alice",
            "shop-web, token bound to a key",
            orders(),
            Some(reader().claim("cnf", serde_json::json!({"jkt": "A".repeat(43)})).sign()),
            refused(401, "confirmation_unsupported"),
        ),
        row("warehouse-sync", "itself", get("/orders/export"), Some(warehouse.clone()), served(200)),
        row(
            "warehouse-sync",
            "itself, on a user's route",
            post("/orders"),
            Some(
                idp.token()
                    .subject("warehouse-sync")
                    .client("warehouse-sync")
                    .audience(AUDIENCE)
                    .scopes(["orders:write"])
                    .sign(),
            ),
            refused(403, "not_on_behalf_of_user"),
        ),
        row(
            "alice",
            "shop-web, on a service's route",
            get("/orders/export"),
            Some(alice().scopes(["orders:export"]).sign()),
            refused(403, "subject_kind_not_allowed"),
        ),
        row("alice", "copilot, by token exchange", draft(), Some(exchanged), served(200)),
        row(
            "alice",
            "no agent at all",
            draft(),
            Some(alice().scopes(["orders:draft"]).sign()),
            refused(403, "delegation_required"),
        ),
        row(
            "alice",
            "helper-bot, copilot only before it",
            draft(),
            Some(alice().scopes(["orders:draft"]).actor("helper-bot").earlier_actor("copilot").sign()),
            refused(403, "actor_not_allowed"),
        ),
        row(
            "alice",
            "copilot, more than alice meant",
            refund(),
            Some(agent().sign()),
            refused(403, "delegation_forbidden"),
        ),
    ])
}

/// Alice's own token, which the copilot trades for a narrower one.
fn agent_subject(idp: &MockIdp) -> String {
    idp.token()
        .subject("alice")
        .client("shop-web")
        .audience(AUDIENCE)
        .scopes(["orders:read", "orders:draft"])
        .sign()
}
