//! What proxies really send where there is no certificate, or where they are
//! set up wrongly: from the trusted hop, over real sockets.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tower_delegation::{
    ClientIdentity,
    credential::{ClientCertHeader, MAX_FORWARDED_LEN, TrustedHop},
};
use tower_delegation_testing::TestIdentity;

use crate::site::{Proxied, Seen, Service, World, hash, thumbprint};

/// SHA-256 of nothing.
const NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

const PLACEHOLDER: &str = ":{http.request.tls.client.certificate_der_base64}:";

/// `Client-Cert` of this certificate.
pub(crate) fn client_cert(identity: &TestIdentity) -> String {
    format!(":{}:", STANDARD.encode(&identity.chain_der()[0]))
}

/// The certificate alone as PEM.
fn pem(identity: &TestIdentity) -> String {
    let (leaf, _) =
        identity.chain_pem().split_once("-----END").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    // rcgen writes CRLF on some systems, OpenSSL never does.
    (leaf + "-----END CERTIFICATE-----\n").replace('\r', "")
}

/// nginx's `$ssl_client_escaped_cert`.
pub(crate) fn escaped_pem(identity: &TestIdentity) -> String {
    escaped(&pem(identity))
}

fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// Behind a trusted hop on loopback; `wrong` are fields that come to nothing good.
async fn refused_all(
    header: ClientCertHeader,
    good: &str,
    wrong: Vec<(&str, String)>,
    world: &World,
    web: &TestIdentity,
) {
    let identity = ClientIdentity::from_proxy(header, TrustedHop::loopback());
    let service = Service::plain(world.layer_with(identity)).await;
    let (plain, bound) = (world.token().sign(), world.bound_to(web).sign());
    let seen = service.raw(&bound, good).await;
    assert_eq!((seen.status, seen.spiffe_id()), (200, "spiffe://example.org/shop/web"), "{good}: {seen:?}");
    assert!(seen.identity_fields().is_empty(), "{seen:?}");
    for (name, fields) in wrong {
        for (kind, token) in [("plain", &plain), ("bound", &bound)] {
            let seen: Seen = service.raw(token, &fields).await;
            assert!(matches!(seen.status, 400 | 403), "{name}, {kind}: {seen:?}");
        }
    }
}

#[tokio::test]
async fn client_cert_field() {
    let world = World::new().await;
    let (web, admin) = (world.workload("/shop/web"), world.workload("/shop/admin"));
    let (good, other) = (client_cert(&web), client_cert(&admin));
    let line = |value: &str| format!("Client-Cert: {value}\r\n");
    let folded = format!("Client-Cert: {}\r\n {}\r\n", good.get(..80).unwrap(), good.get(80..).unwrap());
    let bare_lines = format!("Client-Cert: {}\n{}\r\n", good.get(..80).unwrap(), good.get(80..).unwrap());
    let root = STANDARD.encode([web.chain_der()[0].clone(), admin.chain_der()[0].clone()].concat());
    let wrong = vec![
        ("empty", line("")),
        ("Caddy and Apache without a certificate", line("::")),
        ("Caddy 2.6 without a certificate", line(PLACEHOLDER)),
        ("(null)", line("(null)")),
        ("twice the same", line(&good) + &line(&good)),
        ("twice", line(&good) + &line(&other)),
        ("a list", line(&format!("{good}, {other}"))),
        ("no colons", line(good.trim_matches(':'))),
        ("base64url", line(&good.replace(['+', '/'], "_"))),
        ("no padding", line(&format!(":{}:", STANDARD.encode(b"hello").trim_end_matches('=')))),
        ("nginx's format", line(&escaped_pem(&web))),
        ("PEM with spaces", line(&pem(&web).replace('\n', " "))),
        ("folded", folded),
        ("bare line ends", bare_lines),
        ("no certificate", line(&format!(":{}:", STANDARD.encode(b"hello")))),
        ("two in one", line(&format!(":{root}:"))),
        ("a chain alone", format!("Client-Cert-Chain: {good}\r\n")),
        // haproxy's `ssl_c_chain_der`.
        ("a chain in one", line(&good) + &format!("Client-Cert-Chain: :{root}:\r\n")),
        ("an empty chain", line(&good) + "Client-Cert-Chain: ::\r\n"),
        ("a chain of nothing", line(&good) + "Client-Cert-Chain: :aGVsbG8=:\r\n"),
    ];
    let fields = line(&format!("{good};a=1")) + "X-SSL-Client-Verify: 0\r\n";
    refused_all(ClientCertHeader::rfc9440(), fields.replace("X-SSL", "X").as_str(), wrong, &world, &web)
        .await;
}

