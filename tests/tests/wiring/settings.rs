//! Plain data: read from TOML and from JSON, strictly, and as it is documented.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use tower_delegation::{
    ConfigError, DelegationLayer, Dpop, Settings, TrustedIssuer, jwks::SignatureAlgorithm, token::TokenCache,
};

use integration_tests::{AUDIENCE, World};

const EVERYTHING: &str = r#"
realm = "orders"
leeway_seconds = 10
max_token_lifetime_seconds = 900
max_actors = 3
allow_anonymous = true
refuse_undecided = true
allow_inner_authenticator = true
identity_headers = ["ssl-client-verify"]
refuse_untrusted_identity_headers = true

[token_cache]
max_entries = 10
max_bytes = 1000

[dpop]
origins = ["https://settings.example"]
algorithms = ["ES256", "EdDSA"]
max_age_seconds = 30
future_tolerance_seconds = 5
rotate_nonces_every_seconds = 60
max_entries = 100
max_entries_per_key = 20
"#;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn toml_and_json_are_read_alike_and_written_as_they_were_read() {
    let settings: Settings = toml::from_str(EVERYTHING).unwrap();
    let as_json: Value = toml::from_str(EVERYTHING).unwrap();
    assert_eq!(serde_json::from_value::<Settings>(as_json.clone()).unwrap(), settings);
    assert_eq!(serde_json::to_value(&settings).unwrap(), as_json);

    assert_eq!((settings.realm.as_str(), settings.max_actors), ("orders", 3));
    assert_eq!((settings.leeway, settings.max_token_lifetime), (seconds(10), Some(seconds(900))));
    assert_eq!(settings.token_cache, TokenCache::new().max_entries(10).max_bytes(1000));
    let dpop = settings.dpop.as_ref().unwrap();
    assert_eq!(dpop.algorithms, [SignatureAlgorithm::Es256, SignatureAlgorithm::EdDsa]);
    assert_eq!((dpop.max_age, dpop.future_tolerance), (seconds(30), seconds(5)));
    assert_eq!((dpop.rotate_nonces_every, dpop.max_entries_per_key), (Some(seconds(60)), Some(20)));
    settings.check().unwrap();
    let issuer = TrustedIssuer::discover("https://idp.example.com").unwrap().add_audience(AUDIENCE);
    DelegationLayer::builder().settings(settings).add_issuer(issuer).build().unwrap();

    assert_eq!(toml::from_str::<Settings>("").unwrap(), Settings::default());
    Settings::default().check().unwrap();
}

#[test]
fn unknown_and_wrong_values_are_refused() {
    for (name, text, told) in [
        ("an unknown key", "leway_seconds = 1", "leway_seconds"),
        ("the setter's name", "leeway = 1", "leeway"),
        ("a key in the wrong place", "max_entries = 1", "max_entries"),
        ("an unknown key of a part", "[token_cache]\ncapacity = 1", "capacity"),
        ("an unknown key of another", "[dpop]\nmax_age = 1", "max_age"),
        ("a text", "leeway_seconds = '30 s'", "string"),
        ("a fraction", "leeway_seconds = 0.5", "float"),
        ("less than none", "leeway_seconds = -1", "-1"),
        ("no duration", "max_token_lifetime_seconds = 'none'", "string"),
        ("a number for a switch", "allow_anonymous = 1", "integer"),
        ("one for a list", "identity_headers = 'x-client'", "string"),
        ("too many actors for a number", "max_actors = -1", "-1"),
        ("a symmetric algorithm", "[dpop]\nalgorithms = ['HS256']", "HS256"),
        ("none", "[dpop]\nalgorithms = ['none']", "none"),
        ("in lower case", "[dpop]\nalgorithms = ['es256']", "es256"),
    ] {
        let error = toml::from_str::<Settings>(text).unwrap_err().to_string();
        assert!(error.contains(told), "{name}: {error}");
        let value: Value = toml::from_str(text).unwrap();
        let error = serde_json::from_value::<Settings>(value).unwrap_err().to_string();
        assert!(error.contains(told) || told == "float", "{name} in JSON: {error}");
    }
    let mut settings = Settings::default();
    settings.leeway = Duration::from_millis(1500);
    assert!(serde_json::to_string(&settings).is_err(), "rounded, it would be another setting");
}

