//! [`PeerCertificate`]: what a client certificate says, read once.

use std::{fmt, ops::RangeInclusive, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use x509_parser::extensions::GeneralName;

use super::{
    trust_generation::TrustGeneration,
    x509::{CertificateError, alternative_names, parse},
    x509_svid::x509_svid_id,
};
use crate::{clock::Timestamp, spiffe::SpiffeId};

/// What the handshake proved about a certificate, beyond possession of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CertificateTrust {
    /// It chains to a trust anchor that the service is configured with: what it
    /// says of the peer is true, as far as that authority is trusted.
    ChainedToTrustAnchor,
    /// It was presented, nothing more; it may be self-signed. Good for holding a
    /// token that is bound to it (RFC 8705 section 2.2), never for saying who
    /// the peer is.
    PresentedOnly,
}

/// The certificate that the peer of a connection, or the client of a proxy,
/// holds the key of.
///
/// Cheap to clone.
#[derive(Clone)]
pub struct PeerCertificate(Arc<Facts>);

#[derive(Clone)]
struct Facts {
    thumbprint: [u8; 32],
    spiffe_id: Option<SpiffeId>,
    dns_names: Vec<Box<str>>,
    uris: Vec<Box<str>>,
    /// The first and the last second. `None`: described by a proxy, without the certificate.
    validity: Option<RangeInclusive<Timestamp>>,
    trust: CertificateTrust,
    /// Whose trust anchors it was verified against, and which generation of them.
    verified_under: Option<(TrustGeneration, u64)>,
}

impl PeerCertificate {
    /// Reads the chain that a peer presented, each certificate as DER, the leaf first.
    ///
    /// # Errors
    ///
    /// There is no certificate, or the leaf is not a well-formed one.
    pub fn from_der(chain: &[impl AsRef<[u8]>], trust: CertificateTrust) -> Result<Self, CertificateError> {
        let der = chain.first().ok_or(CertificateError::MISSING)?.as_ref();
        let leaf = parse(der)?;
        let (mut dns_names, mut uris) = (Vec::new(), Vec::new());
        for name in alternative_names(&leaf)? {
            match name {
                GeneralName::DNSName(name) => dns_names.push((*name).into()),
                GeneralName::URI(uri) => uris.push((*uri).into()),
                _ => {}
            }
        }
        // Anyone can write any identifier into a certificate of their own making.
        let spiffe_id = match trust {
            CertificateTrust::ChainedToTrustAnchor => x509_svid_id(chain).ok(),
            CertificateTrust::PresentedOnly => None,
        };
        let validity = leaf.validity();
        Ok(Self(Arc::new(Facts {
            thumbprint: thumbprint(der),
            spiffe_id,
            dns_names,
            uris,
            validity: Some(
                Timestamp::from_unix_seconds(validity.not_before.timestamp())
                    ..=Timestamp::from_unix_seconds(validity.not_after.timestamp()),
            ),
            trust,
            verified_under: None,
        })))
    }

    /// Reads a chain that a proxy hands on. No one has looked at the certificates
    /// behind the leaf yet, so that one which cannot be read is an error here.
    pub(super) fn from_chain(chain: &[Vec<u8>], trust: CertificateTrust) -> Result<Self, CertificateError> {
        chain.iter().skip(1).try_for_each(|der| parse(der).map(drop))?;
        Self::from_der(chain, trust)
    }

    /// What a proxy says of a certificate that it does not hand on: a name only
    /// where no other name of the certificate can have supplied its text.
    pub(super) fn described(
        thumbprint: [u8; 32],
        only_uri: Option<&str>,
        only_dns_name: Option<&str>,
        trust: CertificateTrust,
    ) -> Self {
        // An X509-SVID has exactly one URI, with a path (X509-SVID sections 2 and 5.2).
        let spiffe_id = match (trust, only_uri) {
            (CertificateTrust::ChainedToTrustAnchor, Some(uri)) => {
                SpiffeId::new(uri).ok().filter(SpiffeId::has_path)
            }
            _ => None,
        };
        Self(Arc::new(Facts {
            thumbprint,
            spiffe_id,
            dns_names: only_dns_name.map(Into::into).into_iter().collect(),
            uris: only_uri.map(Into::into).into_iter().collect(),
            validity: None,
            trust,
            verified_under: None,
        }))
    }

    /// The same certificate, verified against trust anchors that can be
    /// replaced: it is current for as long as `generation` is the latest.
    #[must_use]
    pub fn verified_under(mut self, anchors: &TrustGeneration, generation: u64) -> Self {
        Arc::make_mut(&mut self.0).verified_under = Some((anchors.clone(), generation));
        self
    }

    /// The SHA-256 digest of the certificate's DER: what `x5t#S256` holds, in
    /// base64url, in a token that is bound to it (RFC 8705 section 3.1).
    #[must_use]
    pub fn thumbprint(&self) -> &[u8; 32] {
        &self.0.thumbprint
    }

    /// Which workload the peer is. `None` unless the certificate is an
    /// [X509-SVID](x509_svid_id) and [chains to a trust
    /// anchor](CertificateTrust::ChainedToTrustAnchor).
    #[must_use]
    pub fn spiffe_id(&self) -> Option<&SpiffeId> {
        self.0.spiffe_id.as_ref()
    }

    /// The DNS names among the subject alternative names. Look at
    /// [`trust`](Self::trust) before believing them.
    #[must_use]
    pub fn dns_names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.dns_names.iter().map(|name| &**name)
    }

    /// The URIs among the subject alternative names. Look at
    /// [`trust`](Self::trust) before believing them.
    #[must_use]
    pub fn uris(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.uris.iter().map(|uri| &**uri)
    }

    /// The first second at which the certificate is valid; `None` where a proxy
    /// has verified it and does not say.
    #[must_use]
    pub fn not_before(&self) -> Option<Timestamp> {
        self.0.validity.as_ref().map(|validity| *validity.start())
    }

    /// The last second at which the certificate is valid; `None` where a proxy
    /// has verified it and does not say.
    #[must_use]
    pub fn not_after(&self) -> Option<Timestamp> {
        self.0.validity.as_ref().map(|validity| *validity.end())
    }

    /// What the handshake, ours or a trusted proxy's, proved about the certificate.
    #[must_use]
    pub fn trust(&self) -> CertificateTrust {
        self.0.trust
    }

    /// Whether the certificate still says who the peer is: `now` is within its
    /// period of validity, and the trust anchors that it was verified against
    /// have not been replaced since. Asked on each request: a connection can
    /// outlive its certificate. A period that a proxy does not tell of is taken
    /// for the proxy's to judge.
    #[must_use]
    pub fn is_current(&self, now: Timestamp) -> bool {
        let is_latest = match &self.0.verified_under {
            // Greater for the moment in which a new generation is coming into force.
            Some((anchors, generation)) => *generation >= anchors.current(),
            None => true,
        };
        is_latest && self.0.validity.as_ref().is_none_or(|validity| validity.contains(&now))
    }
}

impl fmt::Debug for PeerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerCertificate")
            .field("spiffe_id", &self.0.spiffe_id)
            .field("dns_names", &self.0.dns_names)
            .field("thumbprint", &format_args!("{}", HEXLOWER.encode(&self.0.thumbprint)))
            .finish_non_exhaustive()
    }
}

fn thumbprint(der: &[u8]) -> [u8; 32] {
    let mut thumbprint = [0; 32];
    // Both are 32 bytes long.
    thumbprint.iter_mut().zip(digest(&SHA256, der).as_ref()).for_each(|(to, from)| *to = *from);
    thumbprint
}
