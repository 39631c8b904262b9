//! Which tests a suite runs.

use std::{collections::BTreeSet, env, ffi::OsString, fmt, path::Path, process::Command};

/// A part of the workspace's tests. Together the parts of all suites are every test,
/// each once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The unit tests of every package, and whole test binaries.
    Binaries(&'static [&'static str]),
    /// The examples of the documentation.
    Documentation,
    /// The tests of one module of a binary.
    Module { binary: &'static str, module: &'static str },
    /// The tests of a binary that are in none of these modules, which have rows of
    /// their own.
    Rest { binary: &'static str, without: &'static [&'static str] },
}

impl Part {
    /// The arguments of cargo that build the part. Always the whole workspace: one
    /// package alone would be built with other features.
    pub(super) fn arguments(self) -> Vec<&'static str> {
        let mut arguments = vec!["test", "--workspace", "--no-fail-fast"];
        match self {
            Self::Binaries(binaries) => {
                arguments.extend(["--lib", "--bins", "--examples"]);
                arguments.extend(binaries.iter().flat_map(|binary| ["--test", binary]));
            }
            Self::Documentation => arguments.push("--doc"),
            Self::Module { binary, .. } | Self::Rest { binary, .. } => arguments.extend(["--test", binary]),
        }
        arguments
    }

    /// The names to run, out of all tests of the binary; `None`: all of them.
    pub(super) fn choose<'t>(self, tests: &[&'t str]) -> Option<Vec<&'t str>> {
        let is_in =
            |test: &str, module: &str| test.strip_prefix(module).is_some_and(|rest| rest.starts_with("::"));
        let is_chosen = |test: &&&str| match self {
            Self::Binaries(_) | Self::Documentation => true,
            Self::Module { module, .. } => is_in(test, module),
            Self::Rest { without, .. } => !without.iter().any(|module| is_in(test, module)),
        };
        match self {
            Self::Binaries(_) | Self::Documentation => None,
            Self::Module { .. } | Self::Rest { .. } => {
                Some(tests.iter().filter(is_chosen).copied().collect())
            }
        }
    }

    /// The command that runs the part. Tests are named exactly: what a binary holds is
    /// asked first.
    pub(super) fn command(self, root: &Path) -> Result<Option<Command>, String> {
        let mut command = cargo(root);
        command.args(self.arguments());
        if matches!(self, Self::Binaries(_) | Self::Documentation) {
            return Ok(Some(command));
        }
        let listed = list(root, self)?;
        let all: Vec<_> = listed.iter().map(String::as_str).collect();
        let chosen = self.choose(&all).unwrap_or_default();
        match (chosen.is_empty(), self) {
            (true, Self::Module { binary, module }) => Err(format!("{binary} has no test in {module}")),
            // Without a name, all would run.
            (true, _) => Ok(None),
            (false, _) => {
                command.arg("--").arg("--exact").args(chosen);
                Ok(Some(command))
            }
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cargo {}", self.arguments().join(" "))?;
        match self {
            Self::Binaries(_) | Self::Documentation => Ok(()),
            Self::Module { module, .. } => write!(f, " ({module})"),
            Self::Rest { without, .. } => write!(f, " (all but {})", without.join(", ")),
        }
    }
}

/// The names of a binary's tests.
fn list(root: &Path, part: Part) -> Result<BTreeSet<String>, String> {
    let mut command = cargo(root);
    command.args(part.arguments()).args(["--", "--list", "--format", "terse"]);
    command.stderr(std::process::Stdio::inherit());
    let output = command.output().map_err(|error| format!("cargo does not start: {error}"))?;
    if !output.status.success() {
        return Err(format!("its tests cannot be listed: {}", output.status));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter_map(|line| line.strip_suffix(": test")).map(ToOwned::to_owned).collect())
}

/// The cargo that runs this command, not the first one on the path: they may be of
/// different toolchains.
fn cargo(root: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.current_dir(root);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    const TESTS: [&str; 5] =
        ["behind::envoy", "behind::nginx::tls", "behinder::x", "spoofed::behind::y", "behind"];

    #[test]
    fn every_test_of_a_binary_is_chosen_once() {
        let behind = Part::Module { binary: "proxies", module: "behind" };
        let rest = Part::Rest { binary: "proxies", without: &["behind"] };
        assert_eq!(behind.choose(&TESTS).unwrap(), ["behind::envoy", "behind::nginx::tls"]);
        assert_eq!(rest.choose(&TESTS).unwrap(), ["behinder::x", "spoofed::behind::y", "behind"]);
        assert_eq!(Part::Binaries(&["proxies"]).choose(&TESTS), None);
    }
}
