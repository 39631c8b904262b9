//! `cargo xtask soak`: the long loads, in release mode and one after the other.

use std::{
    env,
    path::Path,
    process::{Command, ExitCode},
};

/// The test binaries that have long loads.
const BINARIES: &[&str] = &["sender_constraint"];

/// Every long load has this in its name, and is left out of other test runs.
const PREFIX: &str = "soak_";

/// Runs every long load. They print what they found.
pub(crate) fn run(root: &Path) -> ExitCode {
    match command(root).status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cargo does not start: {error}");
            ExitCode::FAILURE
        }
    }
}

fn command(root: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root).args(["test", "--release", "--package", "integration-tests", "--no-fail-fast"]);
    command.args(BINARIES.iter().flat_map(|binary| ["--test", binary]));
    // Memory is measured for the whole process.
    command.args(["--", "--ignored", "--test-threads=1", PREFIX]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_other_runs_leave_out_is_run() {
        let command = command(Path::new("."));
        let arguments: Vec<_> = command.get_args().filter_map(|argument| argument.to_str()).collect();
        assert!(arguments.ends_with(&["--ignored", "--test-threads=1", PREFIX]), "{arguments:?}");
        assert!(arguments.contains(&"--release"));
    }
}
