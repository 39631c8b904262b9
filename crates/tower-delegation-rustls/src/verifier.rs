//! Who verifies client certificates, and against what.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
    sync::Arc,
};

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
use tower_delegation::{
    audit::Text,
    credential::{CertificateTrust, PeerCertificate, x509_svid_id},
};

use crate::error::TlsConfigError;

/// What makes a client certificate acceptable. Two that are equal accept the
/// same certificates.
#[derive(PartialEq, Eq)]
pub(crate) enum ClientPolicy {
    /// None is asked for.
    Ignored,
    /// One that chains to a trust anchor.
    Chained { anchors: Anchors, revocation_lists: BTreeSet<Vec<u8>>, required: bool },
    /// Any, or none.
    Any,
}

/// Trust anchors, as DER.
#[derive(PartialEq, Eq)]
pub(crate) enum Anchors {
    /// For all certificates alike.
    Common(BTreeSet<Vec<u8>>),
    /// For X509-SVIDs, those of their own trust domain.
    ByTrustDomain(BTreeMap<String, BTreeSet<Vec<u8>>>),
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
        let (anchors, revocation_lists, required) = match self {
            Self::Ignored => return Ok(WebPkiClientVerifier::no_client_auth()),
            Self::Any => return Ok(Acceptance::by(Rule::Any, provider)),
            Self::Chained { anchors, revocation_lists, required } => (anchors, revocation_lists, *required),
        };
        let chained = |roots: RootCertStore| {
            let lists = revocation_lists.iter().cloned().map(CertificateRevocationListDer::from);
            let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
                .with_crls(lists)
                .enforce_revocation_expiration();
            let builder = if required { builder } else { builder.allow_unauthenticated() };
            builder.build().map_err(|error| TlsConfigError::ClientCertificates { source: error.into() })
        };
        match anchors {
            Anchors::Common(anchors) => chained(root_store(anchors)?),
            Anchors::ByTrustDomain(bundles) => {
                let (mut hints, mut verifiers) = (Vec::new(), BTreeMap::new());
                for (trust_domain, anchors) in bundles {
                    let roots = root_store(anchors)?;
                    hints.extend(roots.subjects());
                    verifiers.insert(trust_domain.clone(), chained(roots)?);
                }
                Ok(Acceptance::by(Rule::Workloads { verifiers, hints, required }, provider))
            }
        }
    }
}

fn root_store(anchors: &BTreeSet<Vec<u8>>) -> Result<RootCertStore, TlsConfigError> {
    let mut roots = RootCertStore::empty();
    for anchor in anchors {
        roots
            .add(CertificateDer::from_slice(anchor))
            .map_err(|error| TlsConfigError::TrustAnchor { source: error.into() })?;
    }
    Ok(roots)
}

/// What [`WebPkiClientVerifier`] cannot say by itself. In each case the client
/// proves in the handshake that it holds the certificate's key.
#[derive(Debug)]
struct Acceptance {
    rule: Rule,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
enum Rule {
    /// Accepts whatever certificate can be read (RFC 8705 section 2.2): the chain is not verified.
    Any,
    /// Accepts X509-SVIDs, each by the bundle of its own trust domain and no other
    /// (X509-SVID section 5.1): no authority names workloads of another's domain.
    Workloads {
        verifiers: BTreeMap<String, Arc<dyn ClientCertVerifier>>,
        hints: Vec<DistinguishedName>,
        required: bool,
    },
}

impl Acceptance {
    fn by(rule: Rule, provider: &Arc<CryptoProvider>) -> Arc<dyn ClientCertVerifier> {
        Arc::new(Self { rule, provider: Arc::clone(provider) })
    }
}

impl ClientCertVerifier for Acceptance {
    fn client_auth_mandatory(&self) -> bool {
        match self.rule {
            Rule::Any => false,
            Rule::Workloads { required, .. } => required,
        }
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        match &self.rule {
            Rule::Any => &[],
            Rule::Workloads { hints, .. } => hints,
        }
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match &self.rule {
            Rule::Any => match PeerCertificate::from_der(&[end_entity], CertificateTrust::PresentedOnly) {
                Ok(_) => Ok(ClientCertVerified::assertion()),
                Err(error) => {
                    tracing::debug!(error = %Text::new(&error.to_string()), "a client certificate cannot be read");
                    Err(CertificateError::BadEncoding.into())
                }
            },
            Rule::Workloads { verifiers, .. } => {
                let chain: Vec<_> = iter::once(end_entity).chain(intermediates).collect();
                let id = x509_svid_id(&chain).map_err(|error| {
                    tracing::debug!(error = %Text::new(&error.to_string()), "a client certificate names no workload");
                    Error::from(CertificateError::ApplicationVerificationFailure)
                })?;
                match verifiers.get(id.trust_domain()) {
                    Some(verifier) => verifier.verify_client_cert(end_entity, intermediates, now),
                    None => Err(CertificateError::UnknownIssuer.into()),
                }
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
