//! What becomes of peers when trust is replaced, or time passes.

use std::{fs, time::Duration};

use integration_tests::PlainLog;
use rustls::{
    HandshakeKind,
    version::{TLS12, TLS13},
};
use serde_json::json;
use tokio::time::timeout;
use tower_delegation_rustls::{Pem, Reload, TlsConfig, TlsConfigError};
use tower_delegation_testing::{MtlsClient, TestPki};

use crate::site::{LOOPS, Loop, RawClient, Site, bundle, server, thumbprint};

#[tokio::test]
async fn an_authority_that_is_removed_vouches_for_nobody() {
    let (pki, next) = (TestPki::new(), TestPki::new());
    let orders = pki.workload("/orders").issue();
    let client = MtlsClient::new(&pki).identity(&orders);
    for client in [client.clone().http1().build(), client.http2().build()] {
        let site = Site::start_by(Loop::Axum, server(&pki).require_client_certificates(bundle(&pki))).await;
        let before = site.who(&client).await.unwrap();
        assert_eq!(before["certificate"]["current"], true);

        let reload = site.config.replace(server(&pki).require_client_certificates(bundle(&next)));
        assert_eq!(reload.unwrap(), Reload::NewTrust);
        let after = site.who(&client).await.unwrap();
        assert_eq!(after["address"], before["address"], "the connection is still the same");
        assert_eq!(after["certificate"]["current"], false);
    }
}

#[tokio::test]
async fn our_loop_closes_the_connections_of_before() {
    let (pki, next) = (TestPki::new(), TestPki::new());
    let orders = pki.workload("/orders").issue();
    let successor = next.workload("/orders").issue();
    let client = MtlsClient::new(&pki).identity(&orders);
    for client in [client.clone().http1().build(), client.http2().build()] {
        let site = Site::start(server(&pki).require_client_certificates(bundle(&pki))).await;
        site.who(&client).await.unwrap();
        site.config.replace(server(&pki).require_client_certificates(bundle(&next))).unwrap();
        // Until the client has noticed, its requests may still go out on the old
        // connection; there it is nobody any more.
        let until_closed = async {
            while let Ok(who) = site.who(&client).await {
                assert_eq!(who["certificate"]["current"], false);
            }
        };
        timeout(Duration::from_secs(20), until_closed).await.unwrap();
        let who = site.who(&MtlsClient::new(&pki).identity(&successor).build()).await.unwrap();
        assert_eq!(who["certificate"]["current"], true);
        assert_eq!(who["certificate"]["thumbprint"], thumbprint(&successor));
    }
}

#[tokio::test]
async fn a_new_server_certificate_disturbs_nobody() {
    let pki = TestPki::new();
    let orders = pki.workload("/orders").issue();
    for by in LOOPS {
        let site = Site::start_by(by, server(&pki).require_client_certificates(bundle(&pki))).await;
        let client = MtlsClient::new(&pki).identity(&orders).build();
        let raw = RawClient::new(&pki, &orders, &orders, &TLS13);
        let (before, served) = (site.who(&client).await.unwrap(), raw.who(site.address).await.unwrap());

        let reload = site.config.replace(server(&pki).require_client_certificates(bundle(&pki)));
        assert_eq!(reload.unwrap(), Reload::SameTrust);
        assert_eq!(site.who(&client).await.unwrap(), before, "{by:?}");
        let answer = raw.who(site.address).await.unwrap();
        assert_ne!(answer.server, served.server, "{by:?}");
        assert_eq!(answer.who["certificate"]["current"], true);
    }
}

#[tokio::test]
async fn a_revocation_list_ends_what_it_names() {
    let pki = TestPki::new();
    let (orders, stolen) = (pki.workload("/orders").issue(), pki.workload("/stolen").issue());
    let settings = server(&pki).require_client_certificates(bundle(&pki));
    let site = Site::start_by(Loop::Axum, settings.clone()).await;
    let open = MtlsClient::new(&pki).identity(&stolen).build();
    site.who(&open).await.unwrap();

    let list = Pem::text(pki.revocation_list([&stolen]));
    assert_eq!(site.config.replace(settings.add_revocation_lists(list)).unwrap(), Reload::NewTrust);
    assert_eq!(site.who(&open).await.unwrap()["certificate"]["current"], false);
    assert!(site.who(&MtlsClient::new(&pki).identity(&stolen).build()).await.is_err());
    assert!(site.who(&MtlsClient::new(&pki).identity(&orders).build()).await.is_ok());
}

