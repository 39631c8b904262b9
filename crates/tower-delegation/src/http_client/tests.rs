use std::error::Error as _;

use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::{answer::MAX_BODY_LEN, *};

#[test]
fn only_https_and_loopback_http_are_fetched() {
    let rows = [
        ("https://idp.example.com/jwks", true),
        ("https://idp.example.com/jwks?tenant=1", true),
        ("http://127.0.0.1:8080/jwks", true),
        ("http://127.8.9.1/jwks", true),
        ("http://[::1]:8080/jwks", true),
        ("http://localhost:8080/jwks", true),
        ("http://idp.example.com/jwks", false),
        ("http://localhost.example.com/jwks", false),
        ("http://10.0.0.1/jwks", false),
        ("http://0.0.0.0/jwks", false),
        ("http://[::2]/jwks", false),
        ("https://user:secret@idp.example.com/jwks", false),
        ("https://user@idp.example.com/jwks", false),
        ("https://idp.example.com/jwks#keys", false),
        ("file:///etc/passwd", false),
        ("ftp://idp.example.com/jwks", false),
        ("data:application/json,{}", false),
        ("idp.example.com/jwks", false),
        ("/jwks", false),
        ("https://", false),
        ("", false),
    ];
    let fetcher = HttpClient::new().fetcher().unwrap();
    for (url, accepted) in rows {
        let checked = configured_url(url, "a JWK Set");
        let checked = checked.and_then(|url| fetcher.check_configured(&url, "a JWK Set"));
        assert_eq!(checked.is_ok(), accepted, "{url}");
        let error = checked.err().map(|error| error.to_string());
        assert!(error.is_none_or(|error| !error.contains("secret")), "{url}");
    }
}

#[test]
fn every_mistake_is_reported_at_once() {
    #[derive(Debug)]
    struct Own;
    impl HttpTransport for Own {
        fn send<'a>(&'a self, _: http::Request<bytes::Bytes>) -> TransportFuture<'a> {
            Box::pin(async { Err(TransportError::new(TransportErrorKind::Unreachable, "never")) })
        }
    }
    let new = HttpClient::new;
    let bearer = || RequestField::bearer("secret");
    let rows: &[(&str, HttpClient, &[&str])] = &[
        ("no time", new().timeout(Duration::ZERO), &["out_of_range"]),
        ("too long", new().timeout(Duration::from_secs(11)), &["out_of_range"]),
        ("for ever", new().timeout(Duration::MAX), &["out_of_range"]),
        ("no certificate", new().add_root_certificates("/etc/ca.pem"), &["http_client"]),
        ("no file", new().add_root_certificates(Material::file("/nowhere/ca.pem")), &["http_client"]),
        ("no root at all", new().only_added_root_certificates(), &["http_client"]),
        ("no identity", new().client_certificate("secret", "secret"), &["http_client"]),
        ("no file of it", new().client_certificate("a", Material::file("/nowhere/key")), &["http_client"]),
        ("a proxy with a path", new().proxy(EgressProxy::new("http://proxy/a")), &["invalid_url"]),
        (
            "a password that is not there",
            new().proxy(EgressProxy::new("https://proxy").credentials("a", Material::file("/nowhere/pw"))),
            &["http_client"],
        ),
        ("https in clear", new().insecure_plain_http("https://idp.mesh"), &["invalid_url"]),
        ("more than an origin", new().insecure_plain_http("http://idp.mesh/realms"), &["invalid_url"]),
        ("any host", new().insecure_plain_http("http://"), &["invalid_url"]),
        (
            "a field twice",
            new().add_field("https://idp", bearer()).add_field("https://idp:443", bearer()),
            &["http_client"],
        ),
        (
            "what a transport of one's own does itself",
            new()
                .transport(Own)
                .add_root_certificates("a")
                .only_added_root_certificates()
                .client_certificate("a", "secret")
                .proxy(EgressProxy::new("https://proxy")),
            &["http_client"; 4],
        ),
        (
            "all of them",
            new()
                .timeout(Duration::ZERO)
                .proxy(EgressProxy::new("proxy").add_direct("*"))
                .add_field("idp", RequestField::new("host", "secret"))
                .insecure_plain_http("idp")
                .add_root_certificates("secret"),
            &[
                "out_of_range",
                "invalid_url",
                "invalid_url",
                "invalid_url",
                "invalid_header",
                "invalid_url",
                "http_client",
            ],
        ),
    ];
    for (name, client, codes) in rows {
        let error = client.fetcher().unwrap_err();
        assert_eq!(error.mistakes().map(ConfigError::code).collect::<Vec<_>>(), *codes, "{name}: {error}");
        assert!(!format!("{error} {error:?} {client:?}").contains("secret"), "{name}: {error} {client:?}");
    }
    let good = new()
        .transport(Own)
        .add_field("https://idp", bearer())
        .add_field("https://idp:8443", bearer())
        .insecure_plain_http("http://idp.mesh:8080/");
    assert!(good.fetcher().is_ok());
    assert!(!format!("{:?}", good.fetcher()).contains("secret"));
}

