//! Real proxies in front of our service.

mod envoy;
mod haproxy;
mod nginx;
mod program;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use tower_delegation_testing::TestIdentity;

use self::program::{Folder, PATIENCE, Program};
use crate::{
    site::{Proxied, Seen, World, hash, thumbprint, try_ask},
    traps::{client_cert, escaped_pem},
};

/// Nobody has asked for this workload: forged fields name it.
const FORGED: &str = "spiffe://example.org/shop/admin";

/// One proxy in front of one service.
struct Front<'a> {
    world: &'a World,
    proxy: Program,
}

impl Front<'_> {
    async fn ask(&self, identity: Option<&TestIdentity>, token: &str, fields: &[(&str, &str)]) -> Seen {
        self.ask_at("/", identity, token, fields).await
    }

    async fn ask_at(
        &self,
        path: &str,
        identity: Option<&TestIdentity>,
        token: &str,
        fields: &[(&str, &str)],
    ) -> Seen {
        let url = format!("https://127.0.0.1:{}{path}", self.proxy.port);
        let start = Instant::now();
        loop {
            match try_ask(&self.world.http1(identity), &url, token, fields).await {
                Ok(seen) => return seen,
                // Envoy listens before its worker accepts, and resets who comes in between.
                Err(error) if error.is_connect() && start.elapsed() < PATIENCE => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(error) => panic!("{url} does not answer: {error:?}"),
            }
        }
    }

    /// What every proxy must do: the workload's identity arrives, a bound token
    /// is accepted from its holder and from nobody else, what a client writes
    /// itself counts for nothing, and the handler sees no field of that kind.
    async fn prove(&self, forgeries: &[(&str, &str)]) {
        let world = self.world;
        let (web, thief) = (world.workload("/shop/web"), world.workload("/shop/thief"));
        let (bound, plain) = (world.bound_to(&web).sign(), world.token().sign());
        for forged in [&[][..], forgeries] {
            let with = if forged.is_empty() { "alone" } else { "with forged fields" };
            let seen = self.ask(Some(&web), &bound, forged).await;
            assert_eq!(
                (seen.status, seen.spiffe_id()),
                (200, "spiffe://example.org/shop/web"),
                "{with}: {seen:?}"
            );
            assert_eq!(seen.constraint(), "mutual_tls", "{with}");
            assert_eq!(seen.body["thumbprint"], thumbprint(&web), "{with}");
            assert!(seen.identity_fields().is_empty(), "{with}: {seen:?}");

            for (name, other) in [("a thief", Some(&thief)), ("nobody", None)] {
                let seen = self.ask(other, &bound, forged).await;
                assert_eq!((seen.status, seen.code.as_str()), (401, "invalid_token"), "{name} {with}");
            }

            let seen = self.ask(None, &plain, forged).await;
            assert_eq!((seen.status, seen.spiffe_id()), (200, "-"), "{with}: {seen:?}");
            assert_eq!(seen.body["thumbprint"], serde_json::Value::Null, "{with}");
            assert!(seen.identity_fields().is_empty(), "{with}: {seen:?}");
        }
    }
}

/// Fields that a client forges to be somebody else, in the formats of all proxies.
struct Forgeries {
    xfcc: String,
    client_cert: String,
    escaped_pem: String,
}

impl Forgeries {
    fn of(victim: &TestIdentity) -> Self {
        Self {
            xfcc: format!("Hash={};URI={FORGED}", hash(victim)),
            client_cert: client_cert(victim),
            escaped_pem: escaped_pem(victim),
        }
    }

    fn fields(&self) -> Vec<(&str, &str)> {
        let mut fields = vec![("ssl-client-verify", "SUCCESS"), ("ssl_client_verify", "SUCCESS")];
        for (names, value) in [
            (["x-forwarded-client-cert", "x_forwarded-client-cert"], &self.xfcc),
            (["client-cert", "client_cert"], &self.client_cert),
            (["ssl-client-cert", "ssl_client_cert"], &self.escaped_pem),
        ] {
            fields.extend(names.map(|name| (name, value.as_str())));
        }
        fields
    }
}

/// A file with this text, and its path as text.
fn file(folder: &Folder, name: &str, text: &str) -> String {
    let path: PathBuf = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A configuration with every `@NAME@` filled in.
fn filled(template: &str, values: &[(&str, &str)]) -> String {
    let text = values
        .iter()
        .fold(template.to_owned(), |text, (name, value)| text.replace(&format!("@{name}@"), value));
    assert!(!text.contains('@'), "a value is missing: {text}");
    text
}
