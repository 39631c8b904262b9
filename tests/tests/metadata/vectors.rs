//! Published vectors on resource identifiers and challenges, from the folder
//! that `CONFORMANCE_VECTORS` names.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, Write as _},
    path::Path,
    sync::Once,
};

use http::Method;
use integration_tests::{Answer, Served};
use serde_json::Value;
use tower_delegation::{
    DelegationLayer, TrustedIssuer, protected_resource::ProtectedResource, rejection::Challenge,
};

use crate::{World, app, challenges::parse};

static SAID: Once = Once::new();

fn say(line: &str) {
    writeln!(io::stdout().lock(), "{line}").unwrap();
}

/// The cases of a file, or `None` with one visible line for all files.
fn load(name: &str) -> Option<Vec<Value>> {
    let Some(folder) = env::var_os("CONFORMANCE_VECTORS") else {
        SAID.call_once(|| say("vectors: left out, because CONFORMANCE_VECTORS names no folder"));
        return None;
    };
    let text = fs::read(Path::new(&folder).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    Some(serde_json::from_slice(&text).unwrap())
}

/// The cases are a client's, which may accept a resource above the one that it
/// asked for. A service does not: an audience is accepted to the letter, and the
/// document tells the resource to the letter.
#[tokio::test]
async fn resources_match_to_the_letter() {
    let Some(cases) = load("oauth/resource_match_mcp.json") else { return };
    let world = World::new().await;
    let (mut accepted, mut refused, mut by_policy) = (0, 0, 0);
    for case in &cases {
        let (requested, configured) =
            (case["requested"].as_str().unwrap(), case["configured"].as_str().unwrap());
        let issuer =
            TrustedIssuer::with_static_keys(world.idp.issuer(), &world.idp.jwks().to_string()).unwrap();
        let layer = DelegationLayer::builder().add_issuer(issuer.add_audience(configured)).build().unwrap();
        let token = world.idp.token().subject("alice").client("web").audience(requested).sign();
        let is_accepted = layer.authenticator().verify(&token).await.is_ok();
        assert_eq!(is_accepted, requested == configured, "{}", case["id"]);
        match (is_accepted, case["expect"].as_str().unwrap()) {
            (true, "valid") => accepted += 1,
            (false, "invalid") => refused += 1,
            (false, "valid") => by_policy += 1,
            _ => panic!("{}", case["id"]),
        }
        if let Ok(resource) = ProtectedResource::new(configured) {
            assert_eq!(resource.resource(), configured, "{}", case["id"]);
        }
    }
    say(&format!(
        "vectors oauth/resource_match_mcp: {} cases, {refused} refused as expected, {accepted} accepted, \
         {by_policy} refused by stated policy (a service compares to the letter)",
        cases.len()
    ));
}

/// The challenges that name metadata, as this service sends them.
#[tokio::test]
async fn challenges_that_name_metadata() {
    let Some(cases) = load("oauth/www_authenticate_emit.json") else { return };
    let world = World::new().await;
    let mut named = 0;
    for case in &cases {
        let fields = case["www_authenticate"].as_array().unwrap();
        let challenges: Vec<_> = fields.iter().flat_map(|field| parse(field.as_str().unwrap())).collect();
        let [(_, wanted)] = challenges.as_slice() else { continue };
        let Some(url) = wanted.get("resource_metadata") else { continue };
        let resource =
            ProtectedResource::new(&url.replace("/.well-known/oauth-protected-resource", "")).unwrap();
        assert_eq!(resource.metadata_url(), url);
        let served = Served::start(app([world.layer().protected_resource(resource).build().unwrap()])).await;
        let request = served.request(Method::GET, "/api/orders");
        let answer = match wanted.get("error").map(String::as_str) {
            None => Answer::of(request).await,
            Some("insufficient_scope") => {
                let token = world.idp.token().subject("alice").client("web").sign();
                Answer::of(request.bearer_auth(token)).await
            }
            Some(other) => panic!("{}: {other}", case["id"]),
        };
        assert_eq!(u64::from(answer.status), case["status"].as_u64().unwrap(), "{}", case["id"]);
        let sent = parse(answer.challenge());
        let (scheme, sent) = sent.first().unwrap();
        assert_eq!(scheme, "Bearer", "{}", case["id"]);
        for name in ["resource_metadata", "error"] {
            assert_eq!(sent.get(name), wanted.get(name), "{}: {name}", case["id"]);
        }
        named += 1;
    }
    say(&format!("vectors oauth/www_authenticate_emit: {named} of {} cases name metadata", cases.len()));
}

/// What a published parser reads is what our serializer would have written,
/// wherever a challenge needs no escapes: read back, it is the same.
#[test]
fn challenges_are_read_as_they_were_meant() {
    let Some(cases) = load("oauth/www_authenticate_parse.json") else { return };
    let (mut same, mut not_ours) = (0, 0);
    for case in cases.iter().filter(|case| case["expect"] == "valid") {
        for challenge in case["challenges"].as_array().unwrap() {
            let parameters: BTreeMap<String, String> =
                serde_json::from_value(challenge["parameters"].clone()).unwrap_or_default();
            let is_quotable = |text: &String| {
                text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'))
            };
            if challenge.get("token68").is_some_and(|token| !token.is_null())
                || !parameters.values().all(is_quotable)
            {
                not_ours += 1;
                continue;
            }
            let leak = |text: &str| -> &'static str { text.to_owned().leak() };
            let scheme = challenge["scheme"].as_str().unwrap();
            let made = parameters
                .iter()
                .fold(Challenge::new(leak(scheme)), |made, (name, value)| made.parameter(leak(name), value));
            let value = made.to_value();
            let read = parse(value.to_str().unwrap());
            assert_eq!(read, [(scheme.to_owned(), parameters)], "{}", case["id"]);
            same += 1;
        }
    }
    say(&format!(
        "vectors oauth/www_authenticate_parse: {} cases, {same} challenges written and read back, \
         {not_ours} that need escapes or are no parameters, which this library never writes",
        cases.len()
    ));
}
