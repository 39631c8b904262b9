//! Requests with tokens, challenges, and the comparison of issuers.

use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use tower_delegation::{
    DelegationLayer, Requirement, TrustedIssuer, clock::Timestamp, context::RequestFacts,
    rejection::Challenge as Made,
};
use tower_delegation_testing::TestClock;

use super::{Expectation, Label, Policy, Tally, Verdict, cases};
use crate::site::{AUDIENCE, Answer, Challenge, NOW, Site, provider};

#[derive(Deserialize)]
struct Extraction {
    #[serde(default = "get")]
    method: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    query: Option<String>,
    form: Option<Value>,
    json: Option<Value>,
    token: Option<String>,
    status: Option<u16>,
    error: Option<String>,
    /// The source's answer is one of two that are defensible.
    disputed: Option<Value>,
}

fn get() -> String {
    "GET".to_owned()
}

impl Extraction {
    /// A request with everything that the case has, or `None` where no server
    /// could ever receive it. The token of the case, which is just a word,
    /// stands in for a real one in the field that should carry it.
    fn request(&self, real: &str) -> Option<Request<String>> {
        let uri = match &self.query {
            Some(query) => format!("/?{query}"),
            None => "/".to_owned(),
        };
        let mut request =
            Request::builder().method(Method::from_bytes(self.method.as_bytes()).ok()?).uri(uri);
        for (name, value) in &self.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            let value = match &self.token {
                Some(token) if name == header::AUTHORIZATION => match value.strip_suffix(token.as_str()) {
                    Some(scheme) => format!("{scheme}{real}"),
                    None => value.clone(),
                },
                _ => value.clone(),
            };
            request = request.header(name, HeaderValue::from_bytes(value.as_bytes()).ok()?);
        }
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let (content_type, body) = match (&self.form, &self.json) {
            (Some(form), _) => ("application/x-www-form-urlencoded", text(form)),
            (None, Some(json)) => ("application/json", text(json)),
            (None, None) => return request.body(String::new()).ok(),
        };
        if request.headers_ref().is_some_and(|headers| !headers.contains_key(header::CONTENT_TYPE)) {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        request.body(body).ok()
    }

    fn fields(&self) -> impl Iterator<Item = &str> {
        let named = |(name, _): &&(String, String)| name.eq_ignore_ascii_case("authorization");
        self.headers.iter().filter(named).map(|(_, value)| value.as_str())
    }

    /// The rule of the library that decides the case, where it has one of its own.
    fn policy(&self) -> Option<Policy> {
        let uri = format!("http://orders.example.com/?{}", self.query.as_deref().unwrap_or_default());
        let uri = reqwest::Url::parse(&uri).unwrap();
        let in_query = uri.query_pairs().any(|(name, _)| name == "access_token");
        if in_query {
            Some(Policy::QueryNeverRead)
        } else if self
            .fields()
            .any(|field| field.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("dpop")))
        {
            Some(Policy::DpopRefused)
        } else if self.form.is_some() || self.json.is_some() {
            Some(Policy::BodyNeverRead)
        } else {
            None
        }
    }

    /// Does the answer agree with the case?
    fn agrees(&self, answer: &Answer) -> bool {
        match &self.token {
            Some(_) => answer.token_id() == Some("extracted"),
            None => {
                let status = self.status.is_none_or(|status| answer.status == status);
                status && answer.token_id().is_none() && answer.error() == self.error.as_deref()
            }
        }
    }

    /// What the library does by its rule, whatever the case says.
    fn follows(&self, policy: Policy, answer: &Answer) -> bool {
        match policy {
            Policy::QueryNeverRead => {
                answer.status == StatusCode::BAD_REQUEST && answer.error() == Some("invalid_request")
            }
            Policy::DpopRefused => {
                answer.status == StatusCode::UNAUTHORIZED && answer.error() == Some("invalid_token")
            }
            // The field alone decides. Without one there are no credentials; with one
            // that is well formed its word is taken for a token.
            Policy::BodyNeverRead if self.fields().next().is_none() => {
                answer.status == StatusCode::UNAUTHORIZED && answer.error().is_none()
            }
            Policy::BodyNeverRead => {
                answer.token_id() == Some("extracted") || answer.error() == Some("invalid_token")
            }
            _ => false,
        }
    }
}

#[tokio::test]
async fn token_extraction() {
    const FILE: &str = "oauth/token_extraction";
    let Some(cases) = cases::<Extraction>(FILE) else { return };
    let mut tally = Tally::of(FILE);
    let site = Site::new().await;
    let real = site.idp.token().token_id("extracted").sign();
    for (expectation, case) in cases {
        let verdict = match case.request(&real) {
            // What HTTP itself does not let through needs no answer.
            None if !expectation.is_valid() => Ok(Verdict::Refused),
            None => Err("the request cannot be made".to_owned()),
            Some(request) => {
                let answer = site.send(request).await;
                judge(&case, &expectation, &answer)
            }
        };
        tally.add(&expectation, verdict);
    }
    tally.finish();
}

fn judge(case: &Extraction, expectation: &Expectation, answer: &Answer) -> Result<Verdict, String> {
    let policy = case.policy();
    let agrees = case.agrees(answer);
    match expectation.label() {
        Label::Info if policy.is_none_or(|policy| case.follows(policy, answer)) => Ok(Verdict::Informative),
        Label::Valid if agrees && case.token.is_some() => Ok(Verdict::Accepted),
        Label::Invalid if agrees && case.token.is_none() => Ok(Verdict::Refused),
        // Either of the two answers of the dispute: no credentials, or a bad request.
        Label::Invalid
            if case.disputed.is_some()
                && matches!(
                    (answer.status.as_u16(), answer.error()),
                    (401, None) | (400, Some("invalid_request"))
                ) =>
        {
            Ok(Verdict::Refused)
        }
        _ => match policy {
            Some(policy) if case.follows(policy, answer) => Ok(Verdict::ByPolicy(policy)),
            _ => Err(format!("{} {:?} {:?}", answer.status, answer.challenges, answer.token_id())),
        },
    }
}

