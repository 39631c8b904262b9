//! Who may do what.

use serde_json::{Value, json};

use crate::{
    Call, Running, audit_lines, get, place, post,
    site::{COPILOT, NEWSLETTER, REPORTS, SECURITY_DESK, SHOP, Site, WAREHOUSE},
};

#[tokio::test]
async fn everybody_does_what_they_are_there_for() {
    let site = Site::new().await.unwrap();
    let service = Running::ready(&site).await;
    let (shop, copilot, warehouse) = (site.client(SHOP), site.client(COPILOT), site.client(WAREHOUSE));
    let alice = site.alice().scopes(["orders:read", "orders:write"]).sign();
    let bob = site.idp.token().user("bob").client("shop-web").scopes(["orders:read", "orders:write"]).sign();

    let (status, order) = service.call(&shop, place("a lamp"), &alice).await;
    assert_eq!((status, &order["id"], &order["state"]), (201, &json!(1), &json!("placed")));
    assert_eq!(order["customer"], json!({ "issuer": site.idp.issuer(), "subject": "alice" }));
    assert_eq!(service.call(&shop, place("a chair"), &bob).await.0, 201);

    // Each customer sees their own.
    for (name, token, items) in [("alice", &alice, ["a lamp"]), ("bob", &bob, ["a chair"])] {
        let (status, orders) = service.call(&shop, get("/orders"), token).await;
        let listed: Vec<_> = orders.as_array().unwrap().iter().map(|order| &order["item"]).collect();
        assert_eq!((status, listed), (200, items.iter().map(|_| &orders[0]["item"]).collect()), "{name}");
        assert_eq!(orders[0]["item"], items[0], "{name}");
    }

    let agent = site
        .alice()
        .scopes(["orders:draft"])
        .actor("copilot")
        .expires_in(std::time::Duration::from_secs(300));
    let (status, draft) = service.call(&copilot, post("/orders/1/draft-reply"), &agent.sign()).await;
    assert_eq!((status, draft.as_str().unwrap().contains("a lamp")), (200, true));

    let sync = site.idp.token().subject("warehouse-sync").client("warehouse-sync").scopes(["orders:export"]);
    let (status, orders) = service.call(&warehouse, get("/orders/export"), &sync.sign()).await;
    assert_eq!((status, orders.as_array().map(Vec::len)), (200, Some(2)));

    let refunds = site.bound(site.alice().scopes(["orders:refund"]), SHOP);
    for (name, path, expected) in [
        ("her own", "/orders/1/refund", 200),
        ("her own, again", "/orders/1/refund", 409),
        ("another customer's", "/orders/2/refund", 404),
        ("nobody's", "/orders/3/refund", 404),
    ] {
        assert_eq!(service.call(&shop, post(path), &refunds).await.0, expected, "{name}");
    }
    service.stop().await;
}

