//! haproxy: the certificate as RFC 9440 has it.

use std::process::Command;

use tower_delegation::{
    ClientIdentity,
    credential::{ClientCertHeader, TrustedHop},
};

use super::{
    Forgeries, Front, client_cert, file, filled,
    program::{Folder, Program, find, free_port},
};
use crate::site::{Proxied, Service, World};

fn start(world: &World, upstream: u16) -> Option<Program> {
    let (program, folder) = (find("haproxy")?, Folder::new());
    let (server, port) = (world.pki.server().issue(), free_port());
    let text = filled(
        include_str!("haproxy.cfg"),
        &[
            ("PORT", &port.to_string()),
            ("CERTIFICATE", &file(&folder, "server.pem", &(server.chain_pem() + &server.key_pem()))),
            ("AUTHORITIES", &file(&folder, "authorities.pem", &world.pki.bundle_pem())),
            ("UPSTREAM", &format!("127.0.0.1:{upstream}")),
        ],
    );
    let configuration = file(&folder, "haproxy.cfg", &text);
    let mut command = Command::new(program);
    command.args(["-db", "-f", &configuration]);
    Some(Program::start(&mut command, port, folder))
}

#[tokio::test]
async fn on_loopback() {
    let world = World::new().await;
    let identity = ClientIdentity::from_proxy(ClientCertHeader::rfc9440(), TrustedHop::loopback());
    // `X-SSL-Client-Verify: 0` says "verified" and "no certificate" alike: nobody reads it.
    let layer = world.layer().client_identity(identity).add_identity_header("x-ssl-client-verify");
    let layer = layer.add_identity_header("ssl-client-verify").add_identity_header("ssl-client-cert");
    let service = Service::plain(layer.build().unwrap()).await;
    let Some(proxy) = start(&world, service.port()) else { return };
    let forgeries = Forgeries::of(&world.workload("/shop/admin"));
    Front { world: &world, proxy }.prove(&forgeries.fields()).await;
}

/// haproxy removes `client-cert` and lets `client_cert` through.
#[tokio::test]
async fn the_underscore_twin_reaches_no_handler() {
    let world = World::new().await;
    let identity = ClientIdentity::from_proxy(ClientCertHeader::rfc9440(), TrustedHop::loopback());
    let (web, admin) = (world.workload("/shop/web"), world.workload("/shop/admin"));
    let twin = client_cert(&admin);
    let twin = [("client_cert", twin.as_str())];

    let service = Service::plain(world.layer_with(identity.clone())).await;
    let Some(proxy) = start(&world, service.port()) else { return };
    let front = Front { world: &world, proxy };
    let seen = front.ask(Some(&web), &world.token().sign(), &twin).await;
    assert_eq!((seen.status, seen.spiffe_id()), (200, "spiffe://example.org/shop/web"));
    assert_eq!(service.layer.status().untrusted_identity_headers, 1);
    assert!(!seen.identity_fields().contains(&"client_cert"), "{seen:?}");

    let strict = world.layer().client_identity(identity).refuse_untrusted_identity_headers();
    let service = Service::plain(strict.build().unwrap()).await;
    let Some(proxy) = start(&world, service.port()) else { return };
    let front = Front { world: &world, proxy };
    let seen = front.ask(Some(&web), &world.token().sign(), &twin).await;
    assert_eq!((seen.status, seen.code.as_str()), (400, "invalid_identity_header"));
    assert_eq!(front.ask(Some(&web), &world.token().sign(), &[]).await.status, 200);
}
