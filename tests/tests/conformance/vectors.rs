//! Published test vectors, from the folder that `CONFORMANCE_VECTORS` names.
//!
//! A case is judged by what it says of itself (`expect`, `config`, `now`), never
//! by its name. Where the library decides otherwise on purpose, the rule is
//! [`Policy`], decided by the content of the case, and counted.

mod claims;
mod delegation;
mod exchange;
mod jose;
mod oauth;

use std::{
    collections::BTreeMap,
    env, fmt, fs,
    io::{self, Write as _},
    path::PathBuf,
    sync::Once,
};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

/// Where the library refuses on purpose what a case calls valid, or answers
/// otherwise than it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Policy {
    /// No symmetric key and no HMAC, ever: whoever verifies could also sign
    /// (RFC 8725 section 3.5), and key sets are public (RFC 7517 section 9.2).
    Hmac,
    /// A curve on which this version verifies nothing (Ed448, secp256k1).
    CurveUnsupported,
    /// A token in the query is refused, never read (RFC 6750 section 5.3).
    QueryNeverRead,
    /// The decision comes before the body, so a body carries no credentials.
    BodyNeverRead,
    /// The scheme `DPoP` is refused where it is not configured: 401 `invalid_token`.
    DpopRefused,
    /// Thumbprints are SHA-256, as `cnf.jkt` is (RFC 9449 section 6.1).
    Sha256Only,
    /// Every token meets RFC 9068 section 2.2, also where `typ` is generic.
    ProfileAlways,
    /// A time beyond the year 9999 is a mistake (milliseconds, for one), not a late date.
    BeyondYear9999,
    /// An exchange trades a caller's access token for one access token for one target.
    OneAccessToken,
    /// A key set may hold entries that are no keys beside keys: they are skipped.
    OddEntriesSkipped,
}

impl Policy {
    fn name(self) -> &'static str {
        match self {
            Self::Hmac => "HMAC",
            Self::CurveUnsupported => "unsupported curve",
            Self::QueryNeverRead => "the query is never read",
            Self::BodyNeverRead => "the body is never read",
            Self::DpopRefused => "DPoP",
            Self::Sha256Only => "thumbprints are SHA-256",
            Self::ProfileAlways => "RFC 9068 claims are always required",
            Self::BeyondYear9999 => "times beyond the year 9999",
            Self::OneAccessToken => "exchanges bring one access token for one target",
            Self::OddEntriesSkipped => "odd entries are skipped",
        }
    }
}

/// What became of a case that did not fail.
enum Verdict {
    Accepted,
    Refused,
    /// Otherwise than the case says, by this rule.
    ByPolicy(Policy),
    /// The case asserts nothing.
    Informative,
}

/// What every case has.
#[derive(Deserialize)]
struct Expectation {
    id: String,
    expect: Label,
    /// Set where the published label is wrong for a strict verifier.
    strict_expect: Option<Label>,
    #[serde(default)]
    why: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Label {
    Valid,
    Invalid,
    Info,
}

impl Expectation {
    fn label(&self) -> Label {
        self.strict_expect.unwrap_or(self.expect)
    }

    fn is_valid(&self) -> bool {
        self.label() == Label::Valid
    }

    /// Holds an outcome against the label. `policy` is why a valid case may be refused.
    fn judge(
        &self,
        outcome: &Result<(), impl fmt::Debug>,
        policy: Option<Policy>,
    ) -> Result<Verdict, String> {
        match (self.label(), outcome, policy) {
            (Label::Info, _, _) => Ok(Verdict::Informative),
            // Never a matter of choice: what policy excludes must not be accepted.
            (_, Ok(()), Some(policy)) => Err(format!("accepted against the policy {policy:?}")),
            (Label::Valid, Ok(()), None) => Ok(Verdict::Accepted),
            (Label::Invalid, Err(_), _) => Ok(Verdict::Refused),
            (Label::Valid, Err(_), Some(policy)) => Ok(Verdict::ByPolicy(policy)),
            (Label::Valid, Err(error), None) => Err(format!("valid, but refused: {error:?}")),
            (Label::Invalid, Ok(()), None) => Err("invalid, but accepted".to_owned()),
        }
    }
}

/// The cases of one file, or `None` where no folder is given.
fn cases<C: DeserializeOwned>(file: &str) -> Option<Vec<(Expectation, C)>> {
    static LEFT_OUT: Once = Once::new();
    let Some(folder) = env::var_os("CONFORMANCE_VECTORS") else {
        LEFT_OUT.call_once(|| say("vectors: left out, because CONFORMANCE_VECTORS names no folder"));
        return None;
    };
    let path = PathBuf::from(folder).join(file).with_extension("json");
    let wrong = |error: &dyn fmt::Display| -> ! { panic!("{}: {error}", path.display()) };
    let text = fs::read_to_string(&path).unwrap_or_else(|error| wrong(&error));
    let cases: Vec<&RawValue> = serde_json::from_str(&text).unwrap_or_else(|error| wrong(&error));
    assert!(!cases.is_empty(), "{file} has no case");
    let read = |case: &&RawValue| {
        let expectation: Expectation = serde_json::from_str(case.get()).unwrap_or_else(|error| wrong(&error));
        let input = serde_json::from_str(case.get())
            .unwrap_or_else(|error| panic!("{file}, {}: {error}", expectation.id));
        (expectation, input)
    };
    Some(cases.iter().map(read).collect())
}

/// A line that is seen without `--nocapture` too.
fn say(line: &str) {
    writeln!(io::stdout().lock(), "{line}").unwrap();
}

/// Counts of one file, and what failed.
struct Tally {
    file: &'static str,
    cases: usize,
    accepted: usize,
    refused: usize,
    informative: usize,
    by_policy: BTreeMap<Policy, usize>,
    failures: Vec<String>,
}

impl Tally {
    fn of(file: &'static str) -> Self {
        Self {
            file,
            cases: 0,
            accepted: 0,
            refused: 0,
            informative: 0,
            by_policy: BTreeMap::new(),
            failures: Vec::new(),
        }
    }

    fn add(&mut self, case: &Expectation, verdict: Result<Verdict, String>) {
        self.cases += 1;
        match verdict {
            Ok(Verdict::Accepted) => self.accepted += 1,
            Ok(Verdict::Refused) => self.refused += 1,
            Ok(Verdict::Informative) => self.informative += 1,
            Ok(Verdict::ByPolicy(policy)) => *self.by_policy.entry(policy).or_default() += 1,
            Err(failure) => self.failures.push(format!("{}: {failure} ({})", case.id, case.why)),
        }
    }

    /// Prints the counts and fails the test if a case failed.
    fn finish(self) {
        let mut line = format!(
            "vectors {}: {} cases, {} refused as expected, {} accepted",
            self.file, self.cases, self.refused, self.accepted
        );
        for (policy, count) in &self.by_policy {
            line += &format!(", {count} answered by stated policy ({})", policy.name());
        }
        if self.informative > 0 {
            line += &format!(", {} informative", self.informative);
        }
        say(&line);
        assert!(self.failures.is_empty(), "{}:\n{}", self.file, self.failures.join("\n"));
    }
}
