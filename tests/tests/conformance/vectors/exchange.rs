//! Token exchange: requests to make or to refuse, and answers to use or to refuse.

use std::collections::BTreeMap;

use http::Response;
use integration_tests::World;
use serde::Deserialize;
use serde_json::value::RawValue;
use tower_delegation::{
    DelegationLayer, DenialReason, Requirement,
    exchange::{ActorToken, AuthorizationServer, ClientAuthentication, Downstream, ExchangeError},
};
use tower_delegation_testing::{Endpoint, MockClient, TokenRequest};

use super::{Expectation, Policy, Tally, Verdict, cases};

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const CLIENT: &str = "orders";
const SECRET: &str = "secret";

/// What a request may have in addition to what a case says: the client's own proof, and what
/// RFC 8693 section 2.1 leaves to it.
const OPTIONAL: [&str; 4] = ["resource", "audience", "scope", "requested_token_type"];

#[derive(Deserialize)]
struct Case {
    /// The parameters of a request.
    request: Option<BTreeMap<String, OneOrMore>>,
    /// An answer to a request.
    response: Option<Answered>,
    /// What the answered request asked for, where it was something else than an access token.
    requested_token_type: Option<String>,
    #[serde(alias = "requested_scope")]
    scope: Option<String>,
    /// What the answer says, where it is an error.
    error: Option<String>,
}

#[derive(Deserialize)]
struct Answered {
    status: u16,
    /// As text, so that two members of one name reach the library.
    json: Box<RawValue>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn all(&self) -> Vec<&str> {
        match self {
            Self::One(one) => vec![one],
            Self::More(more) => more.iter().map(String::as_str).collect(),
        }
    }
}

impl Case {
    fn parameter(&self, name: &str) -> Vec<&str> {
        let request = self.request.as_ref();
        request.and_then(|request| request.get(name)).map(OneOrMore::all).unwrap_or_default()
    }

    /// The scopes that are asked for: what the case says, else what its answer grants.
    fn scopes(&self) -> Vec<String> {
        #[derive(Deserialize)]
        struct Granted {
            scope: String,
        }
        let granted = || {
            let answered: Granted = serde_json::from_str(self.response.as_ref()?.json.get()).ok()?;
            Some(answered.scope)
        };
        let asked = self.parameter("scope").first().map(|scope| (*scope).to_owned());
        let scopes = asked.or_else(|| self.scope.clone()).or_else(granted);
        let scopes = scopes.unwrap_or_else(|| "stock:read".to_owned());
        scopes.split(' ').map(str::to_owned).collect()
    }

    /// The library asks for one access token for one target, for a caller's access token.
    fn policy(&self) -> Option<Policy> {
        let is_other = |kind: &&str| *kind != ACCESS_TOKEN;
        let types = [self.parameter("requested_token_type"), self.parameter("subject_token_type")].concat();
        let is_other_type = self.requested_token_type.as_deref().iter().chain(&types).any(is_other);
        let targets = self.parameter("resource").len() + self.parameter("audience").len();
        (is_other_type || targets > 1).then_some(Policy::OneAccessToken)
    }

    /// The downstream whose exchange would make this request.
    fn downstream(&self, issuer: &str, actor: &str) -> Downstream {
        let authentication = ClientAuthentication::secret_basic(SECRET);
        let server = AuthorizationServer::discover(issuer).unwrap().client(CLIENT, authentication);
        let downstream = Downstream::new("stock", "https://stock.example.com", server)
            .require(Requirement::named("calls stock").on_behalf_of_user())
            .add_scopes(self.scopes())
            .opaque("the cases' tokens are no tokens of this provider");
        let downstream = match self.parameter("actor_token_type").first() {
            Some(kind)
                if self.request.as_ref().is_some_and(|request| request.contains_key("actor_token")) =>
            {
                downstream.actor_token(ActorToken::given(actor, kind))
            }
            _ => downstream,
        };
        match (self.parameter("resource").first(), self.parameter("audience").first()) {
            (Some(resource), _) => downstream.resource(resource),
            (None, Some(audience)) => downstream.audience(*audience).ask_by_audience(),
            (None, None) => downstream,
        }
    }

    /// Is it this request that was sent? The tokens in it are the test's own.
    fn is_sent_as(&self, sent: &TokenRequest) -> Result<(), String> {
        let parameters = self.request.iter().flatten().filter(|(name, _)| !name.starts_with("client_"));
        for (name, values) in parameters {
            let found: Vec<&str> = sent.parameters(name).collect();
            let is_token = matches!(name.as_str(), "subject_token" | "actor_token");
            let is_same = if is_token { found.len() == values.all().len() } else { found == values.all() };
            if !is_same {
                return Err(format!("{name} is sent as {found:?}"));
            }
        }
        let is_said = |name: &str| !self.parameter(name).is_empty() || OPTIONAL.contains(&name);
        let surplus: Vec<&str> = sent.parameter_names().filter(|name| !is_said(name)).collect();
        if surplus.is_empty() { Ok(()) } else { Err(format!("{surplus:?} are sent too")) }
    }
}