#[tokio::test]
async fn escaped_pem_field() {
    let world = World::new().await;
    let (web, admin) = (world.workload("/shop/web"), world.workload("/shop/admin"));
    let (pem, good) = (pem(&web), escaped_pem(&web));
    let line = |value: &str| format!("X-Cert: {value}\r\n");
    let wrong = vec![
        ("empty", line("")),
        ("Apache without a certificate", line("(null)")),
        ("a placeholder", line("$ssl_client_escaped_cert")),
        ("twice", line(&good) + &line(&good)),
        ("another twice", line(&good) + &line(&escaped_pem(&admin))),
        ("two in one", line(&(good.clone() + &escaped_pem(&admin)))),
        ("nginx's old variable", format!("X-Cert: {}\r\n", pem.trim_end().replace('\n', "\r\n\t"))),
        ("Apache", line(&pem.replace('\n', " "))),
        ("Apache, encoded", line(&escaped(&pem.replace('\n', " ")))),
        ("a plus as a space", line(&good.replace("%20", "+"))),
        ("an escaped escape", line(&good.replace("%2B", "%252B").replace("%0A", "%250A"))),
        ("a list", line(&format!("{good}, {good}"))),
        ("something behind", line(&(good.clone() + "x"))),
        ("RFC 9440", line(&client_cert(&web))),
        (
            "no certificate",
            line(&escaped("-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n")),
        ),
        ("a key", line(&escaped(&web.key_pem().replace('\r', "")))),
    ];
    let header = ClientCertHeader::escaped_pem("x-cert").unwrap();
    refused_all(header, &line(&good), wrong, &world, &web).await;
}

#[tokio::test]
async fn xfcc_field() {
    let world = World::new().await;
    let (web, admin) = (world.workload("/shop/web"), world.workload("/shop/admin"));
    let line = |value: &str| format!("X-Forwarded-Client-Cert: {value}\r\n");
    let (ours, others) = (hash(&web), hash(&admin));
    let uri = "URI=spiffe://example.org/shop/web";
    let cert = escaped_pem(&web);
    let wrong = vec![
        ("empty", line("")),
        ("(null)", line("(null)")),
        ("a placeholder", line("Hash={client_hash};URI={client_uri}")),
        ("neither hash nor certificate", line(uri)),
        ("an empty hash", line(&format!("Hash=;{uri}"))),
        ("the hash of nothing", line(&format!("Hash={NOTHING};{uri}"))),
        ("the hash of nothing, louder", line(&format!("Hash={};{uri}", NOTHING.to_uppercase()))),
        ("half a hash", line(&format!("Hash={};{uri}", ours.get(..32).unwrap()))),
        ("a hash that is none", line(&format!("Hash={};{uri}", "x".repeat(64)))),
        ("a hash in base64url", line(&format!("Hash={};{uri}", thumbprint(&web)))),
        ("two hashes", line(&format!("Hash={ours};Hash={ours};{uri}"))),
        ("hash and certificate differ", line(&format!("Hash={others};Cert=\"{cert}\""))),
        ("hash and chain differ", line(&format!("Hash={others};Chain=\"{cert}\""))),
        (
            "certificate and chain differ",
            line(&format!("Hash={ours};Cert=\"{cert}\";Chain=\"{}\"", escaped_pem(&admin))),
        ),
        ("two certificates", line(&format!("Hash={ours};Cert=\"{cert}{cert}\""))),
        ("no certificate", line(&format!("Hash={ours};Cert=\"x\""))),
        ("an open quote", line(&format!("Hash={ours};Subject=\"CN=a;{uri}"))),
        ("two lines", line(&format!("Hash={others}")) + &line(&format!("Hash={ours};{uri}"))),
        ("a name that begins an element", line(&format!("Hash={others};URI=x,Hash={ours};{uri}"))),
        ("a DNS name that begins a URI", line(&format!("Hash={ours};DNS=x;{uri}"))),
        ("a name that begins a subject", line(&format!("Hash={ours};{uri};Subject=\"CN=admin\""))),
        ("a name that begins a certificate", line(&format!("Hash={ours};DNS=x;Cert=\"{cert}\""))),
        ("a name that begins a chain", line(&format!("Hash={ours};URI=x;Chain=\"{cert}\""))),
        ("a name that begins a hash", line(&format!("URI=x;Hash={ours}"))),
        ("two lines, one of them broken", line(&format!("Hash={ours};{uri}")) + &line("")),
        ("a quote over two lines", line("Hash=1;Subject=\"a") + &line(&format!("b\",Hash={ours};{uri}"))),
        ("not ASCII", line(&format!("Hash={ours};Subject=\"é\";{uri}"))),
    ];
    refused_all(ClientCertHeader::xfcc(), &line(&format!("Hash={ours};{uri}")), wrong, &world, &web).await;
}

