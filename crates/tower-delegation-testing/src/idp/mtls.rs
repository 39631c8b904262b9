//! The provider over mTLS (RFC 8705).

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
};

use tower_delegation_rustls::{Pem, TlsConfig, TlsListener};

use super::MockIdpBuilder;
use crate::pki::{TestPki, made};

/// Whose certificates the provider accepts.
#[derive(Clone)]
pub(crate) struct Mtls {
    pki: TestPki,
    any_certificate: bool,
}

impl Mtls {
    /// Binds a free port of 127.0.0.1.
    pub(crate) async fn listen(&self) -> (TlsListener, SocketAddr) {
        let own = self.pki.server().issue();
        let config =
            TlsConfig::builder().server_certificate(Pem::text(own.chain_pem()), Pem::text(own.key_pem()));
        let config = if self.any_certificate {
            config.accept_any_client_certificate()
        } else {
            config.accept_client_certificates(Pem::text(self.pki.bundle_pem()))
        };
        let listener = made(TlsListener::bind((Ipv4Addr::LOCALHOST, 0), made(config.build())).await);
        let address = made(listener.local_addr());
        (listener, address)
    }
}

impl fmt::Debug for Mtls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mtls")
            .field("pki", &self.pki)
            .field("any_certificate", &self.any_certificate)
            .finish()
    }
}

/// # mTLS
///
/// The provider then listens on a second port, with a server certificate of
/// `pki`. Its issuers keep their identifiers; their metadata has
/// `mtls_endpoint_aliases` (RFC 8705 section 5). Certificates are checked by the
/// machine's clock.
impl MockIdpBuilder {
    /// Asks for client certificates of `pki`, for `tls_client_auth` (RFC 8705
    /// section 2.1). A client without one is let in; one with another is refused in
    /// the handshake.
    pub fn mtls(mut self, pki: &TestPki) -> Self {
        self.mtls = Some(Mtls { pki: pki.clone(), any_certificate: false });
        self
    }

    /// Asks for client certificates and lets all of them in, for
    /// `self_signed_tls_client_auth` (RFC 8705 section 2.2). No name in them is
    /// believed, so that `tls_client_auth` is refused.
    pub fn mtls_any_certificate(mut self, pki: &TestPki) -> Self {
        self.mtls = Some(Mtls { pki: pki.clone(), any_certificate: true });
        self
    }
}
