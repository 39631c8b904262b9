//! [`ClientIdentity`]: where the identity of the workload comes from.

use std::sync::Arc;

use crate::{
    credential::{ClientCertHeader, ForwardedIdentity, TrustedHop, WorkloadIdentitySource},
    error::{ConfigError, Mistakes},
};

/// Where the identity of the workload at the other end of the connection comes
/// from. Not considered unless configured: then no request has a workload
/// identity, and every token that is bound to a certificate is refused.
#[derive(Clone, Debug)]
pub struct ClientIdentity(pub(super) Vec<Identity>);

#[derive(Clone, Debug)]
pub(super) enum Identity {
    Tls,
    Source(Arc<dyn WorkloadIdentitySource>),
    Proxy(Box<ForwardedIdentity>),
}

impl ClientIdentity {
    /// From the TLS listener of this process, such as that of
    /// `tower-delegation-rustls`: it puts a [`PeerInfo`](crate::credential::PeerInfo), or axum's
    /// `ConnectInfo<PeerInfo>`, into the extensions of each request. A request
    /// without either is answered with 500, because then the service is wired
    /// to another listener than it believes.
    #[must_use]
    pub fn from_tls() -> Self {
        Self(vec![Identity::Tls])
    }

    /// From a proxy that ends the TLS connections of its clients, in a header
    /// field, believed only from `hop`. Without the field, the request's client
    /// has no certificate; a field that is there and wrong refuses the request.
    ///
    /// The listener must tell of each connection's other end as it must for
    /// [`from_tls`](Self::from_tls): a request without [`PeerInfo`](crate::credential::PeerInfo) is answered
    /// with 500. For plain listeners of axum,
    /// `app.into_make_service_with_connect_info::<PeerInfo>()` does it.
    ///
    /// [What is refused and which configurations work](crate::credential#the-certificate-of-a-proxys-client).
    #[must_use]
    pub fn from_proxy(header: ClientCertHeader, hop: TrustedHop) -> Self {
        Self(vec![Identity::Proxy(Box::new(ForwardedIdentity::new(header, hop)))])
    }

    /// From a source of your own.
    #[must_use]
    pub fn from_source(source: impl WorkloadIdentitySource) -> Self {
        Self(vec![Identity::Source(Arc::new(source))])
    }

    /// From this one or, where this one does not know the workload, from `next`.
    ///
    /// Both are asked on every request, so that both remove their header fields;
    /// an error of either refuses the request. A certificate that names no workload
    /// (no SPIFFE ID, no DNS name, or no chain to a trust anchor) still holds the
    /// tokens that are bound to it, and the other source says which workload it is.
    /// Where both sources name one, the first counts, alone: put the source of
    /// certificates first. Together with [`from_proxy`](Self::from_proxy), the
    /// certificate of a connection that comes from the trusted hop names no client:
    /// it is the hop's own.
    ///
    /// ```
    /// use tower_delegation::{ClientIdentity, jwt_svid::{JwtBundles, JwtSvidSource}};
    ///
    /// let bundles = JwtBundles::new(); // filled from the Workload API or a file
    /// let svids = JwtSvidSource::new("x-jwt-svid", bundles).add_audience("https://orders.example.com");
    /// let identity = ClientIdentity::from_tls().or(svids);
    /// # Ok::<(), tower_delegation::ConfigError>(())
    /// ```
    #[must_use]
    pub fn or(mut self, next: impl Into<Self>) -> Self {
        self.0.extend(next.into().0);
        self
    }

    /// Whether certificates of clients are among what is proved; what a source of the
    /// service's own proves is not known.
    pub(super) fn proves_certificates(&self) -> bool {
        self.0.iter().any(|identity| matches!(identity, Identity::Tls | Identity::Proxy(_)))
    }

    /// Every mistake of what it goes by.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let mut mistakes = Mistakes::default();
        for identity in &self.0 {
            match identity {
                Identity::Tls => {}
                Identity::Source(source) => {
                    mistakes.take(source.check());
                }
                Identity::Proxy(proxy) => {
                    mistakes.take(proxy.check());
                }
            }
        }
        mistakes.into_result()
    }

    pub(super) fn proxies(&self) -> impl Iterator<Item = &ForwardedIdentity> {
        self.0.iter().filter_map(|identity| match identity {
            Identity::Proxy(proxy) => Some(&**proxy),
            Identity::Tls | Identity::Source(_) => None,
        })
    }
}

impl<S: WorkloadIdentitySource> From<S> for ClientIdentity {
    fn from(source: S) -> Self {
        Self::from_source(source)
    }
}
