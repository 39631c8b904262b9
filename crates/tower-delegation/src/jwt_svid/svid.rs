//! One JWT-SVID, read strictly.

use std::{fmt, sync::Arc, time::Duration};

use serde_json::value::RawValue;

use super::bundles::{JwtBundles, algorithms};
use crate::{
    clock::Timestamp,
    credential::{Voucher, WorkloadIdentity},
    json::{Nested, read_object, string},
    jwks::{KeySet, VerifyingKey},
    names::Audience,
    reason::DenialReason,
    spiffe::SpiffeId,
    token::{Footprint, UnverifiedToken, date, read_audience},
};

/// What makes a token one that says what its holder may do, or to whom it is bound.
const CLAIMS_OF_ACCESS_TOKENS: [&str; 4] = ["client_id", "scope", "act", "cnf"];

/// A JWT-SVID whose signature and audience are good. Its time is not judged yet.
pub(super) struct VerifiedSvid {
    id: SpiffeId,
    expires_at: Timestamp,
    not_before: Option<Timestamp>,
    issued_at: Option<Timestamp>,
    /// What it was verified by.
    bundle: Arc<KeySet>,
    key: Arc<VerifyingKey>,
    /// Where the bundles are that are in force later.
    bundles: JwtBundles,
    leeway: Duration,
}

#[derive(Default)]
struct RawClaims<'a> {
    subject: Option<&'a RawValue>,
    audience: Option<&'a RawValue>,
    expires_at: Option<&'a RawValue>,
    not_before: Option<&'a RawValue>,
    issued_at: Option<&'a RawValue>,
}

impl VerifiedSvid {
    pub(super) fn verify(
        text: &str,
        audiences: &[Audience],
        bundles: &JwtBundles,
        leeway: Duration,
    ) -> Result<Self, DenialReason> {
        const MALFORMED: DenialReason = DenialReason::SvidMalformed;
        let svid = UnverifiedToken::parse_svid(text).or(Err(MALFORMED))?;
        if !algorithms().contains(svid.algorithm()) || svid.key_id().is_none_or(str::is_empty) {
            return Err(MALFORMED);
        }
        let payload = String::from_utf8(svid.payload().or(Err(MALFORMED))?).or(Err(MALFORMED))?;
        let claims = RawClaims::parse(&payload)?;
        let subject = claims.subject.and_then(string).ok_or(MALFORMED)?;
        let id = SpiffeId::new(&subject).ok().filter(SpiffeId::has_path).ok_or(MALFORMED)?;
        let expires_at = date(claims.expires_at, f64::floor).or(Err(MALFORMED))?.ok_or(MALFORMED)?;
        let not_before = date(claims.not_before, f64::ceil).or(Err(MALFORMED))?;
        let issued_at = date(claims.issued_at, f64::ceil).or(Err(MALFORMED))?;
        let audience = claims.audience.map(read_audience).and_then(Result::ok).ok_or(MALFORMED)?;

        let bundle = bundles.of(id.trust_domain()).ok_or(DenialReason::SvidTrustDomainUnknown)?;
        let key = bundle.select(svid.algorithm(), svid.key_id()).or(Err(DenialReason::SvidKeyUnknown))?;
        svid.verify_signature(key).or(Err(DenialReason::SvidSignatureInvalid))?;
        if !audience.iter().any(|entry| audiences.contains(entry)) {
            return Err(DenialReason::SvidAudienceMismatch);
        }
        let (key, bundles) = (Arc::clone(key), bundles.clone());
        Ok(Self { id, expires_at, not_before, issued_at, bundle, key, bundles, leeway })
    }

    /// Whether the bundle that it was verified by is in force still.
    pub(super) fn is_vouched_for(&self) -> bool {
        self.bundles.is_current(self.id.trust_domain(), &self.bundle)
    }

    /// The workload, if the time is right. It counts while the JWT-SVID does.
    pub(super) fn workload(self: &Arc<Self>, now: Timestamp) -> Result<WorkloadIdentity, DenialReason> {
        self.check_times(now)?;
        Ok(WorkloadIdentity::of_spiffe_id(self.id.clone()).vouched_for_by(self))
    }

    fn check_times(&self, now: Timestamp) -> Result<(), DenialReason> {
        if now >= self.expires_at.saturating_add(self.leeway) {
            return Err(DenialReason::SvidExpired);
        }
        let latest = now.saturating_add(self.leeway);
        if [self.not_before, self.issued_at].into_iter().flatten().any(|start| latest < start) {
            return Err(DenialReason::SvidNotYetValid);
        }
        Ok(())
    }
}

impl Voucher for VerifiedSvid {
    /// A bundle is replaced often, mostly by one that has the same key.
    fn vouches(&self, now: Timestamp) -> bool {
        let has_key = || {
            let bundle = self.bundles.of(self.id.trust_domain());
            bundle.is_some_and(|bundle| bundle.keys().any(|key| key.is_same(&self.key)))
        };
        self.check_times(now).is_ok() && (self.is_vouched_for() || has_key())
    }
}

impl fmt::Debug for VerifiedSvid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedSvid").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Footprint for VerifiedSvid {
    fn size(&self) -> usize {
        /// The entry, its share of the bundle, the map's own record.
        const FIXED: usize = 400;
        FIXED + self.id.as_str().len()
    }
}

impl<'a> RawClaims<'a> {
    fn parse(payload: &'a str) -> Result<Self, DenialReason> {
        let mut claims = Self::default();
        read_object(payload, DenialReason::SvidMalformed, |name, value| {
            match name {
                "sub" => claims.subject = Some(value),
                "aud" => claims.audience = Some(value),
                "exp" => claims.expires_at = Some(value),
                "nbf" => claims.not_before = Some(value),
                "iat" => claims.issued_at = Some(value),
                name if CLAIMS_OF_ACCESS_TOKENS.contains(&name) => return Err(DenialReason::SvidMalformed),
                _ => {}
            }
            Ok(Nested::Checked)
        })
        .or(Err(DenialReason::SvidMalformed))?;
        Ok(claims)
    }
}
