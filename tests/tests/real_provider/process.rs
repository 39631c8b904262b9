//! A program that runs beside a test, and says and hears lines.

use std::{
    io::{BufRead as _, BufReader, Read, Write as _},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

use serde_json::Value;

/// Longer than any answer takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running program. It is killed when this is dropped, so also by a panic.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    complaints: Receiver<String>,
}

impl Process {
    pub(crate) fn start(name: &'static str, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let input = child.stdin.take().unwrap();
        let lines = lines_of(child.stdout.take().unwrap());
        let complaints = lines_of(child.stderr.take().unwrap());
        Self { name, child, input, lines, complaints }
    }

    /// The next line that the program says.
    fn line(&mut self) -> String {
        self.lines.recv_timeout(PATIENCE).unwrap_or_else(|error| {
            let complaints: Vec<String> = self.complaints.try_iter().collect();
            panic!("{} says nothing ({error}); {}", self.name, complaints.join("\n"))
        })
    }

    /// Waits for a line with `text` in it; false if the program ends before.
    pub(crate) fn says(&mut self, text: &str) -> bool {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return true,
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => panic!("{} never says {text:?}", self.name),
            }
        }
    }

    /// Sends one JSON line and reads one.
    pub(crate) fn ask(&mut self, message: &Value) -> Value {
        writeln!(self.input, "{message}").unwrap();
        let answer: Value = serde_json::from_str(&self.line()).unwrap();
        assert_eq!(answer["error"], Value::Null, "{} on {message}", self.name);
        answer
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a stream, read in a thread so that the program never waits for
/// a reader.
fn lines_of(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}