#[test]
fn plain_http_is_for_declared_origins_and_this_machine() {
    let at_home = HttpClient::new();
    let mesh = || HttpClient::new().insecure_plain_http("http://idp.mesh:8080");
    let remote_proxy = || HttpClient::new().proxy(EgressProxy::new("http://proxy.internal:3128"));
    let direct = EgressProxy::new("http://proxy.internal:3128").add_direct("127.0.0.1");
    for (name, client, url, allowed) in [
        ("declared", mesh(), "http://idp.mesh:8080/keys", true),
        ("https there", mesh(), "https://idp.mesh:8080/keys", true),
        ("another port", mesh(), "http://idp.mesh/keys", false),
        ("another host", mesh(), "http://idp.mesh.evil.example:8080/keys", false),
        ("below it", mesh(), "http://a.idp.mesh:8080/keys", false),
        ("its credentials", mesh(), "http://a:b@idp.mesh:8080/keys", false),
        ("another scheme", mesh(), "ftp://idp.mesh:8080/keys", false),
        ("undeclared", at_home.clone(), "http://idp.mesh:8080/keys", false),
        ("this machine", at_home, "http://127.0.0.1:8080/keys", true),
        ("by a proxy on another", remote_proxy(), "http://127.0.0.1:8080/keys", false),
        ("past that proxy", HttpClient::new().proxy(direct), "http://127.0.0.1:8080/keys", true),
        (
            "by a proxy on this machine",
            HttpClient::new().proxy(EgressProxy::new("http://127.0.0.1:3128")),
            "http://127.0.0.1:8080/keys",
            true,
        ),
        ("https by the proxy", remote_proxy(), "https://idp.example.com/keys", true),
    ] {
        let checked = client.fetcher().unwrap().check(&Url::parse(url).unwrap());
        assert_eq!(checked.is_ok(), allowed, "{name}: {checked:?}");
    }
}

#[tokio::test]
async fn the_client_itself_refuses_plain_http() {
    let client = HttpClient::new().fetcher().unwrap();
    let url = Url::parse("http://idp.example.com/jwks").unwrap();
    let error = client.get(&url, DocumentKind::KeySet, None).await.unwrap_err();
    assert_eq!(error.kind(), FetchErrorKind::InsecureUrl);
}

/// A server on a loopback address that gives each connection one of `answers`.
/// Joining it yields the heads of the requests.
fn serve(answers: Vec<String>) -> (Url, std::thread::JoinHandle<Vec<String>>) {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}/jwks", listener.local_addr().unwrap())).unwrap();
    let server = std::thread::spawn(move || {
        let serve_one = |answer: String| {
            let (mut stream, _) = listener.accept().unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
            let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            // The client hangs up early on a body that is too long.
            drop(stream.write_all(answer.as_bytes()));
            head.join("\n").to_ascii_lowercase()
        };
        answers.into_iter().map(serve_one).collect()
    });
    (url, server)
}

fn answer(status: &str, fields: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\n{fields}\r\n{body}")
}

