//! Claims of access tokens, signed here.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use tower_delegation::{
    DelegationLayer, TrustedIssuer, clock::Timestamp, error::ConfigError, issuer::KindCheck,
    jwks::SignatureAlgorithm,
};
use tower_delegation_testing::{ALGORITHMS, Algorithm, MockIdp, TestClock};

use super::{Expectation, Policy, Tally, Verdict, cases};
use crate::site::{Challenge, provider};

#[derive(Deserialize)]
struct Case {
    /// As text, so that nothing is lost before it is signed.
    header: Box<RawValue>,
    claims: Box<RawValue>,
    config: Config,
    now: f64,
    status: Option<u16>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Config {
    issuer: String,
    audience: OneOrMore,
    algs: Option<Vec<String>>,
    #[serde(default)]
    leeway: f64,
    /// `null`: any `typ` that names no other kind, and none.
    require_typ: Option<OneOrMore>,
    profile: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn iter(&self) -> impl Iterator<Item = &str> {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::More(more) => more,
        }
        .iter()
        .map(String::as_str)
    }
}

impl Config {
    /// Must `typ` say that it is an access token?
    fn is_strict(&self) -> bool {
        let typed = self.require_typ.as_ref().is_some_and(|types| types.iter().all(|typ| typ != "JWT"));
        typed || self.require_typ.is_none() && self.profile.as_deref() == Some("rfc9068")
    }

    fn layer(&self, jwks: &str, clock: &TestClock) -> Result<DelegationLayer, ConfigError> {
        let mut issuer = TrustedIssuer::with_static_keys(&self.issuer, jwks)?;
        for audience in self.audience.iter() {
            issuer = issuer.add_audience(audience);
        }
        if let Some(algs) = &self.algs {
            issuer = issuer.algorithms(algs.iter().filter_map(|name| SignatureAlgorithm::from_name(name)));
        }
        if !self.is_strict() {
            issuer = issuer.accept_generic_type(KindCheck::not_an_id_token());
        }
        let leeway = Duration::from_secs_f64(self.leeway);
        DelegationLayer::builder().clock(clock.clone()).leeway(leeway).add_issuer(issuer).build()
    }
}

impl Case {
    /// Signs header and claims as they stand, the way the header says where that can be done.
    fn token(&self, idp: &MockIdp) -> String {
        let header: Value = serde_json::from_str(self.header.get()).unwrap_or_default();
        let alg = header["alg"].as_str().unwrap_or_default();
        let named = |name: &str| ALGORITHMS.into_iter().find(|algorithm| algorithm.as_str() == name);
        let configured = self.config.algs.iter().flatten().find_map(|name| named(name));
        let token = idp.token().header_json(self.header.get()).claims_json(self.claims.get());
        let token = token.algorithm(named(alg).or(configured).unwrap_or(Algorithm::Rs256));
        if alg.eq_ignore_ascii_case("none") {
            token.unsigned_as(alg).sign()
        } else if alg.starts_with("HS") {
            token.hmac_with_public_key().sign()
        } else {
            token.sign()
        }
    }

    /// Why the library may refuse the case although it is valid.
    fn policy(&self) -> Option<Policy> {
        let header: Value = serde_json::from_str(self.header.get()).unwrap_or_default();
        if header["alg"].as_str().is_some_and(|alg| alg.starts_with("HS")) {
            return Some(Policy::Hmac);
        }
        let claims: Value = serde_json::from_str(self.claims.get()).unwrap_or_default();
        let is_late = |name: &str| claims[name].as_f64().is_some_and(|time| time >= 253_402_300_800.0);
        if ["exp", "iat", "auth_time"].into_iter().any(is_late) {
            return Some(Policy::BeyondYear9999);
        }
        let required = ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"];
        let profile = self.config.profile.as_deref() == Some("rfc9068");
        (!profile && required.iter().any(|name| claims.get(name).is_none())).then_some(Policy::ProfileAlways)
    }
}

#[tokio::test]
async fn access_token_claims() {
    const FILE: &str = "claims/access_token_claims";
    let Some(cases) = cases::<Case>(FILE) else { return };
    let mut tally = Tally::of(FILE);
    let clock = TestClock::new();
    let idp = provider(&clock).await;
    for (expectation, case) in cases {
        #[expect(clippy::cast_possible_truncation, reason = "a time of day")]
        clock.set(Timestamp::from_unix_millis((case.now * 1000.0) as i64));
        let verdict = judge(&case, &expectation, &idp, &clock).await;
        tally.add(&expectation, verdict);
    }
    tally.finish();
}

async fn judge(
    case: &Case,
    expectation: &Expectation,
    idp: &MockIdp,
    clock: &TestClock,
) -> Result<Verdict, String> {
    let layer = match case.config.layer(&idp.jwks().to_string(), clock) {
        Ok(layer) => layer,
        // A configuration that names only HMAC names no algorithm at all.
        Err(ConfigError::NoAlgorithm { .. }) => {
            return expectation.judge(&Err("no algorithm"), Some(Policy::Hmac));
        }
        Err(error) => return Err(format!("the configuration is refused: {error}")),
    };
    let Err(rejection) = layer.authenticator().verify(&case.token(idp)).await else {
        return expectation.judge(&Ok::<_, ()>(()), case.policy());
    };
    let challenge = rejection.challenges().next().map(|challenge| challenge.to_value());
    let challenges = challenge.iter().flat_map(|value| Challenge::parse(value.to_str().unwrap_or_default()));
    let error = challenges.into_iter().find_map(|challenge| challenge.parameters.get("error").cloned());
    if !expectation.is_valid() {
        if case.status.is_some_and(|status| status != rejection.status()) {
            return Err(format!("refused with {} by {}", rejection.status(), rejection.reason()));
        }
        if case.error.is_some() && case.error != error {
            return Err(format!("refused with {error:?} by {}", rejection.reason()));
        }
    }
    expectation.judge(&Err(rejection.reason()), case.policy())
}
