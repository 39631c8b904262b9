//! The published cases, from the folder that `CONFORMANCE_VECTORS` names.

use std::{env, fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{Request, header::AUTHORIZATION};
use serde_json::{Value, json};
use tower_delegation::{
    ClientIdentity, DelegationContext, DelegationLayer,
    clock::Clock as _,
    credential::{CertificateTrust, ClientCertHeader, PeerInfo, TrustedHop, Xfcc, XfccElement},
};

use crate::site::{Proxied, World, thumbprint_of};

fn cases(set: &str) -> Option<Vec<Value>> {
    let Some(folder) = env::var_os("CONFORMANCE_VECTORS") else {
        println!("CONFORMANCE_VECTORS is not set: the vectors of {set} are left out");
        return None;
    };
    let text = fs::read_to_string(Path::new(&folder).join(set)).unwrap();
    Some(serde_json::from_str(&text).unwrap())
}

/// XFCC-1 to XFCC-3, XFCC-7; and XFCC-4: who the nearest proxy's client is.
#[test]
fn xfcc_parse() {
    let Some(cases) = cases("mtls/xfcc_parse.json") else { return };
    let (mut valid, mut invalid, mut info) = (0, 0, 0);
    for case in &cases {
        let id = case["id"].as_str().unwrap();
        let parsed = Xfcc::parse(case["header"].as_str().unwrap());
        match case["expect"].as_str().unwrap() {
            "valid" => {
                let field = parsed.unwrap_or_else(|error| panic!("{id}: {error}"));
                let elements: Vec<_> = field.elements().iter().map(shown).collect();
                assert_eq!(json!(elements), case["elements"], "{id}");
                if let Some(nearest) = case["nearest_client_uri"].as_str() {
                    assert_eq!(
                        field.elements().last().unwrap().uris().collect::<Vec<_>>(),
                        [nearest],
                        "{id}"
                    );
                }
                valid += 1;
            }
            "invalid" => {
                assert!(parsed.is_err(), "{id}: {parsed:?}");
                invalid += 1;
            }
            _ => {
                println!("{id}: {}", if parsed.is_ok() { "read" } else { "refused" });
                info += 1;
            }
        }
    }
    println!("xfcc_parse: {valid} accepted, {invalid} refused, {info} for information");
}

fn shown(element: &XfccElement<'_>) -> Value {
    json!({
        "by": element.by().collect::<Vec<_>>(),
        "hash": element.hash(),
        "cert": element.cert(),
        "chain": element.chain(),
        "subject": element.subject(),
        "uri": element.uris().collect::<Vec<_>>(),
        "dns": element.dns_names().collect::<Vec<_>>(),
    })
}

/// What Envoy hands on in each of its modes. Two of them hand on what a client
/// wrote: XFCC-5 has them never used at a trusted hop, and fields that cannot
/// be told from forged ones (no digest) are refused all the same.
#[tokio::test]
async fn xfcc_envoy_modes() {
    let Some(cases) = cases("mtls/xfcc_envoy_modes.json") else { return };
    let world = World::new().await;
    let layer =
        world.layer_with(ClientIdentity::from_proxy(ClientCertHeader::xfcc(), TrustedHop::unix_socket()));
    let token = world.token().sign();
    let (mut no_client, mut refused) = (0, 0);
    for case in &cases {
        let id = case["id"].as_str().unwrap();
        let header = case["upstream_header"].as_str();
        let fields: Vec<_> = header.into_iter().map(|value| ("x-forwarded-client-cert", value)).collect();
        match judge(&layer, PeerInfo::unix_socket(), &token, &fields).await {
            Some(delegation) => {
                assert!(header.is_none() && delegation.workload().is_none(), "{id}");
                no_client += 1;
            }
            None => {
                assert!(header.is_some(), "{id}");
                refused += 1;
            }
        }
    }
    println!("xfcc_envoy_modes: {no_client} without a client, {refused} refused");
}

#[tokio::test]
async fn rfc9440_client_cert() {
    let Some(cases) = cases("mtls/rfc9440_client_cert.json") else { return };
    let world = World::new().await;
    let layer =
        world.layer_with(ClientIdentity::from_proxy(ClientCertHeader::rfc9440(), TrustedHop::unix_socket()));
    let (mut accepted, mut refused) = (0, 0);
    let now = world.clock.now();
    for case in &cases {
        let id = case["id"].as_str().unwrap();
        let fields: Vec<_> = case["headers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|field| (field[0].as_str().unwrap(), field[1].as_str().unwrap()))
            .collect();
        let is_trusted = case["peer_trusted"].as_bool().unwrap_or(true);
        let peer =
            if is_trusted { PeerInfo::unix_socket() } else { PeerInfo::new(([192, 0, 2, 1], 1).into()) };
        // A token bound to the certificate that is there, if one is.
        let der = fields
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("client-cert"))
            .and_then(|(_, value)| STANDARD.decode(value.split(':').nth(1)?).ok());
        world.clock.set(now);
        let sample = der.as_ref().and_then(|der| {
            let trust = CertificateTrust::PresentedOnly;
            PeerInfo::with_certificate(([192, 0, 2, 1], 1).into(), &[der], trust).ok()
        });
        if let Some(peer) = &sample {
            world.clock.set(peer.certificate_at_handshake().unwrap().not_before().unwrap());
        }
        let thumbprint = der.as_deref().map_or_else(|| thumbprint_of(b""), thumbprint_of);
        let token = world.token().claim("cnf", json!({ "x5t#S256": thumbprint })).sign();
        let judged = judge(&layer, peer, &token, &fields).await;
        if case["expect"] == "valid" {
            let delegation = judged.unwrap_or_else(|| panic!("{id} is refused"));
            assert_eq!(case["x5t#S256"].as_str(), Some(thumbprint.as_str()), "{id}");
            assert!(delegation.workload().unwrap().certificate().is_some(), "{id}");
            accepted += 1;
        } else {
            assert!(judged.is_none(), "{id} is accepted");
            refused += 1;
        }
    }
    println!("rfc9440_client_cert: {accepted} accepted, {refused} refused");
}

async fn judge(
    layer: &DelegationLayer,
    peer: PeerInfo,
    token: &str,
    fields: &[(&str, &str)],
) -> Option<DelegationContext> {
    let mut request = Request::get("/").header(AUTHORIZATION, format!("Bearer {token}")).extension(peer);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let (mut head, ()) = request.body(()).ok()?.into_parts();
    layer.authenticator().authenticate(&mut head).await.ok().flatten()
}
