//! The project's own commands: `cargo xtask test`, `soak`, `floors` and `bench-table`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool speaks on its streams")]

mod bench_table;
mod floors;
mod soak;
mod test;

use std::{env, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run every test suite, or some of them, and print one line for each.
    Test {
        /// The names of the suites to run. Default: all.
        suites: Vec<String>,
        /// Fail when a suite was left out, too.
        #[arg(long)]
        strict: bool,
    },
    /// Run the long loads, in release mode: what they do for seconds in every
    /// test run, for minutes.
    Soak,
    /// Check that every module of the library imports from below or from its left,
    /// that no folder has a circle, and that public signatures name few other crates.
    Floors,
    /// Measure what a request costs, and write the table of the README.
    BenchTable {
        /// Take the results of the last run.
        #[arg(long)]
        from_last: bool,
    },
}

fn main() -> ExitCode {
    let task = Arguments::parse().task;
    let Some(root) = workspace_root() else {
        eprintln!("run this as `cargo xtask`: cargo says where the workspace is");
        return ExitCode::FAILURE;
    };
    match task {
        Task::Test { suites, strict } => test::run(&root, &suites, strict),
        Task::Soak => soak::run(&root),
        Task::Floors => floors::run(&root),
        Task::BenchTable { from_last } => bench_table::run(&root, from_last),
    }
}

/// Asked at run time: a binary built in a shared target directory may be
/// started from another checkout.
fn workspace_root() -> Option<PathBuf> {
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR")?);
    Some(package.parent()?.to_owned())
}
