//! A tour of tower-delegation over real mutual TLS: a mock identity provider,
//! an orders API with a registry of applications, and calls of services that
//! are known by their SPIFFE IDs; at the end one call through four services, each with a
//! token of its own.
//!
//! `cargo run -p quickstart` plays the tour and exits 0 only if every outcome
//! is the expected one; `cargo run -p quickstart -- --serve` keeps both servers
//! up and prints `curl` lines with live tokens.
#![expect(clippy::print_stdout, reason = "a tour talks to its reader")]

mod api;
mod audit;
mod chain;
mod idp_client;
mod tour;
mod workloads;

use std::{future, path::Path, process::ExitCode, time::Duration};

use clap::Parser;
use serde_json::Value;
use tower_delegation_rustls::TlsListener;
use tower_delegation_testing::MockIdp;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::{api::AUDIENCE, audit::LastOutcome, idp_client::SECRET, tour::Call, workloads::Workloads};

/// A tour of tower-delegation over real mutual TLS.
#[derive(Parser)]
struct Arguments {
    /// Keep the services up and print curl lines with live tokens.
    #[arg(long)]
    serve: bool,
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let outcomes = LastOutcome::default();
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(outcomes.clone()))?;

    let lifetime = if arguments.serve { Duration::from_secs(3600) } else { Duration::from_secs(300) };
    let idp = MockIdp::builder().token_lifetime(lifetime).start().await;
    for client in ["warehouse-sync", "copilot"] {
        idp.register_client(client, SECRET);
    }
    let workloads = Workloads::new();
    let listener = TlsListener::bind("127.0.0.1:0", workloads.server()?).await?;
    let base = format!("https://{}", listener.local_addr()?);
    let app = api::app(idp.issuer())?;
    let server = tokio::spawn(tower_delegation_rustls::serve(listener, app, future::pending()));

    println!("identity provider  {}", idp.issuer());
    println!("orders API         {base}\n");
    let calls = tour::calls(&idp, &workloads).await?;
    if arguments.serve {
        let folder = tempfile::tempdir()?;
        workloads.write_to(folder.path())?;
        print_curl_lines(&base, &calls, folder.path());
        println!("\nControl-C ends it. Tokens live for one hour.");
        tokio::signal::ctrl_c().await?;
        return Ok(ExitCode::SUCCESS);
    }
    let surprises = play(&base, &calls, &workloads, &outcomes).await?;
    server.abort();
    if surprises > 0 {
        println!("\n{surprises} calls did not end as expected.");
        return Ok(ExitCode::FAILURE);
    }
    println!("\nAll {} calls ended as expected. Each token was for {AUDIENCE},", calls.len());
    println!("but for the one that says otherwise. `-- --serve` lets you try them with curl.");
    if !chain::play(&idp, &workloads).await? {
        println!("\nThe chain of services is not as expected.");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes every call and prints one line each; counts the unexpected outcomes.
async fn play(
    base: &str,
    calls: &[Call],
    workloads: &Workloads,
    outcomes: &LastOutcome,
) -> Result<usize, reqwest::Error> {
    let mut surprises = 0;
    let line = |cells: [&str; 7]| {
        let [who, application, workload, call, status, code, why] = cells;
        println!("{who:<15} {application:<42} {workload:<22} {call:<27} {status:<4} {code:<20} {why}");
    };
    line([
        "who",
        "through which application",
        "from which workload",
        "call",
        "",
        "what the client reads",
        "what the operator reads",
    ]);
    for call in calls {
        let client = workloads.client(call.workload);
        let mut request = client.request(call.method.clone(), format!("{base}{}", call.path));
        if let Some(token) = &call.token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await?;
        let status = response.status();
        let body = response.text().await?;
        let code = serde_json::from_str(&body)
            .ok()
            .and_then(|problem: Value| problem.get("code").and_then(Value::as_str).map(str::to_owned));
        let outcome = outcomes.take();
        let expected = &call.expected;
        let as_expected = status == expected.status && outcome == expected.outcome;
        surprises += usize::from(!as_expected);
        let mark = if as_expected {
            String::new()
        } else {
            format!("  <-- expected {} {}", expected.status, expected.outcome)
        };
        line([
            call.who,
            call.application,
            call.workload.unwrap_or("-"),
            &format!("{} {}", call.method, call.path),
            status.as_str(),
            code.as_deref().unwrap_or("-"),
            &format!("{outcome}{mark}"),
        ]);
    }
    Ok(surprises)
}

fn print_curl_lines(base: &str, calls: &[Call], folder: &Path) {
    println!("certificates       {}\n", folder.display());
    for call in calls {
        let workload = call.workload.unwrap_or("no certificate");
        println!("# {} through {}, {workload}: {}", call.who, call.application, call.expected.status);
        let token = call.token.as_ref().map(|token| format!(" -H 'Authorization: Bearer {token}'"));
        let certificate =
            call.workload.map(|path| format!(" -E '{}'", Workloads::file(folder, path).display()));
        println!(
            "curl -i --cacert '{}'{} -X {} '{base}{}'{}\n",
            folder.join("ca.pem").display(),
            certificate.unwrap_or_default(),
            call.method,
            call.path,
            token.unwrap_or_default()
        );
    }
}
