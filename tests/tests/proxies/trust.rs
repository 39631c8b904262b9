//! Which hop is believed, and mistakes in the configuration.

use std::time::Duration;

use http::{Request, header::AUTHORIZATION};
use tower_delegation::{
    ClientIdentity, ConfigError, DelegationContext, DelegationLayer, DenialReason,
    credential::{
        CertificateTrust, ClientCertHeader, PeerCertificate, PeerInfo, TrustGeneration, TrustedHop,
    },
};
use tower_delegation_testing::TestIdentity;

use crate::{
    site::{Proxied, World},
    traps::client_cert,
};

/// What the layer makes of a request from `peer`, and the fields that are left.
async fn judge(
    layer: &DelegationLayer,
    peer: PeerInfo,
    token: &str,
    fields: &[(&str, &str)],
) -> (Result<DelegationContext, DenialReason>, Vec<String>) {
    let mut request = Request::get("/").header(AUTHORIZATION, format!("Bearer {token}")).extension(peer);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let (mut head, ()) = request.body(()).unwrap().into_parts();
    let judged = layer.authenticator().authenticate(&mut head).await;
    let judged = judged.map(Option::unwrap).map_err(|rejection| rejection.reason());
    head.headers.remove(AUTHORIZATION);
    (judged, head.headers.keys().map(ToString::to_string).collect())
}

fn certified(identity: &TestIdentity, trust: CertificateTrust) -> PeerInfo {
    PeerInfo::with_certificate(([10, 0, 0, 1], 1).into(), &identity.chain_der(), trust).unwrap()
}

/// 9440-2.4-2: the proxy's own certificate makes the hop, while it is current.
#[tokio::test]
async fn the_hop_by_its_certificate() {
    use CertificateTrust::{ChainedToTrustAnchor as Chained, PresentedOnly};
    let world = World::new().await;
    let (web, gateway) = (world.workload("/shop/web"), world.workload("/ns/mesh/sa/gateway"));
    let other = world.workload("/ns/mesh/sa/gateway2");
    let ended = world.pki.workload("/ns/mesh/sa/gateway").expired().issue();
    let future = world.pki.workload("/ns/mesh/sa/gateway").not_yet_valid().issue();
    let thumbprint = |identity: &TestIdentity| {
        *certified(identity, Chained).certificate_at_handshake().unwrap().thumbprint()
    };
    let spiffe = || TrustedHop::spiffe("spiffe://example.org/ns/mesh/sa/*").unwrap();
    let exact = || TrustedHop::spiffe("spiffe://example.org/ns/mesh/sa/gateway").unwrap();
    let (generation, replaced) = (TrustGeneration::new(), TrustGeneration::new());
    replaced.advance();
    let under = |anchors: &TrustGeneration| {
        let certificate = PeerCertificate::from_der(&gateway.chain_der(), Chained).unwrap();
        PeerInfo::from((([10, 0, 0, 1], 1).into(), certificate.verified_under(anchors, 0)))
    };
    for (name, hop, peer, is_trusted) in [
        ("its SPIFFE ID", exact(), certified(&gateway, Chained), true),
        ("a pattern", spiffe(), certified(&other, Chained), true),
        ("another's SPIFFE ID", exact(), certified(&other, Chained), false),
        ("a client as the hop", exact(), certified(&web, Chained), false),
        ("nobody vouches for it", exact(), certified(&gateway, PresentedOnly), false),
        ("ended", exact(), certified(&ended, Chained), false),
        ("not yet", exact(), certified(&future, Chained), false),
        ("current anchors", exact(), under(&generation), true),
        ("replaced anchors", exact(), under(&replaced), false),
        ("no certificate", exact(), PeerInfo::new(([127, 0, 0, 1], 1).into()), false),
        ("a Unix socket", exact(), PeerInfo::unix_socket(), false),
        ("its thumbprint", TrustedHop::thumbprint(thumbprint(&gateway)), certified(&gateway, Chained), true),
        (
            "pinned, unsigned",
            TrustedHop::thumbprint(thumbprint(&gateway)),
            certified(&gateway, PresentedOnly),
            true,
        ),
        (
            "another thumbprint",
            TrustedHop::thumbprint(thumbprint(&other)),
            certified(&gateway, Chained),
            false,
        ),
        ("pinned, ended", TrustedHop::thumbprint(thumbprint(&ended)), certified(&ended, Chained), false),
    ] {
        let layer = world.layer_with(ClientIdentity::from_proxy(ClientCertHeader::rfc9440(), hop));
        let value = client_cert(&web);
        let fields = [("client-cert", value.as_str())];
        let (judged, left) = judge(&layer, peer.clone(), &world.bound_to(&web).sign(), &fields).await;
        assert!(left.is_empty(), "{name}: {left:?}");
        if is_trusted {
            let workload = judged.unwrap().workload().unwrap().spiffe_id().unwrap().to_string();
            assert_eq!(workload, "spiffe://example.org/shop/web", "{name}");
        } else {
            assert_eq!(judged.err(), Some(DenialReason::CertificateMissing), "{name}");
        }
        assert_eq!(layer.status().untrusted_identity_headers, u64::from(!is_trusted), "{name}");

        // Without a field there is no client: the proxy is never taken for it.
        let (judged, _) = judge(&layer, peer, &world.token().sign(), &[]).await;
        assert!(judged.unwrap().workload().is_none(), "{name}");
    }
}

