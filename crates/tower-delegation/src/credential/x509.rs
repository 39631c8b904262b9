//! Reads one certificate.

use x509_parser::{
    certificate::X509Certificate,
    error::X509Error,
    extensions::GeneralName,
    oid_registry::{
        OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_EXTENDED_KEY_USAGE, OID_X509_EXT_KEY_USAGE,
        OID_X509_EXT_SUBJECT_ALT_NAME,
    },
    prelude::FromDer,
};

/// Why a certificate cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct CertificateError(Problem);

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("there is no certificate")]
    NoCertificate,
    #[error("the certificate is not well-formed DER")]
    Malformed(#[source] X509Error),
    #[error("{0} bytes follow the certificate")]
    TrailingBytes(usize),
    #[error("an extension of the certificate is not well-formed")]
    MalformedExtension,
}

impl CertificateError {
    pub(super) const MISSING: Self = Self(Problem::NoCertificate);

    pub(super) fn malformed(cause: impl Into<X509Error>) -> Self {
        Self(Problem::Malformed(cause.into()))
    }
}

/// One certificate and nothing behind it, its extensions readable as far as we
/// look at them: the parser takes one that is malformed for one that is absent.
pub(super) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, CertificateError> {
    let (rest, certificate) = X509Certificate::from_der(der).map_err(CertificateError::malformed)?;
    if !rest.is_empty() {
        return Err(CertificateError(Problem::TrailingBytes(rest.len())));
    }
    let looked_at = [
        OID_X509_EXT_BASIC_CONSTRAINTS,
        OID_X509_EXT_EXTENDED_KEY_USAGE,
        OID_X509_EXT_KEY_USAGE,
        OID_X509_EXT_SUBJECT_ALT_NAME,
    ];
    for extension in certificate.extensions() {
        let is_malformed = extension.parsed_extension().error().is_some();
        if is_malformed && looked_at.contains(&extension.oid) {
            return Err(CertificateError(Problem::MalformedExtension));
        }
    }
    Ok(certificate)
}

/// The subject alternative names; the common name is never a name of the peer.
pub(super) fn alternative_names<'a>(
    certificate: &'a X509Certificate<'_>,
) -> Result<&'a [GeneralName<'a>], CertificateError> {
    let Some(extension) = certificate.subject_alternative_name().map_err(CertificateError::malformed)? else {
        return Ok(&[]);
    };
    let names = &extension.value.general_names;
    if names.iter().any(|name| matches!(name, GeneralName::Invalid(..))) {
        return Err(CertificateError(Problem::MalformedExtension));
    }
    Ok(names)
}
