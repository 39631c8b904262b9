//! npm `oauth4webapi` reads the same tokens by the same profile (RFC 9068).
//! Nothing that it refuses may pass here; what only we refuse stands below
//! with the reason why.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use integration_tests::AUDIENCE;
use serde_json::{Map, Value, json};
use tower_delegation::{
    DenialReason as R,
    clock::DEFAULT_LEEWAY,
    clock::{Clock as _, SystemClock},
};

use tower_delegation_testing::DpopKey;

use super::{ALGORITHMS, Provider, claims_of, script, text};
use crate::{Gate, process::Process, tampered};

pub(crate) struct Judge(Process);

impl Judge {
    pub(crate) fn of(provider: &Provider) -> Option<Self> {
        let mut process = script("judge.mjs")?;
        let settings = json!({
            "issuer": provider.issuer,
            "ca": provider.pki.bundle_pem(),
            "leeway": DEFAULT_LEEWAY.as_secs(),
        });
        process.ask(&settings);
        Some(Self(process))
    }

    /// `Err` with its reason where it refuses.
    pub(crate) fn judge(&mut self, token: &str) -> Result<(), String> {
        let verdict = self.0.ask(&json!({ "token": token, "audience": AUDIENCE }));
        if verdict["accepted"] == true { Ok(()) } else { Err(text(&verdict["reason"])) }
    }
}

/// Changes a real token's header or claims and has the provider sign the result.
struct Forge<'a> {
    provider: &'a mut Provider,
    claims: Map<String, Value>,
}

impl Forge<'_> {
    /// As a JSON Merge Patch: `null` removes a member (RFC 7396).
    fn claims(&mut self, patch: Value) -> String {
        let mut claims = self.claims.clone();
        merge(&mut claims, patch);
        self.payload(&Value::Object(claims).to_string())
    }

    fn payload(&mut self, payload: &str) -> String {
        self.provider.sign("ES256-1", &header(json!({})), payload)
    }

    /// Appends a member to the claims, without a look at those that are there.
    fn appended(&mut self, member: &str) -> String {
        let claims = Value::Object(self.claims.clone()).to_string();
        let claims = claims.strip_suffix('}').unwrap();
        self.payload(&format!("{claims},{member}}}"))
    }

    fn header(&mut self, patch: Value) -> String {
        let payload = Value::Object(self.claims.clone()).to_string();
        self.provider.sign("ES256-1", &header(patch), &payload)
    }
}

fn header(patch: Value) -> Value {
    let mut header = Map::new();
    merge(&mut header, json!({ "alg": "ES256", "typ": "at+jwt", "kid": "ES256-1" }));
    merge(&mut header, patch);
    Value::Object(header)
}

fn merge(object: &mut Map<String, Value>, patch: Value) {
    let Value::Object(patch) = patch else { panic!("{patch} is no object") };
    for (name, value) in patch {
        if value.is_null() {
            object.remove(&name);
        } else {
            object.insert(name, value);
        }
    }
}

/// The same token under another header, the signature left as it was.
fn reheaded(token: &str, header: &str) -> String {
    let (_, rest) = token.split_once('.').unwrap();
    format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header))
}

/// The last character of an ES256 signature carries two bits of it; the other
/// four are zero (RFC 4648 section 3.5).
fn respelled(token: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (rest, last) = token.split_at(token.len() - 1);
    let value = ALPHABET.iter().position(|character| *character == last.as_bytes()[0]).unwrap();
    format!("{rest}{}", char::from(ALPHABET[value | 1]))
}

