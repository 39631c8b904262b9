use super::*;
use crate::{clock::SystemClock, http_client::HttpClient};

fn jwks_uri(issuer: &str, metadata: &str) -> Result<Url, KeySourceErrorKind> {
    let discovery = Discovery::new(
        issuer.into(),
        MetadataUrls::of(issuer).unwrap(),
        HttpClient::new().fetcher().unwrap(),
        Arc::new(SystemClock::new()),
    );
    let place = discovery.metadata_urls.starting_with(None).next().unwrap().1;
    let metadata = Metadata::parse(metadata.as_bytes());
    metadata.and_then(|metadata| discovery.jwks_uri(place, &metadata)).map_err(|failure| failure.error.kind())
}

#[test]
fn metadata_must_be_the_issuers_own() {
    use KeySourceErrorKind::{IssuerMismatch, MetadataInvalid};
    let remote = "https://idp.example.com";
    let local = "http://127.0.0.1:8080";
    let rows = [
        (
            "good",
            remote,
            r#"{"issuer": "https://idp.example.com", "jwks_uri": "https://keys.example.net/k"}"#,
            None,
        ),
        (
            "loopback",
            local,
            r#"{"issuer": "http://127.0.0.1:8080", "jwks_uri": "http://127.0.0.1:8080/k"}"#,
            None,
        ),
        (
            "trailing slash",
            remote,
            r#"{"issuer": "https://idp.example.com/", "jwks_uri": "https://keys.example.net/k"}"#,
            Some(IssuerMismatch),
        ),
        (
            "another issuer",
            remote,
            r#"{"issuer": "https://evil.example", "jwks_uri": "https://evil.example/k"}"#,
            Some(IssuerMismatch),
        ),
        (
            "a byte-order mark",
            remote,
            "\u{feff}{\"issuer\": \"https://idp.example.com\", \"jwks_uri\": \"https://keys.example.net/k\"}",
            None,
        ),
        (
            "issuer null",
            remote,
            r#"{"issuer": null, "jwks_uri": "https://keys.example.net/k"}"#,
            Some(MetadataInvalid),
        ),
        ("no issuer", remote, r#"{"jwks_uri": "https://keys.example.net/k"}"#, Some(MetadataInvalid)),
        ("issuer no string", remote, r#"{"issuer": ["https://idp.example.com"]}"#, Some(MetadataInvalid)),
        ("no jwks_uri", remote, r#"{"issuer": "https://idp.example.com"}"#, Some(MetadataInvalid)),
        (
            "issuer twice",
            remote,
            r#"{"issuer": "https://idp.example.com", "issuer": "https://idp.example.com", "jwks_uri": "https://a/k"}"#,
            Some(MetadataInvalid),
        ),
        (
            "jwks_uri twice",
            remote,
            r#"{"issuer": "https://idp.example.com", "jwks_uri": "https://a/k", "jwks_uri": "https://b/k"}"#,
            Some(MetadataInvalid),
        ),
        (
            "plain http",
            remote,
            r#"{"issuer": "https://idp.example.com", "jwks_uri": "http://idp.example.com/k"}"#,
            Some(MetadataInvalid),
        ),
        (
            "sent to this machine",
            remote,
            r#"{"issuer": "https://idp.example.com", "jwks_uri": "http://127.0.0.1/k"}"#,
            Some(MetadataInvalid),
        ),
        (
            "relative",
            remote,
            r#"{"issuer": "https://idp.example.com", "jwks_uri": "/k"}"#,
            Some(MetadataInvalid),
        ),
    ];
    for (name, issuer, metadata, refused) in rows {
        assert_eq!(jwks_uri(issuer, metadata).err(), refused, "{name}");
    }
}

#[test]
fn metadata_over_https_never_leads_to_plain_http() {
    let client = HttpClient::new().insecure_plain_http("http://keys.mesh");
    let discovery = Discovery::new(
        "https://idp.example.com".into(),
        MetadataUrls::of("https://idp.example.com").unwrap(),
        client.fetcher().unwrap(),
        Arc::new(SystemClock::new()),
    );
    let document = r#"{"issuer": "https://idp.example.com", "jwks_uri": "http://keys.mesh/k"}"#;
    for (place, is_followed) in [("https://idp.example.com/m", false), ("http://keys.mesh/m", true)] {
        let metadata = Metadata::parse(document.as_bytes()).unwrap();
        let uri = discovery.jwks_uri(&Url::parse(place).unwrap(), &metadata);
        assert_eq!(uri.is_ok(), is_followed, "{place}");
    }
}

/// One exchange: the path that must be asked for, a field that the request
/// must carry, and the answer's status, fields and body.
type Exchange = (&'static str, &'static str, &'static str, &'static str, &'static str);

const NOT_FOUND: (&str, &str, &str) = ("404 Not Found", "", "");
const JSON: &str = "content-type: application/json\r\netag: \"v1\"\r\n";
const KEYS: &str = r#"{"keys": []}"#;

/// Fetches for each of `reasons` from an issuer that answers by `script`, and
/// no more often than that. `{origin}` in a body is the issuer's origin.
async fn fetch(
    path: &str,
    reasons: &[FetchReason],
    script: Vec<Exchange>,
) -> Vec<Result<bool, KeySourceErrorKind>> {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let issuer = format!("{origin}{path}");
    let server = std::thread::spawn(move || {
        for (path, field, status, fields, body) in script {
            let (mut stream, _) = listener.accept().unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
            let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            assert_eq!(head[0], format!("GET {path} HTTP/1.1"));
            assert!(field.is_empty() || head.iter().any(|line| line == field), "{head:?} lacks {field}");
            let has_etag = head.iter().any(|line| line.starts_with("if-none-match"));
            assert_eq!(has_etag, field.starts_with("if-none-match"), "{head:?}");
            let body = body.replace("{origin}", &origin);
            let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\n{fields}\r\n{body}");
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let client = HttpClient::new().fetcher().unwrap();
    let urls = MetadataUrls::of(&issuer).unwrap();
    let source = Discovery::new(issuer.as_str().into(), urls, client, Arc::new(SystemClock::new()));
    let mut outcomes = Vec::new();
    for reason in reasons {
        let fetched = source.fetch(KeyRequest { etag: Some("\"v1\""), reason: *reason }).await;
        outcomes.push(fetched.map(|fetched| fetched.document.is_some()).map_err(|error| error.kind()));
    }
    server.join().unwrap();
    outcomes
}

const DUE: FetchReason = FetchReason::Due;

const FIRST: &str = "/.well-known/oauth-authorization-server/a";
const SECOND: &str = "/.well-known/openid-configuration/a";
const THIRD: &str = "/a/.well-known/openid-configuration";
const METADATA: &str = r#"{"issuer": "{origin}/a", "jwks_uri": "{origin}/keys"}"#;

/// An exchange at a place that has nothing.
fn nothing(place: &'static str) -> Exchange {
    let (status, fields, body) = NOT_FOUND;
    (place, "", status, fields, body)
}

#[tokio::test]
async fn metadata_is_looked_for_in_three_places_and_kept() {
    let html = (SECOND, "", "200 OK", "content-type: text/html\r\n", "<html>");
    let outcomes = fetch(
        "/a",
        &[DUE, DUE],
        vec![
            nothing(FIRST),
            html,
            (THIRD, "", "200 OK", JSON, METADATA),
            // The caller's `ETag` is not from this URL: it is not sent.
            ("/keys", "", "200 OK", JSON, KEYS),
            ("/keys", "if-none-match: \"v1\"", "304 Not Modified", "", ""),
        ],
    )
    .await;
    assert_eq!(outcomes, [Ok(true), Ok(false)]);
}

#[tokio::test]
async fn whatever_a_place_answers_the_next_is_tried() {
    const REDIRECT: &str = "location: /keys\r\n";
    const HTML: &str = "content-type: text/html\r\n";
    const GZIP: &str = "content-type: application/json\r\ncontent-encoding: gzip\r\n";
    use KeySourceErrorKind::{ContentEncoding, IssuerMismatch, MetadataInvalid, Refused};
    let rows = [
        ("an outage", "500 Internal Server Error", "", "", Refused),
        ("a bad gateway", "502 Bad Gateway", HTML, "<html>", Refused),
        ("a redirect", "302 Found", REDIRECT, "", Refused),
        ("HTML", "200 OK", HTML, "<html>", Refused),
        ("a coding", "200 OK", GZIP, "", ContentEncoding),
        ("a message", "200 OK", JSON, r#"{"message": "no route"}"#, MetadataInvalid),
        ("a list", "200 OK", JSON, "[]", MetadataInvalid),
        ("cut short", "200 OK", JSON, r#"{"issuer": "{origin}/a""#, MetadataInvalid),
        ("no jwks_uri", "200 OK", JSON, r#"{"issuer": "{origin}/a"}"#, MetadataInvalid),
        ("insecure", "200 OK", JSON, r#"{"issuer": "{origin}/a", "jwks_uri": "urn:x"}"#, MetadataInvalid),
        ("malformed", "200 OK", JSON, r#"{"issuer": ["{origin}/a"]}"#, MetadataInvalid),
        (
            "foreign",
            "200 OK",
            JSON,
            r#"{"issuer": "{origin}/b", "jwks_uri": "{origin}/keys"}"#,
            IssuerMismatch,
        ),
    ];
    for (name, status, fields, body, kind) in rows {
        let odd = (FIRST, "", status, fields, body);
        let good = (SECOND, "", "200 OK", JSON, METADATA);
        let script = vec![odd, good, ("/keys", "", "200 OK", JSON, KEYS)];
        assert_eq!(fetch("/a", &[DUE], script).await, [Ok(true)], "{name}");
        let script = vec![nothing(FIRST), (SECOND, "", status, fields, body), nothing(THIRD)];
        assert_eq!(fetch("/a", &[DUE], script).await, [Err(kind)], "{name}: the worst is reported");
    }
}

#[tokio::test]
async fn metadata_is_read_again_for_a_missed_key_at_the_place_that_was_good() {
    let moved = r#"{"issuer": "{origin}/a", "jwks_uri": "{origin}/moved"}"#;
    let outcomes = fetch(
        "/a",
        &[DUE, FetchReason::KeyUnknown, FetchReason::SignatureInvalid, FetchReason::Requested, DUE],
        vec![
            nothing(FIRST),
            (SECOND, "", "200 OK", JSON, METADATA),
            ("/keys", "", "200 OK", JSON, KEYS),
            (SECOND, "", "200 OK", JSON, moved),
            // The `ETag` of the former place means nothing here.
            ("/moved", "", "200 OK", JSON, KEYS),
            // No place has it now: what was known last goes on.
            (SECOND, "", "503 Service Unavailable", "", ""),
            nothing(FIRST),
            nothing(THIRD),
            ("/moved", "if-none-match: \"v1\"", "304 Not Modified", "", ""),
            nothing(SECOND),
            (FIRST, "", "200 OK", JSON, METADATA),
            ("/keys", "", "200 OK", JSON, KEYS),
            ("/keys", "if-none-match: \"v1\"", "304 Not Modified", "", ""),
        ],
    )
    .await;
    assert_eq!(outcomes, [Ok(true), Ok(true), Ok(false), Ok(true), Ok(false)]);
}

#[tokio::test]
async fn metadata_is_current_as_long_as_it_says() {
    const AT_ONCE: &str = "content-type: application/json\r\ncache-control: no-cache\r\n";
    const LATER: &str = "content-type: application/json\r\ncache-control: max-age=300\r\n";
    let keys = ("/keys", "", "200 OK", "content-type: application/json\r\n", KEYS);
    let script = vec![
        (FIRST, "", "200 OK", AT_ONCE, METADATA),
        keys,
        (FIRST, "", "200 OK", LATER, METADATA),
        keys,
        keys,
    ];
    assert_eq!(fetch("/a", &[DUE, DUE, DUE], script).await, [Ok(true), Ok(true), Ok(true)]);
}

#[tokio::test]
async fn metadata_is_read_again_after_a_key_set_is_gone() {
    let (status, fields, body) = NOT_FOUND;
    let former = r#"{"issuer": "{origin}", "jwks_uri": "{origin}/keys"}"#;
    let present = r#"{"issuer": "{origin}", "jwks_uri": "{origin}/moved"}"#;
    let outcomes = fetch(
        "",
        &[DUE, DUE, DUE],
        vec![
            ("/.well-known/oauth-authorization-server", "", "200 OK", JSON, former),
            ("/keys", "", "200 OK", JSON, KEYS),
            ("/keys", "if-none-match: \"v1\"", status, fields, body),
            ("/.well-known/oauth-authorization-server", "", "200 OK", JSON, present),
            ("/moved", "", "200 OK", JSON, KEYS),
        ],
    )
    .await;
    assert_eq!(outcomes, [Ok(true), Err(KeySourceErrorKind::Refused), Ok(true)]);
}

#[tokio::test]
async fn each_place_is_reported_with_its_own_cause() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let issuer = format!("http://{}/a", listener.local_addr().unwrap());
    drop(listener);
    let urls = MetadataUrls::of(&issuer).unwrap();
    let client = HttpClient::new().fetcher().unwrap();
    let source = Discovery::new(issuer.as_str().into(), urls, client, Arc::new(SystemClock::new()));
    let error = source.fetch(KeyRequest::default()).await.unwrap_err();
    assert_eq!(error.kind(), KeySourceErrorKind::Unreachable);
    let causes = causes(&error);
    for place in [FIRST, SECOND, THIRD] {
        assert!(causes.contains(&format!("{place}: the key source cannot be reached")), "{causes}");
    }
}

#[tokio::test]
async fn a_place_whose_key_set_is_gone_does_not_end_the_search_either() {
    let dead = r#"{"issuer": "{origin}/a", "jwks_uri": "{origin}/dead"}"#;
    let (status, fields, body) = NOT_FOUND;
    let outcomes = fetch(
        "/a",
        &[DUE, FetchReason::KeyUnknown, FetchReason::KeyUnknown],
        vec![
            (FIRST, "", "200 OK", JSON, dead),
            ("/dead", "", status, fields, body),
            (SECOND, "", "200 OK", JSON, METADATA),
            ("/keys", "", "200 OK", JSON, KEYS),
            // The place that was good is asked first, and the same key set is not asked for twice.
            (SECOND, "", "200 OK", JSON, METADATA),
            ("/keys", "if-none-match: \"v1\"", status, fields, body),
            (FIRST, "", "200 OK", JSON, METADATA),
            nothing(THIRD),
            (SECOND, "", "200 OK", JSON, METADATA),
            ("/keys", "if-none-match: \"v1\"", "304 Not Modified", "", ""),
        ],
    )
    .await;
    assert_eq!(outcomes, [Ok(true), Err(KeySourceErrorKind::Refused), Ok(false)]);
}
