//! Who gets in, and what of them arrives at a handler.

use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};
use tower_delegation_rustls::{Pem, TlsConfig, TlsConfigError};
use tower_delegation_testing::{MtlsClient, TestPki};

use crate::site::{LOOPS, RawClient, Site, bundle, server, thumbprint};

#[tokio::test]
async fn a_workload_arrives_in_both_protocols_and_both_loops() {
    let pki = TestPki::new();
    let orders = pki.intermediate().workload("/ns/shop/sa/orders").dns_name("orders.shop").issue();
    assert_eq!(orders.chain_der().len(), 2);
    for by in LOOPS {
        let site = Site::start_by(by, server(&pki).require_client_certificates(bundle(&pki))).await;
        let client = MtlsClient::new(&pki).identity(&orders);
        for (client, version) in
            [(client.clone().http1().build(), "HTTP/1.1"), (client.http2().build(), "HTTP/2.0")]
        {
            let who = site.who(&client).await.unwrap();
            assert_eq!(who["version"], version, "{by:?}");
            assert_eq!(
                who["certificate"],
                json!({
                    "thumbprint": thumbprint(&orders),
                    "spiffe_id": "spiffe://example.org/ns/shop/sa/orders",
                    "dns_names": ["orders.shop"],
                    "uris": ["spiffe://example.org/ns/shop/sa/orders"],
                    "chained": true,
                    "current": true,
                }),
                "{by:?}"
            );
        }
    }
}

#[tokio::test]
async fn who_gets_in() {
    let (pki, other) = (TestPki::new(), TestPki::new());
    let good = pki.workload("/orders").issue();
    let forged = other.workload("/orders").issue();
    let expired = pki.workload("/orders").expired().issue();
    let early = pki.workload("/orders").not_yet_valid().issue();
    let own = pki.workload("/orders").self_signed().issue();
    let ignored = Site::start(server(&pki)).await;
    let required = Site::start(server(&pki).require_client_certificates(bundle(&pki))).await;
    let optional = Site::start(server(&pki).accept_client_certificates(bundle(&pki))).await;
    let any = Site::start(server(&pki).accept_any_client_certificate()).await;

    #[derive(Debug, PartialEq)]
    enum Seen {
        Refused,
        Nobody,
        Workload,
        Holder { current: bool },
    }
    use Seen::{Holder, Nobody, Refused, Workload};
    let current = Holder { current: true };
    for (name, site, identity, expected) in [
        ("ignored, none", &ignored, None, Nobody),
        ("ignored, good", &ignored, Some(&good), Nobody),
        ("required, none", &required, None, Refused),
        ("required, good", &required, Some(&good), Workload),
        ("required, untrusted", &required, Some(&forged), Refused),
        ("required, expired", &required, Some(&expired), Refused),
        ("required, not yet valid", &required, Some(&early), Refused),
        ("required, self-signed", &required, Some(&own), Refused),
        ("optional, none", &optional, None, Nobody),
        ("optional, good", &optional, Some(&good), Workload),
        ("optional, untrusted", &optional, Some(&forged), Refused),
        ("optional, expired", &optional, Some(&expired), Refused),
        ("any, none", &any, None, Nobody),
        ("any, good", &any, Some(&good), current),
        ("any, untrusted", &any, Some(&forged), Holder { current: true }),
        ("any, self-signed", &any, Some(&own), Holder { current: true }),
        ("any, expired", &any, Some(&expired), Holder { current: false }),
        ("any, not yet valid", &any, Some(&early), Holder { current: false }),
    ] {
        let mut client = MtlsClient::new(&pki);
        if let Some(identity) = identity {
            client = client.identity(identity);
        }
        let seen = match site.who(&client.build()).await {
            Err(_) => Refused,
            Ok(who) if who["certificate"].is_null() => Nobody,
            Ok(who) => {
                let certificate = &who["certificate"];
                assert_eq!(certificate["thumbprint"], thumbprint(identity.unwrap()), "{name}");
                if certificate["chained"] == json!(true) {
                    assert_eq!(certificate["spiffe_id"], "spiffe://example.org/orders", "{name}");
                    Workload
                } else {
                    // Nobody vouches for what it says of itself.
                    assert_eq!(certificate["spiffe_id"], Value::Null, "{name}");
                    Holder { current: certificate["current"].as_bool().unwrap() }
                }
            }
        };
        assert_eq!(seen, expected, "{name}");
    }
}