#[tokio::test]
async fn nobody_does_anything_else() {
    let site = Site::new().await.unwrap();
    let service = Running::ready(&site).await;
    let alice = |scope: &str| site.alice().scopes([scope]);
    let itself = |name: &str, scope: &str| site.idp.token().subject(name).client(name).scopes([scope]);
    let list = || get("/orders");
    let refund = || post("/orders/1/refund");
    let row = |name, workload, call, token: String, status, reason| Row {
        name,
        workload,
        call,
        token,
        status,
        reason,
    };
    let rows = [
        row(
            "forged",
            SHOP,
            list(),
            alice("orders:read").sign_with_other_key().sign(),
            401,
            "signature_invalid",
        ),
        row(
            "for another API",
            SHOP,
            list(),
            alice("orders:read").audience("https://billing.example.com").sign(),
            401,
            "audience_mismatch",
        ),
        row("scope missing", SHOP, list(), alice("orders:write").sign(), 403, "scope_missing"),
        row(
            "wrong application",
            NEWSLETTER,
            refund(),
            site.bound(alice("orders:refund").client("newsletter"), NEWSLETTER),
            403,
            "client_not_allowed",
        ),
        row(
            "suspended application",
            REPORTS,
            list(),
            alice("orders:read").client("legacy-reports").sign(),
            403,
            "client_suspended",
        ),
        row(
            "unknown application",
            SHOP,
            list(),
            alice("orders:read").client("shiny-new-tool").sign(),
            403,
            "client_unregistered",
        ),
        row(
            "stolen by a workload",
            NEWSLETTER,
            list(),
            alice("orders:read").sign(),
            403,
            "workload_not_registered",
        ),
        row(
            "stolen, and bound",
            NEWSLETTER,
            list(),
            site.bound(alice("orders:read"), SHOP),
            401,
            "confirmation_mismatch",
        ),
        row(
            "refund without a bound token",
            SHOP,
            refund(),
            alice("orders:refund").sign(),
            401,
            "sender_constraint_missing",
        ),
        row(
            "an agent's refund",
            COPILOT,
            refund(),
            site.bound(alice("orders:refund").actor("copilot"), COPILOT),
            403,
            "delegation_forbidden",
        ),
        row(
            "a draft without an agent",
            SHOP,
            post("/orders/1/draft-reply"),
            alice("orders:draft").sign(),
            403,
            "delegation_required",
        ),
        row(
            "a service's own orders",
            WAREHOUSE,
            list(),
            itself("warehouse-sync", "orders:export").sign(),
            403,
            "not_on_behalf_of_user",
        ),
        row(
            "an order through an application that the table does not name",
            NEWSLETTER,
            place("a lamp"),
            alice("orders:write").client("newsletter").sign(),
            403,
            "presenter_not_allowed",
        ),
        row("no route", SHOP, get("/nowhere"), alice("orders:read").sign(), 403, "route_unlisted"),
        row(
            "a user's export",
            SHOP,
            get("/orders/export"),
            alice("orders:export").sign(),
            403,
            "workload_not_allowed",
        ),
        row(
            "a user's revocation",
            SHOP,
            post("/revocations"),
            site.bound(alice("revocations:write"), SHOP),
            403,
            "client_not_allowed",
        ),
        row(
            "a revocation with a token that is not bound",
            SECURITY_DESK,
            post("/revocations"),
            itself("security-desk", "revocations:write").sign(),
            401,
            "sender_constraint_missing",
        ),
    ];
    for Row { name, workload, call, token, status, .. } in &rows {
        let answer = service.call(&site.client(workload), call.clone(), token).await;
        assert_eq!(answer.0, *status, "{name}: {}", answer.1);
    }
    service.stop().await;
    // The client has learned a code; the operator learns the reason.
    let lines = audit_lines(&site);
    assert_eq!(lines.len(), rows.len());
    for (Row { name, reason, .. }, line) in rows.iter().zip(&lines) {
        assert_eq!((&line["decision"], &line["reason"]), (&json!("deny"), &json!(reason)), "{name}");
    }
}

struct Row<'a> {
    name: &'a str,
    workload: &'a str,
    call: Call<'a>,
    token: String,
    status: u16,
    reason: &'a str,
}

#[tokio::test]
async fn nobody_connects_without_a_certificate() {
    let site = Site::new().await.unwrap();
    let service = Running::ready(&site).await;
    let token = site.alice().scopes(["orders:read"]).sign();
    let nobody = site.client("/unknown");
    assert!(nobody.get(format!("{}/orders", service.api)).bearer_auth(token).send().await.is_err());
    service.stop().await;
}

#[tokio::test]
async fn a_subject_that_is_revoked_is_refused_at_once() {
    let site = Site::new().await.unwrap();
    let service = Running::ready(&site).await;
    let (shop, desk) = (site.client(SHOP), site.client(SECURITY_DESK));
    let alice = site.alice().scopes(["orders:read"]).sign();
    let bob = site.idp.token().user("bob").client("shop-web").scopes(["orders:read"]).sign();
    assert_eq!(service.call(&shop, get("/orders"), &alice).await.0, 200);

    let officer = site.idp.token().subject("security-desk").client("security-desk");
    let officer = site.bound(officer.scopes(["revocations:write"]), SECURITY_DESK);
    let order = json!({ "target": "subject", "issuer": site.idp.issuer(), "id": "alice" });
    let revoke = (reqwest::Method::POST, "/revocations", Some(order));
    assert_eq!(service.call(&desk, revoke, &officer).await, (204, Value::String(String::new())));

    assert_eq!(service.call(&shop, get("/orders"), &alice).await.0, 401);
    assert_eq!(service.call(&shop, get("/orders"), &bob).await.0, 200);
    service.stop().await;
}