#[tokio::test]
async fn a_certificate_that_ends_binds_nothing() {
    let world = World::new().await;
    let identity = ClientIdentity::from_proxy(ClientCertHeader::rfc9440(), TrustedHop::unix_socket());
    let layer = world.layer_with(identity);
    let web = world.pki.workload("/shop/web").valid_for(Duration::from_secs(120)).issue();
    let token = world.bound_to(&web).sign();
    let value = client_cert(&web);
    let fields = [("client-cert", value.as_str())];
    assert!(judge(&layer, PeerInfo::unix_socket(), &token, &fields).await.0.is_ok());
    world.clock.advance(Duration::from_secs(180));
    let (judged, _) = judge(&layer, PeerInfo::unix_socket(), &token, &fields).await;
    assert_eq!(judged.err(), Some(DenialReason::CertificateMissing));
}

/// Some clients come by the proxy, some by themselves; the proxy itself is no client.
#[tokio::test]
async fn the_hop_is_never_its_client_whatever_else_is_asked() {
    let world = World::new().await;
    let (web, gateway) = (world.workload("/shop/web"), world.workload("/ns/mesh/sa/gateway"));
    let proxy = || {
        let hop = TrustedHop::spiffe("spiffe://example.org/ns/mesh/sa/gateway").unwrap();
        ClientIdentity::from_proxy(ClientCertHeader::rfc9440().keep_headers(), hop)
    };
    let value = client_cert(&web);
    let field = [("client-cert", value.as_str())];
    let peer = |identity| certified(identity, CertificateTrust::ChainedToTrustAnchor);
    for (order, identity) in [
        ("TLS first", ClientIdentity::from_tls().or(proxy())),
        ("the proxy first", proxy().or(ClientIdentity::from_tls())),
        ("two proxies", proxy().or(ClientIdentity::from_tls()).or(proxy())),
    ] {
        let layer = world.layer_with(identity);
        for (name, peer, fields, expected) in [
            ("by the proxy", peer(&gateway), &field[..], Some("spiffe://example.org/shop/web")),
            ("by the proxy, without", peer(&gateway), &[], None),
            ("directly", peer(&web), &[], Some("spiffe://example.org/shop/web")),
            ("neither", PeerInfo::new(([127, 0, 0, 1], 1).into()), &field, None),
        ] {
            let (judged, left) = judge(&layer, peer, &world.token().sign(), fields).await;
            let delegation = judged.unwrap();
            let workload = delegation.workload().and_then(|it| it.spiffe_id()).map(ToString::to_string);
            assert_eq!(workload.as_deref(), expected, "{name}, {order}");
            let is_kept = name == "by the proxy" && order != "two proxies";
            assert_eq!(!left.is_empty(), is_kept, "{name}, {order}: {left:?}");
        }
    }
}

/// A certificate that was read before is still judged by its hop and its field.
#[tokio::test]
async fn what_was_read_before_is_believed_from_the_hop_alone() {
    let world = World::new().await;
    let identity = ClientIdentity::from_proxy(ClientCertHeader::rfc9440(), TrustedHop::unix_socket());
    let layer = world.layer_with(identity);
    let (web, other) = (world.workload("/shop/web"), world.workload("/shop/other"));
    let (token, value, others) = (world.bound_to(&web).sign(), client_cert(&web), client_cert(&other));
    let missing = Err(DenialReason::CertificateMissing);
    for round in 0..3 {
        for (name, peer, fields, expected) in [
            ("holder", PeerInfo::unix_socket(), &[("client-cert", value.as_str())][..], Ok(())),
            (
                "stranger",
                PeerInfo::new(([127, 0, 0, 1], 1).into()),
                &[("client-cert", value.as_str())],
                missing,
            ),
            ("nobody", PeerInfo::unix_socket(), &[], missing),
            (
                "thief",
                PeerInfo::unix_socket(),
                &[("client-cert", others.as_str())],
                Err(DenialReason::ConfirmationMismatch),
            ),
            (
                "twice",
                PeerInfo::unix_socket(),
                &[("client-cert", value.as_str()), ("client-cert", value.as_str())],
                Err(DenialReason::IdentityHeaderMalformed),
            ),
            (
                "with a broken chain",
                PeerInfo::unix_socket(),
                &[("client-cert", value.as_str()), ("client-cert-chain", "::")],
                Err(DenialReason::IdentityHeaderMalformed),
            ),
        ] {
            let (judged, _) = judge(&layer, peer, &token, fields).await;
            assert_eq!(judged.map(drop), expected, "{name}, round {round}");
        }
    }
}

