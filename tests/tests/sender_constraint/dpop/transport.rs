//! Tokens that are bound to a certificate and to a key need both (RFC 7800
//! section 3.1), over TLS.

use integration_tests::{Answer, AuditLog};
use reqwest::Client as Http;
use tower_delegation::{ClientIdentity, DenialReason as R};
use tower_delegation_rustls::Pem;
use tower_delegation_testing::DpopKey;

use super::{Client, ORIGIN, router};
use crate::Site;

#[tokio::test]
async fn r7800_3_1_1_a_token_bound_both_ways_needs_both() {
    let client = Client::new().await;
    let audit = AuditLog::listen();
    let world = &client.world;
    let layer = client.layer(|dpop| dpop).client_identity(ClientIdentity::from_tls()).build().unwrap();
    let config = world.server().accept_client_certificates(Pem::text(world.pki.bundle_pem()));
    let site = Site::start(config, router().layer(layer)).await;
    let (web, thief) = (world.pki.workload("/shop/web").issue(), world.pki.workload("/shop/thief").issue());
    let (holder, other, nobody) = (world.client(Some(&web)), world.client(Some(&thief)), world.client(None));

    let both = client.token().bound_to_certificate(web.certificate_der()).sign();
    let key_only = client.token().sign();
    let certificate_only = world.bound_to(&web).sign();
    let thief_key = DpopKey::generate().clock(world.clock.clone());
    let by = |key: &DpopKey, token: &str| {
        let proof = key.proof("GET", format!("{ORIGIN}/orders")).for_token(token).sign();
        (format!("DPoP {token}"), Some(proof))
    };
    let bearer = |token: &str| (format!("Bearer {token}"), None);
    type Row<'a> = (&'a str, &'a Http, (String, Option<String>), Result<&'a str, R>);
    let rows: Vec<Row<'_>> = vec![
        ("both proved", &holder, by(&client.key, &both), Ok("alice mutual_tls_and_dpop")),
        ("another certificate", &other, by(&client.key, &both), Err(R::ConfirmationMismatch)),
        ("no certificate", &nobody, by(&client.key, &both), Err(R::CertificateMissing)),
        ("another key", &holder, by(&thief_key, &both), Err(R::DpopKeyMismatch)),
        ("no proof", &holder, (format!("DPoP {both}"), None), Err(R::DpopProofMissing)),
        ("7.2-1: by Bearer", &holder, bearer(&both), Err(R::DpopTokenAsBearer)),
        ("bound to the key only", &nobody, by(&client.key, &key_only), Ok("alice dpop")),
        ("bound to the key only, by any certificate", &other, by(&client.key, &key_only), Ok("alice dpop")),
        ("bound to the certificate only", &holder, bearer(&certificate_only), Ok("alice mutual_tls")),
        ("7.1-2: and by DPoP", &holder, by(&client.key, &certificate_only), Err(R::DpopTokenUnbound)),
    ];
    for (name, http, (authorization, proof), expected) in rows {
        let mut request = http.get(format!("{}/orders", site.base)).header("authorization", authorization);
        if let Some(proof) = proof {
            request = request.header("dpop", proof);
        }
        let answer = Answer::of(request).await;
        let event = audit.one();
        match expected {
            Ok(body) => assert_eq!((answer.status, answer.body.as_str()), (200, body), "{name}"),
            Err(reason) => {
                assert_eq!(answer.status, 401, "{name}");
                assert_eq!(event.field("reason"), reason.code(), "{name}");
            }
        }
    }
}
