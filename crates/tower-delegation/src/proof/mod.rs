//! Does the presenter hold what the token is bound to?
//!
//! 1. A token without `cnf` is a plain bearer token: nothing to prove.
//! 2. A token bound to a certificate (RFC 8705 section 3) is accepted only on a
//!    connection whose client certificate has that thumbprint, and only while
//!    the certificate is current. It need not chain to a trust anchor: the
//!    binding proves possession of the key, not who the client is.
//! 3. A token bound to a key (RFC 9449) is accepted only by scheme `DPoP`, and
//!    only with a proof by that key for this very request. By scheme `Bearer` it
//!    is refused, whatever else the request carries (section 7.2).
//! 4. A token bound to both needs both.
//! 5. Scheme `DPoP` with a token that is not bound to a key is refused.
//! 6. Where the service does not look at client certificates, or is not
//!    configured for DPoP, every token that is bound that way is refused.
//!
//! # The proof
//!
//! In this order: one `DPoP` field of at most 8 KiB; one compact JWS of strict
//! JSON; `typ` `dpop+jwt`; an allowed `alg`; `jwk` is a sound public key without
//! private members, and its thumbprint is the token's `jkt`; `htm` is the method;
//! `htu` is the URI; `iat` (and `exp`, `nbf`, if there) are in time; `ath` is the
//! hash of the token; `nonce` is one of ours, where nonces are demanded; the
//! signature verifies; the proof was not [used before](crate::replay).
//!
//! Where nonces are demanded, the nonce says when the proof was made, and `iat`,
//! which must be there, is not judged: a client whose clock is wrong is served (RFC
//! 9449 section 4.3, check 11). Such a proof is accepted for as long as its nonce,
//! up to twice [`rotate_every`](DpopNonces::rotate_every), and remembered for as
//! long. `exp` and `nbf`, if a client sets them, are judged all the same.
//!
//! # Deployment caveat
//!
//! A proof covers the method, the URI without its query, and the token. It covers
//! neither the query nor the header fields nor the body: it says who sends, not
//! what is sent (RFC 9449 section 11.7). Browsers see `DPoP-Nonce` and
//! `WWW-Authenticate` only if CORS exposes them:
//! `Access-Control-Expose-Headers: DPoP-Nonce, WWW-Authenticate` (section 9).

mod dpop;
mod own_proof;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::{HeaderValue, Method, Uri};

pub use self::dpop::{Dpop, DpopNonces, DpopSettings};
pub(crate) use self::{
    dpop::{DpopRequest, DpopVerifier, ProofEnd},
    own_proof::{OwnProof, SingleUse},
};
use crate::{
    clock::{Moment, Timestamp},
    confirmation::{Confirmation, SenderConstraint},
    credential::{Credential, OwnedCredential, PeerCertificate, PeerInfo, Scheme, WorkloadIdentity},
    reason::DenialReason,
};

/// What the transport can tell of the other end.
#[derive(Clone)]
pub(crate) enum Transport {
    /// The service does not look at it.
    NotConsidered,
    /// The workload, if it is known.
    Considered {
        workload: Option<WorkloadIdentity>,
        /// The certificate of the connection, where it is not the workload's: that
        /// of the proxy that passes the request on.
        hop: Option<PeerCertificate>,
    },
}

impl Transport {
    /// `workload`, on a connection that `peer` is at the other end of.
    pub(crate) fn of(workload: Option<WorkloadIdentity>, peer: Option<&PeerInfo>) -> Self {
        let is_workload = |certificate: &&PeerCertificate| {
            let thumbprint = workload.as_ref().and_then(WorkloadIdentity::thumbprint);
            thumbprint == Some(certificate.thumbprint())
        };
        // Current or not: it is only ever a reason to refuse.
        let certificate = peer.and_then(PeerInfo::certificate_at_handshake);
        let hop = certificate.filter(|certificate| !is_workload(certificate)).cloned();
        Self::Considered { workload, hop }
    }

    /// What is left of it at a later time: a certificate may have expired while the
    /// request waited, or the trust anchors that vouched for it may have been replaced.
    pub(crate) fn at(self, now: Timestamp) -> Self {
        match self {
            Self::NotConsidered => Self::NotConsidered,
            Self::Considered { workload, hop } => {
                Self::Considered { workload: workload.and_then(|workload| workload.at(now)), hop }
            }
        }
    }

    /// Whether nothing of it has ended.
    pub(crate) fn holds(&self, now: Timestamp) -> bool {
        self.as_workload().is_none_or(|workload| workload.holds(now))
    }

    pub(crate) fn as_workload(&self) -> Option<&WorkloadIdentity> {
        match self {
            Self::NotConsidered => None,
            Self::Considered { workload, .. } => workload.as_ref(),
        }
    }

    pub(crate) fn workload(self) -> Option<WorkloadIdentity> {
        match self {
            Self::NotConsidered => None,
            Self::Considered { workload, .. } => workload,
        }
    }

    pub(crate) fn hop(&self) -> Option<&PeerCertificate> {
        match self {
            Self::NotConsidered => None,
            Self::Considered { hop, .. } => hop.as_ref(),
        }
    }
}

