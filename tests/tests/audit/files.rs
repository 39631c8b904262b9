//! JSON lines in files: rotation, and going on after an error.

use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tower_delegation::audit::{Audit, AuditFile, JsonLines, Overflow};

use crate::{Memory, World, call, request, router, warm};

/// A folder of this test alone, removed with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("tower-delegation-audit-{}-{number}", process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("audit.jsonl")
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn events(path: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{path:?}");
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

#[tokio::test]
async fn a_full_file_is_put_aside_and_no_line_is_split_or_lost() {
    let world = World::new().await;
    let folder = Folder::new();
    let file = AuditFile::at(folder.file()).max_bytes(64 * 1024).open().unwrap();
    let layer = warm(&world, [Audit::new(JsonLines::to(file))]).await;
    let service = router(&layer);
    for number in 0..1000 {
        let token = world.token().token_id(format!("t-{number}")).sign();
        assert_eq!(call(&service, request("/orders/7", &token)).await, 200);
    }
    layer.flush_audit(Duration::from_secs(5)).await.unwrap();
    drop((service, layer));
    // Renaming goes on in the background.
    crate::wait_until(|| {
        let files = folder.files();
        files.len() > 3 && files.iter().all(|file| !file.to_string_lossy().contains("pending"))
    });
    let mut seen: Vec<_> = folder.files().iter().flat_map(|file| events(file)).collect();
    for file in folder.files() {
        assert!(fs::metadata(&file).unwrap().len() <= 64 * 1024, "{file:?}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
        }
    }
    let mut ids: Vec<_> = seen.iter_mut().map(|event| event["token_id"].take().to_string()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!((seen.len(), ids.len()), (1000, 1000));
}

#[tokio::test]
async fn old_files_are_deleted_only_where_that_is_asked_for() {
    let folder = Folder::new();
    let mut file = AuditFile::at(folder.file()).max_bytes(64 * 1024).max_files(2).open().unwrap();
    let line = [vec![b'x'; 1023], vec![b'\n']].concat();
    for _ in 0..1000 {
        file.write_all(&line).unwrap();
    }
    drop(file);
    assert_eq!(folder.files().len(), 3, "{:?}", folder.files());
}

#[test]
fn writing_goes_on_where_it_stopped() {
    let folder = Folder::new();
    fs::create_dir_all(&folder.0).unwrap();
    // A crash left half a line.
    fs::write(folder.file(), "{\"a\":1}\n{\"b\":").unwrap();
    let mut file = AuditFile::at(folder.file()).open().unwrap();
    file.write_all(b"{\"c\":3}\n").unwrap();
    assert_eq!(fs::read_to_string(folder.file()).unwrap(), "{\"a\":1}\n{\"b\":\n{\"c\":3}\n");
}

/// A rotation fails because somebody removed the file: the next line goes to a new one.
#[test]
fn a_file_that_was_removed_is_made_again() {
    let folder = Folder::new();
    let mut file = AuditFile::at(folder.file()).max_bytes(64 * 1024).open().unwrap();
    let line = [vec![b'x'; 1023], vec![b'\n']].concat();
    for _ in 0..50 {
        file.write_all(&line).unwrap();
    }
    fs::remove_file(folder.file()).unwrap();
    for _ in 0..50 {
        file.write_all(&line).unwrap();
    }
    drop(file);
    assert!(fs::metadata(folder.file()).unwrap().len() >= 1024 * 30);
}

#[test]
fn refused_files() {
    let folder = Folder::new();
    let open = |path: &Path| AuditFile::at(path).open().map(drop);
    assert!(AuditFile::at(folder.file()).max_bytes(1000).open().is_err());
    assert!(open(Path::new("/")).is_err());
    fs::create_dir_all(folder.file()).unwrap();
    assert!(open(&folder.file()).is_err(), "a folder is no file");
    assert!(open(&folder.file().join("..")).is_err());
}

/// Full at times: then it takes half a line and fails.
#[derive(Clone, Default)]
struct Disk {
    memory: Memory,
    is_full: Arc<AtomicBool>,
    has_failed: bool,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.is_full.load(Ordering::Relaxed) {
            return self.memory.write(bytes);
        }
        if std::mem::replace(&mut self.has_failed, true) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.memory.write(&bytes[..10])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_full_disk_loses_no_event_where_requests_wait() {
    let world = World::new().await;
    let disk = Disk::default();
    let audit = Audit::new(JsonLines::to(disk.clone())).overflow(Overflow::Block);
    let layer = warm(&world, [audit]).await;
    let router = router(&layer);
    let token = world.token().sign();
    for full in [false, true] {
        disk.is_full.store(full, Ordering::Relaxed);
        assert_eq!(call(&router, request("/open", &token)).await, 200);
        crate::wait_until(|| layer.status().audit[0].recorded + layer.status().audit[0].failures > 0);
        crate::wait_until(|| !full || layer.status().audit[0].failures > 0);
    }
    disk.is_full.store(false, Ordering::Relaxed);
    layer.flush_audit(Duration::from_secs(5)).await.unwrap();
    let text = disk.memory.text();
    let lines: Vec<_> = text.lines().collect();
    // The half line stands by itself; every event is there in full.
    assert_eq!(lines.len(), 3, "{text}");
    assert_eq!(lines[1].len(), 10);
    assert!(lines[2].starts_with(lines[1]));
    for line in [lines[0], lines[2]] {
        assert_eq!(serde_json::from_str::<serde_json::Value>(line).unwrap()["subject"], "alice");
    }
    assert_eq!(layer.status().audit[0].recorded, 2);
}