/// What is not malformed, and yet proves nothing, or less than it looks like.
#[tokio::test]
async fn less_than_it_looks_like() {
    let world = World::new().await;
    let (web, admin) = (world.workload("/shop/web"), world.workload("/shop/admin"));
    let ended = world.pki.workload("/shop/web").expired().issue();
    let unnamed = world.pki.certificate().issue();
    let client_only = world.pki.workload("/shop/web").for_clients_only().issue();
    let xfcc = ClientCertHeader::xfcc;
    let open = || ClientCertHeader::xfcc().insecure_allow_client_elements();
    let (ours, uri) = (hash(&web), "URI=spiffe://example.org/shop/web");
    let xfcc_line = |value: String| format!("X-Forwarded-Client-Cert: {value}\r\n");
    let client_cert_line = |identity| format!("Client-Cert: {}\r\n", client_cert(identity));
    let named = "spiffe://example.org/shop/web";
    let rfc9440 = ClientCertHeader::rfc9440;
    let pem_field = || ClientCertHeader::escaped_pem("x-cert").unwrap();

    // (name, header, fields, SPIFFE ID, is there a thumbprint)
    for (name, header, fields, spiffe_id, is_bound) in [
        ("no field", xfcc(), String::new(), "-", false),
        // XFCC-7
        ("an empty URI", xfcc(), xfcc_line(format!("Hash={ours};URI=")), "-", true),
        ("an empty URI and one more", xfcc(), xfcc_line(format!("Hash={ours};URI=;{uri}")), "-", true),
        ("two URIs", xfcc(), xfcc_line(format!("Hash={ours};{uri};URI=https://web.example")), "-", true),
        ("no SPIFFE ID", xfcc(), xfcc_line(format!("Hash={ours};URI=https://web.example")), "-", true),
        ("a trust domain", xfcc(), xfcc_line(format!("Hash={ours};URI=spiffe://example.org")), "-", true),
        (
            "upper case",
            xfcc(),
            xfcc_line(format!("Hash={ours};URI=SPIFFE://example.org/shop/web")),
            "-",
            true,
        ),
        ("a subject", xfcc(), xfcc_line(format!("Hash={ours};Subject=\"CN={named}\"")), "-", true),
        (
            "a hash in upper case",
            xfcc(),
            xfcc_line(format!("Hash={};{uri}", ours.to_uppercase())),
            named,
            true,
        ),
        // XFCC-6, XFCC-8: from the certificate alone
        (
            "a URI beside a certificate without",
            xfcc(),
            xfcc_line(format!("Cert=\"{}\";{uri}", escaped_pem(&unnamed))),
            "-",
            true,
        ),
        // XFCC-4, XFCC-6
        (
            "a forged left element",
            open(),
            xfcc_line(format!("Hash={};URI=spiffe://example.org/shop/admin,Hash={ours}", hash(&admin))),
            "-",
            true,
        ),
        (
            "a left element that has more",
            open(),
            xfcc_line(format!("Hash={ours};{uri},Hash={}", hash(&admin))),
            "-",
            true,
        ),
        // XFCC-9
        (
            "two lines",
            open(),
            xfcc_line(format!("Hash={}", hash(&admin))) + &xfcc_line(format!("Hash={ours};{uri}")),
            named,
            true,
        ),
        (
            "two proxies",
            xfcc().trusted_proxies(2),
            xfcc_line(format!("Hash={ours};{uri},Hash={}", hash(&admin))),
            named,
            true,
        ),
        (
            "two proxies, one element",
            xfcc().trusted_proxies(2),
            xfcc_line(format!("Hash={ours};{uri}")),
            "-",
            false,
        ),
        (
            "one that is only presented",
            xfcc().presented_only(),
            xfcc_line(format!("Hash={ours};{uri}")),
            "-",
            true,
        ),
        ("ended", rfc9440(), client_cert_line(&ended), "-", false),
        ("no X509-SVID", rfc9440(), client_cert_line(&client_only), "-", true),
        ("only presented", rfc9440().presented_only(), client_cert_line(&web), "-", true),
        // nginx and haproxy without a certificate: what they say of it is not read.
        ("nginx without one", pem_field(), "ssl-client-verify: NONE\r\n".to_owned(), "-", false),
        (
            "nginx, forged",
            pem_field(),
            "ssl-client-verify: SUCCESS\r\nssl-client-s-dn: CN=web\r\n".to_owned(),
            "-",
            false,
        ),
        ("haproxy without one", rfc9440(), "X-SSL-Client-Verify: 0\r\n".to_owned(), "-", false),
        ("the field of another format", rfc9440(), xfcc_line(format!("Hash={ours};{uri}")), "-", false),
        ("the other way around", xfcc(), client_cert_line(&web), "-", false),
    ] {
        let service =
            Service::plain(world.layer_with(ClientIdentity::from_proxy(header, TrustedHop::loopback())))
                .await;
        let seen = service.raw(&world.token().sign(), &fields).await;
        assert_eq!((seen.status, seen.spiffe_id()), (200, spiffe_id), "{name}: {seen:?}");
        assert_eq!(!seen.body["thumbprint"].is_null(), is_bound, "{name}: {seen:?}");
        if !is_bound {
            // 9440-2.4-4
            assert_eq!(service.raw(&world.bound_to(&web).sign(), &fields).await.status, 401, "{name}");
        }
    }
}

