//! A tour of tower-delegation over real HTTP: a mock identity provider, an
//! orders API, and calls that are served or refused.
//!
//! `cargo run -p quickstart` plays the tour and exits 0 only if every outcome
//! is the expected one; `cargo run -p quickstart -- --serve` keeps both servers
//! up and prints `curl` lines with live tokens.
#![expect(clippy::print_stdout, reason = "a tour talks to its reader")]

mod api;
mod audit;
mod idp_client;
mod tour;

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use serde_json::Value;
use tower_delegation_testing::MockIdp;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::{api::AUDIENCE, audit::LastOutcome, idp_client::SECRET, tour::Call};

/// A tour of tower-delegation over real HTTP.
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
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let base = format!("http://{}", listener.local_addr()?);
    let router = api::router(idp.issuer())?;
    let server = tokio::spawn(async move { axum::serve(listener, router).await });

    println!("identity provider  {}", idp.issuer());
    println!("orders API         {base}\n");
    let calls = tour::calls(&idp).await?;
    if arguments.serve {
        print_curl_lines(&base, &calls);
        println!("\nControl-C ends it. Tokens live for one hour.");
        tokio::signal::ctrl_c().await?;
        return Ok(ExitCode::SUCCESS);
    }
    let surprises = play(&base, &calls, &outcomes).await?;
    server.abort();
    if surprises > 0 {
        println!("\n{surprises} calls did not end as expected.");
        return Ok(ExitCode::FAILURE);
    }
    println!("\nAll {} calls ended as expected. Each token was for {AUDIENCE},", calls.len());
    println!("but for the one that says otherwise. `-- --serve` lets you try them with curl.");
    Ok(ExitCode::SUCCESS)
}

/// Makes every call and prints one line each; counts the unexpected outcomes.
async fn play(base: &str, calls: &[Call], outcomes: &LastOutcome) -> Result<usize, reqwest::Error> {
    let client = reqwest::Client::default();
    let mut surprises = 0;
    let line = |cells: [&str; 6]| {
        let [who, application, call, status, code, why] = cells;
        println!("{who:<15} {application:<42} {call:<27} {status:<4} {code:<20} {why}");
    };
    line([
        "who",
        "through which application",
        "call",
        "",
        "what the client reads",
        "what the operator reads",
    ]);
    for call in calls {
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
            &format!("{} {}", call.method, call.path),
            status.as_str(),
            code.as_deref().unwrap_or("-"),
            &format!("{outcome}{mark}"),
        ]);
    }
    Ok(surprises)
}

fn print_curl_lines(base: &str, calls: &[Call]) {
    for call in calls {
        println!("# {} through {}: {}", call.who, call.application, call.expected.status);
        let token = call.token.as_ref().map(|token| format!(" -H 'Authorization: Bearer {token}'"));
        println!("curl -i -X {} '{base}{}'{}\n", call.method, call.path, token.unwrap_or_default());
    }
}
