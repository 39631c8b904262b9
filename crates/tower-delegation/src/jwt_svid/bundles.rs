//! [`JwtBundles`]: which keys each trust domain signs JWT-SVIDs with.

use std::{collections::HashMap, fmt, sync::Arc};

use arc_swap::ArcSwap;

use crate::{
    error::ConfigError,
    jwks::{AlgorithmSet, KeySet, SignatureAlgorithm as Alg},
    spiffe::SpiffeId,
};

/// The keys of one trust domain. Each time it is [set](JwtBundles::set) it is
/// another one, so its address tells whether it is in force.
type Bundle = Arc<KeySet>;

/// The algorithms of JWT-SVIDs (JWT-SVID section 2.1): no `EdDSA`.
pub(super) fn algorithms() -> AlgorithmSet {
    use Alg::{Es256, Es384, Es512, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
    [Rs256, Rs384, Rs512, Es256, Es384, Es512, Ps256, Ps384, Ps512].into_iter().collect()
}

/// The SPIFFE bundles of the trust domains whose JWT-SVIDs are accepted.
///
/// Clones share the bundles: keep one, give the other to the source, and
/// [`set`](Self::set) each bundle anew when the Workload API, a federation
/// endpoint or a file has a new one. Requests take no lock and see either the
/// old bundle or the new one. While there is no bundle of any trust domain, a
/// request with a JWT-SVID is answered with 503.
///
/// ```
/// use tower_delegation::jwt_svid::JwtBundles;
///
/// let bundles = JwtBundles::new();
/// let document = r#"{"spiffe_sequence": 2, "keys": [{
///     "use": "jwt-svid", "kid": "k1", "kty": "EC", "crv": "P-256",
///     "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
///     "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#;
/// assert_eq!(bundles.set("example.org", document)?, 1);
/// assert!(bundles.set("example.org", "no bundle").is_err(), "the one from before stays");
/// assert_eq!(bundles.trust_domains(), ["example.org"]);
/// # Ok::<(), tower_delegation::ConfigError>(())
/// ```
#[derive(Clone, Default)]
pub struct JwtBundles(Arc<ArcSwap<HashMap<Box<str>, Bundle>>>);

impl JwtBundles {
    /// No trust domain.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts `document`, a SPIFFE bundle (a JWK Set), in the place of the bundle
    /// of `trust_domain`, and returns how many of its keys verify JWT-SVIDs.
    ///
    /// Entries of another `use` than `jwt-svid` are passed over, and so are those
    /// that cannot be used. A bundle without any key is taken too: its trust
    /// domain has withdrawn them, and none of its JWT-SVIDs is accepted any more.
    ///
    /// # Errors
    /// `trust_domain` is not the name of one, or `document` as a whole is
    /// unusable: no JWK Set, or a `kid` that two different keys have (JWT-SVID section 6).
    /// The bundle from before then stays in force.
    pub fn set(&self, trust_domain: &str, document: &str) -> Result<usize, ConfigError> {
        let invalid =
            |problem: String| ConfigError::InvalidJwtBundle { trust_domain: trust_domain.into(), problem };
        let named = SpiffeId::new(&format!("spiffe://{trust_domain}")).ok();
        if named.is_none_or(|id| id.has_path()) {
            return Err(invalid("write the name of the trust domain alone, such as `example.org`".into()));
        }
        let keys = KeySet::parse_jwt_svid_keys(document.as_bytes(), algorithms());
        let bundle = Arc::new(keys.map_err(|error| invalid(error.to_string()))?);
        let mut ids: Vec<_> = bundle.keys().map(|key| key.key_id()).collect();
        ids.dedup();
        self.change(|bundles| drop(bundles.insert(trust_domain.into(), Arc::clone(&bundle))));
        Ok(ids.len())
    }

    /// Accepts no JWT-SVID of `trust_domain` any more.
    pub fn remove(&self, trust_domain: &str) {
        self.change(|bundles| drop(bundles.remove(trust_domain)));
    }

    /// The trust domains that have a bundle, in alphabetical order.
    #[must_use]
    pub fn trust_domains(&self) -> Vec<String> {
        let mut domains: Vec<_> = self.0.load().keys().map(|domain| domain.to_string()).collect();
        domains.sort();
        domains
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.load().is_empty()
    }

    /// The bundle that is in force for `trust_domain`.
    pub(super) fn of(&self, trust_domain: &str) -> Option<Bundle> {
        self.0.load().get(trust_domain).cloned()
    }

    /// Whether `bundle` is in force for `trust_domain`.
    pub(super) fn is_current(&self, trust_domain: &str, bundle: &Bundle) -> bool {
        self.0.load().get(trust_domain).is_some_and(|current| Arc::ptr_eq(current, bundle))
    }

    fn change(&self, change: impl Fn(&mut HashMap<Box<str>, Bundle>)) {
        self.0.rcu(|bundles| {
            let mut bundles = HashMap::clone(bundles);
            change(&mut bundles);
            bundles
        });
    }
}

impl fmt::Debug for JwtBundles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JwtBundles").field(&self.trust_domains()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: &str = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4";
    const Y: &str = "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM";

    /// The public key of RFC 7517 appendix A.1, with further members.
    fn key(members: &str) -> String {
        format!(r#"{{"kty":"EC","crv":"P-256","x":"{X}","y":"{Y}",{members}}}"#)
    }

    #[test]
    fn only_named_keys_for_jwt_svids_count() {
        let good = key(r#""use":"jwt-svid","kid":"a""#);
        for (name, keys, usable) in [
            ("none", vec![], 0),
            ("one", vec![good.clone()], 1),
            ("two", vec![good.clone(), key(r#""use":"jwt-svid","kid":"b""#)], 2),
            ("for X.509", vec![key(r#""use":"x509-svid","kid":"a""#)], 0),
            ("for access tokens", vec![key(r#""use":"sig","kid":"a""#)], 0),
            ("for anything", vec![key(r#""kid":"a""#)], 0),
            ("without a kid", vec![key(r#""use":"jwt-svid""#)], 0),
            ("private", vec![key(r#""use":"jwt-svid","kid":"a","d":"AA""#)], 0),
            ("another use of the same kid", vec![good, key(r#""use":"x509-svid","kid":"a""#)], 1),
        ] {
            let document = format!(r#"{{"spiffe_sequence":1,"keys":[{}]}}"#, keys.join(","));
            assert_eq!(JwtBundles::new().set("example.org", &document).unwrap(), usable, "{name}");
        }
        // RFC 8037 appendix A.2: not an algorithm of JWT-SVIDs.
        let edwards = r#"{"keys":[{"use":"jwt-svid","kid":"a","kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
        assert_eq!(JwtBundles::new().set("example.org", edwards).unwrap(), 0);
    }

    #[test]
    fn what_is_no_bundle_changes_nothing() {
        let bundles = JwtBundles::new();
        let good = format!(r#"{{"keys":[{}]}}"#, key(r#""use":"jwt-svid","kid":"a""#));
        bundles.set("example.org", &good).unwrap();
        let before = bundles.of("example.org").unwrap();
        let one = key(r#""use":"jwt-svid","kid":"a""#);
        let joined = format!(r#"{{"keys":[{one},{one}]}}"#);
        assert_eq!(JwtBundles::new().set("example.org", &joined).unwrap(), 1, "one key, listed twice");
        // Another point of the curve: the key of RFC 9449 section 4.1.
        let other = one
            .replace(X, "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs")
            .replace(Y, "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA");
        let twice = format!(r#"{{"keys":[{one},{other}]}}"#);
        for (name, domain, document) in [
            ("no JSON", "example.org", ""),
            ("no JWK Set", "example.org", "{}"),
            ("two keys of one kid", "example.org", twice.as_str()),
            ("no name", "", good.as_str()),
            ("an identifier", "spiffe://example.org", good.as_str()),
            ("a path", "example.org/orders", good.as_str()),
            ("upper case", "Example.org", good.as_str()),
        ] {
            let error = bundles.set(domain, document).unwrap_err();
            assert!(matches!(error, ConfigError::InvalidJwtBundle { .. }), "{name}: {error}");
        }
        assert_eq!(bundles.trust_domains(), ["example.org"]);
        assert!(bundles.is_current("example.org", &before));
        bundles.set("example.org", &good).unwrap();
        assert!(!bundles.is_current("example.org", &before), "a new bundle, also with the same keys");
        bundles.remove("example.org");
        assert!(bundles.is_empty());
    }
}
