//! One issuer of the mock provider: its keys, clients, metadata and moods.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use axum::http::HeaderValue;
use bytes::Bytes;
use serde_json::Value;
use tower_delegation::clock::Clock;

use super::{
    MockIdpBuilder,
    client::MockClient,
    endpoints,
    faults::{Endpoint, Gate},
    lock,
    token_endpoint::TokenSettings,
};
use crate::{
    algorithm::Algorithm,
    keys::KeyRing,
    token::{Kind, TokenBuilder},
};

pub(crate) struct Issuer {
    pub(crate) url: String,
    /// The same under the address that speaks mTLS.
    mtls_url: Option<String>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) audience: String,
    pub(crate) token_lifetime: Duration,
    /// What signs unless a token says otherwise.
    pub(crate) algorithm: Algorithm,
    pub(crate) ring: Mutex<KeyRing>,
    /// By client identifier.
    pub(crate) clients: Mutex<BTreeMap<String, MockClient>>,
    pub(crate) tokens: Mutex<TokenSettings>,
    /// Members of the metadata set (`Some`) or removed (`None`).
    pub(crate) metadata: Mutex<BTreeMap<String, Option<Value>>>,
    pub(crate) jwks_cache_control: Mutex<Option<HeaderValue>>,
    gates: [Gate; 3],
}

/// One issuer of a [`MockIdp`](super::MockIdp), with keys, metadata, clients
/// and faults of its own. Clones are handles to the same issuer; they outlive
/// the provider and then still sign, as tokens in circulation outlive an outage.
///
/// Issuers name their keys alike (`es256-1`), so a verifier that mixes up the
/// keys of two issuers is found out by a bad signature. Only the first RSA pair
/// is shared by all of them, since making one is slow: use another algorithm,
/// or [rotate](Self::rotate_keys), where a test distinguishes issuers by their keys.
#[derive(Clone)]
pub struct MockIssuer {
    pub(crate) inner: Arc<Issuer>,
}

impl MockIssuer {
    pub(crate) fn new(builder: &MockIdpBuilder, url: String, mtls_url: Option<String>) -> Self {
        let mut ring = KeyRing::default();
        let algorithm = builder.algorithms.first().copied().unwrap_or(Algorithm::Es256);
        for algorithm in [&algorithm].into_iter().chain(&builder.algorithms) {
            ring.current(*algorithm);
        }
        let inner = Issuer {
            url,
            mtls_url,
            clock: Arc::clone(&builder.clock),
            audience: builder.audience.clone(),
            token_lifetime: builder.token_lifetime,
            algorithm,
            ring: Mutex::new(ring),
            clients: Mutex::default(),
            tokens: Mutex::default(),
            metadata: Mutex::default(),
            jwks_cache_control: Mutex::new(builder.jwks_cache_control.clone()),
            gates: [Gate::new(), Gate::new(), Gate::new()],
        };
        Self { inner: Arc::new(inner) }
    }

    /// Returns a handle to an issuer, if there still is one.
    pub(crate) fn upgrade(issuer: &Weak<Issuer>) -> Option<Self> {
        Some(Self { inner: issuer.upgrade()? })
    }

    pub(crate) fn gate(&self, endpoint: Endpoint) -> &Gate {
        let [discovery, jwks, token] = &self.inner.gates;
        match endpoint {
            Endpoint::Discovery => discovery,
            Endpoint::Jwks => jwks,
            Endpoint::Token => token,
        }
    }

    /// The issuer identifier, such as `http://127.0.0.1:49152/tenant-a`.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.inner.url
    }

    /// Where the key set is.
    #[must_use]
    pub fn jwks_uri(&self) -> String {
        format!("{}/jwks", self.inner.url)
    }

    /// Where tokens are issued and exchanged.
    #[must_use]
    pub fn token_endpoint(&self) -> String {
        format!("{}/token", self.inner.url)
    }

    /// Where the same is done over mTLS: `mtls_endpoint_aliases` in the metadata
    /// (RFC 8705 section 5). Only a provider that was built for it has this.
    #[must_use]
    pub fn mtls_token_endpoint(&self) -> Option<String> {
        self.inner.mtls_url.as_ref().map(|url| format!("{url}/token"))
    }
}

