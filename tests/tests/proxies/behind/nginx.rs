//! nginx: the certificate as percent-encoded PEM.

use std::process::Command;

use tower_delegation::{
    ClientIdentity, DelegationLayer,
    credential::{ClientCertHeader, TrustedHop},
};

use super::{
    FORGED, Forgeries, Front, file, filled,
    program::{Folder, Program, find, free_port},
};
use crate::site::{Service, World, thumbprint};

/// nginx in front of `upstream`.
fn start(world: &World, verify: &str, upstream: &str, tls: &str, folder: Folder) -> Option<Program> {
    let program = find("nginx")?;
    let (server, port) = (world.pki.server().issue(), free_port());
    let text = filled(
        include_str!("nginx.conf"),
        &[
            ("PORT", &port.to_string()),
            ("CERTIFICATE", &file(&folder, "server.pem", &server.chain_pem())),
            ("KEY", &file(&folder, "server.key", &server.key_pem())),
            ("AUTHORITIES", &file(&folder, "authorities.pem", &world.pki.bundle_pem())),
            ("VERIFY", verify),
            ("UPSTREAM", upstream),
            ("TLS", tls),
            ("FOLDER", folder.text()),
        ],
    );
    let configuration = file(&folder, "nginx.conf", &text);
    let mut command = Command::new(program);
    command.args(["-e", "stderr", "-p", folder.text(), "-c", &configuration]);
    Some(Program::start(&mut command, port, folder))
}

fn layer(world: &World, header: ClientCertHeader, hop: TrustedHop) -> DelegationLayer {
    let builder = world.layer().client_identity(ClientIdentity::from_proxy(header, hop));
    builder.add_identity_header("ssl-client-verify").build().unwrap()
}

fn header() -> ClientCertHeader {
    ClientCertHeader::escaped_pem("ssl-client-cert").unwrap()
}

/// Without a path, not even `/`: nginx then hands on the client's path as it is.
fn upstream(service: &Service, scheme: &str) -> String {
    service.url(scheme).trim_end_matches('/').to_owned()
}

async fn prove(world: &World, proxy: Program) {
    let forgeries = Forgeries::of(&world.workload("/shop/admin"));
    Front { world, proxy }.prove(&forgeries.fields()).await;
}

#[tokio::test]
async fn on_loopback() {
    let world = World::new().await;
    let service = Service::plain(layer(&world, header(), TrustedHop::loopback())).await;
    let Some(proxy) = start(&world, "optional", &upstream(&service, "http"), "", Folder::new()) else {
        return;
    };
    prove(&world, proxy).await;
    // nginx replaces what it sets and drops names with an underscore; it knows
    // nothing of the fields of others.
    assert_ne!(service.layer.status().untrusted_identity_headers, 0);
}

/// An encoded slash that is decoded on the way is another route.
#[tokio::test]
async fn the_path_arrives_as_the_client_sent_it() {
    let world = World::new().await;
    let service = Service::plain(layer(&world, header(), TrustedHop::loopback())).await;
    let client = "/orders/a%2Fb";
    for (name, upstream, arrives) in [
        ("the guide's", upstream(&service, "http"), client),
        // Which is why the guide has none.
        ("with a path", service.url("http"), "/orders/a/b"),
    ] {
        let Some(proxy) = start(&world, "optional", &upstream, "", Folder::new()) else { return };
        let front = Front { world: &world, proxy };
        let seen = front.ask_at(client, None, &world.token().sign(), &[]).await;
        assert_eq!(seen.status, 200, "{name}: {seen:?}");
        assert_eq!(seen.body["path"], arrives, "{name}: {seen:?}");
    }
}

#[tokio::test]
async fn on_a_unix_socket() {
    let world = World::new().await;
    let folder = Folder::new();
    let socket = folder.path().join("socket");
    let _service = Service::unix(layer(&world, header(), TrustedHop::unix_socket()), &socket).await;
    let upstream = format!("http://unix:{}", socket.to_str().unwrap());
    let Some(proxy) = start(&world, "optional", &upstream, "", folder) else { return };
    prove(&world, proxy).await;
}

#[tokio::test]
async fn over_mutual_tls_by_its_spiffe_id() {
    let world = World::new().await;
    let gateway = TrustedHop::spiffe("spiffe://example.org/ns/mesh/sa/gateway").unwrap();
    let service = Service::tls(layer(&world, header(), gateway), &world.pki).await;
    for (path, is_trusted) in [("/ns/mesh/sa/gateway", true), ("/ns/shop/sa/other", false)] {
        let (own, folder) = (world.workload(path), Folder::new());
        let tls = filled(
            include_str!("nginx-tls.conf"),
            &[
                ("CERTIFICATE", &file(&folder, "own.pem", &own.chain_pem())),
                ("KEY", &file(&folder, "own.key", &own.key_pem())),
                ("AUTHORITIES", &file(&folder, "upstream.pem", &world.pki.bundle_pem())),
            ],
        );
        let Some(proxy) = start(&world, "optional", &upstream(&service, "https"), &tls, folder) else {
            return;
        };
        if is_trusted {
            prove(&world, proxy).await;
            continue;
        }
        // Another workload of the same authority is no proxy of ours, and is
        // not taken for the client either.
        let web = world.workload("/shop/web");
        let front = Front { world: &world, proxy };
        let seen = front.ask(Some(&web), &world.bound_to(&web).sign(), &[]).await;
        assert_eq!(seen.status, 401, "{seen:?}");
        let seen = front.ask(Some(&web), &world.token().sign(), &[]).await;
        assert_eq!((seen.status, seen.spiffe_id()), (200, "-"));
        assert!(seen.identity_fields().is_empty(), "{seen:?}");
    }
}

#[tokio::test]
async fn what_it_has_not_verified_names_nobody() {
    let world = World::new().await;
    let service = Service::plain(layer(&world, header().presented_only(), TrustedHop::loopback())).await;
    let Some(proxy) = start(&world, "optional_no_ca", &upstream(&service, "http"), "", Folder::new()) else {
        return;
    };
    let own = world.pki.workload("/shop/admin").self_signed().issue();
    let front = Front { world: &world, proxy };
    let seen = front.ask(Some(&own), &world.bound_to(&own).sign(), &[]).await;
    assert_eq!((seen.status, seen.spiffe_id(), seen.constraint()), (200, "-", "mutual_tls"), "not {FORGED}");
    assert_eq!(seen.body["thumbprint"], thumbprint(&own));
    assert_eq!(seen.body["dns"], serde_json::json!([]));
}
