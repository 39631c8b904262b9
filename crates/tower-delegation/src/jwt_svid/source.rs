//! [`JwtSvidSource`]: reads the workload from a header field.

use std::{fmt, sync::Arc, time::Duration};

use http::HeaderName;

use super::{bundles::JwtBundles, svid::VerifiedSvid};
use crate::{
    clock::{DEFAULT_LEEWAY, MAX_LEEWAY},
    credential::{
        MAX_TOKEN_LEN, WorkloadIdentity, WorkloadIdentitySource, WorkloadRequest, configured_header,
    },
    error::{ConfigError, Mistakes},
    names::Audience,
    reason::DenialReason,
    token::{TextCache, TokenCache},
};

const PURPOSE: &str = "JWT-SVIDs";

/// Knows the workload by the JWT-SVID in a header field. See the
/// [module](crate::jwt_svid) for what is accepted.
///
/// For [`ClientIdentity::from_source`](crate::ClientIdentity::from_source) or
/// [`ClientIdentity::or`](crate::ClientIdentity::or). It is checked when the layer is
/// built, which reports every mistake.
#[must_use = "a source knows no workload before it is given to a layer"]
pub struct JwtSvidSource {
    header: Box<str>,
    /// `None`: the name is not usable, and no layer is built with it.
    field: Option<HeaderName>,
    bundles: JwtBundles,
    audiences: Vec<Audience>,
    leeway: Duration,
    verified: TextCache<VerifiedSvid>,
}

impl JwtSvidSource {
    /// JWT-SVIDs that are alone in the field `header`, without a scheme before them, and
    /// are verified by `bundles`.
    pub fn new(header: &str, bundles: JwtBundles) -> Self {
        Self {
            header: header.into(),
            field: configured_header(header, PURPOSE).ok(),
            bundles,
            audiences: Vec::new(),
            leeway: DEFAULT_LEEWAY,
            verified: TextCache::new(TokenCache::new().max_entries(10_000).max_bytes(16 * 1024 * 1024)),
        }
    }

    /// One more name of this service: `aud` must hold one of them. At least one
    /// is needed (JWT-SVID section 3.2).
    pub fn add_audience(mut self, audience: &str) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// How far clocks may differ. Default 30 s, at most 300 s.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// How many verified JWT-SVIDs are kept, so that their signature is checked
    /// once. Default 10,000, 16 MiB.
    pub fn cache(mut self, cache: TokenCache) -> Self {
        self.verified = TextCache::new(cache);
        self
    }

    fn read(&self, text: &[u8], request: &WorkloadRequest<'_>) -> Result<WorkloadIdentity, DenialReason> {
        if text.len() > MAX_TOKEN_LEN {
            return Err(DenialReason::SvidMalformed);
        }
        let hash = self.verified.hash(text);
        if let Some(svid) = self.verified.get(hash) {
            if svid.is_vouched_for() {
                let workload = svid.workload(request.now);
                if workload.is_err() {
                    self.verified.remove(hash);
                }
                return workload;
            }
            self.verified.remove(hash);
        }
        // Not the caller's fault: nothing was given to verify a workload by.
        if self.bundles.is_empty() {
            return Err(DenialReason::SvidBundlesMissing);
        }
        let text = str::from_utf8(text).or(Err(DenialReason::SvidMalformed))?;
        let svid = Arc::new(VerifiedSvid::verify(text, &self.audiences, &self.bundles, self.leeway)?);
        let workload = svid.workload(request.now)?;
        self.verified.insert(hash, svid);
        Ok(workload)
    }
}

