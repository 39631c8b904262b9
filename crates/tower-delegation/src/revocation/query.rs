//! [`RevocationQuery`]: what a store is asked about.

use std::time::Duration;

use super::target::RevocationKey;
use crate::{
    clock::Timestamp,
    credential::{PeerCertificate, WorkloadIdentity},
};

/// What a store is asked about.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RevocationQuery<'a> {
    /// The keys of the token, its subject, session, client and actors: by every
    /// claim that the issuer's mapping names for them, and by the standard claims
    /// `jti`, `sub`, `sid`, `client_id` and `act.sub`.
    pub keys: &'a [RevocationKey],
    /// Who presents it, if that is known.
    pub workload: Option<&'a WorkloadIdentity>,
    /// The certificate of the connection, where it is not the workload's: that of
    /// the proxy that passes the request on.
    pub hop: Option<&'a PeerCertificate>,
    /// When the token was issued; `None` if it does not say.
    pub issued_at: Option<Timestamp>,
    /// The time of the request.
    pub now: Timestamp,
    /// How far clocks may differ.
    pub leeway: Duration,
}

impl<'a> RevocationQuery<'a> {
    /// A question about a token of these keys, issued at `issued_at`, with no leeway.
    #[must_use]
    pub fn new(keys: &'a [RevocationKey], issued_at: impl Into<Option<Timestamp>>, now: Timestamp) -> Self {
        Self { keys, workload: None, hop: None, issued_at: issued_at.into(), now, leeway: Duration::ZERO }
    }

    /// Sets how far clocks may differ.
    #[must_use]
    pub fn with_leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Names the workload that presents the token.
    #[must_use]
    pub fn presented_by(mut self, workload: Option<&'a WorkloadIdentity>) -> Self {
        self.workload = workload;
        self
    }

    /// Names the certificate of the proxy that passes the request on.
    #[must_use]
    pub fn passed_on_by(mut self, hop: Option<&'a PeerCertificate>) -> Self {
        self.hop = hop;
        self
    }

    /// Whether the token was issued at or before `time`, by a clock that may be
    /// ahead by the leeway. A token that does not say when may have been.
    #[must_use]
    pub fn was_issued_by(&self, time: Timestamp) -> bool {
        self.issued_at.is_none_or(|issued_at| issued_at <= time.saturating_add(self.leeway))
    }

    /// The keys of the workload and of the hop. They are computed on each call.
    pub fn workload_keys(&self) -> impl Iterator<Item = RevocationKey> {
        let workload = self.workload.map(|workload| (workload.spiffe_id(), workload.thumbprint()));
        let hop = self.hop.map(|hop| (hop.spiffe_id(), Some(hop.thumbprint())));
        workload.into_iter().chain(hop).flat_map(|(spiffe_id, thumbprint)| {
            let keys =
                [spiffe_id.map(RevocationKey::of_workload), thumbprint.map(RevocationKey::of_certificate)];
            keys.into_iter().flatten()
        })
    }
}
