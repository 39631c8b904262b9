//! [`Settings`]: everything about a layer that is plain data.
//!
//! Two shapes are configured in this crate: a value with setters, which is checked
//! where it is used, and a `builder()` where building does I/O. What of it is plain
//! data is here, and can be part of a configuration file: it is read and written by
//! serde. Handles (the clock, stores, sinks, sources, issuers) are given to the
//! [builder](crate::layer::DelegationLayerBuilder) in addition to it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    clock::{DEFAULT_LEEWAY, MAX_LEEWAY},
    credential::IdentityHeaders,
    error::{ConfigError, Mistakes},
    proof::{Dpop, DpopSettings},
    rejection::is_quotable,
    token::TokenCache,
};

/// The most actors in one chain where no other number is set.
const DEFAULT_MAX_ACTORS: usize = 8;

/// The most actors that one chain may be allowed to have.
const MOST_ACTORS: usize = 64;

/// What of a layer is plain data. Each setting has a setter of the same name on the
/// [builder](crate::layer::DelegationLayerBuilder), which documents what it does.
///
/// | key | unit, range | default |
/// |---|---|---|
/// | `realm` | printable ASCII without quotes and backslashes | `"api"` |
/// | `leeway_seconds` | whole seconds, 0 to 300 | 30 |
/// | `max_token_lifetime_seconds` | whole seconds, 1 or more | none: no limit |
/// | `max_actors` | actors, 1 to 64 | 8 |
/// | `allow_anonymous` | `true` or `false` | `false` |
/// | `refuse_undecided` | `true` or `false` | `false` |
/// | `allow_inner_authenticator` | `true` or `false` | `false` |
/// | `identity_headers` | names of header fields | `[]` |
/// | `refuse_untrusted_identity_headers` | `true` or `false` | `false` |
/// | `token_cache.max_entries` | tokens; 0: none is kept | 50000 |
/// | `token_cache.max_bytes` | bytes; 0: none is kept | 67108864 |
/// | `dpop` | the keys below; left out: DPoP is not accepted | none |
/// | `dpop.origins` | `https` URLs, at least one | `[]` |
/// | `dpop.algorithms` | names such as `"ES256"`, at least one | all of [`SignatureAlgorithm`](crate::jwks::SignatureAlgorithm) |
/// | `dpop.max_age_seconds` | whole seconds, 1 to 300 | 60 |
/// | `dpop.future_tolerance_seconds` | whole seconds, 0 to 60 | 10 |
/// | `dpop.rotate_nonces_every_seconds` | whole seconds, 10 to 3600 | none: no nonces are demanded |
/// | `dpop.max_entries` | proofs, 1 or more | 500000 |
/// | `dpop.max_entries_per_key` | proofs, 1 to `max_entries` | none: a tenth of `max_entries`, 8 or more |
///
/// A key that is left out has its default. One that is not known is an error, and so is
/// a value of another type. What is out of its range is reported by
/// [`check`](Self::check) and when the layer is built.
///
/// ```
/// use tower_delegation::{DelegationLayer, Settings, TrustedIssuer};
///
/// # fn wire() -> Result<(), Box<dyn std::error::Error>> {
/// // From a file of the service, or a part of one.
/// let settings: Settings = serde_json::from_str(r#"{"realm": "orders", "leeway_seconds": 10}"#)?;
/// let issuer = TrustedIssuer::discover("https://idp.example.com")?.add_audience("https://orders.example.com");
/// let delegation = DelegationLayer::builder().settings(settings).add_issuer(issuer).build()?;
/// # let _ = delegation;
/// # Ok(())
/// # }
/// # wire().unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Settings {
    /// The protection space that challenges name (RFC 9110 section 11.5).
    pub realm: String,
    /// How far clocks may differ.
    #[serde(rename = "leeway_seconds", with = "crate::seconds")]
    pub leeway: Duration,
    /// The longest that a token of any issuer may live.
    #[serde(
        rename = "max_token_lifetime_seconds",
        with = "crate::seconds::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub max_token_lifetime: Option<Duration>,
    /// How many actors one chain may have.
    pub max_actors: usize,
    /// Whether requests without credentials are served too.
    pub allow_anonymous: bool,
    /// Whether an answer of success that nothing has decided is refused.
    pub refuse_undecided: bool,
    /// Whether a layer with another authenticator further inside is meant.
    pub allow_inner_authenticator: bool,
    /// More header fields that speak for a client, and are removed from every request.
    pub identity_headers: Vec<String>,
    /// Whether a request with an identity header from a hop that is not trusted is refused.
    pub refuse_untrusted_identity_headers: bool,
    /// How many verified tokens are kept.
    pub token_cache: TokenCache,
    /// Whether and how tokens that are bound to a key are accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dpop: Option<DpopSettings>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            realm: "api".to_owned(),
            leeway: DEFAULT_LEEWAY,
            max_token_lifetime: None,
            max_actors: DEFAULT_MAX_ACTORS,
            allow_anonymous: false,
            refuse_undecided: false,
            allow_inner_authenticator: false,
            identity_headers: Vec::new(),
            refuse_untrusted_identity_headers: false,
            token_cache: TokenCache::new(),
            dpop: None,
        }
    }
}

impl Settings {
    /// Whether every value can be used, without building anything.
    ///
    /// # Errors
    /// Every value that is out of its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut mistakes = Mistakes::default();
        if self.leeway > MAX_LEEWAY {
            mistakes.add(ConfigError::LeewayTooLong { leeway: self.leeway, max: MAX_LEEWAY });
        }
        if self.max_token_lifetime.is_some_and(|lifetime| lifetime.is_zero()) {
            let (setting, expected) = ("max_token_lifetime", "more than zero");
            mistakes.add(ConfigError::OutOfRange { setting, value: 0, expected });
        }
        if !(1..=MOST_ACTORS).contains(&self.max_actors) {
            mistakes.add(ConfigError::OutOfRange {
                setting: "max_actors",
                value: u64::try_from(self.max_actors).unwrap_or(u64::MAX),
                expected: "from 1 to 64",
            });
        }
        if self.realm.is_empty() || !is_quotable(&self.realm) {
            mistakes.add(ConfigError::InvalidRealm { realm: self.realm.clone() });
        }
        mistakes.take(IdentityHeaders::new(&self.identity_headers, self.refuse_untrusted_identity_headers));
        if let Some(dpop) = &self.dpop {
            mistakes.take(Dpop::from(dpop.clone()).check());
        }
        mistakes.into_result()
    }
}