impl WorkloadIdentitySource for JwtSvidSource {
    fn identify(&self, mut request: WorkloadRequest<'_>) -> Result<Option<WorkloadIdentity>, DenialReason> {
        // Of a source that `check` refuses: nothing can be read by it, and nothing is let in.
        let Some(field) = &self.field else { return Err(DenialReason::SvidBundlesMissing) };
        match request.take_header(field).or(Err(DenialReason::SvidMalformed))? {
            Some(value) => self.read(value.as_bytes(), &request).map(Some),
            None => Ok(None),
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let mut mistakes = Mistakes::default();
        mistakes.take(configured_header(&self.header, PURPOSE));
        if self.audiences.is_empty() || self.audiences.iter().any(|audience| audience.as_str().is_empty()) {
            mistakes.add(ConfigError::NoSvidAudience);
        }
        if self.leeway > MAX_LEEWAY {
            mistakes.add(ConfigError::LeewayTooLong { leeway: self.leeway, max: MAX_LEEWAY });
        }
        mistakes.into_result()
    }
}

impl fmt::Debug for JwtSvidSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtSvidSource")
            .field("header", &self.header)
            .field("bundles", &self.bundles)
            .field("audiences", &self.audiences)
            .field("leeway", &self.leeway)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        rand::SystemRandom,
        signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
    };
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use http::{HeaderMap, HeaderValue};

    use super::*;

    #[test]
    fn what_verified_is_remembered_within_bounds() {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let bundles = JwtBundles::new();
        let [x, y] = [x, y].map(|coordinate| URL_SAFE_NO_PAD.encode(coordinate));
        let key = format!(r#"{{"use":"jwt-svid","kid":"k","kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}"#);
        bundles.set("example.org", &format!(r#"{{"keys":[{key}]}}"#)).unwrap();
        let svid = |path: &str| {
            let payload = format!(r#"{{"sub":"spiffe://example.org/{path}","aud":"us","exp":1000}}"#);
            let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","kid":"k"}"#);
            let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload));
            let signature = pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
            format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
        };
        let source = JwtSvidSource::new("x-jwt-svid", bundles).add_audience("us").leeway(Duration::ZERO);
        let source = source.cache(TokenCache::new().max_entries(2));
        let identify = |svid: &str, now| {
            let mut headers = HeaderMap::new();
            headers.insert("x-jwt-svid", HeaderValue::from_str(svid).unwrap());
            let now = crate::clock::Timestamp::from_unix_seconds(now);
            source.identify(WorkloadRequest::new(&mut headers, None, now))
        };
        let web = svid("web");
        for _ in 0..3 {
            let workload = identify(&web, 999).unwrap().unwrap();
            assert_eq!(workload.spiffe_id().unwrap().path(), "/web");
            assert_eq!(source.verified.len(), 1);
        }
        assert_eq!(identify(&web, 1000).err(), Some(DenialReason::SvidExpired));
        assert_eq!(source.verified.len(), 0, "what has expired is dropped");
        for path in ["a", "b", "c", "d"] {
            assert!(identify(&svid(path), 999).is_ok(), "{path}");
        }
        assert_eq!(source.verified.len(), 2);
        assert_eq!(identify(&svid("e"), 1000).err(), Some(DenialReason::SvidExpired));
        assert_eq!(source.verified.len(), 2, "what is refused is not remembered");
    }

    #[test]
    fn unusable_configurations() {
        let header = |name: &str| JwtSvidSource::new(name, JwtBundles::new()).add_audience("us");
        assert!(header("X-JWT-SVID").check().is_ok());
        for name in ["Authorization", "proxy-authorization", "cookie", "host", "DPoP", "forwarded"] {
            let error = header(name).check().unwrap_err();
            assert!(matches!(error, ConfigError::InvalidHeader { .. }), "{name:?}: {error}");
        }
        for name in ["", "two words"] {
            let error = header(name).check().unwrap_err();
            assert!(matches!(error, ConfigError::InvalidHeaderName { .. }), "{name:?}: {error}");
        }
        let new = || JwtSvidSource::new("x-jwt-svid", JwtBundles::new());
        assert!(matches!(new().check().unwrap_err(), ConfigError::NoSvidAudience));
        assert!(matches!(new().add_audience("").check().unwrap_err(), ConfigError::NoSvidAudience));
        let long = new().add_audience("us").leeway(Duration::from_secs(301)).check();
        assert!(matches!(long.unwrap_err(), ConfigError::LeewayTooLong { .. }));
        let all = JwtSvidSource::new("cookie", JwtBundles::new()).leeway(Duration::from_secs(301));
        let codes: Vec<_> = all.check().unwrap_err().mistakes().map(ConfigError::code).collect();
        assert_eq!(codes, ["invalid_header", "no_svid_audience", "leeway_too_long"]);
    }

    #[test]
    fn a_source_that_was_not_checked_lets_no_one_in() {
        let source = JwtSvidSource::new("cookie", JwtBundles::new()).add_audience("us");
        let mut headers = HeaderMap::new();
        headers.insert("cookie", HeaderValue::from_static("a=b"));
        let now = crate::clock::Timestamp::from_unix_seconds(0);
        assert!(source.identify(WorkloadRequest::new(&mut headers, None, now)).is_err());
        assert_eq!(headers.len(), 1, "and takes nothing away");
    }

    #[test]
    fn the_field_is_removed_whatever_it_holds() {
        let source = JwtSvidSource::new("x-jwt-svid", JwtBundles::new()).add_audience("us");
        let now = crate::clock::Timestamp::from_unix_seconds(0);
        for (values, expected) in [
            (&[][..], Ok(false)),
            (&["a"], Err(DenialReason::SvidBundlesMissing)),
            (&["a", "a"], Err(DenialReason::SvidMalformed)),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-other", HeaderValue::from_static("kept"));
            for value in values {
                headers.append("x-jwt-svid", HeaderValue::from_static(value));
            }
            let known = source.identify(WorkloadRequest::new(&mut headers, None, now));
            assert_eq!(known.map(|workload| workload.is_some()), expected, "{values:?}");
            assert_eq!(headers.len(), 1, "{values:?}");
        }
    }
}