#[tokio::test]
async fn refusals_are_tls_alerts() {
    let (pki, other) = (TestPki::new(), TestPki::new());
    let site = Site::start(server(&pki).require_client_certificates(bundle(&pki))).await;
    let expired = pki.workload("/orders").expired().issue();
    let forged = other.workload("/orders").issue();
    for version in [&TLS12, &TLS13] {
        for (identity, alert) in [(&forged, "UnknownCA"), (&expired, "CertificateExpired")] {
            let client = RawClient::new(&pki, identity, identity, version);
            let error = client.who(site.address).await.unwrap_err().to_string();
            assert!(error.contains("alert") && error.contains(alert), "{error}");
        }
    }
}

#[tokio::test]
async fn a_certificate_is_nothing_without_its_key() {
    let pki = TestPki::new();
    let (orders, thief) = (pki.workload("/orders").issue(), pki.workload("/thief").issue());
    for settings in [
        server(&pki).require_client_certificates(bundle(&pki)),
        server(&pki).accept_client_certificates(bundle(&pki)),
        server(&pki).accept_any_client_certificate(),
    ] {
        let site = Site::start(settings).await;
        for version in [&TLS12, &TLS13] {
            assert!(RawClient::new(&pki, &orders, &orders, version).who(site.address).await.is_ok());
            assert!(RawClient::new(&pki, &orders, &thief, version).who(site.address).await.is_err());
        }
    }
}

#[tokio::test]
async fn revoked_certificates_are_refused() {
    let pki = TestPki::new();
    let (orders, stolen) = (pki.workload("/orders").issue(), pki.workload("/stolen").issue());
    let list = Pem::text(pki.revocation_list([&stolen]));
    let site =
        Site::start(server(&pki).require_client_certificates(bundle(&pki)).add_revocation_lists(list)).await;
    assert!(site.who(&MtlsClient::new(&pki).identity(&orders).build()).await.is_ok());
    assert!(site.who(&MtlsClient::new(&pki).identity(&stolen).build()).await.is_err());

    // The status of what another authority has issued is unknown.
    let elsewhere = pki.intermediate().workload("/orders").issue();
    assert!(site.who(&MtlsClient::new(&pki).identity(&elsewhere).build()).await.is_err());
}

#[tokio::test]
async fn a_certificate_that_is_no_svid_has_names_but_no_spiffe_id() {
    let pki = TestPki::new();
    let site = Site::start(server(&pki).require_client_certificates(bundle(&pki))).await;
    let named = pki.certificate().dns_name("orders.shop").issue();
    let who = site.who(&MtlsClient::new(&pki).identity(&named).build()).await.unwrap();
    assert_eq!(who["certificate"]["dns_names"], json!(["orders.shop"]));
    assert_eq!(who["certificate"]["spiffe_id"], Value::Null);
    assert_eq!(who["certificate"]["chained"], true);
}

#[tokio::test]
async fn an_authority_names_workloads_of_its_own_trust_domain_only() {
    let (pki, partner) = (TestPki::new(), TestPki::of_trust_domain("partner.test"));
    let bundles = [("example.org", bundle(&pki)), ("partner.test", bundle(&partner))];
    let required = Site::start(server(&pki).require_workloads(bundles.clone())).await;
    let optional = Site::start(server(&pki).accept_workloads(bundles)).await;
    let named = |uri: &str| partner.certificate().uri(uri).issue();
    for (name, identity, is_let_in) in [
        ("ours", pki.intermediate().workload("/orders").issue(), true),
        ("the partner's", partner.workload("/orders").issue(), true),
        (
            "ours, in the name of the partner's",
            pki.certificate().uri("spiffe://partner.test/a").issue(),
            false,
        ),
        ("the partner's, in the name of ours", named("spiffe://example.org/orders"), false),
        ("of a third trust domain", named("spiffe://other.test/orders"), false),
        ("no workload", pki.certificate().dns_name("orders.shop").issue(), false),
        ("expired", pki.workload("/orders").expired().issue(), false),
        ("self-signed", pki.workload("/orders").self_signed().issue(), false),
    ] {
        let client = MtlsClient::new(&pki).identity(&identity).build();
        for site in [&required, &optional] {
            let who = site.who(&client).await;
            assert_eq!(who.is_ok(), is_let_in, "{name}: {who:?}");
            assert!(who.is_err() || who.is_ok_and(|who| who["certificate"]["spiffe_id"].is_string()));
        }
    }
    let nobody = MtlsClient::new(&pki).build();
    assert!(required.who(&nobody).await.is_err());
    assert!(optional.who(&nobody).await.unwrap()["certificate"].is_null());

    // The key is asked for as well.
    let (orders, thief) = (pki.workload("/orders").issue(), pki.workload("/thief").issue());
    for version in [&TLS12, &TLS13] {
        assert!(RawClient::new(&pki, &orders, &orders, version).who(required.address).await.is_ok());
        assert!(RawClient::new(&pki, &orders, &thief, version).who(required.address).await.is_err());
    }
}

