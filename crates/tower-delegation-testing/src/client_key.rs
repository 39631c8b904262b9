//! Keys of clients, and the assertions that they sign.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use serde_json::{Map, Value, json};
use tower_delegation::clock::{Clock, SystemClock};

use crate::{
    algorithm::Algorithm,
    keys::{STRANGER_RSA, SigningKey, base64url, unique},
    token::merged,
};

/// How long an assertion is good for that does not say it itself.
const LIFETIME: Duration = Duration::from_secs(60);

/// A key by which clients authenticate to a token endpoint: for `private_key_jwt`
/// (RFC 7523), or as the key of a SPIFFE trust domain. Clones are the same key.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use tower_delegation_testing::{ClientKey, MockClient, MockIdp};
///
/// let idp = MockIdp::start().await;
/// let key = ClientKey::generate();
/// idp.register(MockClient::new("gateway").private_key_jwt(&key));
/// // What the service under test is configured with:
/// let (key_id, pem) = (key.key_id(), key.private_key_pem());
/// // What it should send as `client_assertion`:
/// let assertion = key.assertion("gateway", idp.issuer()).sign();
/// # let _ = (key_id, pem);
/// # assert_eq!(assertion.split('.').count(), 3);
/// # }
/// ```
#[derive(Clone)]
pub struct ClientKey {
    key: Arc<SigningKey>,
    clock: Arc<dyn Clock>,
}

impl ClientKey {
    /// Makes a new key for ES256.
    #[must_use]
    pub fn generate() -> Self {
        Self::of(Algorithm::Es256)
    }

    /// Makes a new key for this algorithm. RSA keys of one process are the same.
    #[must_use]
    pub fn of(algorithm: Algorithm) -> Self {
        let key = SigningKey::generate(algorithm, unique(), &STRANGER_RSA);
        Self { key: Arc::new(key), clock: Arc::new(SystemClock::new()) }
    }

    /// Takes the time of assertions from this clock. Default: the machine's.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Returns the algorithm that the key signs with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.key.algorithm()
    }

    /// Returns the `kid`, which is random.
    #[must_use]
    pub fn key_id(&self) -> &str {
        self.key.key_id()
    }

    /// Returns the public key as a JWK Set: what is registered at the provider.
    #[must_use]
    pub fn jwks(&self) -> Value {
        json!({ "keys": [self.key.jwk()] })
    }

    /// Returns the private key as PEM (PKCS #8): what a service is configured with.
    #[must_use]
    pub fn private_key_pem(&self) -> String {
        self.key.private_pem()
    }

    /// Begins the assertion by which `client_id` authenticates (RFC 7523 section
    /// 2.2). `audience` is the identifier of the authorization server.
    pub fn assertion(&self, client_id: impl Into<String>, audience: impl Into<String>) -> AssertionBuilder {
        let client_id = client_id.into();
        self.begin("client-authentication+jwt")
            .claim("iss", client_id.clone())
            .claim("sub", client_id)
            .claim("aud", audience.into())
            .claim("jti", unique())
    }

    /// Begins a JWT-SVID of this workload, with this key as that of its trust domain.
    pub fn jwt_svid(&self, spiffe_id: impl Into<String>, audience: impl Into<String>) -> AssertionBuilder {
        self.begin("JWT").claim("sub", spiffe_id.into()).claim("aud", vec![audience.into()])
    }

    fn begin(&self, typ: &str) -> AssertionBuilder {
        AssertionBuilder {
            key: self.clone(),
            signer: self.clone(),
            claims: Map::new(),
            absent_claims: BTreeSet::new(),
            header: Map::new(),
            absent_header: BTreeSet::new(),
            lifetime: LIFETIME,
        }
        .header("typ", typ)
    }
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientKey").field("key", &self.key).finish_non_exhaustive()
    }
}