#[tokio::test]
async fn oauth4webapi_accepts_every_token_that_we_accept() {
    let Some(mut provider) = Provider::start() else { return };
    let Some(mut judge) = Judge::of(&provider) else { return };
    let gate = Gate::behind(provider.layer().build().unwrap()).await;
    let now = SystemClock::new().now().unix_seconds();
    let real = provider.token("ES256").await;

    let mut accepted = Vec::new();
    for algorithm in ALGORITHMS {
        accepted.push((algorithm, provider.token(algorithm).await));
    }
    let user = provider.user_tokens("alice").await;
    let elsewhere = provider.token_for("https://stock.example.com/ES256").await;
    let bound = provider.key_bound_token(&DpopKey::generate()).await;
    let opaque = provider.token("opaque").await;

    let mut forge = Forge { claims: claims_of(&real), provider: &mut provider };
    accepted.extend([
        ("of a user", user.access),
        ("typ in capitals", forge.header(json!({ "typ": "AT+JWT" }))),
        ("typ as a media type", forge.header(json!({ "typ": "application/at+jwt" }))),
        ("no kid, one key of the algorithm", forge.header(json!({ "kid": null }))),
        ("audience among others", forge.claims(json!({ "aud": ["https://other.example.com", AUDIENCE] }))),
        ("no scope", forge.claims(json!({ "scope": null }))),
        ("an actor", forge.claims(json!({ "act": { "sub": "copilot" } }))),
        ("expired within the leeway", forge.claims(json!({ "exp": now - 10 }))),
        ("not yet valid within the leeway", forge.claims(json!({ "nbf": now + 10 }))),
    ]);

    let mut refused = vec![
        ("for another API", elsewhere, R::AudienceMismatch),
        ("bound to a key", bound, R::ConfirmationUnsupported),
        ("ID token", user.id, R::TypeNotAccepted),
        ("opaque", opaque, R::TokenMalformed),
        ("unknown key", forge.header(json!({ "kid": "ES256-9" })), R::KeyUnknown),
        ("key of another algorithm", forge.header(json!({ "kid": "PS256-1" })), R::KeyMismatch),
        ("typ JWT", forge.header(json!({ "typ": "JWT" })), R::TypeNotAccepted),
        ("no typ", forge.header(json!({ "typ": null })), R::TypeNotAccepted),
        ("typ of another kind", forge.header(json!({ "typ": "logout+jwt" })), R::TypeNotAccepted),
        ("critical extension", forge.header(json!({ "crit": ["x"], "x": 1 })), R::CriticalHeader),
        ("alg none", reheaded(&real, r#"{"alg":"none","typ":"at+jwt"}"#), R::AlgorithmNotAllowed),
        ("alg HS256", reheaded(&real, r#"{"alg":"HS256","typ":"at+jwt"}"#), R::AlgorithmNotAllowed),
        ("header replaced", reheaded(&real, r#"{"alg":"ES256","typ":"at+jwt"}"#), R::SignatureInvalid),
        ("expired", forge.claims(json!({ "exp": now - 60 })), R::TokenExpired),
        ("exp as text", forge.claims(json!({ "exp": "9999999999" })), R::ClaimMalformed),
        ("not yet valid", forge.claims(json!({ "nbf": now + 300 })), R::TokenNotYetValid),
        ("nbf as text", forge.claims(json!({ "nbf": "0" })), R::ClaimMalformed),
        ("iat as text", forge.claims(json!({ "iat": "0" })), R::ClaimMalformed),
        ("another issuer", forge.claims(json!({ "iss": "https://evil.example.com" })), R::IssuerUnknown),
        ("several issuers", forge.claims(json!({ "iss": ["https://a", "https://b"] })), R::ClaimMalformed),
        ("no audience of ours", forge.claims(json!({ "aud": ["a", "b"] })), R::AudienceMismatch),
        (
            "audience, a slash too many",
            forge.claims(json!({ "aud": format!("{AUDIENCE}/") })),
            R::AudienceMismatch,
        ),
        ("no audience at all", forge.claims(json!({ "aud": [] })), R::AudienceMismatch),
        ("aud is a number", forge.claims(json!({ "aud": 1 })), R::ClaimMalformed),
        ("sub is a number", forge.claims(json!({ "sub": 1 })), R::ClaimMalformed),
        ("client_id is a list", forge.claims(json!({ "client_id": ["worker"] })), R::ClaimMalformed),
        ("jti is a number", forge.claims(json!({ "jti": 1 })), R::ClaimMalformed),
        (
            "bound to a certificate",
            forge.claims(json!({ "cnf": { "x5t#S256": "A".repeat(43) } })),
            R::ConfirmationUnsupported,
        ),
        (
            "bound by a method of tomorrow",
            forge.claims(json!({ "cnf": { "new": 1 } })),
            R::ConfirmationUnsupported,
        ),
        (
            "bound twice",
            forge.claims(json!({ "cnf": { "jkt": "A".repeat(43), "x5t#S256": "A".repeat(43) } })),
            R::ConfirmationUnsupported,
        ),
        ("cnf is text", forge.claims(json!({ "cnf": "jkt" })), R::ConfirmationMalformed),
        ("payload is a list", forge.payload("[]"), R::TokenMalformed),
        ("payload is no JSON", forge.payload("{"), R::TokenMalformed),
        ("a part too many", format!("{real}.AAAA"), R::TokenMalformed),
        ("a part too few", real.rsplit_once('.').unwrap().0.to_owned(), R::TokenMalformed),
        ("no signature", format!("{}.", real.rsplit_once('.').unwrap().0), R::SignatureInvalid),
    ];
    let slash = format!("{}/", forge.provider.issuer);
    refused.push(("issuer, a slash too many", forge.claims(json!({ "iss": slash })), R::IssuerUnknown));
    for claim in ["iss", "sub", "aud", "exp", "iat", "jti", "client_id"] {
        refused.push((claim, forge.claims(json!({ claim: null })), R::ClaimMissing));
    }
    refused.extend(tampered(&real).map(|(name, token)| (name, token, R::SignatureInvalid)));

    // What the other reader accepts, and why we do not.
    let differences = [
        ("a second spelling of the base64url: one token, one text", respelled(&real), R::TokenMalformed),
        (
            "a claim twice: readers differ on which one counts",
            forge.appended(r#""sub":"admin""#),
            R::DuplicateMember,
        ),
        (
            "iat ahead: no provider issues tomorrow's tokens today",
            forge.claims(json!({ "iat": now + 300 })),
            R::TokenFromFuture,
        ),
        ("empty sub: nobody is asking", forge.claims(json!({ "sub": "" })), R::ClaimMalformed),
        (
            "scope as a list: it is space-delimited text (RFC 9068 section 2.2.3)",
            forge.claims(json!({ "scope": ["a"] })),
            R::ClaimMalformed,
        ),
        (
            "act that names nobody: malformed is not absent",
            forge.claims(json!({ "act": "copilot" })),
            R::ActorMalformed,
        ),
        ("empty cnf: malformed is not absent", forge.claims(json!({ "cnf": {} })), R::ConfirmationMalformed),
        (
            "a logout event under at+jwt: another kind of token",
            forge.claims(json!({ "events": {} })),
            R::NotAnAccessToken,
        ),
        ("nested token", forge.header(json!({ "cty": "JWT" })), R::NestedToken),
        (
            "replicated claim of another value (RFC 7519 section 5.3)",
            forge.header(json!({ "aud": "other" })),
            R::HeaderClaimMismatch,
        ),
    ];

    println!(
        "{} accepted, {} refused, {} refused by us alone",
        accepted.len(),
        refused.len(),
        differences.len()
    );
    for (name, token) in &accepted {
        assert!(gate.judge(token).await.is_ok(), "{name}");
        assert_eq!(judge.judge(token), Ok(()), "{name}");
    }
    for (name, token, reason) in &refused {
        gate.assert_refused(name, token, *reason).await;
        assert!(judge.judge(token).is_err(), "{name}");
    }
    for (difference, token, reason) in &differences {
        gate.assert_refused(difference, token, *reason).await;
        assert_eq!(judge.judge(token), Ok(()), "no longer a difference: {difference}");
    }
}
