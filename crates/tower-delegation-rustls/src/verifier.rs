//! Who verifies client certificates, and against what.

use std::{collections::BTreeSet, sync::Arc};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use tower_delegation::credential::{CertificateTrust, PeerCertificate};

use crate::error::TlsConfigError;

/// What makes a client certificate acceptable. Two that are equal accept the
/// same certificates.
#[derive(PartialEq, Eq)]
pub(crate) enum ClientPolicy {
    /// None is asked for.
    Ignored,
    /// One that chains to a trust anchor.
    Chained { anchors: BTreeSet<Vec<u8>>, revocation_lists: BTreeSet<Vec<u8>>, required: bool },
    /// Any, or none.
    Any,
}

impl ClientPolicy {
    /// What an accepted certificate is worth.
    pub(crate) fn trust(&self) -> CertificateTrust {
        match self {
            Self::Chained { .. } => CertificateTrust::ChainedToTrustAnchor,
            Self::Ignored | Self::Any => CertificateTrust::PresentedOnly,
        }
    }

    pub(crate) fn verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, TlsConfigError> {
        match self {
            Self::Ignored => Ok(WebPkiClientVerifier::no_client_auth()),
            Self::Any => Ok(Arc::new(AnyCertificate { provider: Arc::clone(provider) })),
            Self::Chained { anchors, revocation_lists, required } => {
                let mut roots = RootCertStore::empty();
                for (position, anchor) in anchors.iter().enumerate() {
                    roots
                        .add(CertificateDer::from_slice(anchor))
                        .map_err(|error| TlsConfigError::TrustAnchor { position, source: error.into() })?;
                }
                let lists = revocation_lists.iter().cloned().map(CertificateRevocationListDer::from);
                let builder =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
                        .with_crls(lists)
                        .enforce_revocation_expiration();
                let builder = if *required { builder } else { builder.allow_unauthenticated() };
                builder.build().map_err(|error| TlsConfigError::ClientCertificates { source: error.into() })
            }
        }
    }
}

/// Accepts whatever certificate a client can prove to hold the key of
/// (RFC 8705 section 2.2): the signature in the handshake is verified, the chain is not.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match PeerCertificate::from_der(&[end_entity], CertificateTrust::PresentedOnly) {
            Ok(_) => Ok(ClientCertVerified::assertion()),
            Err(error) => {
                tracing::debug!(%error, "a client certificate cannot be read");
                Err(CertificateError::BadEncoding.into())
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
