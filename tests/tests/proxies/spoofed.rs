//! Fields that speak for a client, from a hop that is not trusted: no handler
//! sees them, whatever their spelling, over HTTP/1.1 and HTTP/2 (9440-2.4-1,
//! 9440-2.4-3).

use integration_tests::Answer;
use reqwest::Client;
use tower_delegation::{
    ClientIdentity,
    credential::{ClientCertHeader, TrustedHop},
    layer::DelegationLayerBuilder,
};
use tower_delegation_testing::MtlsClient;

use crate::{
    site::{Proxied, Seen, Service, World, hash},
    traps::{client_cert, escaped_pem},
};

/// In HTTP/1.1 a name can be in any case; the client of these tests writes it in
/// lower case, and the raw one as it stands here.
const SPELLINGS: [&[&str]; 5] = [
    &["client-cert", "Client-Cert", "CLIENT-CERT", "client_cert", "Client_Cert"],
    &["client-cert-chain", "Client-Cert-Chain", "client_cert_chain", "client-cert_chain"],
    &[
        "x-forwarded-client-cert",
        "X-Forwarded-Client-Cert",
        "x_forwarded_client_cert",
        "x_forwarded-client-cert",
    ],
    &["ssl-client-cert", "SSL-Client-Cert", "ssl_client_cert"],
    &["ssl-client-verify", "Ssl-Client-Verify", "ssl_client_verify"],
];

/// Somebody on the network, who is not the proxy.
fn far_hop() -> TrustedHop {
    TrustedHop::ip_range("192.0.2.0/24")
        .unwrap()
        .or(TrustedHop::unix_socket())
        .or(TrustedHop::spiffe("spiffe://example.org/ns/mesh/sa/gateway").unwrap())
        .or(TrustedHop::thumbprint([7; 32]))
}

/// Every way to say where the client identity comes from. `ssl-client-cert` is
/// named in each of them, as a service behind nginx would.
fn services(world: &World) -> Vec<(&'static str, DelegationLayerBuilder)> {
    let proxy = |header| world.layer().client_identity(ClientIdentity::from_proxy(header, far_hop()));
    let layers = vec![
        ("none", world.layer()),
        ("TLS", world.layer().client_identity(ClientIdentity::from_tls())),
        ("XFCC", proxy(ClientCertHeader::xfcc())),
        ("XFCC, kept", proxy(ClientCertHeader::xfcc().keep_headers())),
        ("RFC 9440", proxy(ClientCertHeader::rfc9440())),
        ("RFC 9440, kept", proxy(ClientCertHeader::rfc9440().keep_headers())),
        ("escaped PEM", proxy(ClientCertHeader::escaped_pem("ssl-client-cert").unwrap())),
        (
            "escaped PEM, kept",
            proxy(ClientCertHeader::escaped_pem("ssl-client-cert").unwrap().keep_headers()),
        ),
    ];
    let named = |layer: DelegationLayerBuilder| {
        layer.add_identity_header("ssl-client-verify").add_identity_header("SSL-Client-Cert")
    };
    layers.into_iter().map(|(name, layer)| (name, named(layer))).collect()
}

/// Good values, and one that no parser could read.
fn values(world: &World) -> [String; 4] {
    let admin = world.workload("/shop/admin");
    [
        client_cert(&admin),
        escaped_pem(&admin),
        format!("Hash={};URI=spiffe://example.org/shop/admin", hash(&admin)),
        "\"".to_owned(),
    ]
}

async fn send(client: &Client, service: &Service, token: &str, fields: &[(&str, &str)]) -> Seen {
    crate::site::ask(client, &service.url("https"), token, fields).await
}

#[tokio::test]
async fn never_reach_a_handler() {
    let world = World::new().await;
    let values = values(&world);
    let client = MtlsClient::new(&world.pki);
    let clients = [("HTTP/1.1", client.clone().http1().build()), ("HTTP/2", client.http2().build())];
    let (plain, bound) = (world.token().sign(), world.bound_to(&world.workload("/shop/admin")).sign());
    for (source, layer) in services(&world) {
        let service = Service::tls(layer.build().unwrap(), &world.pki).await;
        for (version, client) in &clients {
            for name in SPELLINGS.into_iter().flatten() {
                let all: Vec<_> = values.iter().map(|value| (*name, value.as_str())).collect();
                let before = service.layer.status().untrusted_identity_headers;
                // Once with each value would take long; a parser that looked at any would refuse the last.
                for fields in [all.get(..1).unwrap(), all.get(1..).unwrap()] {
                    let what = format!("{name} over {version}, client identity from {source}");
                    let seen = send(client, &service, &plain, fields).await;
                    assert_eq!((seen.status, seen.spiffe_id()), (200, "-"), "{what}: {seen:?}");
                    assert!(seen.body["thumbprint"].is_null(), "{what}");
                    assert!(seen.identity_fields().is_empty(), "{what}: {seen:?}");
                }
                assert_eq!(service.layer.status().untrusted_identity_headers, before + 2, "{name} {source}");
            }
            let all: Vec<_> =
                SPELLINGS.into_iter().flatten().map(|name| (*name, values[0].as_str())).collect();
            let seen = send(client, &service, &plain, &all).await;
            assert!(seen.identity_fields().is_empty(), "all at once, {source}: {seen:?}");
            assert_eq!(send(client, &service, &bound, &all).await.status, 401, "{source}");
        }
    }
}

