//! The example of RFC 9449 and the published cases around it, from the folder
//! that `CONFORMANCE_VECTORS` names. Here, because the example's access token is
//! no JWT: no layer would accept it.

use std::{
    env, fs,
    io::{self, Write as _},
    path::Path,
};

use http::{HeaderMap, HeaderValue, Method, Uri, header::AUTHORIZATION};
use serde_json::Value;

use super::{
    target::{Origin, Targets, normalized},
    *,
};
use crate::{
    clock::Sleep,
    confirmation::Confirmation,
    credential::{ProtectionSpace, credential, dpop_proof},
    proof::{self, Presented, PresentingRequest, Transport},
    reason::RejectionKind,
};

/// RFC 9449 section 7.1.
pub(super) struct Example {
    pub(super) now: i64,
    path: &'static str,
    token: &'static str,
    key: &'static str,
    proof: &'static str,
}

pub(super) const RFC9449: Example = Example {
    now: 1_562_262_618,
    path: "/protectedresource",
    token: "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU",
    key: "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
    proof: concat!(
        "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0Vj",
        "NoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5",
        "VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUI",
        "iwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI",
        "2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqz",
        "hrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA",
    ),
};

/// A request that can be changed.
pub(super) struct ProofCase {
    pub(super) proof: String,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) token: String,
    pub(super) key: [u8; 32],
    pub(super) now: i64,
}

impl ProofCase {
    pub(super) fn rfc9449() -> Self {
        Self {
            proof: RFC9449.proof.to_owned(),
            method: Method::GET,
            path: RFC9449.path.to_owned(),
            token: RFC9449.token.to_owned(),
            key: URL_SAFE_NO_PAD.decode(RFC9449.key).unwrap().try_into().unwrap(),
            now: RFC9449.now,
        }
    }

    pub(super) fn request(&self) -> DpopRequest<'_> {
        DpopRequest {
            proof: &self.proof,
            method: &self.method,
            path: &self.path,
            token: self.token.as_bytes(),
            key: &self.key,
            now: Moment { wall: Timestamp::from_unix_seconds(self.now), monotonic: Duration::ZERO },
        }
    }

    pub(super) fn flip_signature(&mut self) {
        let (message, signature) = self.proof.rsplit_once('.').unwrap();
        let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        signature[10] ^= 1;
        self.proof = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
    }
}

/// A line that is seen without `--nocapture` too.
fn say(line: &str) {
    writeln!(io::stdout().lock(), "{line}").unwrap();
}

fn cases(file: &str) -> Option<Vec<Value>> {
    let Some(folder) = env::var_os("CONFORMANCE_VECTORS") else {
        say(&format!("vectors {file}: left out, because CONFORMANCE_VECTORS names no folder"));
        return None;
    };
    let text = fs::read_to_string(Path::new(&folder).join(file)).unwrap();
    Some(serde_json::from_str(&text).unwrap())
}

fn is_valid(case: &Value) -> bool {
    case.get("strict_expect").unwrap_or(&case["expect"]) == "valid"
}

#[test]
fn rfc9449() {
    let Some(cases) = cases("dpop/rfc9449.json") else { return };
    let (mut accepted, mut refused, mut left_out) = (0, 0, 0);
    for case in &cases {
        let id = case["id"].as_str().unwrap();
        let Some(token) = case["access_token"].as_str() else {
            // Without a token it is for the authorization server.
            left_out += 1;
            continue;
        };
        let result = judge(case, token);
        match (&result, is_valid(case)) {
            (Ok(()), true) => accepted += 1,
            (Err(reason), false) => {
                refused += 1;
                let kind = match case["error"].as_str() {
                    Some("invalid_token") => Some(RejectionKind::InvalidToken),
                    Some("use_dpop_nonce") => Some(RejectionKind::UseDpopNonce),
                    Some("invalid_dpop_proof") => Some(RejectionKind::InvalidDpopProof),
                    _ => None,
                };
                assert!(kind.is_none_or(|kind| kind == reason.kind()), "{id}: {reason}");
            }
            _ => panic!("{id}: {result:?}: {}", case["why"]),
        }
    }
    say(&format!(
        "vectors dpop/rfc9449: {} cases, {refused} refused, {accepted} accepted, {left_out} left out (token endpoint)",
        cases.len()
    ));
}

