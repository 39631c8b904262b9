//! Envoy: `x-forwarded-client-cert`.

use std::process::Command;

use tower_delegation::{
    ClientIdentity,
    credential::{ClientCertHeader, TrustedHop},
};

use super::{
    FORGED, Forgeries, Front, file, filled,
    program::{Folder, Program, find, free_port},
};
use crate::site::{Proxied, Service, World, hash};

/// With the certificate and its chain; without; each with its names.
const WITH_CERTIFICATE: &str = "{ subject: true, cert: true, chain: true, dns: true, uri: true }";
const WITHOUT_CERTIFICATE: &str = "{ subject: true, dns: true, uri: true }";

fn start(world: &World, mode: &str, details: &str, is_required: bool, upstream: u16) -> Option<Program> {
    let (program, folder) = (find("envoy")?, Folder::new());
    let (server, port) = (world.pki.server().issue(), free_port());
    // `@type` is Envoy's own.
    let text = filled(
        &include_str!("envoy.yaml").replace("\"@type\"", "\"%type\""),
        &[
            ("PORT", &port.to_string()),
            ("REQUIRED", &is_required.to_string()),
            ("CERTIFICATE", &file(&folder, "server.pem", &server.chain_pem())),
            ("KEY", &file(&folder, "server.key", &server.key_pem())),
            ("AUTHORITIES", &file(&folder, "authorities.pem", &world.pki.bundle_pem())),
            ("MODE", mode),
            ("DETAILS", details),
            ("UPSTREAM", &upstream.to_string()),
        ],
    );
    let configuration = file(&folder, "envoy.yaml", &text.replace("\"%type\"", "\"@type\""));
    let mut command = Command::new(program);
    command.args([
        "--disable-hot-restart",
        "--concurrency",
        "1",
        "--log-level",
        "warn",
        "-c",
        &configuration,
    ]);
    Some(Program::start(&mut command, port, folder))
}

fn identity(header: ClientCertHeader) -> ClientIdentity {
    ClientIdentity::from_proxy(header, TrustedHop::loopback())
}

/// XFCC-5: `SANITIZE_SET` writes the field anew, or removes it.
#[tokio::test]
async fn sanitize_set() {
    let world = World::new().await;
    for details in [WITH_CERTIFICATE, WITHOUT_CERTIFICATE] {
        let layer = world.layer().client_identity(identity(ClientCertHeader::xfcc()));
        let layer = layer.add_identity_header("ssl-client-verify").add_identity_header("ssl-client-cert");
        let service = Service::plain(layer.build().unwrap()).await;
        let Some(proxy) = start(&world, "SANITIZE_SET", details, false, service.port()) else { return };
        let forgeries = Forgeries::of(&world.workload("/shop/admin"));
        Front { world: &world, proxy }.prove(&forgeries.fields()).await;
    }
}

/// XFCC-4: what the client writes stays, on the left.
#[tokio::test]
async fn append_forward() {
    let world = World::new().await;
    let service =
        Service::plain(world.layer_with(identity(ClientCertHeader::xfcc().insecure_allow_client_elements())))
            .await;
    let Some(proxy) = start(&world, "APPEND_FORWARD", WITHOUT_CERTIFICATE, true, service.port()) else {
        return;
    };
    let front = Front { world: &world, proxy };
    let (web, admin) = (world.workload("/shop/web"), world.workload("/shop/admin"));
    let forged = format!("Hash={};URI={FORGED}", hash(&admin));
    let forged = [("x-forwarded-client-cert", forged.as_str())];
    let seen = front.ask(Some(&web), &world.bound_to(&web).sign(), &forged).await;
    assert_eq!((seen.status, seen.spiffe_id()), (200, "spiffe://example.org/shop/web"));
    assert!(seen.identity_fields().is_empty(), "{seen:?}");
    assert_eq!(front.ask(Some(&web), &world.bound_to(&admin).sign(), &forged).await.status, 401);
    // A field that breaks the rules breaks Envoy's element too: refused, not passed over.
    for broken in ["x", "Hash=1;Subject=\"", "Hash=1,,"] {
        let broken = [("x-forwarded-client-cert", broken)];
        let seen = front.ask(Some(&web), &world.token().sign(), &broken).await;
        assert_eq!((seen.status, seen.code.as_str()), (400, "invalid_identity_header"), "{broken:?}");
    }
}

/// A name in a certificate can hold what separates elements and pairs, and Envoy
/// writes it as it is: whoever gets such a certificate signed writes the field.
#[tokio::test]
async fn names_that_separate() {
    let world = World::new().await;
    let admin = world.workload("/shop/admin");
    let element = format!("spiffe://example.org/shop/web,Hash={};URI={FORGED}", hash(&admin));
    let pair = format!(";URI={FORGED}");
    let (xfcc, insecure) =
        (ClientCertHeader::xfcc, || ClientCertHeader::xfcc().insecure_allow_client_elements());
    for (name, header, details, uri, status, spiffe_id) in [
        // Which is why the name of this setting begins as it does.
        ("an element, let through", insecure(), WITHOUT_CERTIFICATE, &element, 200, FORGED),
        ("an element", xfcc(), WITHOUT_CERTIFICATE, &element, 400, "-"),
        ("an element, with certificate", xfcc(), WITH_CERTIFICATE, &element, 400, "-"),
        ("a pair", xfcc(), WITHOUT_CERTIFICATE, &pair, 200, "-"),
        ("a pair, with certificate", xfcc(), WITH_CERTIFICATE, &pair, 200, "-"),
    ] {
        let hostile = world.pki.certificate().uri(uri).issue();
        let service = Service::plain(world.layer_with(identity(header))).await;
        let Some(proxy) = start(&world, "SANITIZE_SET", details, true, service.port()) else { return };
        let front = Front { world: &world, proxy };
        let seen = front.ask(Some(&hostile), &world.token().sign(), &[]).await;
        assert_eq!((seen.status, seen.spiffe_id()), (status, spiffe_id), "{name}: {seen:?}");
    }
}
