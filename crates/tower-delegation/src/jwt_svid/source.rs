//! [`JwtSvidSource`]: reads the workload from a header field.

use std::{fmt, sync::Arc, time::Duration};

use http::HeaderName;

use super::{bundles::JwtBundles, svid::VerifiedSvid};
use crate::{
    clock::{DEFAULT_LEEWAY, MAX_LEEWAY},
    credential::{
        MAX_TOKEN_LEN, WorkloadIdentity, WorkloadIdentitySource, WorkloadRequest, configured_header,
    },
    error::ConfigError,
    names::Audience,
    reason::DenialReason,
    token::{TextCache, TokenCache},
};

/// Knows the workload by the JWT-SVID in a header field. See the
/// [module](crate::jwt_svid) for what is accepted.
///
/// For [`ClientIdentity::from_source`](crate::ClientIdentity::from_source) or
/// [`ClientIdentity::or`](crate::ClientIdentity::or).
pub struct JwtSvidSource {
    header: HeaderName,
    bundles: JwtBundles,
    audiences: Box<[Audience]>,
    leeway: Duration,
    verified: TextCache<VerifiedSvid>,
}

impl JwtSvidSource {
    /// Starts a configuration: JWT-SVIDs stand alone in the field `header`,
    /// without a scheme before them, and are verified by `bundles`.
    pub fn builder(header: &str, bundles: JwtBundles) -> JwtSvidSourceBuilder {
        JwtSvidSourceBuilder {
            header: header.into(),
            bundles,
            audiences: Vec::new(),
            leeway: DEFAULT_LEEWAY,
            cache: TokenCache::new().max_entries(10_000).max_bytes(16 * 1024 * 1024),
        }
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
        match request.take_header(&self.header).or(Err(DenialReason::SvidMalformed))? {
            Some(value) => self.read(value.as_bytes(), &request).map(Some),
            None => Ok(None),
        }
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

/// Configures a [`JwtSvidSource`].
#[derive(Clone, Debug)]
#[must_use]
pub struct JwtSvidSourceBuilder {
    header: Box<str>,
    bundles: JwtBundles,
    audiences: Vec<Audience>,
    leeway: Duration,
    cache: TokenCache,
}

impl JwtSvidSourceBuilder {
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
        self.cache = cache;
        self
    }

    /// Checks the configuration.
    ///
    /// # Errors
    /// The field is one that carries something else, there is no audience, or
    /// the leeway is too long.
    pub fn build(self) -> Result<JwtSvidSource, ConfigError> {
        let header = configured_header(&self.header, "JWT-SVIDs")?;
        if self.audiences.is_empty() || self.audiences.iter().any(|audience| audience.as_str().is_empty()) {
            return Err(ConfigError::NoSvidAudience);
        }
        if self.leeway > MAX_LEEWAY {
            return Err(ConfigError::LeewayTooLong { leeway: self.leeway, max: MAX_LEEWAY });
        }
        Ok(JwtSvidSource {
            header,
            bundles: self.bundles,
            audiences: self.audiences.into(),
            leeway: self.leeway,
            verified: TextCache::new(self.cache),
        })
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
        let builder = JwtSvidSource::builder("x-jwt-svid", bundles).add_audience("us").leeway(Duration::ZERO);
        let source = builder.cache(TokenCache::new().max_entries(2)).build().unwrap();
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
        let header = |name: &str| JwtSvidSource::builder(name, JwtBundles::new()).add_audience("us");
        assert!(header("X-JWT-SVID").build().is_ok());
        for name in ["Authorization", "proxy-authorization", "cookie", "host", "DPoP", "forwarded"] {
            let error = header(name).build().unwrap_err();
            assert!(matches!(error, ConfigError::InvalidHeader { .. }), "{name:?}: {error}");
        }
        for name in ["", "two words"] {
            let error = header(name).build().unwrap_err();
            assert!(matches!(error, ConfigError::InvalidHeaderName { .. }), "{name:?}: {error}");
        }
        let builder = || JwtSvidSource::builder("x-jwt-svid", JwtBundles::new());
        assert!(matches!(builder().build().unwrap_err(), ConfigError::NoSvidAudience));
        assert!(matches!(builder().add_audience("").build().unwrap_err(), ConfigError::NoSvidAudience));
        let long = builder().add_audience("us").leeway(Duration::from_secs(301)).build();
        assert!(matches!(long.unwrap_err(), ConfigError::LeewayTooLong { .. }));
    }

    #[test]
    fn the_field_is_removed_whatever_it_holds() {
        let source =
            JwtSvidSource::builder("x-jwt-svid", JwtBundles::new()).add_audience("us").build().unwrap();
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
