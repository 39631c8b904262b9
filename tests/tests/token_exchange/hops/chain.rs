//! The fixture: a user calls a web app, which calls a gateway, which calls orders, which
//! calls stock. Each is a service on a socket of its own, with a layer, an audience, a store
//! of revocations, a registry of applications and an exchange of its own.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{
        HeaderMap,
        header::{AUTHORIZATION, CONTENT_TYPE},
    },
    response::{IntoResponse as _, Response},
    routing::get,
};
use integration_tests::{Answer, AuditEvent, Served, World};
use reqwest::Method;
use serde_json::{Value, json};
use tower_delegation::{
    Applications, DelegationContext, DelegationLayer, Rejection, RequireLayer, Requirement, TrustedIssuer,
    application::{Application, ApplicationKind, ApplicationsBuilder},
    exchange::{AuthorizationServer, ClientAuthentication, Downstream, Exchange, outgoing::DownstreamClient},
    names::IssuerUrl,
    revocation::{InMemoryRevocations, Revocation},
};
use tower_delegation_testing::{MockClient, TokenBuilder, USER_CLAIM};

/// The trace that calls of the whole chain belong to.
pub(crate) const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

const SECRET: &str = "s3cret";

/// A service of the chain: its name is its client at the provider, its route, and how the
/// one before calls it.
pub(crate) struct Place {
    pub(crate) name: &'static str,
    pub(crate) audience: &'static str,
    /// What its rule demands.
    scope: &'static str,
    /// The most that it may be asked for by the one before.
    most: &'static [&'static str],
    /// What the scopes of the one before are worth here, if it is not the scope of that name.
    worth: Option<(&'static str, &'static [&'static str])>,
}

/// In the order of a call.
pub(crate) const PLACES: [Place; 4] = [
    Place { name: "web", audience: "https://shop.example.com", scope: "shop:buy", most: &[], worth: None },
    Place {
        name: "gateway",
        audience: "https://gateway.example.com",
        scope: "orders:write",
        most: &["orders:read", "orders:write"],
        worth: Some(("shop:buy", &["orders:read", "orders:write"])),
    },
    Place {
        name: "orders",
        audience: "https://orders.example.com",
        scope: "orders:write",
        most: &["orders:write"],
        worth: None,
    },
    Place {
        name: "stock",
        audience: "https://stock.example.com",
        scope: "stock:reserve",
        most: &["stock:read", "stock:reserve"],
        worth: Some(("orders:write", &["stock:reserve"])),
    },
];

/// A service that runs.
pub(crate) struct Hop {
    pub(crate) place: &'static Place,
    pub(crate) served: Served,
    layer: DelegationLayer,
    exchange: Option<Exchange>,
    revocations: InMemoryRevocations,
    applications: Applications,
}

pub(crate) struct Chain {
    pub(crate) world: World,
    /// In the order of a call.
    pub(crate) hops: Vec<Hop>,
}

impl Chain {
    /// All downstreams say that the issuer caps the life of what it exchanges.
    pub(crate) async fn new() -> Self {
        Self::with(Downstream::issuer_caps_life).await
    }

    pub(crate) async fn with(downstream: impl Fn(Downstream) -> Downstream) -> Self {
        let world = World::new().await;
        let mut hops: Vec<Hop> = Vec::new();
        for place in PLACES.iter().rev() {
            let next = hops.last().map(|next| downstream(next_of(&world, place, next)));
            hops.push(Hop::start(&world, place, next).await);
        }
        hops.reverse();
        for (hop, next) in hops.iter().zip(PLACES.iter().skip(1)) {
            let client = MockClient::new(hop.place.name).secret_basic(SECRET);
            let client = client.add_audience(hop.place.audience);
            world.idp.register(client.exchanges_for(next.audience, next.most.iter().copied()));
        }
        Self { world, hops }
    }

    /// A token of alice for the web app, through its page in her browser.
    pub(crate) fn token(&self) -> TokenBuilder {
        self.world.token().audience(PLACES[0].audience).scopes(["shop:account", "shop:buy"])
    }

    /// Calls the web app, which calls all others, as a part of [`TRACE`].
    pub(crate) async fn call(&self, token: &str) -> Answer {
        let request = self.hops[0].served.request(Method::GET, "/web").bearer_auth(token);
        Answer::of(request.header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"))).await
    }

    /// What each service saw of a call that all of them served.
    pub(crate) async fn seen(&self, token: &str) -> Vec<Value> {
        let answer = self.call(token).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let mut seen: Vec<Value> = vec![serde_json::from_str(&answer.body).unwrap()];
        while let Some(next) = seen.last_mut().and_then(|last| last.as_object_mut()?.remove("next")) {
            seen.push(next);
        }
        seen
    }

    /// The tokens that the services before `end` get for this one, each with the service that
    /// it is for, the first one too. They are kept there from then on.
    pub(crate) async fn tokens(&self, token: &str, end: usize) -> Vec<String> {
        let mut tokens = vec![token.to_owned()];
        for hop in self.hops.iter().take(end.saturating_sub(1)) {
            let context = hop.layer.authenticator().verify(tokens.last().unwrap()).await.unwrap();
            let exchange = hop.exchange.as_ref().unwrap();
            let issued = exchange.on_behalf_of(&context).token().await.unwrap();
            let mut request = Request::get(exchange.url()).body(()).unwrap();
            issued.authorize(&mut request).unwrap();
            tokens.push(bearer(request.headers()).to_owned());
        }
        tokens
    }

    /// The event of each service that was called, in the order of the call: where, and the
    /// reason, or `allow`.
    pub(crate) fn passed(events: &[AuditEvent]) -> Vec<(&'static str, String)> {
        let outcome = |event: &AuditEvent| match event.field("reason") {
            "" => event.field("decision").to_owned(),
            reason => reason.to_owned(),
        };
        let of = |place: &'static Place| {
            let route = format!("/{}", place.name);
            let event = events.iter().find(|event| event.field("route") == route)?;
            Some((place.name, outcome(event)))
        };
        PLACES.iter().filter_map(of).collect()
    }
}

impl Hop {
    async fn start(world: &World, place: &'static Place, downstream: Option<Downstream>) -> Self {
        let revocations = InMemoryRevocations::new();
        let applications = registry(world, None).build().unwrap();
        let issuer = TrustedIssuer::discover(world.idp.issuer()).unwrap();
        let layer = DelegationLayer::builder()
            .add_issuer(issuer.add_audience(place.audience).add_user_claim(USER_CLAIM))
            .clock(world.clock.clone())
            .leeway(Duration::ZERO)
            .revocations(revocations.clone())
            .applications(applications.clone())
            .build()
            .unwrap();
        let exchange = downstream.map(|downstream| layer.exchange(downstream).unwrap());
        let next = exchange.clone().map(|exchange| {
            let path = format!("/{}", exchange.downstream());
            Next { client: DownstreamClient::new(exchange).unwrap(), path }
        });
        let rule = Requirement::named(place.name).scope(place.scope).on_behalf_of_user();
        let app = Router::new()
            .route(&format!("/{}", place.name), get(serve).layer(RequireLayer::new(rule).unwrap()))
            .with_state(next)
            .layer(layer.clone());
        Self { place, served: Served::start(app).await, layer, exchange, revocations, applications }
    }

    pub(crate) async fn call(&self, token: &str) -> Answer {
        self.served.get(&format!("/{}", self.place.name), token).await
    }

    /// Revokes a subject, here and nowhere else.
    pub(crate) fn revoke(&self, world: &World, subject: &str) {
        let issuer = IssuerUrl::from(world.idp.issuer());
        self.revocations.revoke(Revocation::subject(issuer, subject)).unwrap();
    }

    /// Replaces the registry, here and nowhere else.
    pub(crate) fn register(&self, world: &World, suspended: Option<&str>) {
        self.applications.replace(registry(world, suspended)).unwrap();
    }
}

/// How the service at `place` calls the next one.
fn next_of(world: &World, place: &Place, next: &Hop) -> Downstream {
    let server = AuthorizationServer::discover(world.idp.issuer()).unwrap();
    let server = server.client(place.name, ClientAuthentication::secret_basic(SECRET));
    let Place { name, audience, most, worth, .. } = next.place;
    let terms = TrustedIssuer::discover(world.idp.issuer()).unwrap().add_user_claim(USER_CLAIM);
    let downstream = Downstream::new(name, &next.served.base, server)
        .resource(audience)
        .require(Requirement::named(format!("calls {name}")).on_behalf_of_user())
        .add_scopes(most.iter().copied())
        .reads(terms);
    match worth {
        Some((scope, worth)) => downstream.grants(scope, worth.iter().copied()),
        None => downstream,
    }
}

/// Who may call and act: the page in the browser, and every service of the chain.
fn registry(world: &World, suspended: Option<&str>) -> ApplicationsBuilder {
    let names = ["shop-web", "web", "gateway", "orders"];
    let scopes = ["shop:buy", "shop:account", "orders:read", "orders:write", "stock:read", "stock:reserve"];
    names.into_iter().fold(Applications::builder(), |registry, name| {
        let application = Application::builder(name, ApplicationKind::Application)
            .issuer(world.idp.issuer())
            .add_client_id(name)
            .add_actor_id(name)
            .add_scopes(scopes)
            .acts_for_users()
            .allow_any_workload();
        let is_suspended = suspended == Some(name);
        registry.add_application(if is_suspended { application.suspended() } else { application })
    })
}

/// How a service calls the next one.
#[derive(Clone)]
struct Next {
    client: DownstreamClient,
    path: String,
}

/// Answers what the service sees of its caller, and what comes of calling the next one.
async fn serve(
    State(next): State<Option<Next>>,
    delegation: DelegationContext,
) -> Result<Response, Rejection> {
    let actors: Vec<_> = delegation.actors().iter().map(|actor| actor.id().to_string()).collect();
    let mut seen = json!({
        "sub": delegation.subject().id().as_str(),
        "actors": actors,
        "aud": delegation.audience().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "scope": delegation.scopes().as_str(),
        "exp": delegation.expires_at().unix_seconds(),
    });
    let Some(Next { client, path }) = next else { return Ok(Json(seen).into_response()) };
    let answer = client.get(&path).on_behalf_of(&delegation).send().await?;
    let (status, body) = (answer.status(), answer.text().await.unwrap());
    if !status.is_success() {
        return Ok((status, [(CONTENT_TYPE, "application/problem+json")], body).into_response());
    }
    seen["next"] = serde_json::from_str(&body).unwrap();
    Ok(Json(seen).into_response())
}

fn bearer(headers: &HeaderMap) -> &str {
    headers[AUTHORIZATION].to_str().unwrap().strip_prefix("Bearer ").unwrap()
}