#[tokio::test]
async fn what_cannot_be_loaded_changes_nothing() {
    let pki = TestPki::new();
    let orders = pki.workload("/orders").issue();
    let site = Site::start(server(&pki).require_client_certificates(bundle(&pki))).await;
    let client = MtlsClient::new(&pki).identity(&orders).build();
    let before = site.who(&client).await.unwrap();
    assert!(site.config.replace(TlsConfig::builder()).is_err());
    assert!(site.config.replace(server(&pki).require_client_certificates(Pem::text(""))).is_err());
    assert_eq!(site.who(&client).await.unwrap(), before);
    assert!(site.who(&MtlsClient::new(&pki).build()).await.is_err());
    assert_eq!(site.config.reload().unwrap(), Reload::SameTrust);
}

#[tokio::test]
async fn files_are_read_again() {
    let (pki, next) = (TestPki::new(), TestPki::new());
    let (identity, orders) = (pki.server().issue(), next.workload("/orders").issue());
    let folder = std::env::temp_dir().join(format!("workload-identity-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = |name: &str, text: String| {
        fs::write(folder.join(name), text).unwrap();
        Pem::file(folder.join(name))
    };
    let settings = TlsConfig::builder()
        .server_certificate(file("chain.pem", identity.chain_pem()), file("key.pem", identity.key_pem()))
        .require_client_certificates(file("bundle.pem", pki.bundle_pem()));
    let site = Site::start(settings).await;
    let client = || MtlsClient::new(&pki).identity(&orders).build();
    assert!(site.who(&client()).await.is_err());

    file("bundle.pem", pki.bundle_pem() + &next.bundle_pem());
    assert_eq!(site.config.reload().unwrap(), Reload::NewTrust);
    assert!(site.who(&client()).await.is_ok());

    fs::remove_dir_all(&folder).unwrap();
    assert!(site.config.reload().is_err());
    assert!(site.who(&client()).await.is_ok());
}

#[tokio::test]
async fn watched_files_are_read_whenever_one_changes() {
    let (pki, next, third) = (TestPki::new(), TestPki::new(), TestPki::new());
    let folder = tempfile::tempdir().unwrap();
    // Replaced as it should be: by another file that is renamed.
    let put = |name: &str, text: &str| {
        let fresh = folder.path().join("fresh");
        fs::write(&fresh, text).unwrap();
        fs::rename(fresh, folder.path().join(name)).unwrap();
    };
    let file = |name: &str| Pem::file(folder.path().join(name));
    let (identity, renewed) = (pki.server().issue(), pki.server().issue());
    put("tls.crt", &identity.chain_pem());
    put("tls.key", &identity.key_pem());
    put("ca.crt", &pki.bundle_pem());
    let settings = TlsConfig::builder().server_certificate(file("tls.crt"), file("tls.key"));
    let site = Site::start(settings.require_client_certificates(file("ca.crt"))).await;
    let watcher = site.config.watch().unwrap();
    let workload = |of: &TestPki| of.workload("/orders").issue();
    let (orders, successor, stranger) = (workload(&pki), workload(&next), workload(&third));
    // Each a new connection.
    let is_let_in =
        async |identity: &_| site.who(&MtlsClient::new(&pki).identity(identity).build()).await.is_ok();
    assert!(is_let_in(&orders).await && !is_let_in(&successor).await);

    put("ca.crt", &next.bundle_pem());
    until(async || is_let_in(&successor).await).await;
    assert!(!is_let_in(&orders).await, "the authority of before vouches for no one");

    let served =
        async || RawClient::new(&pki, &successor, &successor, &TLS13).who(site.address).await.unwrap().server;
    let before = served().await;
    // A certificate whose key is still to come changes nothing, nor does half a file.
    let log = PlainLog::listen_elsewhere();
    put("tls.crt", &renewed.chain_pem());
    until(async || log.take().contains("TLS certificates stay as they were")).await;
    assert_eq!(served().await, before);
    put("ca.crt", "-----BEGIN CERTIFICATE-----");
    until(async || log.take().contains("the client bundle is not PEM")).await;
    assert_eq!(served().await, before);
    put("ca.crt", &next.bundle_pem());
    assert!(site.config.reload().is_err());
    put("tls.key", &renewed.key_pem());
    until(async || served().await != before).await;
    assert!(is_let_in(&successor).await && !is_let_in(&orders).await);

    let current = served().await;
    fs::remove_file(folder.path().join("ca.crt")).unwrap();
    assert!(site.config.reload().is_err());
    assert!(is_let_in(&successor).await && !is_let_in(&stranger).await);
    // The watch ends with the watcher.
    drop(watcher);
    put("ca.crt", &third.bundle_pem());
    assert!(is_let_in(&successor).await && !is_let_in(&stranger).await);
    assert_eq!(served().await, current);
    drop(site.config.watch().unwrap());
}

/// Waits for what the watcher's thread does: far longer than it takes.
async fn until(holds: impl AsyncFn() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), wait).await.unwrap();
}