/// Every value out of its range, in one file: all are reported, by `check` and by `build`.
#[test]
fn every_value_out_of_range_is_reported_at_once() {
    let text = r#"
        realm = "a\"b"
        leeway_seconds = 301
        max_token_lifetime_seconds = 0
        max_actors = 65
        identity_headers = ["authorization", "two words"]

        [dpop]
        origins = ["http://api.example", "ftp://api.example"]
        algorithms = []
        max_age_seconds = 301
        future_tolerance_seconds = 61
        rotate_nonces_every_seconds = 9
        max_entries = 10
        max_entries_per_key = 11
    "#;
    let settings: Settings = toml::from_str(text).unwrap();
    let checked = settings.check().unwrap_err();
    let texts: Vec<_> = checked.mistakes().map(ToString::to_string).collect();
    for told in [
        "leeway of 301s",
        "max_token_lifetime = 0",
        "max_actors = 65",
        "realm \"a\\\"b\"",
        "\"authorization\"",
        "\"two words\"",
        "max_age = 301",
        "future_tolerance = 61",
        "no algorithm",
        "`max_entries_per_key` is 11",
        "\"http://api.example\"",
        "\"ftp://api.example\"",
        "rotate_every = 9",
    ] {
        assert_eq!(texts.iter().filter(|text| text.contains(told)).count(), 1, "{told}: {texts:#?}");
    }
    assert_eq!(texts.len(), 13, "{texts:#?}");
    let built = DelegationLayer::builder().settings(settings).build().unwrap_err();
    let codes: Vec<_> = built.mistakes().map(ConfigError::code).collect();
    assert_eq!(codes.len(), 14, "{built}");
    assert_eq!(codes.first(), Some(&"no_issuer"));
}

#[test]
fn setters_change_what_the_settings_say_and_nothing_is_said_twice() {
    let issuer = || TrustedIssuer::discover("https://idp.example.com").unwrap().add_audience(AUDIENCE);
    let settings = |text: &str| toml::from_str::<Settings>(text).unwrap();
    let builder = || DelegationLayer::builder().add_issuer(issuer());
    for (name, builder, expected) in [
        ("a setter after the settings", builder().settings(settings("max_actors = 65")).max_actors(3), None),
        (
            "a setter before them",
            builder().max_actors(3).settings(settings("max_actors = 65")),
            Some("out_of_range"),
        ),
        (
            "DPoP in both",
            builder()
                .settings(settings("[dpop]\norigins = ['https://both.example']"))
                .dpop(Dpop::at("https://both.example")),
            Some("invalid_dpop"),
        ),
        ("DPoP without an origin", builder().settings(settings("[dpop]")), Some("invalid_dpop")),
    ] {
        let built = builder.build();
        assert_eq!(built.as_ref().err().map(ConfigError::code), expected, "{name}: {built:?}");
    }
}

/// What a file says is what requests meet.
#[tokio::test]
async fn requests_are_judged_by_the_settings_of_a_file() {
    let world = World::new().await;
    let token = world.token().actor("a").earlier_actor("b").sign();
    for (name, text, expected) in [
        ("the defaults", "", 200),
        ("too many actors", "max_actors = 1", 401),
        ("enough", "max_actors = 2", 200),
        ("too long a life", "max_token_lifetime_seconds = 1", 401),
    ] {
        let served = world.serve(world.layer().settings(toml::from_str(text).unwrap())).await;
        assert_eq!(served.get("/", &token).await.status, expected, "{name}");
    }
    let realm = world.layer().settings(toml::from_str("realm = 'of the file'").unwrap());
    let answer = world.serve(realm).await.get("/", "no token").await;
    assert!(answer.challenge().contains("realm=\"of the file\""), "{answer:?}");
}

/// The table in the documentation of `Settings` has every key, and the default of each.
#[test]
fn the_documented_table_is_the_struct() {
    let source = include_str!("../../../crates/tower-delegation/src/settings.rs");
    let rows = source.lines().filter_map(|line| line.strip_prefix("/// | `")).map(|row| {
        let (key, rest) = row.split_once("` | ").unwrap();
        let default = rest.trim_end_matches(" |").rsplit_once(" | ").unwrap().1;
        (key.to_owned(), default.trim_matches('`').to_owned())
    });
    let rows: BTreeMap<_, _> = rows.collect();

    let mut documented = Settings::default();
    documented.max_token_lifetime = Some(seconds(1));
    documented.dpop =
        Some(toml::from_str("rotate_nonces_every_seconds = 60\nmax_entries_per_key = 1").unwrap());
    let mut keys = Vec::new();
    leaves("", &serde_json::to_value(&documented).unwrap(), &mut keys);
    keys.push("dpop".to_owned());
    keys.sort();
    assert_eq!(rows.keys().cloned().collect::<Vec<_>>(), keys);

    let mut defaults = serde_json::to_value(Settings::default()).unwrap();
    let dpop = serde_json::to_value(toml::from_str::<tower_delegation::proof::DpopSettings>("").unwrap());
    defaults.as_object_mut().unwrap().insert("dpop".to_owned(), dpop.unwrap());
    for (key, told) in &rows {
        let value = key.split('.').try_fold(&defaults, |value, part| value.get(part));
        match value {
            None => assert!(told.starts_with("none"), "{key}: {told}"),
            Some(Value::Array(values)) if !values.is_empty() => assert!(told.starts_with("all of "), "{key}"),
            Some(Value::Object(_)) => assert_eq!((key.as_str(), told.as_str()), ("dpop", "none")),
            Some(value) => assert_eq!(*told, value.to_string(), "{key}"),
        }
    }
    assert_eq!(json!(defaults["leeway_seconds"]), json!(30), "a number of seconds");
}

/// The path of each value.
fn leaves(path: &str, value: &Value, keys: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                leaves(&path, value, keys);
            }
        }
        _ => keys.push(path.to_owned()),
    }
}
