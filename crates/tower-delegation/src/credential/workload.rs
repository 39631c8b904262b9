//! [`WorkloadIdentity`]: which workload is at the other end, and
//! [`WorkloadIdentitySource`]: who says so.

use std::{fmt, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue, header::Entry};

use super::{CertificateTrust, PeerCertificate, PeerInfo};
use crate::{clock::Timestamp, error::ConfigError, reason::DenialReason, spiffe::SpiffeId};

/// What was proved about the workload that sent a request. Cheap to clone.
///
/// A request may have to wait: for keys, for a store, for the audit trail. What an
/// identity rests on may end meanwhile, so it is judged again after each wait.
#[derive(Clone, Debug)]
pub struct WorkloadIdentity {
    certificate: Option<Proved<PeerCertificate>>,
    /// From a source without certificates. Only where the certificate names no workload.
    named: Option<Proved<SpiffeId>>,
}

/// One thing that a source says, and what that rests on.
#[derive(Clone, Debug)]
struct Proved<T> {
    what: T,
    basis: Basis,
}

/// Until when what a source says is true, beyond what a certificate says of itself.
#[derive(Clone, Debug, Default)]
struct Basis {
    until: Option<Timestamp>,
    certificate: Option<PeerCertificate>,
    voucher: Option<Arc<dyn Voucher>>,
}

/// What a source has verified, and can judge again.
pub(crate) trait Voucher: fmt::Debug + Send + Sync {
    /// Whether it still holds at `now`.
    fn vouches(&self, now: Timestamp) -> bool;
}

impl<T> Proved<T> {
    fn forever(what: T) -> Self {
        Self { what, basis: Basis::default() }
    }

    fn holds(&self, now: Timestamp) -> bool {
        let Basis { until, certificate, voucher } = &self.basis;
        until.is_none_or(|until| now < until)
            && certificate.as_ref().is_none_or(|certificate| certificate.is_current(now))
            && voucher.as_ref().is_none_or(|voucher| voucher.vouches(now))
    }
}

impl WorkloadIdentity {
    /// A workload that is known by its SPIFFE ID alone, without a certificate.
    /// The caller vouches for it: for the whole request, unless [`until`](Self::until) or
    /// [`while_current`](Self::while_current) says otherwise.
    #[must_use]
    pub fn of_spiffe_id(id: SpiffeId) -> Self {
        Self { certificate: None, named: Some(Proved::forever(id)) }
    }

