//! The published cases of RFC 8705, from the folder that `CONFORMANCE_VECTORS` names.

use std::{env, fs, path::Path};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};
use tower_delegation::{
    ClientIdentity,
    clock::Clock as _,
    credential::{CertificateTrust, PeerInfo},
};
use tower_delegation_testing::TestIdentity;

use crate::{World, peer};

/// 8705-3.1-1, 8705-3.1-2, 7800-3.1-1, 7800-3.1-2.
///
/// A case names the thumbprint that the client presents, mostly without a
/// certificate that has it. Then one made here stands in: its thumbprint takes
/// the place of the presented one wherever the claims name that.
#[tokio::test]
async fn rfc8705_binding() {
    let Some(folder) = env::var_os("CONFORMANCE_VECTORS") else {
        println!("CONFORMANCE_VECTORS is not set: the vectors of RFC 8705 are left out");
        return;
    };
    let text = fs::read_to_string(Path::new(&folder).join("mtls/rfc8705_binding.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    let world = World::new().await;
    let layer = world.layer().client_identity(ClientIdentity::from_tls()).build().unwrap();
    let stand_in = world.pki.workload("/vectors").issue();
    let (mut accepted, mut refused, mut left_out) = (0, 0, 0);
    let now = world.clock.now();
    for case in &cases {
        world.clock.set(now);
        let id = case["id"].as_str().unwrap();
        let Some(claims) = case.get("claims") else {
            // Introspection (RFC 7662) is not in this version.
            left_out += 1;
            continue;
        };
        let presented = case["presented_x5t"].as_str();
        let (cnf, peer) = match (presented, case["client_cert_header"].as_str()) {
            (Some(_), Some(header)) => {
                let der = STANDARD.decode(header.trim_matches(':')).unwrap();
                let trust = CertificateTrust::PresentedOnly;
                let peer = PeerInfo::with_certificate(([127, 0, 0, 1], 1).into(), &[der], trust).unwrap();
                // The case is about the thumbprint: the clock stands within the validity.
                world.clock.set(peer.certificate_at_handshake().unwrap().not_before().unwrap());
                (claims["cnf"].clone(), Some(peer))
            }
            (Some(presented), None) => {
                let canonical = URL_SAFE_NO_PAD.decode(presented).is_ok();
                let cnf = claims["cnf"].to_string();
                let cnf = if canonical { cnf.replace(presented, &thumbprint(&stand_in)) } else { cnf };
                let peer = peer(&stand_in, CertificateTrust::ChainedToTrustAnchor);
                (serde_json::from_str(&cnf).unwrap(), Some(peer))
            }
            (None, _) => (claims["cnf"].clone(), None),
        };
        let mut token = world.token();
        if claims.get("cnf").is_some() {
            token = token.claim("cnf", cnf);
        }
        // A spelling that is not canonical is malformed here, whatever the label says.
        let valid = case["expect"] == json!("valid") && case.get("disputed").is_none();
        let outcome = match &peer {
            Some(peer) => layer.authenticator().verify_from(&token.sign(), peer).await,
            None => layer.authenticator().verify(&token.sign()).await,
        };
        match outcome {
            Ok(_) => {
                assert!(valid, "{id} is accepted: {}", case["why"]);
                accepted += 1;
            }
            Err(rejection) => {
                assert!(!valid, "{id} is refused with {}: {}", rejection.reason(), case["why"]);
                assert_eq!(rejection.status(), 401, "{id}");
                assert_eq!(rejection.code(), "invalid_token", "{id}");
                refused += 1;
            }
        }
    }
    println!(
        "vectors mtls/rfc8705_binding: {} cases, {refused} refused, {accepted} accepted, {left_out} left out (introspection)",
        cases.len()
    );
}

fn thumbprint(identity: &TestIdentity) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, identity.certificate_der()))
}
