//! Tokens that are bound to a certificate. npm `oauth4webapi` judges them too: it
//! cannot look at certificates, and refuses what is bound to one.

use std::fmt::Write as _;

use integration_tests::AuditLog;
use serde_json::{Value, json};
use tower_delegation::{
    ClientIdentity,
    clock::{Clock as _, SystemClock},
};
use tower_delegation_testing::{DpopKey, MtlsClient};

use super::Apache;
use crate::{
    oidc_provider::{Provider, WORKER, claims_of, judge::Judge, resource},
    tampered,
    tls::TlsSite,
};

#[tokio::test]
async fn no_token_passes_here_alone() {
    if !Apache::is_installed() {
        return;
    }
    let Some(mut provider) = Provider::start() else { return };
    let Some(mut oauth4webapi) = Judge::of(&provider) else { return };
    let apache = Apache::start(&provider);
    let layer = provider.layer().client_identity(ClientIdentity::from_tls()).build().unwrap();
    let (site, audit) = (TlsSite::start(layer, &provider.pki).await, AuditLog::listen());
    let (worker, other) =
        (provider.pki.workload(WORKER).issue(), provider.pki.workload("/shop/other").issue());
    let client = MtlsClient::new(&provider.pki);
    let clients = [
        ("right", client.clone().identity(&worker).build()),
        ("wrong", client.clone().identity(&other).build()),
        ("none", client.build()),
    ];

    let plain = provider.token("ES256").await;
    let bound = provider.certificate_bound_token(&worker, &resource("ES256")).await;
    let elsewhere = "https://stock.example.com/ES256";
    let mut tokens = vec![
        ("plain", plain.clone()),
        ("bound", bound.clone()),
        ("plain, for another API", provider.token_for(elsewhere).await),
        ("bound, for another API", provider.certificate_bound_token(&worker, elsewhere).await),
        ("bound to a key", provider.key_bound_token(&DpopKey::generate()).await),
    ];
    let now = SystemClock::new().now().unix_seconds();
    for (name, token, patch) in [
        ("plain, expired", &plain, json!({ "exp": now - 60, "iat": now - 120 })),
        ("bound, expired", &bound, json!({ "exp": now - 60, "iat": now - 120 })),
        ("bound, no expiry", &bound, json!({ "exp": null })),
        ("bound, no audience", &bound, json!({ "aud": null })),
        ("bound to nothing", &bound, json!({ "cnf": {} })),
        ("bound, malformed", &bound, json!({ "cnf": { "x5t#S256": 1 } })),
        ("bound to both", &bound, json!({ "cnf": both(&bound) })),
    ] {
        let mut claims = claims_of(token);
        for (claim, value) in patch.as_object().unwrap() {
            claims.insert(claim.clone(), value.clone());
        }
        claims.retain(|_, value| !value.is_null());
        let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": "ES256-1" });
        tokens.push((name, provider.sign("ES256-1", &header, &Value::Object(claims).to_string())));
    }
    let names = ["plain, tampered claims", "plain, tampered signature"];
    tokens.extend(names.into_iter().zip(tampered(&plain)).map(|(name, (_, token))| (name, token)));
    let names = ["bound, tampered claims", "bound, tampered signature"];
    tokens.extend(names.into_iter().zip(tampered(&bound)).map(|(name, (_, token))| (name, token)));

    let mut table =
        format!("{:<26} {:<12} {:<7} we   apache  oauth4webapi\n", "token", "certificate", "route");
    let mark = |accepted| if accepted { "yes" } else { "no" };
    let mut accepted = Vec::new();
    let cases = std::iter::once(("none", None))
        .chain(tokens.iter().map(|(name, token)| (*name, Some(token.as_str()))));
    for (name, token) in cases {
        let third = token.is_some_and(|token| oauth4webapi.judge(token).is_ok());
        for (certificate, client) in &clients {
            for (route, path) in [("any", "/"), ("bound", "/bound")] {
                let ours = site.judge(&audit, client, path, token).await.is_ok();
                let theirs = apache.judge(client, &format!("/{route}"), token).await;
                writeln!(
                    table,
                    "{name:<26} {certificate:<12} {route:<7} {:<4} {:<7} {}",
                    mark(ours),
                    mark(theirs),
                    mark(third)
                )
                .unwrap();
                assert!(theirs || !ours, "only we accept: {name}, {certificate}, {route}\n{table}");
                if ours {
                    accepted.push((name, *certificate, route));
                    assert_eq!(third, name == "plain", "{name}: it knows no certificates\n{table}");
                }
            }
        }
    }
    println!("{table}");
    assert_eq!(
        accepted,
        [
            ("plain", "right", "any"),
            ("plain", "wrong", "any"),
            ("plain", "none", "any"),
            ("bound", "right", "any"),
            ("bound", "right", "bound"),
        ],
        "{table}"
    );
}

/// The thumbprint of the certificate, and one of a key beside it.
fn both(bound: &str) -> Value {
    let mut cnf = claims_of(bound)["cnf"].clone();
    cnf["jkt"] = "A".repeat(43).into();
    cnf
}
