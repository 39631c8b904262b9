//! Does the presenter hold what the token is bound to?
//!
//! 1. A token without `cnf` is a plain bearer token: nothing to prove.
//! 2. A token bound to a certificate (RFC 8705 section 3) is accepted only on a
//!    connection whose client certificate has that thumbprint, and only while
//!    the certificate is current. It need not chain to a trust anchor: the
//!    binding proves possession of the key, not who the client is.
//! 3. Where the service does not look at client certificates, every bound token
//!    is refused.

use aws_lc_rs::constant_time::verify_slices_are_equal;

use crate::{confirmation::Confirmation, credential::WorkloadIdentity, reason::DenialReason};

/// How a token is tied to whoever presents it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SenderConstraint {
    /// Not at all: a plain bearer token.
    None,
    /// By the client certificate of the connection (RFC 8705 section 3).
    MutualTls,
}

impl SenderConstraint {
    /// The constraint in `snake_case`, as audit events carry it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::MutualTls => "mutual_tls",
        }
    }
}

/// What the transport can tell of the other end.
#[derive(Clone)]
pub(crate) enum Transport {
    /// The service does not look at it.
    NotConsidered,
    /// The workload, if it is known.
    Considered(Option<WorkloadIdentity>),
}

impl Transport {
    pub(crate) fn workload(self) -> Option<WorkloadIdentity> {
        match self {
            Self::NotConsidered => None,
            Self::Considered(workload) => workload,
        }
    }
}

/// Checks the token's confirmation against the transport.
pub(crate) fn check(
    confirmation: Option<Confirmation>,
    transport: &Transport,
) -> Result<SenderConstraint, DenialReason> {
    let Some(Confirmation::Certificate(bound)) = confirmation else { return Ok(SenderConstraint::None) };
    let Transport::Considered(workload) = transport else {
        return Err(DenialReason::ConfirmationUnsupported);
    };
    let thumbprint =
        workload.as_ref().and_then(WorkloadIdentity::thumbprint).ok_or(DenialReason::CertificateMissing)?;
    verify_slices_are_equal(&bound, thumbprint)
        .map(|()| SenderConstraint::MutualTls)
        .map_err(|_differ| DenialReason::ConfirmationMismatch)
}