#[test]
fn what_cannot_be_watched() {
    let pki = TestPki::new();
    let config = server(&pki).require_client_certificates(bundle(&pki)).build().unwrap();
    assert!(matches!(config.watch(), Err(TlsConfigError::NoFile)), "texts never change");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.crt");
    fs::write(&path, pki.bundle_pem()).unwrap();
    let config = server(&pki).require_client_certificates(Pem::file(&path)).build().unwrap();
    drop(folder);
    let error = config.watch().unwrap_err();
    assert!(matches!(&error, TlsConfigError::Unwatchable { path: at, .. } if *at == path), "{error}");
}

#[tokio::test]
async fn a_connection_outlives_its_certificate() {
    let pki = TestPki::new();
    let orders = pki.workload("/orders").valid_for(Duration::from_secs(600)).issue();
    for by in LOOPS {
        let site = Site::start_by(by, server(&pki).require_client_certificates(bundle(&pki))).await;
        let client = MtlsClient::new(&pki).identity(&orders).build();
        let before = site.who(&client).await.unwrap();
        assert_eq!(before["certificate"]["current"], true);
        site.clock.advance(Duration::from_secs(601));
        let after = site.who(&client).await.unwrap();
        assert_eq!(
            (&after["address"], &after["certificate"]["current"]),
            (&before["address"], &json!(false))
        );
    }
}

#[tokio::test]
async fn handshakes_take_the_time_from_the_clock() {
    let pki = TestPki::new();
    let orders = pki.workload("/orders").valid_for(Duration::from_secs(600)).issue();
    let clock = tower_delegation_testing::TestClock::new();
    let settings = server(&pki).require_client_certificates(bundle(&pki)).clock(clock.clone());
    let site = Site::start(settings).await;
    let client = || MtlsClient::new(&pki).identity(&orders).build();
    assert!(site.who(&client()).await.is_ok());
    clock.advance(Duration::from_secs(601));
    assert!(site.who(&client()).await.is_err());
}

#[tokio::test]
async fn a_resumed_session_is_the_peer_of_its_first_handshake() {
    let (pki, next) = (TestPki::new(), TestPki::new());
    let orders = pki.workload("/orders").issue();
    for version in [&TLS12, &TLS13] {
        let site = Site::start(server(&pki).require_client_certificates(bundle(&pki))).await;
        let client = RawClient::new(&pki, &orders, &orders, version);
        let first = client.who(site.address).await.unwrap();
        let second = client.who(site.address).await.unwrap();
        assert_eq!((first.kind, second.kind), (HandshakeKind::Full, HandshakeKind::Resumed), "{version:?}");
        assert_eq!(second.who["certificate"], first.who["certificate"]);
        assert_eq!(second.who["certificate"]["thumbprint"], thumbprint(&orders));

        // A session of before a reload is not resumed, whatever was changed.
        site.config.reload().unwrap();
        assert_eq!(client.who(site.address).await.unwrap().kind, HandshakeKind::Full, "{version:?}");
        site.config.replace(server(&pki).require_client_certificates(bundle(&next))).unwrap();
        assert!(client.who(site.address).await.is_err(), "{version:?}");
    }
}
