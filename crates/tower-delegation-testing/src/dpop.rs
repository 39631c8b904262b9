//! Keys that tokens are bound to, and proofs by them, good and bad.

use std::{collections::BTreeSet, fmt, sync::Arc};

use aws_lc_rs::digest;
use serde_json::{Map, Value, json};
use tower_delegation::{
    clock::{Clock, SystemClock, Timestamp},
    jwks,
};

use crate::{
    algorithm::Algorithm,
    keys::{STRANGER_RSA, SigningKey, base64url, unique},
    token::{TokenBuilder, merged},
};

/// A client's key for DPoP (RFC 9449). Clones are the same key.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use tower_delegation_testing::{DpopKey, MockIdp};
///
/// let idp = MockIdp::start().await;
/// let key = DpopKey::generate();
/// let token = idp.token().user("alice").bound_to_key(&key).sign();
/// let proof = key.proof("GET", "https://api.example.com/orders").for_token(&token).sign();
/// // Authorization: DPoP {token}
/// // DPoP: {proof}
/// # assert_eq!(proof.split('.').count(), 3);
/// # }
/// ```
#[derive(Clone)]
pub struct DpopKey {
    key: Arc<SigningKey>,
    clock: Arc<dyn Clock>,
}

impl DpopKey {
    /// A new key for ES256.
    #[must_use]
    pub fn generate() -> Self {
        Self::of(Algorithm::Es256)
    }

    /// A new key for this algorithm. RSA keys of one process are the same.
    #[must_use]
    pub fn of(algorithm: Algorithm) -> Self {
        let key = SigningKey::generate(algorithm, String::new(), &STRANGER_RSA);
        Self { key: Arc::new(key), clock: Arc::new(SystemClock::new()) }
    }

    /// Takes the time of proofs from this clock. Default: the machine's.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The public key, with nothing but what it has to have (RFC 7638 section 3.2).
    #[must_use]
    pub fn jwk(&self) -> Value {
        let mut jwk = self.key.jwk();
        if let Some(members) = jwk.as_object_mut() {
            members.retain(|name, _| !matches!(name.as_str(), "use" | "alg" | "kid"));
        }
        jwk
    }

    /// The key's thumbprint: `cnf.jkt` of tokens that are bound to it.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        // Every key that is made here has one.
        jwks::thumbprint(&self.jwk().to_string()).map(|thumbprint| thumbprint.to_string()).unwrap_or_default()
    }

    /// A proof for a request with this method to this URI.
    pub fn proof(&self, method: impl Into<String>, uri: impl Into<String>) -> ProofBuilder {
        ProofBuilder {
            key: self.clone(),
            signer: self.clone(),
            claims: Map::new(),
            absent_claims: BTreeSet::new(),
            header: Map::new(),
            absent_header: BTreeSet::new(),
            raw_claims: None,
            raw_header: None,
            raw_signature: None,
        }
        .claim("htm", method.into())
        .claim("htu", uri.into())
    }
}

impl fmt::Debug for DpopKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DpopKey").field("algorithm", &self.key.algorithm()).finish_non_exhaustive()
    }
}

/// A DPoP proof in the making: good unless a setting says otherwise.
///
/// What is not set gets a default when the proof is signed: `typ` `dpop+jwt`,
/// `alg`, `jwk`, a random `jti`, `iat` from the key's clock. A request with an
/// access token needs [`for_token`](Self::for_token).
#[derive(Clone)]
#[must_use = "a proof builder does nothing until `sign`"]
pub struct ProofBuilder {
    key: DpopKey,
    signer: DpopKey,
    claims: Map<String, Value>,
    absent_claims: BTreeSet<String>,
    header: Map<String, Value>,
    absent_header: BTreeSet<String>,
    raw_claims: Option<Vec<u8>>,
    raw_header: Option<Vec<u8>>,
    raw_signature: Option<Vec<u8>>,
}

impl ProofBuilder {
    /// `ath`: the hash of the access token that goes with the proof.
    pub fn for_token(self, token: &str) -> Self {
        self.claim("ath", base64url(digest::digest(&digest::SHA256, token.as_bytes())))
    }

    /// `nonce`: what the server gave in `DPoP-Nonce`.
    pub fn nonce(self, nonce: impl Into<String>) -> Self {
        self.claim("nonce", nonce.into())
    }

    /// `jti`; random unless set.
    pub fn id(self, jti: impl Into<String>) -> Self {
        self.claim("jti", jti.into())
    }

    /// `iat`; the clock's time unless set.
    pub fn issued_at(self, time: Timestamp) -> Self {
        self.claim("iat", time.unix_seconds())
    }