/// 9440-2.4-7: gone, unless asked for; what the hop did not write is gone all the same.
#[tokio::test]
async fn fields_are_kept_where_the_service_asks_for_them() {
    let world = World::new().await;
    let value = client_cert(&world.workload("/shop/web"));
    let fields = [
        ("client-cert", value.as_str()),
        ("client_cert", value.as_str()),
        ("ssl-client-verify", "SUCCESS"),
        ("ssl_client_verify", "SUCCESS"),
        ("x-forwarded-client-cert", "Hash=00"),
    ];
    let header = ClientCertHeader::rfc9440;
    for (name, header, expected) in [
        ("removed", header(), &[][..]),
        ("kept", header().keep_headers(), &["client-cert", "ssl-client-verify"]),
    ] {
        let identity = ClientIdentity::from_proxy(header, TrustedHop::unix_socket());
        let layer =
            world.layer().client_identity(identity).add_identity_header("ssl-client-verify").build().unwrap();
        let token = world.token().sign();
        let (judged, mut left) = judge(&layer, PeerInfo::unix_socket(), &token, &fields).await;
        left.sort_unstable();
        assert_eq!(left, expected, "{name}");
        assert!(judged.unwrap().workload().is_some(), "{name}");
        assert_eq!(layer.status().untrusted_identity_headers, 3, "{name}");
        let (_, left) = judge(&layer, PeerInfo::new(([127, 0, 0, 1], 1).into()), &token, &fields).await;
        assert!(left.is_empty(), "{name}: {left:?}");
    }
}

/// A token that came without a request comes without fields too.
#[tokio::test]
async fn a_token_without_a_request_has_no_client_certificate() {
    let world = World::new().await;
    let identity = ClientIdentity::from_proxy(ClientCertHeader::xfcc(), TrustedHop::unix_socket());
    let layer = world.layer_with(identity);
    let (gateway, authenticator) = (world.workload("/ns/mesh/sa/gateway"), layer.authenticator());
    let bound = world.bound_to(&gateway).sign();
    let peer = certified(&gateway, CertificateTrust::ChainedToTrustAnchor);
    let refused = authenticator.verify_from(&bound, &peer).await.err().unwrap();
    assert_eq!(refused.reason(), DenialReason::CertificateMissing);
    let refused = authenticator.verify(&bound).await.err().unwrap();
    assert_eq!(refused.reason(), DenialReason::CertificateMissing);
    assert!(authenticator.verify_from(&world.token().sign(), &peer).await.is_ok());
}

#[tokio::test]
async fn mistakes_do_not_build() {
    let world = World::new().await;
    let with = |header| {
        let identity = ClientIdentity::from_proxy(header, TrustedHop::loopback());
        world.layer().client_identity(identity).build().err()
    };
    let us = || "spiffe://example.org/us".parse().unwrap();
    assert!(
        with(ClientCertHeader::xfcc().trusted_proxies(2).expected_by(us()).insecure_allow_client_elements())
            .is_none()
    );
    assert!(matches!(
        with(ClientCertHeader::xfcc().trusted_proxies(0)),
        Some(ConfigError::OutOfRange { .. })
    ));
    for (name, header) in [
        ("proxies", ClientCertHeader::rfc9440().trusted_proxies(1)),
        ("by", ClientCertHeader::rfc9440().expected_by(us())),
        (
            "insecure_allow_client_elements",
            ClientCertHeader::escaped_pem("x-cert").unwrap().insecure_allow_client_elements(),
        ),
    ] {
        assert!(matches!(with(header), Some(ConfigError::XfccOnly { .. })), "{name}");
    }
    assert!(matches!(ClientCertHeader::escaped_pem("x cert"), Err(ConfigError::InvalidHeaderName { .. })));
    let unnamed = world.layer().add_identity_header("x cert").build();
    assert!(matches!(unnamed, Err(ConfigError::InvalidHeaderName { .. })));
}