/// What a request presents: its credential, and what it proves that by.
#[derive(Clone, Copy)]
pub(crate) struct Presented<'a> {
    pub(crate) credential: Credential<'a>,
    /// `None`: the token came by other means, so no proof can be for it.
    pub(crate) request: Option<PresentingRequest<'a>>,
}

/// The parts of a request's head that a DPoP proof speaks of, and the proof.
#[derive(Clone, Copy)]
pub(crate) struct PresentingRequest<'a> {
    pub(crate) method: &'a Method,
    /// The target that the client sent.
    pub(crate) uri: &'a Uri,
    /// Read only where the credential is of scheme `DPoP`.
    pub(crate) proof: Result<&'a str, DenialReason>,
    /// Where the proof is known to be the one that the request came with.
    pub(crate) own: Option<&'a OwnProof>,
}

/// The same, kept while the request waits: no more of its head than that.
pub(crate) struct Held {
    credential: OwnedCredential,
    request: Option<HeldRequest>,
}

struct HeldRequest {
    method: Method,
    uri: Uri,
    proof: Result<Box<str>, DenialReason>,
    own: Option<OwnProof>,
}

impl Presented<'_> {
    pub(crate) fn hold(self) -> Held {
        let request = self.request.map(|it| HeldRequest {
            method: it.method.clone(),
            uri: it.uri.clone(),
            proof: it.proof.map(Box::from),
            own: it.own.cloned(),
        });
        Held { credential: self.credential.to_owned(), request }
    }
}

impl Held {
    pub(crate) fn presented(&self) -> Presented<'_> {
        let request = self.request.as_ref().map(|HeldRequest { method, uri, proof, own }| {
            let proof = proof.as_deref().map_err(|reason| *reason);
            PresentingRequest { method, uri, proof, own: own.as_ref() }
        });
        Presented { credential: self.credential.as_credential(), request }
    }
}

/// The binding holds, but for what is left to do.
pub(crate) struct Proved<'a> {
    pub(crate) constraint: SenderConstraint,
    /// A proof that must not have been used before, if there is a proof.
    pub(crate) single_use: Option<SingleUse<'a>>,
    /// A nonce for the client's next proofs.
    pub(crate) dpop_nonce: Option<HeaderValue>,
}

/// Checks everything that the token is bound to. `dpop` is `None` where the
/// service is not configured for it.
pub(crate) fn check<'a>(
    confirmation: Option<&Confirmation>,
    presented: Presented<'_>,
    transport: &Transport,
    dpop: Option<&'a DpopVerifier>,
    now: Moment,
) -> Result<Proved<'a>, DenialReason> {
    let certificate = confirmation.and_then(Confirmation::certificate);
    let key = confirmation.and_then(Confirmation::key);
    let by_dpop = match (presented.credential.scheme(), key, dpop) {
        (Scheme::Bearer, None, _) => None,
        (_, Some(_), None) => return Err(DenialReason::ConfirmationUnsupported),
        (Scheme::Bearer, Some(_), Some(_)) => return Err(DenialReason::DpopTokenAsBearer),
        (Scheme::Dpop, None, _) => return Err(DenialReason::DpopTokenUnbound),
        (Scheme::Dpop, Some(key), Some(dpop)) => Some((key, dpop)),
    };
    check_certificate(confirmation, transport)?;
    let Some((key, dpop)) = by_dpop else {
        let constraint =
            if certificate.is_some() { SenderConstraint::MutualTls } else { SenderConstraint::None };
        return Ok(Proved { constraint, single_use: None, dpop_nonce: None });
    };
    let PresentingRequest { method, uri, proof, own } =
        presented.request.ok_or(DenialReason::DpopProofMissing)?;
    let (proof, token) = (proof?, presented.credential.as_bytes());
    let accepted = dpop.check(&DpopRequest { proof, method, path: uri.path(), token, key, now })?;
    let constraint =
        if certificate.is_some() { SenderConstraint::MutualTlsAndDpop } else { SenderConstraint::Dpop };
    let (store, used, end) = (accepted.store, accepted.used, accepted.end);
    let single_use = Some(SingleUse { store, used, end, own: own.cloned() });
    Ok(Proved { constraint, single_use, dpop_nonce: accepted.next_nonce })
}

/// Does the presenter hold the certificate that the token is bound to, if it is bound
/// to one?
pub(crate) fn check_certificate(
    confirmation: Option<&Confirmation>,
    transport: &Transport,
) -> Result<(), DenialReason> {
    let Some(bound) = confirmation.and_then(Confirmation::certificate) else { return Ok(()) };
    let Transport::Considered { workload, .. } = transport else {
        return Err(DenialReason::ConfirmationUnsupported);
    };
    let thumbprint =
        workload.as_ref().and_then(WorkloadIdentity::thumbprint).ok_or(DenialReason::CertificateMissing)?;
    verify_slices_are_equal(bound, thumbprint).map_err(|_differ| DenialReason::ConfirmationMismatch)
}
