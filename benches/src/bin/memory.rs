//! A million distinct tokens through one layer, and what memory the process has
//! after every hundred thousand of them: it must level off.
//!
//! `cargo run --release --manifest-path benches/Cargo.toml --bin memory`

use std::fs;

use tokio::runtime::Builder;
use tower_delegation_benches::{Provider, check, ours, subject::BATCH};
use tower_delegation_testing::Algorithm;

const TOKENS: usize = 1_000_000;
const STEP: usize = 100_000;

fn main() {
    let server = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let client = Builder::new_current_thread().enable_all().build().unwrap();
    let provider = Provider::start(&server, Algorithm::EdDsa);
    let mut subject = ours::subject(&provider);
    check("tower-delegation", &mut *subject, &client, &provider);

    println!("{:>9}  {:>12}", "tokens", "resident");
    report(0);
    let mut tokens = provider.stream();
    for step in 1..=TOKENS / STEP {
        let mut left = STEP;
        while left > 0 {
            let batch: Vec<String> = tokens.by_ref().take(left.min(BATCH)).collect();
            let texts: Vec<&str> = batch.iter().map(String::as_str).collect();
            subject.time(&client, &texts);
            left -= batch.len();
        }
        report(step * STEP);
    }
}

fn report(tokens: usize) {
    println!("{tokens:>9}  {:>8.1} MiB", resident_kib() / 1024.0);
}

/// `VmRSS` of this process.
fn resident_kib() -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("the proc file system of Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}
