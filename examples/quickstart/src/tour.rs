//! The calls of the tour: who, through which application, from which workload,
//! what, and what has to come of it.

use std::time::Duration;

use reqwest::Method;
use tower_delegation::clock::{Clock as _, SystemClock};
use tower_delegation_testing::{Algorithm, MockIdp};

use crate::{api::AUDIENCE, idp_client::IdpClient, workloads::Workloads};

/// One call, and its expected outcome.
pub(crate) struct Call {
    pub(crate) who: &'static str,
    pub(crate) application: &'static str,
    /// The path of the SPIFFE ID; `None`: no certificate.
    pub(crate) workload: Option<&'static str>,
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

/// The workloads that the tokens below are presented by.
const WEB: Option<&str> = Some("/shop/web");
const COPILOT: Option<&str> = Some("/agents/copilot");
const WAREHOUSE: Option<&str> = Some("/warehouse/sync");
/// A workload of the same company that came by tokens which are none of its business.
const THIEF: Option<&str> = Some("/batch/nightly");

/// Every call of the tour, with tokens that are good right now.
pub(crate) async fn calls(
    idp: &MockIdp,
    workloads: &Workloads,
) -> Result<Vec<Call>, Box<dyn std::error::Error>> {
    let now = SystemClock::new().now();
    let alice = || idp.token().user("alice").client("shop-web").audience(AUDIENCE);
    let reader = || alice().scopes(["orders:read"]);
    let refunder = || alice().scopes(["orders:read", "orders:refund"]);
    let agent = || alice().scopes(["orders:draft", "orders:refund"]).actor("copilot");
    let bound = || reader().bound_to_certificate(workloads.certificate("/shop/web")).sign();
    let stranger = idp.issuer_at("/stranger");

    // Two tokens from the provider's token endpoint, as a service would get them.
    let endpoint = IdpClient::new(idp.token_endpoint());
    let warehouse = endpoint.client_credentials("warehouse-sync", AUDIENCE, "orders:export").await?;
    let exchanged = endpoint.exchange("copilot", &agent_subject(idp), AUDIENCE, "orders:draft").await?;

    let get = |path| (Method::GET, path);
    let post = |path| (Method::POST, path);
    let row = |who, application, workload, (method, path), token, expected| Call {
        who,
        application,
        workload,
        method,
        path,
        token,
        expected,
    };
    let orders = || get("/orders");
    let refund = || post("/orders/7/refund");
    let draft = || post("/orders/7/draft-reply");
    let mut calls = vec![
        // Who asks?
        row("anyone", "-", None, get("/"), None, Expected { status: 200, outcome: "" }),
        row("anyone", "-", None, get("/health"), None, served(200)),
        row("no one", "-", WEB, orders(), None, refused(401, "credentials_missing")),
        row("no one", "-", WEB, get("/labels/7.pdf"), None, refused(401, "credentials_missing")),
        row("alice", "shop-web", WEB, get("/labels/7.pdf"), Some(reader().sign()), served(200)),
        row("alice", "shop-web", WEB, orders(), Some(reader().sign()), served(200)),
        row(
            "alice",
            "shop-web (RS256)",
            WEB,
            orders(),
            Some(reader().algorithm(Algorithm::Rs256).sign()),
            served(200),
        ),
        row("alice", "shop-web", WEB, refund(), Some(refunder().sign()), served(200)),
        row(
            "alice",
            "shop-web, scope missing",
            WEB,
            refund(),
            Some(reader().sign()),
            refused(403, "scope_missing"),
        ),
        row(
            "alice",
            "shop-web, token for billing",
            WEB,
            orders(),
            Some(reader().audience("https://billing.example.com").sign()),
            refused(401, "audience_mismatch"),
        ),
        row(
            "alice",
            "shop-web, expired",
            WEB,
            orders(),
            Some(reader().issued_at(now.saturating_sub(Duration::from_secs(3600))).sign()),
            refused(401, "token_expired"),
        ),
        row(
            "alice",
            "shop-web, ID token",
            WEB,
            orders(),
            Some(idp.id_token().subject("alice").audience(AUDIENCE).sign()),
            refused(401, "type_not_accepted"),
        ),
    ];
    calls.extend([
        // Which workload really holds the connection?
        row("alice", "shop-web, token bound to it", WEB, orders(), Some(bound()), served(200)),
        row(
            "mallory",
            "shop-web: stolen, and bound to it",
            THIEF,
            orders(),
            Some(bound()),
            refused(401, "confirmation_mismatch"),
        ),
        row(
            "mallory",
            "shop-web: stolen, not bound",
            THIEF,
            orders(),
            Some(reader().sign()),
            refused(403, "workload_not_registered"),
        ),
        row(
            "mallory",
            "shop-web: stolen, from outside",
            None,
            orders(),
            Some(reader().sign()),
            refused(403, "workload_unknown"),
        ),
        row(
            "alice",
            "shop-web, bound in a way unknown here",
            WEB,
            orders(),
            Some(reader().claim("cnf", serde_json::json!({"kid": "x"})).sign()),
            refused(401, "confirmation_unsupported"),
        ),
        // Through which application?
        row(
            "alice",
            "newsletter: right user, wrong application",
            Some("/marketing/newsletter"),
            refund(),
            Some(refunder().client("newsletter").sign()),
            refused(403, "client_not_allowed"),
        ),
        row(
            "alice",
            "crm-sync: broader than it may ever be",
            Some("/partners/crm"),
            orders(),
            Some(refunder().client("crm-sync").sign()),
            refused(403, "token_too_broad"),
        ),
        row(
            "alice",
            "legacy-reports: suspended",
            Some("/partners/reports"),
            orders(),
            Some(reader().client("legacy-reports").sign()),
            refused(403, "client_suspended"),
        ),
        row(
            "alice",
            "shiny-new-tool: never registered",
            THIEF,
            orders(),
            Some(reader().client("shiny-new-tool").sign()),
            refused(403, "client_unregistered"),
        ),
        row(
            "warehouse-sync",
            "itself",
            WAREHOUSE,
            get("/orders/export"),
            Some(warehouse.clone()),
            served(200),
        ),
        row(
            "warehouse-sync",
            "itself, on a user's route",
            WAREHOUSE,
            post("/orders"),
            Some(warehouse),
            refused(403, "not_on_behalf_of_user"),
        ),
        row(
            "alice",
            "shop-web, on a service's route",
            WEB,
            get("/orders/export"),
            Some(alice().scopes(["orders:export"]).sign()),
            refused(403, "subject_kind_not_allowed"),
        ),
        // Who acts for whom?
        row("alice", "copilot, by token exchange", COPILOT, draft(), Some(exchanged), served(200)),
        row(
            "alice",
            "no agent at all",
            WEB,
            draft(),
            Some(alice().scopes(["orders:draft"]).sign()),
            refused(403, "delegation_required"),
        ),
        row(
            "alice",
            "helper-bot, copilot only before it",
            Some("/agents/helper-bot"),
            draft(),
            Some(alice().scopes(["orders:draft"]).actor("helper-bot").earlier_actor("copilot").sign()),
            refused(403, "actor_not_allowed"),
        ),
        row(
            "alice",
            "copilot, more than alice meant",
            COPILOT,
            refund(),
            Some(agent().sign()),
            refused(403, "delegation_forbidden"),
        ),
    ]);
    calls.extend([
        // Is the token what it says?
        row(
            "mallory",
            "forged: another key",
            THIEF,
            orders(),
            Some(reader().sign_with_other_key().sign()),
            refused(401, "signature_invalid"),
        ),
        row(
            "mallory",
            "forged: changed on the way",
            THIEF,
            orders(),
            Some(reader().tamper_payload().sign()),
            refused(401, "signature_invalid"),
        ),
        row(
            "mallory",
            "forged: alg none",
            THIEF,
            orders(),
            Some(reader().unsigned().sign()),
            refused(401, "algorithm_not_allowed"),
        ),
        row(
            "mallory",
            "another issuer's token",
            THIEF,
            orders(),
            Some(stranger.token().audience(AUDIENCE).scopes(["orders:read"]).sign()),
            refused(401, "issuer_unknown"),
        ),
    ]);
    Ok(calls)
}

/// Alice's own token, which the copilot trades for a narrower one.
fn agent_subject(idp: &MockIdp) -> String {
    idp.token()
        .user("alice")
        .client("shop-web")
        .audience(AUDIENCE)
        .scopes(["orders:read", "orders:draft"])
        .sign()
}
