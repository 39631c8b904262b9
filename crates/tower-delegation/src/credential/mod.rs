//! What a request presents: the token in its head, the DPoP proof beside it, and
//! the certificate that its connection was opened with, here or at a proxy.
//!
//! # The token
//!
//! 1. Exactly one `Authorization` field of scheme `Bearer` or `DPoP`, the scheme
//!    in any case, one or more spaces, one `b64token` (RFC 6750 section 2.1, RFC
//!    9449 section 7.1): accepted.
//! 2. No `Authorization` field, or one of another scheme (`Basic`): no credentials,
//!    and no `error` in the challenge (RFC 6750 section 3.1).
//! 3. Two `Authorization` fields, two fields that were joined into one, two tokens,
//!    none behind the scheme, a tab, a comma, a character outside `b64token`:
//!    refused, 400.
//! 4. `access_token` in the query, alone or beside the field: refused, 400.
//!    URIs end up in logs, caches and `Referer` (RFC 6750 section 5.3).
//! 5. More than [`MAX_TOKEN_LEN`] bytes: refused before anything else looks at them.
//! 6. Scheme `DPoP` where [`Dpop`](crate::proof::Dpop) is not configured: refused, as
//!    a scheme that the service does not know, 401 without `error`.
//!
//! Every `Authorization` and `DPoP` field is marked as
//! [sensitive](http::HeaderValue::set_sensitive) on arrival, so that middleware behind
//! the layer that prints the header fields prints neither token nor proof.
//!
//! A token in a form body (RFC 6750 section 2.2) is never looked for: the
//! decision is taken before the body is read.
//!
//! # The proof
//!
//! With scheme `DPoP`: exactly one `DPoP` field, of at most [`MAX_PROOF_LEN`]
//! bytes and without a comma. How it is judged: [`proof`](crate::proof).
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
//! # The certificate of a proxy's client
//!
//! Off unless [`ClientIdentity::from_proxy`](crate::ClientIdentity::from_proxy)
//! is configured with a [`ClientCertHeader`] and a [`TrustedHop`]. The guide
//! [`proxies`] has configurations that work.
//!
//! 1. From the trusted hop, one field of the configured format with one
//!    certificate: it is the client's, trusted as far as the hop verifies what it
//!    lets in ([`presented_only`](ClientCertHeader::presented_only) if it does not).
//! 2. From the trusted hop, no field: the client has no certificate. The hop's
//!    own certificate is never taken for it.
//! 3. From the trusted hop, a field that is empty, there twice, a list, of another
//!    format, or not a certificate: refused, 400, or 403 where a certificate in it
//!    cannot be read or contradicts its digest. More than [`MAX_FORWARDED_LEN`]
//!    bytes: 431, before anything is parsed.
//! 4. `x-forwarded-client-cert`: the element of the nearest trusted proxy alone.
//!    More elements than trusted proxies: refused, unless the configuration
//!    [allows them](ClientCertHeader::insecure_allow_client_elements). No other
//!    element adds anything. Without the certificate itself, more than one name,
//!    `URI` or `DNS`: no SPIFFE ID and no DNS name. Neither `Hash` nor `Cert`, or a
//!    pair of the proxy's own behind a name of the certificate: refused.
//! 5. A certificate outside of its period of validity: the client has none.
//! 6. From any other hop: not looked at, and removed.
//!
//! # Header fields that speak for a client
//!
//! `x-forwarded-client-cert`, `client-cert`, `client-cert-chain`, the field of
//! [`escaped_pem`](ClientCertHeader::escaped_pem) and those that
//! [`add_identity_header`](crate::layer::DelegationLayerBuilder::add_identity_header)
//! names are removed from every request, whether or not a client identity is
//! configured, and in every spelling: with `_` or `.` for `-` too. Those of the
//! trusted hop, exactly as it spells them, are removed once they are read, or
//! [kept](ClientCertHeader::keep_headers). All others are counted
//! ([`Status`](crate::authenticator::Status)), and refused with 400 if
//! [the service wants that](crate::layer::DelegationLayerBuilder::refuse_untrusted_identity_headers).
//!
//! A setting that names a header field (this one, `escaped_pem`, the field of
//! [JWT-SVIDs](crate::jwt_svid), the header that a requirement compares a claim
//! with) refuses the name of a field with a meaning of its own, in any spelling:
//! fields of credentials (`authorization`, `dpop`, `cookie`, …), of the request's target and
//! body (`host`, `content-length`, …), of one connection (`connection`,
//! `transfer-encoding`, …), and lists that every proxy adds to (`forwarded`,
//! `x-forwarded-for`, `via`, …).
//!
//! # Deployment caveat
//!
//! A party that passes for the trusted hop can be any client at all: prefer
//! [`TrustedHop::spiffe`] to an address. The hop must write or remove its field on
//! every request. The fields are removed by the layer: middleware outside of it
//! sees them as they came.
//!
//! Who a chain to a trust anchor names is what the authority behind that anchor
//! says. One bundle is one trust domain: where several are given to one
//! listener, each authority can issue identities in the name of the others
//! (X509-SVID section 5).

mod certificate;
mod forwarded;
mod header_name;
mod peer;
mod proof;
mod scheme;
mod token;
mod trust_generation;
mod workload;
mod x509;
mod x509_svid;

#[doc = include_str!("../../../../docs/proxies.md")]
pub mod proxies {}

pub use self::{
    certificate::{CertificateTrust, PeerCertificate},
    forwarded::{ClientCertHeader, MAX_FORWARDED_LEN, TrustedHop, Xfcc, XfccElement, XfccError},
    peer::PeerInfo,
    proof::MAX_PROOF_LEN,
    token::MAX_TOKEN_LEN,
    trust_generation::TrustGeneration,
    workload::{WorkloadIdentity, WorkloadIdentitySource, WorkloadRequest},
    x509::CertificateError,
    x509_svid::{X509SvidError, x509_svid_id},
};
pub(crate) use self::{
    forwarded::{ForwardedIdentity, IdentityHeaders, Vouched},
    header_name::configured_header,
    proof::{DPOP, dpop_proof},
    scheme::{ProtectionSpace, Scheme},
    token::OwnedCredential,
    token::{Credential, credential, mark_sensitive},
    workload::{TlsPeer, Voucher},
};