/// # Tokens
impl MockIssuer {
    /// An access token as RFC 9068 wants it, to be changed and signed.
    pub fn token(&self) -> TokenBuilder {
        TokenBuilder::new(self.clone(), Kind::Access)
    }

    /// An ID token (OpenID Connect Core 1.0 section 2): what a resource server
    /// must refuse.
    pub fn id_token(&self) -> TokenBuilder {
        TokenBuilder::new(self.clone(), Kind::Id)
    }

    /// A logout token (OpenID Connect Back-Channel Logout 1.0 section 2.4).
    pub fn logout_token(&self) -> TokenBuilder {
        TokenBuilder::new(self.clone(), Kind::Logout)
    }

    /// Signs any bytes with the current key of `algorithm`: for what the token
    /// builder cannot make, such as a JWS whose parts are not base64url.
    #[must_use]
    pub fn sign_bytes(&self, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
        let key = lock(&self.inner.ring).current(algorithm);
        key.sign(message)
    }
}

/// # Keys
impl MockIssuer {
    /// The names of the published keys, oldest first.
    #[must_use]
    pub fn key_ids(&self) -> Vec<String> {
        lock(&self.inner.ring).published_ids()
    }

    /// The key set of the issuer's good and odd keys. A test may change it and
    /// serve the result by [`replace_jwks_document`](Self::replace_jwks_document).
    #[must_use]
    pub fn jwks(&self) -> Value {
        lock(&self.inner.ring).jwks()
    }

    /// Signs with a new key from now on, for every algorithm in use. The old
    /// keys stay published.
    pub fn rotate_keys(&self) {
        lock(&self.inner.ring).rotate();
    }

    /// Publishes only the keys that now sign. Tokens can still be signed with
    /// a withdrawn one, by its [`key_id`](TokenBuilder::key_id).
    pub fn withdraw_old_keys(&self) {
        lock(&self.inner.ring).withdraw_old();
    }

    /// Publishes `jwk`, whatever it is, before the good keys.
    pub fn publish_extra_jwk(&self, jwk: Value) {
        lock(&self.inner.ring).publish_extra(jwk);
    }

    /// Serves `document` in place of the key set, until
    /// [`restore_jwks_document`](Self::restore_jwks_document).
    pub fn replace_jwks_document(&self, document: impl Into<Bytes>) {
        lock(&self.inner.ring).replace_document(Some(document.into()));
    }

    /// Serves the key set again.
    pub fn restore_jwks_document(&self) {
        lock(&self.inner.ring).replace_document(None);
    }

    /// The `Cache-Control` of the key set from now on; `None` sends none.
    pub fn set_jwks_cache_control(&self, value: Option<HeaderValue>) {
        *lock(&self.inner.jwks_cache_control) = value;
    }
}

/// # Metadata
impl MockIssuer {
    /// The metadata document as it is served.
    #[must_use]
    pub fn metadata(&self) -> Value {
        endpoints::metadata(self)
    }

    /// Sets one member of the metadata, such as an `issuer` that is another's.
    pub fn set_metadata(&self, name: impl Into<String>, value: impl Into<Value>) {
        lock(&self.inner.metadata).insert(name.into(), Some(value.into()));
    }

    /// Leaves one member out of the metadata.
    pub fn remove_metadata(&self, name: impl Into<String>) {
        lock(&self.inner.metadata).insert(name.into(), None);
    }
}

impl fmt::Debug for MockIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockIssuer")
            .field("issuer", &self.inner.url)
            .field("key_ids", &self.key_ids())
            .finish_non_exhaustive()
    }
}
