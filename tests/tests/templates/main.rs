//! The templates as processes: built, started, used and ended as their READMEs say.
#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a harness for tests")]

mod gateway;
mod orders;
#[path = "../../../examples/orders-service/tests/site/mod.rs"]
mod site;

use std::{
    collections::BTreeSet,
    env,
    io::{BufRead as _, BufReader, Read},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, PoisonError},
};

/// A template that runs. It is killed when this is dropped.
struct Process {
    child: Child,
    log: BufReader<Box<dyn Read>>,
}

impl Process {
    /// Starts a service, which logs to stderr.
    fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log: Box<dyn Read> = Box::new(child.stderr.take().unwrap());
        Self { child, log: BufReader::new(log) }
    }

    /// Starts a demonstration, which talks on stdout.
    fn demonstrate(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let log: Box<dyn Read> = Box::new(child.stdout.take().unwrap());
        Self { child, log: BufReader::new(log) }
    }

    /// Reads up to the line with `text`, and returns that line.
    fn wait_for(&mut self, text: &str) -> String {
        self.read_to(text).pop().unwrap()
    }

    /// Reads up to the line with `text`, and returns all of them.
    fn read_to(&mut self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.log.read_line(&mut line).unwrap(), 0, "no {text:?} in {lines:?}");
            lines.push(line);
            if lines.last().unwrap().contains(text) {
                return lines;
            }
        }
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already, where the test has come to its end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program of the workspace, built: `--bin` or `--example`, and its name.
fn built(kind: &str, name: &str) -> PathBuf {
    // One at a time: cargo would let the others wait, too.
    static BUILDING: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let own = env::current_exe().unwrap();
    let folder = own.parent().and_then(|deps| deps.parent()).unwrap();
    let program = folder.join(if kind == "--example" { "examples" } else { "" }).join(name);
    let mut built = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    if built.insert(program.clone()) {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        // The whole workspace's features, as for this test: so little is built twice.
        let status = Command::new(cargo).args(["build", "--quiet", "--workspace", kind, name]).status();
        assert!(status.unwrap().success());
    }
    program
}

/// The value of `name=value` in a line of a log.
fn field(line: &str, name: &str) -> String {
    let start = format!("{name}=");
    let value = line.split_whitespace().find_map(|word| word.strip_prefix(&start));
    value.unwrap_or_else(|| panic!("no {name} in {line:?}")).to_owned()
}