#[tokio::test]
async fn a_document_and_its_freshness() {
    let fields = "content-type: Application/JWK-Set+JSON; charset=utf-8\r\netag: \"v1\"\r\ncache-control: max-age=90\r\n";
    let (url, server) =
        serve(vec![answer("200 OK", fields, "{}"), answer("304 Not Modified", "etag: \"v1\"\r\n", "")]);
    let client = HttpClient::new().fetcher().unwrap();
    let Fetched::Document { body, freshness } = client.get(&url, DocumentKind::Metadata, None).await.unwrap()
    else {
        panic!("not modified")
    };
    assert_eq!(body, "{}");
    assert_eq!(freshness.max_age, Some(Duration::from_secs(90)));
    let etag = freshness.etag.unwrap();
    let again = client.get(&url, DocumentKind::KeySet, Some(&etag)).await.unwrap();
    assert!(matches!(again, Fetched::NotModified(_)), "{again:?}");
    let heads = server.join().unwrap();
    assert!(heads[0].contains("accept: application/json"), "{}", heads[0]);
    assert!(heads[1].contains("accept: application/jwk-set+json, application/json, */*"), "{}", heads[1]);
    for head in &heads {
        assert_eq!(head.matches("accept-encoding: identity").count(), 1, "{head}");
        assert_eq!(head.matches("accept-encoding").count(), 1, "{head}");
    }
    assert!(heads[1].contains("if-none-match: \"v1\""), "{}", heads[1]);
}

#[tokio::test]
async fn answers_that_are_not_taken() {
    let json = "content-type: application/json\r\n";
    let long = "x".repeat(MAX_BODY_LEN + 1);
    let rows = [
        ("redirect", answer("302 Found", "location: http://127.0.0.1:1/\r\n", ""), FetchErrorKind::Redirect),
        ("unasked 304", answer("304 Not Modified", "", ""), FetchErrorKind::Redirect),
        ("201", answer("201 Created", json, "{}"), FetchErrorKind::Status(201)),
        ("404", answer("404 Not Found", json, "{}"), FetchErrorKind::Status(404)),
        ("503", answer("503 Service Unavailable", json, "{}"), FetchErrorKind::Status(503)),
        ("HTML", answer("200 OK", "content-type: text/html\r\n", "{}"), FetchErrorKind::ContentType),
        ("no type", answer("200 OK", "", "{}"), FetchErrorKind::ContentType),
        (
            "gzip",
            answer("200 OK", "content-type: application/json\r\ncontent-encoding: gzip\r\n", "{}"),
            FetchErrorKind::ContentEncoding,
        ),
        (
            "identity, then another",
            answer("200 OK", "content-type: text/html\r\ncontent-encoding: identity, br\r\n", "{}"),
            FetchErrorKind::ContentEncoding,
        ),
        ("too long", answer("200 OK", json, &long), FetchErrorKind::TooLarge),
        (
            "cut off",
            answer("200 OK", "content-type: application/json\r\ncontent-length: 9\r\n", "{}"),
            FetchErrorKind::Unreachable,
        ),
    ];
    let client = HttpClient::new().fetcher().unwrap();
    for (name, answer, kind) in rows {
        let (url, server) = serve(vec![answer]);
        let error = client.get(&url, DocumentKind::Metadata, None).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{name}");
        let text = format!("{error} {:?}", error.source().map(ToString::to_string));
        assert!(!text.contains("127.0.0.1"), "{name}: {text}");
        server.join().unwrap();
    }
}

#[tokio::test]
async fn media_types_and_codings_that_are_taken() {
    let rows = [
        ("json", DocumentKind::Metadata, "content-type: application/json\r\n"),
        ("built on json", DocumentKind::Metadata, "content-type: application/x+JSON; a=b\r\n"),
        (
            "identity",
            DocumentKind::Metadata,
            "content-type: application/json\r\ncontent-encoding: Identity\r\n",
        ),
        ("octets", DocumentKind::KeySet, "content-type: binary/octet-stream\r\n"),
        ("no type", DocumentKind::KeySet, ""),
    ];
    let client = HttpClient::new().fetcher().unwrap();
    for (name, kind, fields) in rows {
        let (url, server) = serve(vec![answer("200 OK", fields, "{}")]);
        let fetched = client.get(&url, kind, None).await;
        assert!(matches!(fetched, Ok(Fetched::Document { .. })), "{name}: {fetched:?}");
        server.join().unwrap();
    }
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let client = HttpClient::new().timeout(Duration::from_millis(50)).fetcher().unwrap();
    let error = client.get(&url, DocumentKind::Metadata, None).await.unwrap_err();
    assert_eq!(error.kind(), FetchErrorKind::Timeout);
}