    /// Any claim, of any type.
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        let name = name.into();
        self.absent_claims.remove(&name);
        self.claims.insert(name, value.into());
        self
    }

    /// Leaves a claim out, defaults too.
    pub fn without(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.claims.remove(&name);
        self.absent_claims.insert(name);
        self
    }

    /// Any member of the JOSE header, of any type. Setting `alg` changes what the
    /// header says, not how the proof is signed.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        let name = name.into();
        self.absent_header.remove(&name);
        self.header.insert(name, value.into());
        self
    }

    /// Leaves a member of the JOSE header out, defaults too.
    pub fn without_header(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.header.remove(&name);
        self.absent_header.insert(name);
        self
    }

    /// The payload is exactly these bytes, properly signed.
    pub fn claims_json(mut self, raw: impl Into<Vec<u8>>) -> Self {
        self.raw_claims = Some(raw.into());
        self
    }

    /// The JOSE header is exactly these bytes, properly signed.
    pub fn header_json(mut self, raw: impl Into<Vec<u8>>) -> Self {
        self.raw_header = Some(raw.into());
        self
    }

    /// Signs with another key than the one in the header.
    pub fn sign_with(mut self, signer: &DpopKey) -> Self {
        self.signer = signer.clone();
        self
    }

    /// The signature is exactly these bytes.
    pub fn signature(mut self, raw: impl Into<Vec<u8>>) -> Self {
        self.raw_signature = Some(raw.into());
        self
    }

    /// The proof, for the `DPoP` field.
    #[must_use]
    pub fn sign(self) -> String {
        let header = self.raw_header.unwrap_or_else(|| {
            let algorithm = self.key.key.algorithm().as_str();
            let defaults = json!({ "typ": "dpop+jwt", "alg": algorithm, "jwk": self.key.jwk() });
            merged(defaults, &self.header, &self.absent_header)
        });
        let payload = self.raw_claims.unwrap_or_else(|| {
            let defaults = json!({ "jti": unique(), "iat": self.key.clock.now().unix_seconds() });
            merged(defaults, &self.claims, &self.absent_claims)
        });
        let message = format!("{}.{}", base64url(header), base64url(payload));
        let signature = self.raw_signature.unwrap_or_else(|| self.signer.key.sign(message.as_bytes()));
        format!("{message}.{}", base64url(signature))
    }
}

impl fmt::Debug for ProofBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProofBuilder")
            .field("key", &self.key)
            .field("claims", &self.claims)
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

/// Sender constraint: `cnf`. Both together bind the token to both.
impl TokenBuilder {
    /// Binds the token to a key: `cnf.jkt` (RFC 9449 section 6.1).
    pub fn bound_to_key(self, key: &DpopKey) -> Self {
        self.bound("jkt", key.thumbprint())
    }

    /// Binds the token to a certificate, given as DER: `cnf.x5t#S256` (RFC 8705
    /// section 3.1). `TestIdentity::certificate_der` has it
    /// (feature `tls`).
    pub fn bound_to_certificate(self, der: impl AsRef<[u8]>) -> Self {
        self.bound("x5t#S256", base64url(digest::digest(&digest::SHA256, der.as_ref())))
    }

    pub(crate) fn bound(mut self, name: &str, thumbprint: String) -> Self {
        let mut confirmation = match self.remove_claim("cnf") {
            Some(Value::Object(confirmation)) => confirmation,
            _ => Map::new(),
        };
        confirmation.insert(name.to_owned(), thumbprint.into());
        self.claim("cnf", confirmation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{TestClock, keys::ALGORITHMS};
    use tower_delegation::token::UnverifiedToken;

    fn part(jws: &str, index: usize) -> Value {
        let part = crate::keys::from_base64url(jws.split('.').nth(index).unwrap()).unwrap();
        serde_json::from_slice(&part).unwrap()
    }

    #[test]
    fn proofs_verify_with_the_key_in_their_header() {
        for algorithm in ALGORITHMS {
            let key = DpopKey::of(algorithm);
            let proof = key.proof("GET", "https://a.example/").sign();
            let header = part(&proof, 0);
            assert_eq!(header["typ"], "dpop+jwt");
            let jwks = json!({ "keys": [header["jwk"]] }).to_string();
            let keys = jwks::KeySet::parse(jwks.as_bytes(), jwks::AlgorithmSet::ALL).unwrap();
            let token = UnverifiedToken::parse(&proof).unwrap();
            assert_eq!(token.algorithm().as_str(), algorithm.as_str());
            assert!(token.verify_signature(keys.select(token.algorithm(), None).unwrap()).is_ok());
            assert_eq!(key.thumbprint().len(), 43);
        }
    }

    #[test]
    fn claims_have_defaults_that_can_be_changed() {
        let clock = TestClock::at(Timestamp::from_unix_seconds(1_000));
        let key = DpopKey::generate().clock(clock);
        let claims = part(&key.proof("GET", "https://a.example/").for_token("abc").sign(), 1);
        assert_eq!(claims["iat"], 1_000);
        assert_eq!(claims["ath"], "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0");
        let other = part(&key.proof("GET", "u").without("jti").nonce("n").id("j").without("iat").sign(), 1);
        assert_eq!(other, json!({ "htm": "GET", "htu": "u", "jti": "j", "nonce": "n" }));
    }
}