    /// The same identity, which ends at this time: for what the source has read that
    /// says so itself. A request that has to wait until then is judged without it.
    ///
    /// ```
    /// use tower_delegation::{clock::Timestamp, credential::WorkloadIdentity, spiffe::SpiffeId};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let expires_at = Timestamp::from_unix_seconds(1_900_000_000);
    /// let workload = WorkloadIdentity::of_spiffe_id(SpiffeId::new("spiffe://example.org/web")?).until(expires_at);
    /// # let _ = workload;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn until(self, time: Timestamp) -> Self {
        self.resting_on(|basis| basis.until = Some(basis.until.map_or(time, |until| until.min(time))))
    }

    /// The same identity, which counts only while this certificate is
    /// [current](PeerCertificate::is_current): that of the connection, where the source
    /// believes what came by it because of who is at the other end.
    #[must_use]
    pub fn while_current(self, certificate: &PeerCertificate) -> Self {
        self.resting_on(|basis| basis.certificate = Some(certificate.clone()))
    }

    /// The same identity, which counts only while `voucher` says so.
    pub(crate) fn vouched_for_by(self, voucher: &Arc<impl Voucher + 'static>) -> Self {
        self.resting_on(|basis| {
            let voucher: Arc<dyn Voucher> = voucher.clone();
            basis.voucher = Some(voucher);
        })
    }

    fn resting_on(mut self, set: impl Fn(&mut Basis)) -> Self {
        if let Some(certificate) = &mut self.certificate {
            set(&mut certificate.basis);
        }
        if let Some(named) = &mut self.named {
            set(&mut named.basis);
        }
        self
    }

    /// The certificate that the workload holds the key of. It was current when the
    /// request was judged.
    #[must_use]
    pub fn certificate(&self) -> Option<&PeerCertificate> {
        self.certificate.as_ref().map(|certificate| &certificate.what)
    }

    /// Whether all of it still holds at a later time.
    pub(crate) fn holds(&self, now: Timestamp) -> bool {
        self.certificate.as_ref().is_none_or(|it| it.what.is_current(now) && it.holds(now))
            && self.named.as_ref().is_none_or(|named| named.holds(now))
    }

    /// What is left of it at a later time: without a certificate or a name that does not
    /// hold any more, and `None` where nothing else says who it is.
    pub(crate) fn at(self, now: Timestamp) -> Option<Self> {
        let Self { certificate, named } = self;
        let certificate = certificate.filter(|it| it.what.is_current(now) && it.holds(now));
        let named = named.filter(|named| named.holds(now));
        (certificate.is_some() || named.is_some()).then_some(Self { certificate, named })
    }

    /// Whether anything says which workload it is: a SPIFFE ID or a DNS name.
    fn is_named(&self) -> bool {
        self.spiffe_id().is_some() || self.dns_names().next().is_some()
    }

    /// This identity, completed by that of another source: a certificate that names
    /// no workload still holds the tokens that are bound to it, and takes the name
    /// of the other; a name without a certificate takes a certificate that names
    /// no workload. Names of two sources are never mixed.
    #[must_use]
    pub(crate) fn or(self, other: Self) -> Self {
        match (self.is_named(), other.is_named()) {
            (false, true) if other.certificate.is_none() => {
                Self { certificate: self.certificate, named: other.named }
            }
            (false, true) => other,
            (true, false) if self.certificate.is_none() => {
                Self { certificate: other.certificate, named: self.named }
            }
            _ => self,
        }
    }

    /// The SHA-256 digest of the certificate's DER (RFC 8705 section 3.1).
    #[must_use]
    pub fn thumbprint(&self) -> Option<&[u8; 32]> {
        self.certificate().map(PeerCertificate::thumbprint)
    }

    /// The SPIFFE ID, if a source that is trusted for it vouches for it.
    #[must_use]
    pub fn spiffe_id(&self) -> Option<&SpiffeId> {
        self.named
            .as_ref()
            .map(|named| &named.what)
            .or_else(|| self.certificate().and_then(PeerCertificate::spiffe_id))
    }

    /// The DNS names of the certificate. None unless it
    /// [chains to a trust anchor](CertificateTrust::ChainedToTrustAnchor):
    /// anyone can write any name into a certificate of their own making.
    pub fn dns_names(&self) -> impl Iterator<Item = &str> {
        self.certificate()
            .filter(|certificate| certificate.trust() == CertificateTrust::ChainedToTrustAnchor)
            .into_iter()
            .flat_map(PeerCertificate::dns_names)
    }
}

