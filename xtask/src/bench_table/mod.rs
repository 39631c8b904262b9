//! `cargo xtask bench-table`: runs the bench and writes its medians into the
//! README, with the machine that they come from.

mod machine;
mod table;

use std::{
    env,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use self::{
    machine::Machine,
    table::{COLUMNS, LookUps, Row, Table, replace},
};

/// What stands in a row, and where its medians come from.
struct Source {
    label: &'static str,
    /// What `label` ends with: the package's locked version.
    package: Option<&'static str>,
    /// The benchmark's name within the group of each algorithm.
    benchmark: &'static str,
}

/// Ours first, then the others by name. The README says what the rows mean.
const SOURCES: &[Source] = &[
    Source::own("an axum route without a layer", "bare"),
    Source::own("the signature alone: aws-lc-rs, parsed key", RAW),
    Source::own("**tower-delegation**, a token not seen before", "cold"),
    Source::own("**tower-delegation**, one of 100 tokens seen before", "warm/100"),
    Source::own("**tower-delegation**, one of 10,000 tokens seen before", "warm/10000"),
    Source::own("**tower-delegation**, one of 100,000 tokens seen before", "warm/100000"),
    Source::own("**tower-delegation**, one of 10,000, audit event as JSON", "audited/10000"),
    Source::peer("aliri_tower", "ring"),
    Source::peer("axum-jwt-auth", "aws-lc-rs"),
    Source::peer("huskarl-axum", "RustCrypto"),
    Source::peer("jwt-authorizer", "ring"),
    Source::peer("oauth-resource-server", "ring"),
    Source::peer("tower-oauth2-resource-server", "aws-lc-rs"),
];

/// The benchmark that the ratios are to.
const RAW: &str = "raw";

impl Source {
    const fn own(label: &'static str, benchmark: &'static str) -> Self {
        Self { label, package: None, benchmark }
    }

    const fn peer(package: &'static str, cryptography: &'static str) -> Self {
        Self { label: cryptography, package: Some(package), benchmark: package }
    }

    fn label(&self, lock: &str) -> String {
        let Some(package) = self.package else { return self.label.to_owned() };
        let version = table::locked_version(lock, package).unwrap_or("?");
        format!("{package} {version} ({})", self.label)
    }
}

/// Runs the bench, unless the results of the last run are to do, and rewrites
/// the table.
pub(crate) fn run(root: &Path, from_last: bool) -> ExitCode {
    match write_table(root, from_last) {
        Ok(table) => {
            println!("{table}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn write_table(root: &Path, from_last: bool) -> io::Result<String> {
    let benches = root.join("benches");
    let results = benches.join("target").join("criterion");
    if !from_last {
        measure(&benches, &results)?;
    }
    let lock = fs::read_to_string(benches.join("Cargo.lock"))?;
    let rows = SOURCES
        .iter()
        .map(|source| Row {
            label: source.label(&lock),
            nanoseconds: COLUMNS.map(|column| median(&results, column, source.benchmark)),
            is_floor: source.benchmark == RAW,
        })
        .collect();
    let look_ups = LookUps {
        hash: median(&results, "look-up", "hash"),
        maps: ["100", "10,000", "100,000"]
            .map(|live| (live, median(&results, "look-up", &format!("map/{}", live.replace(',', ""))))),
    };
    let table = Table { rows, look_ups, machine: Machine::here(root)? };
    if table.is_empty() {
        let problem = format!("there are no results in {}: run without --from-last", results.display());
        return Err(io::Error::other(problem));
    }
    let rendered = table.to_string();
    let readme = root.join("README.md");
    let text = fs::read_to_string(&readme)?;
    let text = replace(&text, &rendered)
        .ok_or_else(|| io::Error::other("README.md has no pair of markers for the table"))?;
    fs::write(&readme, text)?;
    Ok(rendered)
}

fn measure(benches: &Path, results: &Path) -> io::Result<()> {
    // A row that this run does not measure must not show an older median.
    match fs::remove_dir_all(results) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command
        .args(["bench", "--locked", "--bench", "layer"])
        .current_dir(benches)
        .env("CRITERION_HOME", results);
    // What cargo tells us about our own package: build scripts of the bench's
    // dependencies would take it for a change and run again.
    for (name, _) in env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("the bench failed: {status}"))) }
}

/// The median of one benchmark in nanoseconds, if it was measured.
fn median(results: &Path, group: &str, benchmark: &str) -> Option<f64> {
    let estimates: PathBuf = results.join(group).join(benchmark).join("new").join("estimates.json");
    table::median(&fs::read_to_string(estimates).ok()?)
}