/// The provider, and the service whose exchanges are looked at.
struct Site {
    world: World,
    layer: DelegationLayer,
}

impl Site {
    async fn new() -> Self {
        let world = World::new().await;
        world.idp.register(MockClient::new(CLIENT).secret_basic(SECRET));
        let layer = world.layer().build().unwrap();
        Self { world, layer }
    }

    /// Asks for a token, for a user with the scopes of the case. A new exchange for each case:
    /// none is answered by what another one left behind.
    async fn ask(&self, case: &Case) -> Result<Result<(), ExchangeError>, String> {
        let actor = self.world.token().sign();
        let exchange = self.layer.exchange(case.downstream(self.world.idp.issuer(), &actor));
        let exchange = exchange.map_err(|error| error.to_string())?;
        let token = self.world.token().scopes(case.scopes()).sign();
        let caller = self.layer.authenticator().verify(&token).await.unwrap();
        Ok(exchange.on_behalf_of(&caller).token().await.map(drop))
    }

    /// Does the library make this request, and does a server take it?
    async fn judge_request(&self, case: &Case, expectation: &Expectation) -> Result<Verdict, String> {
        let policy = case.policy();
        let is_taken = self.is_taken(case).await;
        if is_taken != expectation.is_valid() && policy.is_none() {
            return Err(format!("the provider of the testing crate takes it: {is_taken}"));
        }
        let outcome = match self.ask(case).await {
            // What the configuration refuses is never sent.
            Err(refused) => Err(refused),
            Ok(answered) => {
                answered.map_err(|error| format!("what is made of it is refused: {error}"))?;
                let sent = self.world.idp.last_token_request().unwrap();
                is_well_formed(&sent)?;
                case.is_sent_as(&sent)
            }
        };
        expectation.judge(&outcome, policy)
    }

    /// Whether the provider takes the request as it stands, with good tokens in it.
    async fn is_taken(&self, case: &Case) -> bool {
        let token = self.world.token().scopes(case.scopes()).sign();
        let mut form: Vec<(&str, &str)> = Vec::new();
        for (name, values) in case.request.iter().flatten() {
            let is_token = matches!(name.as_str(), "subject_token" | "actor_token");
            form.extend(
                values.all().into_iter().map(|value| (name.as_str(), if is_token { &token } else { value })),
            );
        }
        let request = reqwest::Client::default().post(self.world.idp.token_endpoint()).form(&form);
        request.basic_auth(CLIENT, Some(SECRET)).send().await.unwrap().status().is_success()
    }

    /// Does the library use this answer?
    async fn judge_answer(
        &self,
        case: &Case,
        expectation: &Expectation,
        answer: &Answered,
    ) -> Result<Verdict, String> {
        let answered = Response::builder().status(answer.status).header("content-type", "application/json");
        let answered = answered.body(answer.json.get().to_owned()).unwrap();
        self.world.idp.answer_with(Endpoint::Token, answered);
        let outcome = self.ask(case).await;
        self.world.idp.recover(Endpoint::Token);
        let outcome = outcome?;
        if let (Some(code), Err(error)) = (&case.error, &outcome) {
            // The code is there for the operator, unless its status says that the server fails.
            let is_outage = answer.status >= 500 && error.reason() == DenialReason::ExchangeUnavailable;
            if error.oauth_error() != Some(code) && !is_outage {
                return Err(format!("{code} is {:?} ({})", error.oauth_error(), error.reason()));
            }
        }
        expectation.judge(&outcome, case.policy())
    }
}

/// 8693-2.1-1, of what was sent.
fn is_well_formed(sent: &TokenRequest) -> Result<(), String> {
    let count = |name: &str| sent.parameters(name).count();
    let required = ["grant_type", "subject_token", "subject_token_type"];
    let is_complete = required.iter().all(|name| count(name) == 1);
    if is_complete && count("actor_token") == count("actor_token_type") {
        Ok(())
    } else {
        Err(format!("what was sent is no request for an exchange: {sent:?}"))
    }
}

#[tokio::test]
async fn token_exchange() {
    const FILE: &str = "delegation/token_exchange";
    let Some(cases) = cases::<Case>(FILE) else { return };
    let mut tally = Tally::of(FILE);
    let site = Site::new().await;
    for (expectation, case) in cases {
        let verdict = match &case.response {
            Some(answer) => site.judge_answer(&case, &expectation, answer).await,
            None if case.request.is_some() => site.judge_request(&case, &expectation).await,
            None => Err("neither a request nor an answer".to_owned()),
        };
        tally.add(&expectation, verdict);
    }
    tally.finish();
}
