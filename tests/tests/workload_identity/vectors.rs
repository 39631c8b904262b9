//! Published cases for SPIFFE IDs and X509-SVIDs.
//!
//! A case is judged by what it says of itself, never by its name.

use std::{
    env, fmt, fs,
    io::{self, Write as _},
    path::PathBuf,
    sync::Once,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde::Deserialize;
use tower_delegation::{
    credential::{CertificateTrust, PeerCertificate, x509_svid_id},
    spiffe::SpiffeId,
};

#[derive(Deserialize)]
struct Case {
    id: String,
    expect: Label,
    /// Set where the published label is wrong for a strict reader.
    strict_expect: Option<Label>,
    #[serde(default)]
    why: String,
    #[serde(default)]
    input: String,
    trust_domain: Option<String>,
    path: Option<String>,
    #[serde(default)]
    pem: String,
    #[serde(rename = "x5t#S256")]
    thumbprint: Option<String>,
    not_before: Option<i64>,
    not_after: Option<i64>,
    uri_sans: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Label {
    Valid,
    Invalid,
}

/// A line that is seen without `--nocapture` too.
pub(crate) fn say(line: &str) {
    writeln!(io::stdout().lock(), "{line}").unwrap();
}

/// Runs every case of a file and prints the counts.
fn run<T, E: fmt::Debug>(file: &str, read: impl Fn(&Case) -> Result<T, E>) {
    static LEFT_OUT: Once = Once::new();
    let Some(folder) = env::var_os("CONFORMANCE_VECTORS") else {
        LEFT_OUT.call_once(|| say("vectors: left out, because CONFORMANCE_VECTORS names no folder"));
        return;
    };
    let path = PathBuf::from(folder).join(file).with_extension("json");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let cases: Vec<Case> = serde_json::from_str(&text).unwrap();
    assert!(!cases.is_empty(), "{file} has no case");
    let (mut accepted, mut refused, mut failures) = (0, 0, Vec::new());
    for case in &cases {
        match (case.strict_expect.unwrap_or(case.expect), read(case)) {
            (Label::Valid, Ok(_)) => accepted += 1,
            (Label::Invalid, Err(_)) => refused += 1,
            (label, result) => {
                let error = result.err();
                failures.push(format!("{}: {label:?}, but {error:?} ({})", case.id, case.why));
            }
        }
    }
    say(&format!(
        "vectors {file}: {} cases, {refused} refused as expected, {accepted} accepted",
        cases.len()
    ));
    assert!(failures.is_empty(), "{file}:\n{}", failures.join("\n"));
}

/// What a case states, if it does, is what was read.
fn agree<T: PartialEq + fmt::Debug + ?Sized>(case: &str, stated: Option<&T>, read: &T) {
    if let Some(stated) = stated {
        assert_eq!(read, stated, "{case}");
    }
}

#[test]
fn spiffe_ids() {
    run("spiffe/spiffe_ids", |case| {
        let id = SpiffeId::new(&case.input)?;
        assert_eq!(id.as_str(), case.input, "{}", case.id);
        agree(&case.id, case.trust_domain.as_deref(), id.trust_domain());
        agree(&case.id, case.path.as_deref(), id.path());
        Ok::<_, tower_delegation::spiffe::SpiffeIdError>(id)
    });
}

#[test]
fn x509_svids() {
    run("spiffe/x509svid_certs", |case| {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(case.pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|error| error.to_string())?;
        if let Ok(leaf) = PeerCertificate::from_der(&chain, CertificateTrust::ChainedToTrustAnchor) {
            let uris: Vec<_> = leaf.uris().map(str::to_owned).collect();
            agree(&case.id, case.thumbprint.as_ref(), &URL_SAFE_NO_PAD.encode(leaf.thumbprint()));
            agree(&case.id, case.not_before.as_ref(), &leaf.not_before().unwrap().unix_seconds());
            agree(&case.id, case.not_after.as_ref(), &leaf.not_after().unwrap().unix_seconds());
            agree(&case.id, case.uri_sans.as_ref(), &uris);
        }
        x509_svid_id(&chain).map_err(|error| error.to_string())
    });
}
