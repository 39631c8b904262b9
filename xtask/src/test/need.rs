//! What a suite needs beside the Rust toolchain, and how to get it.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// One thing that a suite needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// A program, and the package of Debian and its kin that brings it.
    Apt { package: &'static str, program: &'static str },
    /// A file that is on nobody's path, and the package that brings it.
    AptFile { package: &'static str, file: &'static str },
    /// The npm packages that the lock file in a folder names.
    Npm { dir: &'static str },
    /// A package of PyPI, installed below `target` and not into the system, and
    /// the file that it brings there.
    Pip { package: &'static str, file: &'static str },
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Apt { program, .. } => f.write_str(program),
            Self::AptFile { package, .. } => f.write_str(package),
            Self::Npm { dir } => write!(f, "npm packages of {dir}"),
            Self::Pip { package, .. } => write!(f, "{package} of PyPI"),
        }
    }
}

/// The machine that the suites run on.
pub(super) trait Machine {
    /// Whether the need is met.
    fn has(&self, need: Need) -> bool;

    /// Tries to meet it; the error says what went wrong.
    fn install(&mut self, need: Need) -> Result<(), String>;
}

/// Meets every need in order, installing what is missing. The error names the
/// first that cannot be met, and why.
pub(super) fn provide(needs: &[Need], machine: &mut impl Machine) -> Result<(), String> {
    for &need in needs {
        if machine.has(need) {
            continue;
        }
        machine.install(need).map_err(|why| format!("{need}: {why}"))?;
        if !machine.has(need) {
            return Err(format!("{need}: still missing after its installation"));
        }
    }
    Ok(())
}

/// This machine.
pub(super) struct Host {
    root: PathBuf,
    /// Where the tests look for what comes from PyPI.
    pip: PathBuf,
    has_package_lists: bool,
}

impl Host {
    pub(super) fn new(root: &Path) -> Self {
        let target = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        Self { root: root.to_owned(), pip: root.join(target).join("pip"), has_package_lists: false }
    }

    /// Package lists are fetched once, before the first package.
    fn apt(&mut self, package: &str) -> Result<(), String> {
        if !is_on_path("apt-get") {
            return Err("no apt-get here to install it with".to_owned());
        }
        if !self.has_package_lists {
            run(&mut apt_get(&["update"]))?;
            self.has_package_lists = true;
        }
        run(&mut apt_get(&["install", "-y", "--no-install-recommends", package]))
    }
}

impl Machine for Host {
    fn has(&self, need: Need) -> bool {
        match need {
            Need::Apt { program, .. } => is_on_path(program),
            Need::AptFile { file, .. } => Path::new(file).is_file(),
            Need::Npm { dir } => is_current(&self.root.join(dir)),
            Need::Pip { file, .. } => self.pip.join(file).is_file(),
        }
    }

    fn install(&mut self, need: Need) -> Result<(), String> {
        println!("==> installing {need}");
        match need {
            Need::Apt { package, .. } | Need::AptFile { package, .. } => self.apt(package),
            Need::Npm { dir } => run(Command::new("npm").arg("ci").current_dir(self.root.join(dir))),
            // Into a folder: that needs neither a virtual environment nor the system's leave.
            Need::Pip { package, .. } => run(Command::new("pip3")
                .args(["install", "--quiet", "--target"])
                .args([self.pip.as_os_str(), package.as_ref()])),
        }
    }
}

fn is_on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    // Debian keeps servers where only root looks.
    let mut folders = env::split_paths(&path).chain(["/usr/sbin".into()]);
    folders.any(|folder| folder.join(program).is_file())
}

/// Whether npm has installed what the lock file says: when it is done, it
/// leaves a copy of it.
fn is_current(folder: &Path) -> bool {
    let written = |name| fs::metadata(folder.join(name)).and_then(|metadata| metadata.modified());
    match (written("node_modules/.package-lock.json"), written("package-lock.json")) {
        (Ok(installed), Ok(locked)) => installed >= locked,
        _ => false,
    }
}

/// At run level 1 no package starts a service of its own.
fn apt_get(arguments: &[&str]) -> Command {
    const ENVIRONMENT: [&str; 2] = ["RUNLEVEL=1", "DEBIAN_FRONTEND=noninteractive"];
    let mut command = Command::new("env");
    if is_on_path("sudo") {
        command = Command::new("sudo");
        command.args(["-n", "env"]);
    }
    command.args(ENVIRONMENT).args(["apt-get", "-q"]).args(arguments);
    command
}

fn run(command: &mut Command) -> Result<(), String> {
    let shown = format!("{command:?}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{shown} ended with {status}")),
        Err(error) => Err(format!("{shown} does not start: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: Need = Need::Apt { package: "nodejs", program: "node" };
    const PACKAGES: Need = Need::Npm { dir: "tests/real_provider" };

    #[derive(Default)]
    struct Fake {
        here: Vec<Need>,
        installed: Vec<Need>,
        refuses: Option<Need>,
        forgets: Option<Need>,
    }

    impl Machine for Fake {
        fn has(&self, need: Need) -> bool {
            self.here.contains(&need)
        }

        fn install(&mut self, need: Need) -> Result<(), String> {
            self.installed.push(need);
            if self.refuses == Some(need) {
                return Err("no network".to_owned());
            }
            if self.forgets != Some(need) {
                self.here.push(need);
            }
            Ok(())
        }
    }

    #[test]
    fn only_what_is_missing_is_installed() {
        for (name, here, installed) in [
            ("nothing", vec![NODE, PACKAGES], vec![]),
            ("one", vec![NODE], vec![PACKAGES]),
            ("all, in order", vec![], vec![NODE, PACKAGES]),
        ] {
            let mut machine = Fake { here, ..Fake::default() };
            assert_eq!(provide(&[NODE, PACKAGES], &mut machine), Ok(()), "{name}");
            assert_eq!(machine.installed, installed, "{name}");
        }
    }

    #[test]
    fn the_first_need_that_cannot_be_met_is_named() {
        let mut machine = Fake { refuses: Some(NODE), ..Fake::default() };
        assert_eq!(provide(&[NODE, PACKAGES], &mut machine), Err("node: no network".to_owned()));
        assert_eq!(machine.installed, [NODE], "the rest is of no use then");

        let mut machine = Fake { forgets: Some(PACKAGES), ..Fake::default() };
        let why = "npm packages of tests/real_provider: still missing after its installation".to_owned();
        assert_eq!(provide(&[NODE, PACKAGES], &mut machine), Err(why));
    }

    #[test]
    fn programs_are_looked_for_on_the_path() {
        assert!(is_on_path("true"));
        assert!(!is_on_path("no-such-program-on-any-machine"));
    }

    #[test]
    fn files_are_looked_for_where_they_are_named() {
        let host = Host::new(Path::new("."));
        let here =
            Need::AptFile { package: "xtask", file: concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml") };
        let absent = Need::AptFile { package: "xtask", file: concat!(env!("CARGO_MANIFEST_DIR"), "/absent") };
        assert!(host.has(here) && !host.has(absent));
    }

    #[test]
    fn packages_of_pypi_are_looked_for_below_target() {
        let need = Need::Pip { package: "no-such-package", file: "no/such/file" };
        let host = Host::new(Path::new("root"));
        assert!(host.pip.ends_with("pip"));
        assert!(!host.has(need));
        assert_eq!(need.to_string(), "no-such-package of PyPI");
    }

    #[test]
    fn npm_packages_are_current_when_npm_says_so() {
        assert!(!is_current(Path::new("no-such-folder")));
    }
}