#[derive(Deserialize)]
struct Emitted {
    status: u16,
    www_authenticate: Vec<String>,
}

/// Can the library say each of these challenges, each in a field of its own?
#[tokio::test]
async fn www_authenticate_emit() {
    const FILE: &str = "oauth/www_authenticate_emit";
    let Some(cases) = cases::<Emitted>(FILE) else { return };
    let mut tally = Tally::of(FILE);
    let site = Site::with(|issuer| issuer, |layer| layer.realm("example")).await;
    for (expectation, case) in cases {
        let mut expected: Vec<Challenge> =
            case.www_authenticate.iter().flat_map(|field| Challenge::parse(field)).collect();
        let fields: Vec<HeaderValue> = expected.iter().map(made).collect();
        let mut ours: Vec<Challenge> =
            fields.iter().flat_map(|field| Challenge::parse(field.to_str().unwrap())).collect();
        expected.sort();
        ours.sort();
        let mut outcome = if ours == expected && fields.len() == expected.len() {
            Ok(())
        } else {
            Err(format!("{ours:?} instead of {expected:?}"))
        };
        if let [challenge] = expected.as_slice()
            && outcome.is_ok()
        {
            outcome = own_answer(&site, case.status, challenge).await;
        }
        tally.add(&expectation, expectation.judge(&outcome, None));
    }
    tally.finish();
}

/// The challenge as the library writes it.
fn made(challenge: &Challenge) -> HeaderValue {
    // The library takes names from the program only, so those of the file are leaked.
    let leak = |text: &str| -> &'static str { text.to_owned().leak() };
    let start = Made::new(leak(&challenge.scheme));
    let parameters = challenge.parameters.iter();
    parameters.fold(start, |made, (name, value)| made.parameter(leak(name), value)).to_value()
}

/// The library's own refusal of the same kind: same status, same scheme, same
/// `error` or none. Its texts are its own, and the kinds of later versions have none.
async fn own_answer(site: &Site, status: u16, challenge: &Challenge) -> Result<(), String> {
    let error = challenge.parameters.get("error").map(String::as_str);
    if challenge.scheme != "Bearer" {
        return Ok(());
    }
    let (own_status, own) = match error {
        None => seen(&site.send(Request::get("/").body(()).unwrap()).await),
        Some("invalid_token") => {
            seen(&site.get(&format!("Bearer {}", site.idp.token().claim("exp", 1).sign())).await)
        }
        Some("invalid_request") => seen(&site.get("Bearer a b").await),
        Some("insufficient_scope") => {
            let delegation =
                site.verify(&site.idp.token().sign()).await.map_err(|reason| reason.to_string())?;
            let scope = challenge.parameters.get("scope").map_or("orders:read", String::as_str);
            let demand = Requirement::new().scopes(scope.split(' '));
            let rejection = delegation.authorize(&demand, &RequestFacts::none()).unwrap_err();
            let field = rejection.challenges().next().unwrap().to_value();
            let parsed = Challenge::parse(field.to_str().unwrap()).remove(0);
            if parsed.parameters.get("scope").map(String::as_str) != Some(scope) {
                return Err(format!("{parsed:?} does not name the scope {scope}"));
            }
            (rejection.status().as_u16(), parsed)
        }
        Some(_) => return Ok(()),
    };
    let own_error = own.parameters.get("error").map(String::as_str);
    let described = own.parameters.contains_key("error_description");
    if own_status == status && own.scheme == "Bearer" && own_error == error && described == error.is_some() {
        Ok(())
    } else {
        Err(format!("{own_status} {own:?} instead of {status} {challenge:?}"))
    }
}

fn seen(answer: &Answer) -> (u16, Challenge) {
    (answer.status.as_u16(), answer.challenge().clone())
}

#[derive(Deserialize)]
struct Equality {
    expected: String,
    received: Option<Value>,
}

#[tokio::test]
async fn issuer_equality() {
    const FILE: &str = "oauth/issuer_equality";
    let Some(cases) = cases::<Equality>(FILE) else { return };
    let mut tally = Tally::of(FILE);
    let clock = TestClock::at(Timestamp::from_unix_seconds(NOW));
    let idp = provider(&clock).await;
    let jwks = idp.jwks().to_string();
    for (expectation, case) in cases {
        let outcome = match TrustedIssuer::with_static_keys(&case.expected, &jwks) {
            Err(error) => Err(error.to_string()),
            Ok(issuer) => {
                let issuer = issuer.add_audience(AUDIENCE);
                let layer =
                    DelegationLayer::builder().clock(clock.clone()).add_issuer(issuer).build().unwrap();
                // `null` stands for a claim that is not there, and is one that is null.
                let null = json!(null);
                let present = idp.token().claim("iss", case.received.clone().unwrap_or(null));
                let verify = async |token: String| {
                    let verified = layer.authenticator().verify(&token).await;
                    verified.map(drop).map_err(|rejection| rejection.reason().to_string())
                };
                match case.received {
                    Some(_) => verify(present.sign()).await,
                    None => verify(present.sign()).await.or(verify(idp.token().without("iss").sign()).await),
                }
            }
        };
        tally.add(&expectation, expectation.judge(&outcome, None));
    }
    tally.finish();
}