/// Judges a case as a service that is known by the URL of the RFC's example.
fn judge(case: &Value, token: &str) -> Result<(), DenialReason> {
    let url = case["url"].as_str().unwrap();
    // The request's own scheme and host are its client's word. Where they are not
    // the example's in any spelling, the service is known by them instead.
    let base = url::Url::parse(url).unwrap().origin().ascii_serialization();
    let mut dpop = Dpop::at("https://resource.example.org");
    let mut origins = vec![Origin::parse("https://resource.example.org").unwrap()];
    if base != "https://resource.example.org" {
        dpop = Dpop::at(&base.replace("http://", "https://"));
        origins = vec![Origin::of_test(&base)];
    }
    if case["nonce_required"].is_string() {
        dpop = dpop.nonces(DpopNonces::new());
    }
    let now = Timestamp::from_unix_seconds(case["now"].as_i64().unwrap());
    let clock: Arc<dyn Clock> = Arc::new(Stopped(now));
    let mut dpop = dpop.build(&clock).unwrap();
    dpop.targets = Targets::new(origins.into());

    let (uri, method): (Uri, _) = (url.parse().unwrap(), case["method"].as_str().unwrap());
    let mut headers = HeaderMap::new();
    if let Some(authorization) = case["authorization"].as_str() {
        headers.insert(AUTHORIZATION, HeaderValue::from_str(authorization).unwrap());
    }
    let proofs = match &case["proof"] {
        Value::Array(proofs) => proofs.clone(),
        one => vec![one.clone()],
    };
    for proof in proofs.iter().filter_map(Value::as_str) {
        headers.append("dpop", HeaderValue::from_str(proof).unwrap());
    }
    let space = ProtectionSpace::new("api", Some(dpop.algorithm_names()));
    let found = credential(&headers, &uri, &space).map_err(|error| error.reason)?;
    let credential = found.ok_or(DenialReason::CredentialsMissing)?;
    // The case says which token it is about; the RFC's stands in the field.
    assert_eq!(credential.token()?, token);
    let cnf = case["jkt"].as_str().map(|jkt| {
        let cnf = serde_json::value::to_raw_value(&serde_json::json!({ "jkt": jkt })).unwrap();
        Confirmation::parse(&cnf).unwrap()
    });
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let request = PresentingRequest { method: &method, uri: &uri, proof: dpop_proof(&headers), own: None };
    let presented = Presented { credential, request: Some(request) };
    let now = Moment::of(&*clock);
    proof::check(cnf.as_ref(), presented, &Transport::NotConsidered, Some(&dpop), now).map(drop)
}

/// A clock that stands still.
#[derive(Debug)]
pub(super) struct Stopped(pub(super) Timestamp);

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        self.0
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep_until(&self, _deadline: Duration) -> Sleep {
        Box::pin(std::future::pending())
    }
}

#[test]
fn htu_normalization() {
    let Some(cases) = cases("dpop/htu_normalization.json") else { return };
    let (mut equal, mut refused, mut disputed) = (0, 0, 0);
    for case in &cases {
        let id = case["id"].as_str().unwrap();
        let normal = case["input"].as_str().and_then(normalized);
        if case.get("disputed").is_some() && case.get("strict_expect").is_none() {
            disputed += 1;
            continue;
        }
        let expected = case["normalized"].as_str().filter(|_| is_valid(case));
        assert_eq!(normal.as_deref(), expected, "{id}: {}", case["why"]);
        if expected.is_some() { equal += 1 } else { refused += 1 }
    }
    say(&format!(
        "vectors dpop/htu_normalization: {} cases, {equal} normalized, {refused} refused, {disputed} disputed (not RFC 3986)",
        cases.len()
    ));
}