#[tokio::test]
async fn spelled_as_they_are_on_the_wire() {
    let world = World::new().await;
    let service = Service::plain(services(&world).remove(0).1.build().unwrap()).await;
    let value = client_cert(&world.workload("/shop/admin"));
    for name in SPELLINGS.into_iter().flatten() {
        let seen =
            service.raw(&world.token().sign(), &format!("{name}: {value}\r\n{name}: {value}\r\n")).await;
        assert_eq!(seen.status, 200, "{name}");
        assert!(seen.identity_fields().is_empty(), "{name}: {seen:?}");
    }
}

#[tokio::test]
async fn are_refused_where_the_service_is_strict() {
    let world = World::new().await;
    let client = MtlsClient::new(&world.pki).build();
    for (source, layer) in services(&world) {
        let service =
            Service::tls(layer.refuse_untrusted_identity_headers().build().unwrap(), &world.pki).await;
        assert_eq!(send(&client, &service, &world.token().sign(), &[]).await.status, 200, "{source}");
        for name in SPELLINGS.into_iter().flatten() {
            let seen = send(&client, &service, &world.token().sign(), &[(name, "x")]).await;
            assert_eq!(
                (seen.status, seen.code.as_str()),
                (400, "invalid_identity_header"),
                "{name}, {source}"
            );
        }
    }
}

/// Ordinary fields of similar names are nobody's business but the service's.
#[tokio::test]
async fn others_pass() {
    let world = World::new().await;
    let service = Service::plain(world.layer().build().unwrap()).await;
    let names =
        ["client-certs", "client-cert-", "xclient-cert", "x-client-cert", "clientcert", "ssl-client-cert"];
    let fields: String = names.iter().map(|name| format!("{name}: x\r\n")).collect();
    let seen = service.raw(&world.token().sign(), &fields).await;
    let mut passed = seen.identity_fields();
    passed.sort_unstable();
    let mut names = names;
    names.sort_unstable();
    assert_eq!(passed, names);
    assert_eq!(service.layer.status().untrusted_identity_headers, 0);
}

/// A metric for each field, by the name that the configuration knows it by.
#[tokio::test]
async fn are_counted() {
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};
    let world = World::new().await;
    let layer = world.layer().build().unwrap();
    layer.warm_up().await.unwrap();
    let recorder = DebuggingRecorder::new();
    let (mut head, ()) = http::Request::get("/")
        .header("client_cert", "x")
        .header("client-cert", "x")
        .header("x_forwarded-client-cert", "x")
        .body(())
        .unwrap()
        .into_parts();
    let authenticated = layer.authenticator().authenticate(&mut head);
    // Nothing is awaited for: the head carries no token.
    let polled = metrics_poll(&recorder, authenticated);
    assert!(polled.unwrap().is_none());
    assert!(head.headers.is_empty());
    let counted: Vec<_> = recorder
        .snapshotter()
        .snapshot()
        .into_vec()
        .into_iter()
        .filter(|(key, ..)| key.key().name() == "tower_delegation_untrusted_identity_headers_total")
        .map(|(key, _, _, value)| {
            let label = key.key().labels().next().map(|label| label.value().to_owned()).unwrap();
            let DebugValue::Counter(count) = value else { panic!("{value:?}") };
            (label, count)
        })
        .collect();
    let mut counted = counted;
    counted.sort();
    assert_eq!(counted, [("client-cert".to_owned(), 2), ("x-forwarded-client-cert".to_owned(), 1)]);
}

fn metrics_poll<F: Future>(recorder: &metrics_util::debugging::DebuggingRecorder, future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    metrics::with_local_recorder(recorder, || match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("it waits for something"),
    })
}

#[tokio::test]
async fn are_removed_from_a_refused_head_too() {
    let world = World::new().await;
    let identity = ClientIdentity::from_proxy(ClientCertHeader::rfc9440(), far_hop());
    let layer = world.layer_with(identity);
    // No listener says who is at the other end: 500, and nothing to be read.
    let request = http::Request::get("/").header("client-cert", "x").header("client_cert", "x");
    let (mut head, ()) = request.body(()).unwrap().into_parts();
    let refused = layer.authenticator().authenticate(&mut head).await.err().unwrap();
    assert_eq!(refused.reason().code(), "peer_info_missing");
    assert!(head.headers.is_empty());
    let service = Service::plain(world.layer().build().unwrap()).await;
    let answer = Answer::of(Client::default().get(service.url("http")).header("client-cert", "x")).await;
    assert_eq!(answer.status, 401);
}
