//! The service with everything that it needs around it, and `curl` lines to try.
//!
//! `cargo run -p orders-service --example demo`
#![expect(clippy::print_stdout, reason = "a demonstration talks to its reader")]

#[path = "../tests/site/mod.rs"]
#[expect(dead_code, reason = "the tests ask for more")]
mod site;

use metrics_exporter_prometheus::PrometheusBuilder;
use orders_service::{Service, Settings, reload_on_hangup, shutdown_requested};

use self::site::{COPILOT, NEWSLETTER, REPORTS, SECURITY_DESK, SHOP, Site, WAREHOUSE};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let site = Site::new().await?;
    let metrics = PrometheusBuilder::new().install_recorder()?;
    let service = Service::start(&Settings::load(&site.settings())?, metrics).await?;
    let api = format!("https://{}", service.api_address()?);
    println!("identity provider  {}", site.idp.issuer());
    println!("orders API         {api}");
    println!("for orchestrators  http://{}/live, /ready, /metrics", service.operations_address()?);
    println!("audit trail        {}\n", site.path("audit/audit.jsonl").display());
    for call in calls(&site) {
        println!("# {}: {}", call.what, call.status);
        println!(
            "curl -i --cacert '{}' -E '{}' -H 'Authorization: Bearer {}' {} '{api}{}'\n",
            site.path("tls/bundle.pem").display(),
            site.certificate(call.workload).display(),
            call.token,
            call.options,
            call.path
        );
    }
    println!("Control-C ends it. Tokens live for one hour, certificates too.");
    tokio::spawn(reload_on_hangup(service.files())?);
    service.serve(shutdown_requested()?).await
}

struct Call {
    what: &'static str,
    status: u16,
    workload: &'static str,
    token: String,
    options: String,
    path: &'static str,
}

/// In the order in which they make sense.
fn calls(site: &Site) -> Vec<Call> {
    let alice = |scope: &str| site.alice().scopes([scope]);
    let service = |name: &str, scope: &str| site.idp.token().subject(name).client(name).scopes([scope]);
    let json = |text: String| format!("-H 'Content-Type: application/json' -d '{text}'");
    let new = json(r#"{"item":"a lamp","cents":1250}"#.to_owned());
    let alices = format!(r#"{{"target":"subject","issuer":"{}","id":"alice"}}"#, site.idp.issuer());
    let post = || "-X POST".to_owned();
    let get = String::new;
    let call =
        |what, status, workload, token, options, path| Call { what, status, workload, token, options, path };
    vec![
        call("Alice orders", 201, SHOP, alice("orders:write").sign(), new, "/orders"),
        call("Alice looks at her orders", 200, SHOP, alice("orders:read").sign(), get(), "/orders"),
        call(
            "the copilot drafts a reply for Alice",
            200,
            COPILOT,
            alice("orders:draft").actor("copilot").sign(),
            post(),
            "/orders/1/draft-reply",
        ),
        call(
            "the warehouse exports",
            200,
            WAREHOUSE,
            service("warehouse-sync", "orders:export").sign(),
            get(),
            "/orders/export",
        ),
        call(
            "a refund with a token that is bound to the shop's certificate",
            200,
            SHOP,
            site.bound(alice("orders:refund"), SHOP),
            post(),
            "/orders/1/refund",
        ),
        call(
            "the same token, stolen",
            401,
            NEWSLETTER,
            site.bound(alice("orders:refund"), SHOP),
            post(),
            "/orders/1/refund",
        ),
        call(
            "right user, wrong application",
            403,
            NEWSLETTER,
            site.bound(alice("orders:refund").client("newsletter"), NEWSLETTER),
            post(),
            "/orders/1/refund",
        ),
        call(
            "an application that is suspended",
            403,
            REPORTS,
            alice("orders:read").client("legacy-reports").sign(),
            get(),
            "/orders",
        ),
        call(
            "the security desk revokes Alice",
            204,
            SECURITY_DESK,
            site.bound(service("security-desk", "revocations:write"), SECURITY_DESK),
            json(alices),
            "/revocations",
        ),
        call("Alice looks again", 401, SHOP, alice("orders:read").sign(), get(), "/orders"),
    ]
}
