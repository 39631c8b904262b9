//! [`PeerInfo`]: who is at the other end of the connection.

use std::net::SocketAddr;

use super::{
    certificate::{CertificateTrust, PeerCertificate},
    x509::CertificateError,
};
use crate::clock::Timestamp;

/// The other end of a connection: its address and, if it proved to hold one,
/// its certificate.
///
/// Made once per connection by the listener that ends the TLS connection; cheap to clone.
///
/// ```
/// use tower_delegation::credential::PeerInfo;
///
/// let peer = PeerInfo::new(([127, 0, 0, 1], 50_000).into());
/// assert!(peer.certificate_at_handshake().is_none());
/// ```
#[derive(Clone, Debug)]
pub struct PeerInfo {
    address: PeerAddress,
    certificate: Option<PeerCertificate>,
}

#[derive(Clone, Copy, Debug)]
enum PeerAddress {
    Network(SocketAddr),
    UnixSocket,
}

impl PeerInfo {
    /// A peer that proved nothing about itself.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address: PeerAddress::Network(address), certificate: None }
    }

    /// A process of this machine that may open our Unix socket.
    #[must_use]
    pub fn unix_socket() -> Self {
        Self { address: PeerAddress::UnixSocket, certificate: None }
    }

    /// A peer that holds the key of the first certificate of `chain` (DER, the
    /// leaf first).
    ///
    /// The caller vouches for `trust`, and that the handshake proved
    /// possession of the key. A listener whose trust anchors can be replaced
    /// uses [`PeerCertificate::verified_under`] and [`From`] instead.
    ///
    /// # Errors
    ///
    /// There is no certificate, or the leaf is not a well-formed one.
    pub fn with_certificate(
        address: SocketAddr,
        chain: &[impl AsRef<[u8]>],
        trust: CertificateTrust,
    ) -> Result<Self, CertificateError> {
        Ok(Self::from((address, PeerCertificate::from_der(chain, trust)?)))
    }

    /// Where in the network the connection comes from; `None` for a Unix socket.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match self.address {
            PeerAddress::Network(address) => Some(address),
            PeerAddress::UnixSocket => None,
        }
    }

    /// Whether the connection came by a Unix socket.
    #[must_use]
    pub fn is_unix_socket(&self) -> bool {
        matches!(self.address, PeerAddress::UnixSocket)
    }

    /// The certificate that the peer holds the key of, if it is
    /// [current](PeerCertificate::is_current) at `now`: a connection can outlive its
    /// certificate, and the trust anchors that it was verified against.
    #[must_use]
    pub fn certificate(&self, now: Timestamp) -> Option<&PeerCertificate> {
        self.certificate.as_ref().filter(|certificate| certificate.is_current(now))
    }

    /// The certificate that the connection was opened with, current or not: for logs
    /// and for listeners, never for a decision about a request.
    #[must_use]
    pub fn certificate_at_handshake(&self) -> Option<&PeerCertificate> {
        self.certificate.as_ref()
    }

    /// The same peer, without what its certificate proves.
    pub(crate) fn without_certificate(&self) -> Self {
        Self { address: self.address, certificate: None }
    }
}

impl From<(SocketAddr, PeerCertificate)> for PeerInfo {
    fn from((address, certificate): (SocketAddr, PeerCertificate)) -> Self {
        Self { address: PeerAddress::Network(address), certificate: Some(certificate) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_an_error() {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let none: [&[u8]; 0] = [];
        for (name, chain) in [
            ("no certificate", &none[..]),
            ("empty", &[&[]]),
            ("garbage", &[b"CORRUPT"]),
            ("cut short", &[&[0x30, 0x82, 1, 0, 0]]),
        ] {
            for trust in [CertificateTrust::ChainedToTrustAnchor, CertificateTrust::PresentedOnly] {
                assert!(PeerInfo::with_certificate(address, chain, trust).is_err(), "{name}");
            }
        }
    }
}