#[tokio::test]
async fn a_form_is_posted_and_any_answer_but_a_redirect_is_handed_on() {
    let json = "content-type: application/json\r\nretry-after: 7\r\n";
    let form = [("grant_type", "a:b"), ("scope", "one two"), ("token", "x&y=z")];
    for (status, expected) in [
        ("200 OK", Ok(200)),
        ("400 Bad Request", Ok(400)),
        ("401 Unauthorized", Ok(401)),
        ("429 Too Many Requests", Ok(429)),
        ("503 Service Unavailable", Ok(503)),
        ("302 Found", Err(FetchErrorKind::Redirect)),
        ("307 Temporary Redirect", Err(FetchErrorKind::Redirect)),
    ] {
        let location = format!("{json}location: http://127.0.0.1:1/\r\n");
        let (url, server) = serve(vec![answer(status, &location, r#"{"error":"a"}"#)]);
        let origin = url.origin().ascii_serialization();
        let client = HttpClient::new()
            .add_field(&origin, RequestField::new("x-mesh", "inside"))
            .add_field(&origin, RequestField::bearer("of the configuration"));
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static("Basic YTpi"))]);
        let answer = client.fetcher().unwrap().post_form(&url, &form, headers).await;
        assert_eq!(answer.as_ref().map(|answer| answer.status.as_u16()).map_err(FetchError::kind), expected);
        if let Ok(answer) = answer {
            assert_eq!((answer.is_json(), &answer.body[..]), (true, &br#"{"error":"a"}"#[..]));
            let now = crate::clock::Timestamp::from_unix_seconds(0);
            assert_eq!(answer.retry_after(now), Some(Duration::from_secs(7)));
            assert_eq!(answer.status == StatusCode::OK, status == "200 OK");
        }
        let head = server.join().unwrap().remove(0);
        assert!(head.starts_with("post /jwks http/1.1"), "{head}");
        assert!(head.contains("content-type: application/x-www-form-urlencoded"), "{head}");
        assert!(head.contains("content-length: 46"), "{head}");
        assert!(head.contains("x-mesh: inside"), "{head}");
        assert_eq!(head.matches("authorization").count(), 1, "the caller's alone: {head}");
        assert!(head.contains("authorization: basic ytpi"), "{head}");
    }
}

#[tokio::test]
async fn a_form_is_not_posted_where_it_must_not_be() {
    let long = "x".repeat(MAX_BODY_LEN + 1);
    for (name, fields, body, kind) in [
        ("too long", "", long.as_str(), FetchErrorKind::TooLarge),
        ("encoded", "content-encoding: br\r\n", "{}", FetchErrorKind::ContentEncoding),
        ("cut off", "content-length: 9\r\n", "{}", FetchErrorKind::Unreachable),
    ] {
        let (url, server) = serve(vec![answer("400 Bad Request", fields, body)]);
        let posted = HttpClient::new().fetcher().unwrap().post_form(&url, &[], HeaderMap::new()).await;
        assert_eq!(posted.unwrap_err().kind(), kind, "{name}");
        server.join().unwrap();
    }
    let url = Url::parse("http://idp.example.com/token").unwrap();
    let posted = HttpClient::new().fetcher().unwrap().post_form(&url, &[], HeaderMap::new()).await;
    assert_eq!(posted.unwrap_err().kind(), FetchErrorKind::InsecureUrl);
    // A port that nothing listens on: that of a listener that is gone.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = Url::parse(&format!("http://{address}/token")).unwrap();
    let posted = HttpClient::new().fetcher().unwrap().post_form(&url, &[], HeaderMap::new()).await;
    assert_eq!(posted.unwrap_err().kind(), FetchErrorKind::Unreachable);
}