#[test]
fn refused_settings() {
    use TlsConfigError as E;
    let pki = TestPki::new();
    let (one, two) = (pki.server().issue(), pki.server().issue());
    let list = || Pem::text(pki.revocation_list([]));
    type Matches = fn(&E) -> bool;
    for (name, settings, matches) in [
        (
            "no server certificate",
            TlsConfig::builder(),
            (|error| matches!(error, E::NoServerCertificate)) as Matches,
        ),
        (
            "the key of another certificate",
            TlsConfig::builder().server_certificate(Pem::text(one.chain_pem()), Pem::text(two.key_pem())),
            |error| matches!(error, E::ServerCertificate { .. }),
        ),
        (
            "certificate and key exchanged",
            TlsConfig::builder().server_certificate(Pem::text(one.key_pem()), Pem::text(one.chain_pem())),
            |error| {
                error.mistakes().count() == 2
                    && error.mistakes().all(|mistake| matches!(mistake, E::NothingInPem { .. }))
            },
        ),
        (
            "everything at once",
            TlsConfig::builder()
                .server_certificate(Pem::file("no-such-chain"), Pem::file("no-such-key"))
                .require_workloads([("a/b", Pem::text("")), ("example.org", Pem::file("no-such-bundle"))])
                .add_revocation_lists(Pem::text("")),
            |error| {
                let text = error.to_string();
                let told = [
                    "no-such-chain",
                    "no-such-key",
                    "\"a/b\"",
                    "no-such-bundle",
                    "a certificate revocation list",
                ];
                error.mistakes().count() == 6 && told.iter().all(|told| text.contains(told))
            },
        ),
        (
            "no such file",
            TlsConfig::builder().server_certificate(Pem::file("no-such-file"), Pem::text(one.key_pem())),
            |error| matches!(error, E::Unreadable { .. }),
        ),
        ("an empty bundle", server(&pki).require_client_certificates(Pem::text("")), |error| {
            matches!(error, E::NothingInPem { .. })
        }),
        (
            "a bundle cut short",
            server(&pki).require_client_certificates(Pem::text(&pki.bundle_pem().as_bytes()[..100])),
            |error| matches!(error, E::InvalidPem { .. } | E::NothingInPem { .. }),
        ),
        (
            "a bundle of what is no certificate",
            server(&pki).require_client_certificates(Pem::text(
                "-----BEGIN CERTIFICATE-----\nQ09SUlVQVA==\n-----END CERTIFICATE-----\n",
            )),
            |error| matches!(error, E::TrustAnchor { .. }),
        ),
        (
            "two ways to treat client certificates",
            server(&pki).require_client_certificates(bundle(&pki)).accept_any_client_certificate(),
            |error| matches!(error, E::ClientCertificatesTwice),
        ),
        ("workloads of no trust domain", server(&pki).require_workloads::<String>([]), |error| {
            matches!(error, E::NoTrustDomain)
        }),
        (
            "a trust domain as an identifier",
            server(&pki).accept_workloads([("spiffe://example.org", bundle(&pki))]),
            |error| matches!(error, E::InvalidTrustDomain { .. }),
        ),
        (
            "a trust domain with a path",
            server(&pki).accept_workloads([("example.org/ns", bundle(&pki))]),
            |error| matches!(error, E::InvalidTrustDomain { .. }),
        ),
        ("revocation lists alone", server(&pki).add_revocation_lists(list()), |error| {
            matches!(error, E::RevocationListsUnused)
        }),
        (
            "revocation lists and any certificate",
            server(&pki).accept_any_client_certificate().add_revocation_lists(list()),
            |error| matches!(error, E::RevocationListsUnused),
        ),
    ] {
        let error = settings.build().unwrap_err();
        assert!(matches(&error), "{name}: {error:?}");
    }
}

#[test]
fn keys_are_not_shown() {
    let pki = TestPki::new();
    let debug = format!("{:?}", server(&pki).require_client_certificates(bundle(&pki)));
    assert!(!debug.contains("BEGIN") && !debug.contains("45, 45"), "{debug}");
}
