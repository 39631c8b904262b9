//! A proxy that runs beside a test.

use std::{
    env, fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use integration_tests::leave_out;

/// Longer than any proxy takes to start on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A folder of its own until it is dropped. Its path is short: Unix sockets in
/// it must have names of at most 107 bytes.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("tower-delegation-{}-{next}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn text(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing depends on it.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A running proxy. It is killed when this is dropped, so also by a panic.
pub(crate) struct Program {
    pub(crate) port: u16,
    child: Child,
    _folder: Folder,
}

impl Program {
    /// Starts `command`, which listens on `port`, and waits until it does.
    pub(crate) fn start(command: &mut Command, port: u16, folder: Folder) -> Self {
        let log = folder.path().join("output");
        let output = fs::File::create(&log).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let mut program = Self { port, child, _folder: folder };
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = program.child.try_wait().unwrap();
            if ended.is_some() || start.elapsed() > PATIENCE {
                let said = fs::read_to_string(&log).unwrap_or_default();
                panic!("{command:?} does not listen ({ended:?}): {said}");
            }
            thread::sleep(Duration::from_millis(10));
        }
        program
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The program of this name, or a word that its suite is left out.
pub(crate) fn find(name: &'static str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Debian keeps servers where only root looks.
    let folders = env::split_paths(&path).chain(["/usr/sbin".into()]);
    // From PyPI, by `cargo xtask test`: below `target`, where cargo has its folder for tests too.
    let wheel = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("pip").join(name).join("_bin");
    let found = folders.chain([wheel]).map(|folder| folder.join(name)).find(|program| program.is_file());
    if found.is_none() {
        leave_out(name, "it is not installed");
    }
    found
}
