//! Suites that need programs which are not on every machine.

use std::{
    collections::BTreeSet,
    env,
    io::{self, Write as _},
    sync::{Mutex, PoisonError},
};

/// Set in the environment, it makes a suite that cannot run a failure.
/// `cargo xtask test` sets it where it has seen to what the suite needs.
pub const REQUIRE_SUITES: &str = "REQUIRE_SUITES";

/// Says once, on the terminal and past the capture of test output, that
/// `suite` is left out. The test that calls it then returns.
///
/// # Panics
/// Where [`REQUIRE_SUITES`] is set.
pub fn leave_out(suite: &'static str, why: &str) {
    static SAID: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
    assert!(env::var_os(REQUIRE_SUITES).is_none(), "{suite} cannot run: {why}, and {REQUIRE_SUITES} is set");
    if SAID.lock().unwrap_or_else(PoisonError::into_inner).insert(suite) {
        // `eprintln!` would be captured; a line that nobody can read is no failure.
        let _ =
            writeln!(io::stderr(), "{suite}: left out, because {why}; CONTRIBUTING.md says how to get it");
    }
}