/// An assertion in the making: good unless changed. It has `iat`, and is good
/// for a minute.
#[derive(Clone)]
#[must_use = "an assertion builder does nothing until `sign`"]
pub struct AssertionBuilder {
    key: ClientKey,
    signer: ClientKey,
    claims: Map<String, Value>,
    absent_claims: BTreeSet<String>,
    header: Map<String, Value>,
    absent_header: BTreeSet<String>,
    lifetime: Duration,
}

impl AssertionBuilder {
    /// Sets `exp`, counted from the time of signing.
    pub fn expires_in(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Sets any claim, of any type.
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

    /// Sets any member of the JOSE header, of any type.
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

    /// Signs with another key than the one that the header names.
    pub fn sign_with(mut self, signer: &ClientKey) -> Self {
        self.signer = signer.clone();
        self
    }

    /// Returns the assertion in the compact serialization.
    #[must_use]
    pub fn sign(self) -> String {
        let now = self.key.clock.now();
        let header = json!({ "alg": self.key.algorithm().as_str(), "kid": self.key.key_id() });
        let claims = json!({
            "iat": now.unix_seconds(),
            "exp": now.saturating_add(self.lifetime).unix_seconds(),
        });
        let header = merged(header, &self.header, &self.absent_header);
        let claims = merged(claims, &self.claims, &self.absent_claims);
        let message = format!("{}.{}", base64url(header), base64url(claims));
        let signature = self.signer.key.sign(message.as_bytes());
        format!("{message}.{}", base64url(signature))
    }
}

impl fmt::Debug for AssertionBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AssertionBuilder")
            .field("key", &self.key)
            .field("claims", &self.claims)
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ALGORITHMS, keys::from_base64url};
    use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
    use base64::{Engine as _, engine::general_purpose::STANDARD};

    #[test]
    fn a_private_key_can_be_read_elsewhere() {
        for algorithm in ALGORITHMS {
            let pem = ClientKey::of(algorithm).private_key_pem();
            let mut lines: Vec<_> = pem.lines().collect();
            assert_eq!(lines.remove(0), "-----BEGIN PRIVATE KEY-----");
            assert_eq!(lines.pop(), Some("-----END PRIVATE KEY-----"));
            assert!(lines.iter().all(|line| (1..=64).contains(&line.len())), "{algorithm}");
            let der = STANDARD.decode(lines.concat()).unwrap();
            let is_read = match algorithm {
                Algorithm::Es256 => {
                    EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, &der).is_ok()
                }
                Algorithm::Es384 => {
                    EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P384_SHA384_FIXED_SIGNING, &der).is_ok()
                }
                Algorithm::Es512 => {
                    EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P521_SHA512_FIXED_SIGNING, &der).is_ok()
                }
                Algorithm::EdDsa | Algorithm::Ed25519 => Ed25519KeyPair::from_pkcs8(&der).is_ok(),
                _ => RsaKeyPair::from_pkcs8(&der).is_ok(),
            };
            assert!(is_read, "{algorithm}");
        }
    }

    #[test]
    fn assertions_have_defaults_that_can_be_changed() {
        let key = ClientKey::generate();
        let part = |jwt: &str, index| -> Value {
            serde_json::from_slice(&from_base64url(jwt.split('.').nth(index).unwrap()).unwrap()).unwrap()
        };
        let jwt = key.assertion("gateway", "https://as.example").sign();
        assert_eq!(part(&jwt, 0)["kid"], key.key_id());
        let claims = part(&jwt, 1);
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!("gateway"), &json!("gateway")));
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 60);
        let jwt = key.jwt_svid("spiffe://a.example/b", "x").without("iat").claim("exp", 7).sign();
        assert_eq!(part(&jwt, 1), json!({ "sub": "spiffe://a.example/b", "aud": ["x"], "exp": 7 }));
    }

    #[test]
    fn debug_shows_no_private_key() {
        let key = ClientKey::generate();
        let shown = format!("{key:?} {:?}", key.assertion("a", "b"));
        assert!(shown.contains(key.key_id()) && !shown.contains("PRIVATE"), "{shown}");
    }
}
