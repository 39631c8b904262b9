//! What a request presents: the bearer token in its head, and the certificate
//! that its connection was opened with.
//!
//! # The token
//!
//! 1. Exactly one `Authorization` field of scheme `Bearer`, the scheme in any
//!    case, one or more spaces, one `b64token` (RFC 6750 section 2.1): accepted.
//! 2. No `Authorization` field, another scheme (`Basic`), or `Bearer` with
//!    nothing behind it: no credentials.
//! 3. Two `Authorization` fields, two tokens, a tab, a comma, a character
//!    outside `b64token`: refused, 400.
//! 4. `access_token` in the query, alone or beside the field: refused, 400.
//!    URIs end up in logs, caches and `Referer` (RFC 6750 section 5.3).
//! 5. More than [`MAX_TOKEN_LEN`] bytes: refused before anything else looks at them.
//! 6. Scheme `DPoP`: refused, because this version cannot check the proof.
//!
//! A token in a form body (RFC 6750 section 2.2) is never looked for: the
//! decision is taken before the body is read.
//!
//! # The certificate
//!
//! [`PeerInfo`] says who is at the other end of the connection. A TLS listener
//! (the crate `tower-delegation-rustls` has one) makes it once per connection,
//! after the handshake has proved that the peer holds the certificate's key.
//!
//! 1. A chain to a configured trust anchor, or none: [`CertificateTrust`] says
//!    which. A token may be bound to either (RFC 8705 section 3); only the first
//!    says who the peer is.
//! 2. A leaf that is an X509-SVID, [by all rules](x509_svid_id), of a chain to a
//!    trust anchor: has a [SPIFFE ID](PeerCertificate::spiffe_id).
//! 3. A certificate that cannot be read: no peer at all, the connection ends.
//! 4. A certificate outside its period of validity, or verified against trust
//!    anchors that have been replaced since: not [current](PeerCertificate::is_current)
//!    any more, although the connection is still open.
//!
//! # Deployment caveat
//!
//! Who a chain to a trust anchor names is what the authority behind that anchor
//! says. One bundle is one trust domain: where several are given to one
//! listener, each authority can issue identities in the name of the others
//! (X509-SVID section 5).

mod bearer;
mod certificate;
mod forwarded;
mod peer;
mod svid;
mod workload;

pub use self::{
    bearer::MAX_TOKEN_LEN,
    certificate::{CertificateError, CertificateTrust, PeerCertificate},
    forwarded::{ClientCertHeader, MAX_FORWARDED_LEN, TrustedHop, Xfcc, XfccElement, XfccError},
    peer::{PeerInfo, TrustGeneration},
    svid::{X509SvidError, x509_svid_id},
    workload::{WorkloadIdentity, WorkloadIdentitySource, WorkloadRequest},
};
pub(crate) use self::{
    bearer::{Credential, bearer},
    forwarded::{ForwardedIdentity, IdentityHeaders, Vouched},
    workload::TlsPeer,
};
