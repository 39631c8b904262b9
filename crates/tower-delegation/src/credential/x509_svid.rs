//! X509-SVID: when a chain of certificates names a workload.

use x509_parser::{certificate::X509Certificate, error::X509Error, extensions::GeneralName};

use super::x509::{CertificateError, alternative_names, parse};
use crate::spiffe::{SpiffeId, SpiffeIdError};

/// The workload that a chain of certificates (DER, the leaf first) names, if
/// the whole chain has the form of an X509-SVID.
///
/// 1. The leaf has exactly one URI among its subject alternative names, and it
///    is a SPIFFE ID with a path (X509-SVID sections 2 and 5.2); names of other
///    kinds do not matter.
/// 2. The leaf is no certificate authority (section 4.1). Its key usage is
///    there, critical, with `digitalSignature`, without `keyCertSign` and
///    `cRLSign` (section 4.3).
/// 3. The leaf's extended key usage, if there is one, allows both ends of a TLS
///    connection (section 4.4).
/// 4. All others are certificate authorities with a critical key usage that has
///    `keyCertSign`; a SPIFFE ID of theirs has no path (sections 3.2 and 4).
///
/// This is about form. Signatures, periods of validity and trust anchors are
/// for the TLS handshake.
///
/// # Errors
///
/// The chain is empty, cannot be read, or breaks one of the rules.
pub fn x509_svid_id(chain: &[impl AsRef<[u8]>]) -> Result<SpiffeId, X509SvidError> {
    let mut id = None;
    for (position, der) in chain.iter().enumerate() {
        let unreadable = |cause| X509SvidError(Problem::Unreadable { position, cause });
        let certificate = parse(der.as_ref()).map_err(unreadable)?;
        let names = alternative_names(&certificate).map_err(unreadable)?;
        let uses = Uses::of(&certificate).map_err(|cause| unreadable(CertificateError::malformed(cause)))?;
        let problem = if position == 0 {
            id = Some(leaf_id(names)?);
            uses.problem_of_leaf()
        } else {
            uses.problem_of_signer().or_else(|| problem_of_signer_id(names))
        };
        if let Some(problem) = problem {
            return Err(X509SvidError(Problem::Rule { position, problem }));
        }
    }
    id.ok_or(X509SvidError(Problem::NoCertificate))
}

/// Why a chain of certificates is no X509-SVID.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct X509SvidError(Problem);

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("there is no certificate")]
    NoCertificate,
    #[error("certificate {position} of the chain cannot be read")]
    Unreadable {
        position: usize,
        #[source]
        cause: CertificateError,
    },
    #[error("certificate {position} of the chain {problem}")]
    Rule { position: usize, problem: &'static str },
    #[error("the URI of the leaf is no SPIFFE ID")]
    Id(#[source] SpiffeIdError),
}

/// What a certificate's key may be used for.
struct Uses {
    is_authority: bool,
    /// The key usage, if it is there and critical.
    critical_key_usage: Option<KeyUsage>,
    /// Whether the extended key usage, if there is one, allows both ends of TLS.
    serves_both_ends: bool,
}

struct KeyUsage {
    digital_signature: bool,
    cert_sign: bool,
    crl_sign: bool,
}

impl Uses {
    fn of(certificate: &X509Certificate<'_>) -> Result<Self, X509Error> {
        let critical_key_usage =
            certificate.key_usage()?.filter(|usage| usage.critical).map(|usage| KeyUsage {
                digital_signature: usage.value.digital_signature(),
                cert_sign: usage.value.key_cert_sign(),
                crl_sign: usage.value.crl_sign(),
            });
        Ok(Self {
            is_authority: certificate.basic_constraints()?.is_some_and(|constraints| constraints.value.ca),
            critical_key_usage,
            serves_both_ends: certificate
                .extended_key_usage()?
                .is_none_or(|usage| usage.value.server_auth && usage.value.client_auth),
        })
    }

    fn problem_of_leaf(&self) -> Option<&'static str> {
        let Some(usage) = &self.critical_key_usage else { return Some("has no critical key usage") };
        [
            (self.is_authority, "is an authority's"),
            (!usage.digital_signature, "may not sign"),
            (usage.cert_sign, "may sign certificates"),
            (usage.crl_sign, "may sign revocation lists"),
            (!self.serves_both_ends, "may not be used at both ends of a connection"),
        ]
        .into_iter()
        .find_map(|(applies, problem)| applies.then_some(problem))
    }

    fn problem_of_signer(&self) -> Option<&'static str> {
        match &self.critical_key_usage {
            None => Some("has no critical key usage"),
            Some(_) if !self.is_authority => Some("is not an authority's"),
            Some(usage) if !usage.cert_sign => Some("may not sign certificates"),
            Some(_) => None,
        }
    }
}

fn leaf_id(names: &[GeneralName<'_>]) -> Result<SpiffeId, X509SvidError> {
    let rule = |problem| X509SvidError(Problem::Rule { position: 0, problem });
    let mut uris = uris(names);
    let uri = uris.next().ok_or_else(|| rule("has no URI"))?;
    if uris.next().is_some() {
        return Err(rule("has more than one URI"));
    }
    let id = SpiffeId::new(uri).map_err(|cause| X509SvidError(Problem::Id(cause)))?;
    if id.has_path() { Ok(id) } else { Err(rule("names a trust domain, not a workload")) }
}

/// An authority may carry the identifier of a trust domain, or none.
fn problem_of_signer_id(names: &[GeneralName<'_>]) -> Option<&'static str> {
    let is_spiffe = |uri: &&str| uri.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("spiffe:"));
    uris(names)
        .filter(is_spiffe)
        .any(|uri| SpiffeId::new(uri).map_or(true, |id| id.has_path()))
        .then_some("is an authority's and names a workload")
}

fn uris<'a>(names: &'a [GeneralName<'a>]) -> impl Iterator<Item = &'a str> {
    names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    })
}