/// XFCC-11, and elements that must not be there.
#[tokio::test]
async fn elements_by_others() {
    let world = World::new().await;
    let web = world.workload("/shop/web");
    let us = "spiffe://example.org/ns/shop/sa/orders";
    let by_us = || ClientCertHeader::xfcc().expected_by(us.parse().unwrap());
    let open = || ClientCertHeader::xfcc().insecure_allow_client_elements();
    let ours = hash(&web);
    for (name, header, value, status) in [
        ("by us", by_us(), format!("By={us};Hash={ours}"), 200),
        ("by us too", by_us(), format!("By=http://x;By={us};Hash={ours}"), 200),
        ("by another", by_us(), format!("By={us}/2;Hash={ours}"), 403),
        ("by nobody", by_us(), format!("Hash={ours}"), 403),
        (
            "by us on the left",
            by_us().insecure_allow_client_elements(),
            format!("By={us};Hash={ours},Hash={ours}"),
            403,
        ),
        ("by us, in a name", by_us(), format!("By=http://x;Hash={ours};URI=u;By={us}"), 400),
        ("one element", ClientCertHeader::xfcc(), format!("Hash={ours}"), 200),
        ("two elements", ClientCertHeader::xfcc(), format!("Hash={ours},Hash={ours}"), 400),
        ("two, let through", open(), format!("Hash={ours},Hash={ours}"), 200),
        ("two of two", ClientCertHeader::xfcc().trusted_proxies(2), format!("Hash={ours},Hash={ours}"), 200),
        (
            "three of two",
            ClientCertHeader::xfcc().trusted_proxies(2),
            vec![format!("Hash={ours}"); 3].join(","),
            400,
        ),
    ] {
        let service =
            Service::plain(world.layer_with(ClientIdentity::from_proxy(header, TrustedHop::loopback())))
                .await;
        let seen = service.raw(&world.token().sign(), &format!("x-forwarded-client-cert: {value}\r\n")).await;
        assert_eq!(seen.status, status, "{name}: {seen:?}");
    }
}

/// 9440-2.4-5: 431, before anything is parsed.
#[tokio::test]
async fn too_large() {
    let world = World::new().await;
    let web = world.workload("/shop/web");
    let padding = "A".repeat(MAX_FORWARDED_LEN / 2);
    for (header, fields) in [
        (
            ClientCertHeader::rfc9440(),
            format!("Client-Cert: :{padding}:\r\nClient-Cert-Chain: :{padding}:\r\n"),
        ),
        (
            ClientCertHeader::xfcc(),
            format!("x-forwarded-client-cert: Hash={}\r\n", hash(&web) + &padding + &padding),
        ),
        (ClientCertHeader::escaped_pem("x-cert").unwrap(), format!("x-cert: {padding}{padding}A\r\n")),
    ] {
        let service =
            Service::plain(world.layer_with(ClientIdentity::from_proxy(header, TrustedHop::loopback())))
                .await;
        let seen = service.raw(&world.token().sign(), &fields).await;
        assert_eq!((seen.status, seen.code.as_str()), (431, "header_fields_too_large"));
    }
}