impl From<PeerCertificate> for WorkloadIdentity {
    fn from(certificate: PeerCertificate) -> Self {
        Self { certificate: Some(Proved::forever(certificate)), named: None }
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
/// are not. A field that is there and malformed is an error, never `Ok(None)`; so
/// is one that comes twice, which [`take_header`](WorkloadRequest::take_header)
/// refuses.
///
/// ```
/// use http::HeaderName;
/// use tower_delegation::{
///     DenialReason,
///     credential::{WorkloadIdentity, WorkloadIdentitySource, WorkloadRequest},
///     spiffe::SpiffeId,
/// };
///
/// static CALLER: HeaderName = HeaderName::from_static("x-sidecar-caller");
///
/// /// The sidecar on the same pod has authenticated the caller.
/// #[derive(Debug)]
/// struct Sidecar;
///
/// impl WorkloadIdentitySource for Sidecar {
///     fn identify(&self, mut request: WorkloadRequest<'_>) -> Result<Option<WorkloadIdentity>, DenialReason> {
///         // Removed in any case; refused where it comes twice.
///         let caller = request.take_header(&CALLER);
///         let is_sidecar = request.peer.is_some_and(|peer| peer.is_unix_socket());
///         if !is_sidecar {
///             return Ok(None);
///         }
///         let Some(caller) = caller? else { return Ok(None) };
///         let id = caller.to_str().ok().and_then(|id| SpiffeId::new(id).ok());
///         let id = id.ok_or(DenialReason::IdentityHeaderMalformed)?;
///         Ok(Some(WorkloadIdentity::of_spiffe_id(id)))
///     }
/// }
/// # use http::HeaderMap;
/// # use tower_delegation::{clock::Timestamp, credential::PeerInfo};
/// # let ask = |peer: PeerInfo, lines: &[&'static str]| {
/// #     let mut headers = HeaderMap::new();
/// #     for line in lines {
/// #         headers.append(&CALLER, http::HeaderValue::from_static(line));
/// #     }
/// #     let found = Sidecar.identify(WorkloadRequest::new(&mut headers, Some(&peer), Timestamp::from_unix_seconds(0)));
/// #     assert!(headers.is_empty(), "{lines:?}");
/// #     found.map(|workload| workload.map(|workload| workload.spiffe_id().unwrap().to_string()))
/// # };
/// # let web = "spiffe://example.org/web";
/// # let stranger = || PeerInfo::new(([192, 0, 2, 1], 1).into());
/// # let malformed = Err(DenialReason::IdentityHeaderMalformed);
/// # assert_eq!(ask(PeerInfo::unix_socket(), &[web]), Ok(Some(web.to_owned())));
/// # assert_eq!(ask(PeerInfo::unix_socket(), &[]), Ok(None));
/// # assert_eq!(ask(stranger(), &[web]), Ok(None));
/// # assert_eq!(ask(stranger(), &[web, web]), Ok(None));
/// # for lines in [&[web, web][..], &["spiffe://example.org/admin", web], &[""], &["web"], &["https://example.org/web"]] {
/// #     assert_eq!(ask(PeerInfo::unix_socket(), lines), malformed, "{lines:?}");
/// # }
/// ```
pub trait WorkloadIdentitySource: fmt::Debug + Send + Sync + 'static {
    /// Which workload sent this request, at `request.now`?
    ///
    /// # Errors
    /// The reason to refuse the request for.
    fn identify(&self, request: WorkloadRequest<'_>) -> Result<Option<WorkloadIdentity>, DenialReason>;

    /// Whether the source can be used as it is configured. Called once, when a layer is
    /// built with it, which reports its mistakes together with all others. Default: yes.
    ///
    /// # Errors
    /// Every mistake.
    fn check(&self) -> Result<(), ConfigError> {
        Ok(())
    }
}

/// What a [`WorkloadIdentitySource`] may look at.
#[derive(Debug)]
#[non_exhaustive]
pub struct WorkloadRequest<'a> {
    /// The header fields, to be read and removed.
    pub headers: &'a mut HeaderMap,
    /// The other end of the connection, if the listener reports it. Its certificate
    /// is read by [`PeerInfo::certificate`], for [`now`](Self::now).
    pub peer: Option<&'a PeerInfo>,
    /// The time of the request.
    pub now: Timestamp,
}

impl<'a> WorkloadRequest<'a> {
    /// A request with these header fields, on a connection from `peer`.
    pub fn new(headers: &'a mut HeaderMap, peer: Option<&'a PeerInfo>, now: Timestamp) -> Self {
        Self { headers, peer, now }
    }

    /// Removes the field `name` from the request, with all its lines, and returns its
    /// value; `None` where it is absent.
    ///
    /// # Errors
    /// [`DenialReason::IdentityHeaderMalformed`] where the field comes more than once:
    /// which of the values another reader takes is not known.
    pub fn take_header(&mut self, name: &HeaderName) -> Result<Option<HeaderValue>, DenialReason> {
        let Entry::Occupied(field) = self.headers.entry(name) else { return Ok(None) };
        let (_, mut values) = field.remove_entry_mult();
        let first = values.next();
        if values.next().is_some() { Err(DenialReason::IdentityHeaderMalformed) } else { Ok(first) }
    }
}

/// The TLS listener of this process vouches for its connections' certificates.
#[derive(Debug)]
pub(crate) struct TlsPeer;

impl WorkloadIdentitySource for TlsPeer {
    fn identify(&self, request: WorkloadRequest<'_>) -> Result<Option<WorkloadIdentity>, DenialReason> {
        let Some(peer) = request.peer else {
            tracing::error!("TLS client identity is configured, but the listener provides no `PeerInfo`");
            return Err(DenialReason::PeerInfoMissing);
        };
        Ok(peer.certificate(request.now).cloned().map(WorkloadIdentity::from))
    }
}
