//! Four services in a row: a user calls a web app, which calls a gateway, which calls orders,
//! which calls stock. No token goes further than one hop: each service trades the one of its
//! caller for a narrower one, which still says who the user is and who acts for them.

use std::{error::Error, future};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
    routing::get,
};
use serde_json::{Value, json};
use tower_delegation::{
    ClientIdentity, DelegationContext, DelegationLayer, Rejection, Requirement, TrustedIssuer,
    clock::{Clock as _, SystemClock},
    exchange::{AuthorizationServer, ClientAuthentication, Downstream, outgoing::DownstreamClient},
    routing::{GuardedRouter, guard},
};
use tower_delegation_rustls::TlsListener;
use tower_delegation_testing::{MockClient, MockIdp};

use crate::{api::USER_CLAIM, idp_client::SECRET, workloads::Workloads};

/// One service.
struct Hop {
    /// Its client at the provider, too.
    name: &'static str,
    audience: &'static str,
    /// The workload that calls it, by the path of the SPIFFE ID; `None`: a browser.
    caller: Option<&'static str>,
    /// What its rule demands.
    demands: &'static str,
    /// The most that the service before may ask for here.
    most: &'static [&'static str],
    /// What a scope of the service before is worth here, where it is not the scope of that name.
    worth: Option<(&'static str, &'static [&'static str])>,
}

const HOPS: [Hop; 4] = [
    Hop {
        name: "web",
        audience: "https://shop.example.com",
        caller: None,
        demands: "shop:buy",
        most: &[],
        worth: None,
    },
    Hop {
        name: "gateway",
        audience: "https://gateway.example.com",
        caller: Some("/shop/app"),
        demands: "orders:write",
        most: &["orders:read", "orders:write"],
        worth: Some(("shop:buy", &["orders:read", "orders:write"])),
    },
    Hop {
        name: "orders",
        audience: "https://orders.example.com",
        caller: Some("/edge/gateway"),
        demands: "orders:write",
        most: &["orders:write"],
        worth: None,
    },
    Hop {
        name: "stock",
        audience: "https://stock.example.com",
        caller: Some("/orders/api"),
        demands: "stock:reserve",
        most: &["stock:read", "stock:reserve"],
        worth: Some(("orders:write", &["stock:reserve"])),
    },
];

/// Plays the chain and prints one line for each hop. Returns whether each was as expected.
pub(crate) async fn play(idp: &MockIdp, workloads: &Workloads) -> Result<bool, Box<dyn Error>> {
    // From the last to the first: each service knows where the next one is.
    let mut next: Option<(&Hop, String)> = None;
    for hop in HOPS.iter().rev() {
        let url = start(hop, next, idp, workloads).await?;
        next = Some((hop, url));
    }
    let Some((web, url)) = next else { return Ok(false) };
    let token = idp.token().user("alice").client("shop-page").audience(web.audience);
    let token = token.scopes(["shop:account", "shop:buy"]).sign();
    let answer = workloads.client(None).get(url).bearer_auth(token).send().await?;
    let mut seen: Value = answer.json().await?;

    println!("\nOne more call goes through four services. Each has a token of its own for the next one:\n");
    let line = |cells: [&str; 6]| {
        let [hop, sub, act, aud, scope, exp] = cells;
        println!("{hop:<9} {sub:<7} {act:<24} {aud:<29} {scope:<26} {exp}");
    };
    line(["hop", "sub", "act", "aud", "scope", "exp"]);
    let now = SystemClock::new().now().unix_seconds();
    let mut acts: Vec<&str> = Vec::new();
    let mut is_as_expected = true;
    for hop in &HOPS {
        let text = |name: &str| seen.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
        let (sub, act, aud, scope) = (text("sub"), text("act"), text("aud"), text("scope"));
        let exp = seen.get("exp").and_then(Value::as_i64);
        let ends = exp.map_or("-".to_owned(), |exp| format!("in {} s", exp - now));
        line([hop.name, &sub, if act.is_empty() { "-" } else { &act }, &aud, &scope, &ends]);
        is_as_expected &= sub == "alice" && aud == hop.audience && act == acts.join(" < ");
        acts.insert(0, hop.name);
        seen = seen.get_mut("next").map(Value::take).unwrap_or_default();
    }
    println!("\nact: who acts for the user now < and who did before.");
    Ok(is_as_expected)
}

/// Starts one service, and returns its URL. It serves as long as the process lives.
async fn start(
    hop: &Hop,
    next: Option<(&Hop, String)>,
    idp: &MockIdp,
    workloads: &Workloads,
) -> Result<String, Box<dyn Error>> {
    let issuer = TrustedIssuer::discover(idp.issuer())?.add_audience(hop.audience).add_user_claim(USER_CLAIM);
    let delegation = DelegationLayer::builder()
        .add_issuer(issuer)
        .client_identity(ClientIdentity::from_tls())
        .realm(hop.name)
        .build()?;
    let client = match next {
        None => None,
        Some((next, url)) => {
            let client = MockClient::new(hop.name).secret(SECRET).add_audience(hop.audience);
            idp.register(client.exchanges_for(next.audience, next.most.iter().copied()));
            let exchange = delegation.exchange(downstream(hop, next, &url, idp)?)?;
            let own = workloads.client_builder(next.caller.unwrap_or_default())?;
            Some(DownstreamClient::with_client(exchange, own)?)
        }
    };
    let rule = Requirement::named(hop.name).scope(hop.demands).on_behalf_of_user();
    let rule = match hop.caller {
        Some(path) => rule.workload(&format!("spiffe://example.org{path}")),
        None => rule,
    };
    let app =
        GuardedRouter::new().route("/", guard(rule, get(serve))).with_state(client).behind(delegation)?;
    let listener = TlsListener::bind("127.0.0.1:0", workloads.server()?).await?;
    let url = format!("https://{}", listener.local_addr()?);
    tokio::spawn(tower_delegation_rustls::serve(listener, app, future::pending()));
    Ok(url)
}

/// What `hop` may ask for at the next one, and how what comes back is verified.
fn downstream(hop: &Hop, next: &Hop, url: &str, idp: &MockIdp) -> Result<Downstream, Box<dyn Error>> {
    let server = AuthorizationServer::discover(idp.issuer())?
        .client(hop.name, ClientAuthentication::secret_basic(SECRET));
    let terms = TrustedIssuer::discover(idp.issuer())?.add_user_claim(USER_CLAIM);
    let downstream = Downstream::new(next.name, url, server)
        .resource(next.audience)
        .require(Requirement::named(format!("calls {}", next.name)).on_behalf_of_user())
        .add_scopes(next.most.iter().copied())
        .reads(terms)
        .issuer_caps_life();
    Ok(match next.worth {
        Some((scope, worth)) => downstream.grants(scope, worth.iter().copied()),
        None => downstream,
    })
}

/// Answers what the service sees of its caller, and what the next one has answered.
async fn serve(
    State(next): State<Option<DownstreamClient>>,
    delegation: DelegationContext,
) -> Result<Response, Rejection> {
    let actors: Vec<_> = delegation.actors().iter().map(|actor| actor.id().as_str()).collect();
    let audience: Vec<_> = delegation.audience().iter().map(|audience| audience.as_str()).collect();
    let mut seen = json!({
        "sub": delegation.subject().id().as_str(),
        "act": actors.join(" < "),
        "aud": audience.join(" "),
        "scope": delegation.scopes().as_str(),
        "exp": delegation.expires_at().unix_seconds(),
    });
    if let (Some(next), Some(members)) = (next, seen.as_object_mut()) {
        let answer = next.get("/").on_behalf_of(&delegation).send().await?;
        let answer: Value = answer.json().await.unwrap_or_default();
        members.insert("next".to_owned(), answer);
    }
    Ok(Json(seen).into_response())
}
