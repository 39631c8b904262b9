//! A service that trusts one issuer, and the issuer to make tokens with.

use std::{collections::BTreeMap, convert::Infallible};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header::WWW_AUTHENTICATE};
use http_body_util::{BodyExt as _, Full};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_delegation::{
    Authenticator, DelegationContext, DelegationLayer, DenialReason, TrustedIssuer, clock::Timestamp,
    layer::DelegationLayerBuilder,
};
use tower_delegation_testing::{ALGORITHMS, Algorithm, MockIdp, TestClock};

/// What the service is called in `aud`.
pub(crate) const AUDIENCE: &str = "https://orders.example.com";

/// The time at the service and at the issuer.
pub(crate) const NOW: i64 = 1_800_000_000;

/// How the inner service says which token it was called with.
const TOKEN_ID: &str = "x-token-id";

/// An issuer with a key of every algorithm, and a service that trusts it with
/// static keys: nothing is fetched.
pub(crate) struct Site {
    pub(crate) idp: MockIdp,
    pub(crate) layer: DelegationLayer,
}

impl Site {
    pub(crate) async fn new() -> Self {
        Self::with(|issuer| issuer, |layer| layer).await
    }

    /// With terms for the issuer.
    pub(crate) async fn with_terms(terms: impl FnOnce(TrustedIssuer) -> TrustedIssuer) -> Self {
        Self::with(terms, |layer| layer).await
    }

    /// With terms for the issuer and settings for the layer.
    pub(crate) async fn with(
        terms: impl FnOnce(TrustedIssuer) -> TrustedIssuer,
        settings: impl FnOnce(DelegationLayerBuilder) -> DelegationLayerBuilder,
    ) -> Self {
        let clock = TestClock::at(Timestamp::from_unix_seconds(NOW));
        let idp = provider(&clock).await;
        let issuer = terms(trusted(idp.issuer(), &idp.jwks().to_string()));
        let layer = settings(DelegationLayer::builder().clock(clock).add_issuer(issuer)).build().unwrap();
        Self { idp, layer }
    }

    pub(crate) fn authenticator(&self) -> &Authenticator {
        self.layer.authenticator()
    }

    /// What the service makes of a token.
    pub(crate) async fn verify(&self, token: &str) -> Result<DelegationContext, DenialReason> {
        self.authenticator().verify(token).await.map_err(|rejection| rejection.reason())
    }

    /// Why the service refuses a token; `None` if it does not.
    pub(crate) async fn refusal(&self, token: &str) -> Option<DenialReason> {
        self.verify(token).await.err()
    }

    /// A token of exactly this header and these claims, signed with the ES256 key.
    pub(crate) fn jws(&self, header: &str, claims: &str) -> String {
        self.idp.token().header_json(header).claims_json(claims).sign()
    }

    /// A token of exactly these parts, whatever they are, signed with the ES256 key.
    pub(crate) fn compact(&self, header: &str, payload: &str) -> String {
        let message = format!("{header}.{payload}");
        let signature = self.idp.sign_bytes(Algorithm::Es256, message.as_bytes());
        format!("{message}.{}", base64url(signature))
    }

    /// The header of a good token.
    pub(crate) fn header(&self) -> String {
        self.header_and("")
    }

