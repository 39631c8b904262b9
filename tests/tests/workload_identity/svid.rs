//! When a certificate names a workload.

use tower_delegation::credential::{CertificateTrust, PeerCertificate, PeerInfo, x509_svid_id};
use tower_delegation_testing::{CertificateBuilder, KeyUsage as K, TestPki};

#[test]
fn rules_of_the_leaf() {
    let pki = TestPki::new();
    let workload = || pki.workload("/orders");
    let certificate = |uri: &str| pki.certificate().uri(uri);
    for (name, builder, is_svid) in [
        ("good", workload(), true),
        ("with DNS names", workload().dns_name("a.shop").dns_name("b.shop"), true),
        ("with another use", workload().key_usages([K::DigitalSignature, K::KeyAgreement]), true),
        ("two URIs", workload().uri("https://example.org/orders"), false),
        ("two SPIFFE IDs", workload().uri("spiffe://example.org/other"), false),
        ("no URI", pki.certificate().dns_name("orders.shop"), false),
        ("no names", pki.certificate(), false),
        ("no path", certificate("spiffe://example.org"), false),
        ("a root path", certificate("spiffe://example.org/"), false),
        ("another scheme", certificate("https://example.org/orders"), false),
        ("upper case", certificate("SPIFFE://example.org/orders"), false),
        ("a query", certificate("spiffe://example.org/orders?a"), false),
        ("an authority", workload().authority(), false),
        ("no key usage", workload().key_usages([]), false),
        ("may not sign", workload().key_usages([K::KeyAgreement]), false),
        ("signs certificates", workload().key_usages([K::DigitalSignature, K::KeyCertSign]), false),
        ("signs revocation lists", workload().key_usages([K::DigitalSignature, K::CrlSign]), false),
        ("for clients only", workload().for_clients_only(), false),
    ] as [(&str, CertificateBuilder, bool); 18]
    {
        let chain = builder.issue().chain_der();
        assert_eq!(x509_svid_id(&chain).is_ok(), is_svid, "{name}");
        let trusted = PeerCertificate::from_der(&chain, CertificateTrust::ChainedToTrustAnchor).unwrap();
        assert_eq!(trusted.spiffe_id().is_some(), is_svid, "{name}");
        let presented = PeerCertificate::from_der(&chain, CertificateTrust::PresentedOnly).unwrap();
        assert_eq!(presented.spiffe_id(), None, "{name}");
    }
}

#[test]
fn rules_of_the_chain() {
    let pki = TestPki::new();
    let leaf = pki.workload("/orders").issue().chain_der().remove(0);
    let below = pki.intermediate().workload("/orders").issue().chain_der();
    let certificate = |builder: CertificateBuilder| builder.issue().chain_der().remove(0);
    let signer = |usages: &[K]| pki.certificate().authority().key_usages(usages.iter().copied());
    for (name, chain, is_svid) in [
        ("an intermediate", below.clone(), true),
        ("an authority", vec![leaf.clone(), certificate(signer(&[K::KeyCertSign]))], true),
        ("no authority", vec![leaf.clone(), certificate(pki.certificate())], false),
        ("an authority that may not sign", vec![leaf.clone(), certificate(signer(&[K::CrlSign]))], false),
        ("an authority without key usage", vec![leaf.clone(), certificate(signer(&[]))], false),
        (
            "an authority that names a workload",
            vec![leaf.clone(), certificate(signer(&[K::KeyCertSign]).uri("spiffe://example.org/ca"))],
            false,
        ),
        ("garbage behind the leaf", vec![leaf.clone(), b"CORRUPT".to_vec()], false),
        ("the wrong way round", below.iter().rev().cloned().collect(), false),
        ("trailing bytes", vec![[leaf.as_slice(), &[0]].concat()], false),
        ("nothing", vec![], false),
    ] {
        let id = x509_svid_id(&chain);
        assert_eq!(id.is_ok(), is_svid, "{name}: {id:?}");
    }
}

/// A parser that reads a malformed extension as an absent one would let these pass.
#[test]
fn malformed_extensions_are_not_absent() {
    let pki = TestPki::new();
    let der = |builder: CertificateBuilder| builder.issue().chain_der().remove(0);
    let two_uris = pki.workload("/orders").uri("https://example.org/");
    for (name, certificate, good, bad) in [
        (
            "basic constraints",
            der(pki.workload("/orders").authority()),
            &b"\x55\x1d\x13\x01\x01\xff\x04\x05\x30\x03"[..],
            &b"\x55\x1d\x13\x01\x01\xff\x04\x05\x31\x03"[..],
        ),
        ("a URI that is no text", der(two_uris), b"https://example.org/", b"https://\xffxample.org/"),
    ] {
        let at = certificate.windows(good.len()).position(|window| window == good).unwrap();
        let mut changed = certificate.clone();
        changed[at..at + good.len()].copy_from_slice(bad);
        assert!(PeerCertificate::from_der(&[certificate], CertificateTrust::PresentedOnly).is_ok(), "{name}");
        let error = PeerCertificate::from_der(&[&changed], CertificateTrust::PresentedOnly).unwrap_err();
        assert!(error.to_string().contains("extension"), "{name}: {error}");
        assert!(x509_svid_id(&[changed]).is_err(), "{name}");
    }
}

#[test]
fn what_is_shown_of_a_certificate() {
    let chain = TestPki::new().workload("/orders").dns_name("orders.shop").issue().chain_der();
    let address = ([127, 0, 0, 1], 1).into();
    let peer = PeerInfo::with_certificate(address, &chain, CertificateTrust::ChainedToTrustAnchor).unwrap();
    let certificate = peer.certificate_at_handshake().unwrap();
    let thumbprint: String = certificate.thumbprint().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        format!("{certificate:?}"),
        format!(
            "PeerCertificate {{ spiffe_id: Some(\"spiffe://example.org/orders\"), \
             dns_names: [\"orders.shop\"], thumbprint: {thumbprint}, .. }}"
        )
    );
}
