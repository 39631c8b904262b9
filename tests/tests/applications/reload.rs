//! The registry changes while the service runs.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use tower_delegation::{
    ConfigError,
    application::{ApplicationsBuilder, RegistryStatus},
};

use super::*;

/// Waiting for the operating system to tell of a file: far longer than it takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A folder of this test's own, until it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("applications-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("applications.toml")
    }

    /// Replaces the file as one should: by another that is renamed.
    fn replace(&self, text: &str) {
        let next = self.0.join("next");
        fs::write(&next, text).unwrap();
        fs::rename(next, self.file()).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn toml(world: &World, status: &str) -> String {
    format!(
        r#"
        [[application]]
        name = "web"
        kind = "application"
        issuer = "{}"
        client_ids = ["web"]
        workloads = ["spiffe://example.org/shop/web"]
        scopes = ["orders:read"]
        acts_for = ["users"]
        status = "{status}"
        "#,
        world.idp.issuer()
    )
}

async fn until(applications: &Applications, holds: impl Fn(&RegistryStatus) -> bool) {
    let wait = async {
        while !holds(&applications.status()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
}

/// Whether the application is suspended in the registry that is in force.
fn is_suspended(applications: &Applications) -> bool {
    applications.iter().all(|application| application.status().as_str() == "suspended")
}

#[tokio::test]
async fn a_cached_token_is_refused_on_the_very_next_request() {
    let world = World::new().await;
    let folder = Folder::new();
    folder.replace(&toml(&world, "active"));
    let applications =
        Applications::builder().clock(world.clock.clone()).add_toml_file(folder.file()).build().unwrap();
    let site = world.serve_registry(applications.clone()).await;
    let (client, token) = (world.client_of("web"), world.token_of("web").sign());
    site.expect("active", &client, &token, Ok(())).await;

    world.clock.advance(Duration::from_secs(1));
    folder.replace(&toml(&world, "suspended"));
    site.expect("not yet read", &client, &token, Ok(())).await;
    applications.reload().unwrap();
    site.expect("read", &client, &token, Err(R::ClientSuspended)).await;
    assert_eq!(applications.status().loaded_at, world.clock.now());

    applications.replace(Applications::builder().add_application(world.application("office"))).unwrap();
    site.expect("replaced", &client, &token, Err(R::ClientUnregistered)).await;
    applications.replace(Applications::builder().add_toml(&toml(&world, "active"))).unwrap();
    site.expect("and back", &client, &token, Ok(())).await;
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_is_told() {
    let world = World::new().await;
    let folder = Folder::new();
    folder.replace(&toml(&world, "active"));
    let applications =
        Applications::builder().clock(world.clock.clone()).add_toml_file(folder.file()).build().unwrap();
    let site = world.serve_registry(applications.clone()).await;
    let (client, token) = (world.client_of("web"), world.token_of("web").sign());
    let loaded_at = world.clock.now();
    for (name, bad) in [
        ("empty", String::new()),
        ("cut short", toml(&world, "active").trim_end().trim_end_matches('"').to_owned()),
        ("a misspelt key", toml(&world, "active").replace("workloads", "workload")),
        ("a wrong value", toml(&world, "paused")),
        ("twice", toml(&world, "active").repeat(2)),
    ] {
        world.clock.advance(Duration::from_secs(1));
        folder.replace(&bad);
        let error = applications.reload().unwrap_err();
        assert!(matches!(error, ConfigError::ApplicationsNotReplaced { .. }), "{name}: {error}");
        let status = applications.status();
        let cause = status.failure.as_ref().unwrap().error.to_string();
        assert_eq!(
            error.to_string(),
            format!("the registry of applications stays as it was: {cause}"),
            "{name}"
        );
        assert_eq!((status.applications, status.loaded_at), (1, loaded_at), "{name}");
        assert_eq!(status.failure.unwrap().at, world.clock.now(), "{name}");
        site.expect(name, &client, &token, Ok(())).await;
    }
    fs::remove_file(folder.file()).unwrap();
    assert!(applications.reload().is_err());
    folder.replace(&toml(&world, "suspended"));
    applications.reload().unwrap();
    assert!(applications.status().failure.is_none());
    site.expect("mended", &client, &token, Err(R::ClientSuspended)).await;
}

#[tokio::test]
async fn the_file_is_watched() {
    let world = World::new().await;
    let folder = Folder::new();
    folder.replace(&toml(&world, "active"));
    let applications = Applications::from_toml_file(folder.file()).unwrap();
    let watcher = applications.watch().unwrap();
    let site = world.serve_registry(applications.clone()).await;
    let (client, token) = (world.client_of("web"), world.token_of("web").sign());
    site.expect("active", &client, &token, Ok(())).await;

    // Renamed into place.
    folder.replace(&toml(&world, "suspended"));
    until(&applications, |_| is_suspended(&applications)).await;
    site.expect("suspended", &client, &token, Err(R::ClientSuspended)).await;

    // Written in place.
    fs::write(folder.file(), toml(&world, "active")).unwrap();
    until(&applications, |_| !is_suspended(&applications)).await;
    site.expect("active again", &client, &token, Ok(())).await;

    folder.replace("this is no registry");
    until(&applications, |status| status.failure.is_some()).await;
    site.expect("a bad file", &client, &token, Ok(())).await;
    let error = applications.status().failure.unwrap().error;
    assert!(matches!(*error, ConfigError::ApplicationsMalformed { .. }), "{error}");

    fs::remove_file(folder.file()).unwrap();
    let is_gone = |status: &RegistryStatus| {
        let error = status.failure.as_ref().map(|failure| &*failure.error);
        matches!(error, Some(ConfigError::ApplicationsUnreadable { .. }))
    };
    until(&applications, is_gone).await;
    site.expect("no file", &client, &token, Ok(())).await;

    folder.replace(&toml(&world, "suspended"));
    until(&applications, |status| status.failure.is_none()).await;
    site.expect("a good file", &client, &token, Err(R::ClientSuspended)).await;

    // Its thread has ended: whatever comes now is not read.
    drop(watcher);
    folder.replace(&toml(&world, "active"));
    site.expect("no longer watched", &client, &token, Err(R::ClientSuspended)).await;
}

/// Kubernetes mounts `applications.toml -> ..data/applications.toml`, and turns
/// `..data` to another folder.
#[cfg(unix)]
#[tokio::test]
async fn a_turned_symbolic_link_is_noticed() {
    use std::os::unix::fs::symlink;

    let world = World::new().await;
    let folder = Folder::new();
    let turn = |to: &str, text: &str| {
        fs::create_dir(folder.0.join(to)).unwrap();
        fs::write(folder.0.join(to).join("applications.toml"), text).unwrap();
        symlink(to, folder.0.join("..data_tmp")).unwrap();
        fs::rename(folder.0.join("..data_tmp"), folder.0.join("..data")).unwrap();
    };
    turn("..2026_1", &toml(&world, "active"));
    symlink(Path::new("..data").join("applications.toml"), folder.file()).unwrap();
    let applications = Applications::from_toml_file(folder.file()).unwrap();
    let _watcher = applications.watch().unwrap();
    assert!(!is_suspended(&applications));
    turn("..2026_2", &toml(&world, "suspended"));
    until(&applications, |_| is_suspended(&applications)).await;
}

#[test]
fn a_registry_without_a_file_cannot_be_read_again_or_watched() {
    let applications =
        registry([Application::builder("a", ApplicationKind::Agent).add_actor_id_at("i", "a")]);
    assert!(matches!(applications.watch(), Err(ConfigError::NoApplicationsFile)));
    assert!(matches!(applications.reload(), Err(ConfigError::NoApplicationsFile)));
}

#[tokio::test]
async fn it_is_known_when_an_application_was_last_let_in() {
    let world = World::new().await;
    let entries = |world: &World| [world.application("web"), world.application("quiet").suspended()];
    let applications = registry(entries(&world));
    let site = world.serve_registry(applications.clone()).await;
    let seen = |name: &str| applications.iter().find(|one| one.name() == name).unwrap().last_seen();
    assert_eq!(seen("web"), None);
    let token = |client| world.token_of(client).sign();
    let first = world.clock.now().unix_seconds();
    site.expect("let in", &world.client_of("web"), &token("web"), Ok(())).await;
    assert_eq!(seen("web").map(Timestamp::unix_seconds), Some(first));
    world.clock.advance(Duration::from_secs(5));
    site.expect("refused", &world.client_of("quiet"), &token("web"), Err(R::WorkloadNotRegistered)).await;
    site.expect("suspended", &world.client_of("quiet"), &token("quiet"), Err(R::ClientSuspended)).await;
    assert_eq!(seen("web").map(Timestamp::unix_seconds), Some(first), "a refusal is no sight");
    assert_eq!(seen("quiet"), None);
    // Another registry does not forget.
    let again =
        entries(&world).into_iter().fold(Applications::builder(), ApplicationsBuilder::add_application);
    applications.replace(again).unwrap();
    assert_eq!(seen("web").map(Timestamp::unix_seconds), Some(first));
    site.expect("let in again", &world.client_of("web"), &token("web"), Ok(())).await;
    assert_eq!(seen("web").map(Timestamp::unix_seconds), Some(first + 5));
}