    /// The header of a good token with more members: `"x":1`.
    pub(crate) fn header_and(&self, more: &str) -> String {
        let comma = if more.is_empty() { "" } else { "," };
        format!(r#"{{"alg":"ES256","kid":"es256-1","typ":"at+jwt"{comma}{more}}}"#)
    }

    /// The claims of a good token.
    pub(crate) fn claims(&self) -> String {
        self.claims_and("")
    }

    /// The claims of a good token with more members: `"x":1`.
    pub(crate) fn claims_and(&self, more: &str) -> String {
        self.claims_but("", more)
    }

    /// The claims of a good token without the one that is named, and with more members.
    pub(crate) fn claims_but(&self, absent: &str, more: &str) -> String {
        let issuer = format!(r#""{}""#, self.idp.issuer());
        let (iat, exp, audience) = (NOW.to_string(), (NOW + 300).to_string(), format!(r#""{AUDIENCE}""#));
        let claims = [
            ("iss", issuer.as_str()),
            ("sub", r#""alice""#),
            ("aud", &audience),
            ("client_id", r#""shop-web""#),
            ("iat", &iat),
            ("exp", &exp),
            ("jti", r#""t1""#),
        ];
        let mut members: Vec<String> = claims
            .iter()
            .filter(|(name, _)| *name != absent)
            .map(|(name, value)| format!(r#""{name}":{value}"#))
            .collect();
        if !more.is_empty() {
            members.push(more.to_owned());
        }
        format!("{{{}}}", members.join(","))
    }

    /// Sends a request through the layer. The body may be of any type: nobody reads it.
    pub(crate) async fn send<B: Send + 'static>(&self, request: Request<B>) -> Answer {
        send(&self.layer, request).await
    }

    /// Sends a `GET` with this `Authorization` field.
    pub(crate) async fn get(&self, authorization: &str) -> Answer {
        self.send(Request::get("/").header("authorization", authorization).body(()).unwrap()).await
    }
}

/// An issuer with a key of every algorithm; ES256 signs unless a token says otherwise.
pub(crate) async fn provider(clock: &TestClock) -> MockIdp {
    let algorithms = [Algorithm::Es256].into_iter().chain(ALGORITHMS);
    MockIdp::builder().clock(clock.clone()).audience(AUDIENCE).algorithms(algorithms).start().await
}

/// An issuer trusted with these keys, for this service.
pub(crate) fn trusted(issuer: &str, jwks: &str) -> TrustedIssuer {
    TrustedIssuer::with_static_keys(issuer, jwks).unwrap().add_audience(AUDIENCE)
}

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn from_base64url(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// The token with another signature.
pub(crate) fn with_signature(token: &str, signature: &[u8]) -> String {
    let (message, _) = token.rsplit_once('.').unwrap();
    format!("{message}.{}", base64url(signature))
}

/// What a client sees of an answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) challenges: Vec<Challenge>,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The one challenge.
    pub(crate) fn challenge(&self) -> &Challenge {
        let [challenge] = self.challenges.as_slice() else { panic!("{} challenges", self.challenges.len()) };
        challenge
    }

    /// `error` of the one challenge.
    pub(crate) fn error(&self) -> Option<&str> {
        self.challenge().parameters.get("error").map(String::as_str)
    }

    /// The token that the inner service was called with.
    pub(crate) fn token_id(&self) -> Option<&str> {
        self.headers.get(TOKEN_ID).map(|value| value.to_str().unwrap())
    }
}

/// A challenge as an independent parser reads it: names in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Challenge {
    pub(crate) scheme: String,
    pub(crate) parameters: BTreeMap<String, String>,
}

impl Challenge {
    /// Reads one field line. A parameter that occurs twice fails the test
    /// (RFC 6750 section 3, RFC 9110 section 11.2).
    pub(crate) fn parse(field: &str) -> Vec<Self> {
        let challenges =
            http_auth::parse_challenges(field).unwrap_or_else(|error| panic!("{field}: {error}"));
        let read = |challenge: http_auth::ChallengeRef<'_>| {
            let mut parameters = BTreeMap::new();
            for (name, value) in &challenge.params {
                let former = parameters.insert(name.to_ascii_lowercase(), value.to_unescaped());
                assert_eq!(former, None, "{name} occurs twice in {field}");
            }
            Self { scheme: challenge.scheme.to_owned(), parameters }
        };
        challenges.into_iter().map(read).collect()
    }
}

pub(crate) async fn send<B: Send + 'static>(layer: &DelegationLayer, request: Request<B>) -> Answer {
    let service = layer.layer(service_fn(async |request: Request<B>| {
        let delegation: &DelegationContext = request.extensions().get().unwrap();
        let response = Response::builder().header(TOKEN_ID, delegation.token_id().as_str());
        Ok::<_, Infallible>(response.body(Full::<Bytes>::default()).unwrap())
    }));
    let (head, body) = service.oneshot(request).await.unwrap().into_parts();
    let fields = head.headers.get_all(WWW_AUTHENTICATE);
    let challenges = fields.iter().flat_map(|field| Challenge::parse(field.to_str().unwrap())).collect();
    Answer {
        status: head.status,
        headers: head.headers,
        challenges,
        body: body.collect().await.unwrap().to_bytes(),
    }
}
