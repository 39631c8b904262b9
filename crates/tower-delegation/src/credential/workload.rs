//! [`WorkloadIdentity`]: which workload is at the other end, and
//! [`WorkloadIdentitySource`]: who says so.

use std::fmt;

use http::HeaderMap;

use super::{CertificateTrust, PeerCertificate, PeerInfo};
use crate::{clock::Timestamp, reason::DenialReason, spiffe::SpiffeId};

/// What was proved about the workload that sent a request. Cheap to clone.
#[derive(Clone, Debug)]
pub struct WorkloadIdentity(Evidence);

#[derive(Clone, Debug)]
enum Evidence {
    Certificate(PeerCertificate),
    Spiffe(SpiffeId),
}

impl WorkloadIdentity {
    /// A workload that is known by its SPIFFE ID alone, without a certificate.
    /// Whoever calls this vouches for it.
    #[must_use]
    pub fn of_spiffe_id(id: SpiffeId) -> Self {
        Self(Evidence::Spiffe(id))
    }

    /// The certificate that the workload holds the key of.
    #[must_use]
    pub fn certificate(&self) -> Option<&PeerCertificate> {
        match &self.0 {
            Evidence::Certificate(certificate) => Some(certificate),
            Evidence::Spiffe(_) => None,
        }
    }

    /// The SHA-256 digest of the certificate's DER (RFC 8705 section 3.1).
    #[must_use]
    pub fn thumbprint(&self) -> Option<&[u8; 32]> {
        self.certificate().map(PeerCertificate::thumbprint)
    }

    /// The SPIFFE ID, if somebody who is trusted for it vouches for it.
    #[must_use]
    pub fn spiffe_id(&self) -> Option<&SpiffeId> {
        match &self.0 {
            Evidence::Certificate(certificate) => certificate.spiffe_id(),
            Evidence::Spiffe(id) => Some(id),
        }
    }

    /// The DNS names of the certificate. None unless it
    /// [chains to a trust anchor](CertificateTrust::ChainedToTrustAnchor):
    /// anybody can write any name into a certificate of their own making.
    pub fn dns_names(&self) -> impl Iterator<Item = &str> {
        self.certificate()
            .filter(|certificate| certificate.trust() == CertificateTrust::ChainedToTrustAnchor)
            .into_iter()
            .flat_map(PeerCertificate::dns_names)
    }
}

impl From<PeerCertificate> for WorkloadIdentity {
    fn from(certificate: PeerCertificate) -> Self {
        Self(Evidence::Certificate(certificate))
    }
}

/// Says which workload sent a request.
///
/// Called once for each request, before anything else looks at its head. What
/// it reads from header fields it removes from them, and it removes them too
/// where it does not trust them: nothing behind the layer may take them for true.
/// Fields that are [known to speak for a client](super#header-fields-that-speak-for-a-client)
/// are removed in any case, after the source has seen them.
///
/// An error refuses the request. `Ok(None)` says that the workload is not
/// known: tokens that are bound to a certificate are then refused, plain ones
/// are not.
///
/// ```
/// use http::HeaderMap;
/// use tower_delegation::{
///     DenialReason,
///     credential::{WorkloadIdentity, WorkloadIdentitySource, WorkloadRequest},
///     spiffe::SpiffeId,
/// };
///
/// /// The sidecar on the same pod has authenticated the caller.
/// #[derive(Debug)]
/// struct Sidecar;
///
/// impl WorkloadIdentitySource for Sidecar {
///     fn identify(&self, request: WorkloadRequest<'_>) -> Result<Option<WorkloadIdentity>, DenialReason> {
///         let Some(id) = request.headers.remove("x-sidecar-caller") else { return Ok(None) };
///         let is_sidecar = request.peer.is_some_and(|peer| peer.is_unix_socket());
///         let id = id.to_str().ok().and_then(|id| SpiffeId::new(id).ok());
///         Ok(id.filter(|_| is_sidecar).map(WorkloadIdentity::of_spiffe_id))
///     }
/// }
/// ```
pub trait WorkloadIdentitySource: fmt::Debug + Send + Sync + 'static {
    /// Which workload sent this request, at `request.now`?
    ///
    /// # Errors
    /// The reason to refuse the request for.
    fn identify(&self, request: WorkloadRequest<'_>) -> Result<Option<WorkloadIdentity>, DenialReason>;
}

/// What a [`WorkloadIdentitySource`] may look at.
#[derive(Debug)]
#[non_exhaustive]
pub struct WorkloadRequest<'a> {
    /// The header fields, to be read and removed.
    pub headers: &'a mut HeaderMap,
    /// The other end of the connection, if the listener told of it.
    pub peer: Option<PeerInfo>,
    /// The time of the request.
    pub now: Timestamp,
}

impl<'a> WorkloadRequest<'a> {
    /// A request with these header fields, on a connection from `peer`.
    pub fn new(headers: &'a mut HeaderMap, peer: Option<PeerInfo>, now: Timestamp) -> Self {
        Self { headers, peer, now }
    }
}

/// The TLS listener of this process vouches for its connections' certificates.
#[derive(Debug)]
pub(crate) struct TlsPeer;

impl WorkloadIdentitySource for TlsPeer {
    fn identify(&self, request: WorkloadRequest<'_>) -> Result<Option<WorkloadIdentity>, DenialReason> {
        let Some(peer) = request.peer else {
            tracing::error!("client identity comes from TLS, and the listener says nothing of the peer");
            return Err(DenialReason::PeerInfoMissing);
        };
        let certificate = peer.into_certificate();
        Ok(certificate.filter(|certificate| certificate.is_current(request.now)).map(WorkloadIdentity::from))
    }
}
