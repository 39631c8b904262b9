//! What a TLS-terminating proxy says of its client's certificate.

mod client_cert;
mod escaped_pem;
mod hop;
mod identity_headers;
mod refusal;
mod remembered;
mod xfcc;

use std::num::NonZeroUsize;

use data_encoding::HEXLOWER_PERMISSIVE;
use http::{HeaderMap, HeaderName, HeaderValue, header::GetAll};

pub(crate) use self::identity_headers::{IdentityHeaders, Vouched};
use self::refusal::Refusal;
pub use self::{
    hop::TrustedHop,
    xfcc::{Xfcc, XfccElement, XfccError},
};
use super::{CertificateTrust, PeerCertificate, PeerInfo, WorkloadIdentity, header_name::configured_header};
use crate::{
    clock::Timestamp,
    error::{ConfigError, Mistakes},
    reason::DenialReason,
    spiffe::SpiffeId,
    text::Text,
};

/// The most bytes of a proxy's fields together, certificate and chain; looked at
/// before anything is parsed.
pub const MAX_FORWARDED_LEN: usize = 64 * 1024;

/// SHA-256 of nothing: what a proxy that has no certificate may say of it.
const HASH_OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The header field in which a proxy hands on its client's certificate.
///
/// The proxy must write or remove the field on **every** request. By default it
/// must also let in only certificates that it has verified against trust anchors
/// (nginx `ssl_verify_client on` or `optional`, never `optional_no_ca`; haproxy
/// `verify required` or `optional` without `crt-ignore-err` and `ca-ignore-err`;
/// Envoy a `validation_context` with `trusted_ca`): its verdict is relied on, the
/// chain is not verified again. For others there is
/// [`presented_only`](Self::presented_only).
///
/// ```
/// use tower_delegation::{ClientIdentity, ConfigError, credential::{ClientCertHeader, TrustedHop}};
///
/// fn behind_envoy() -> Result<ClientIdentity, ConfigError> {
///     let gateway = TrustedHop::spiffe("spiffe://prod.example/ns/mesh/sa/gateway")?;
///     Ok(ClientIdentity::from_proxy(ClientCertHeader::xfcc(), gateway))
/// }
///
/// fn behind_nginx() -> Result<ClientIdentity, ConfigError> {
///     let header = ClientCertHeader::escaped_pem("ssl-client-cert")?;
///     Ok(ClientIdentity::from_proxy(header, TrustedHop::unix_socket()))
/// }
/// # behind_envoy().and(behind_nginx())?;
/// # Ok::<_, ConfigError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientCertHeader {
    format: Format,
    trust: CertificateTrust,
    keeps_headers: bool,
    xfcc: XfccRules,
}

#[derive(Clone, Debug)]
enum Format {
    Xfcc,
    Rfc9440,
    EscapedPem(HeaderName),
}

#[derive(Clone, Debug, Default)]
struct XfccRules {
    trusted_proxies: Option<usize>,
    expected_by: Option<SpiffeId>,
    /// Whether more elements than trusted proxies are let through.
    allows_client_elements: bool,
}

impl ClientCertHeader {
    /// Envoy's `x-forwarded-client-cert` ([`Xfcc`]), with
    /// `forward_client_cert_details` set to `SANITIZE_SET` or `APPEND_FORWARD`.
    /// In `FORWARD_ONLY` and `ALWAYS_FORWARD_ONLY` a client can write the field
    /// itself: never use them at a trusted hop.
    ///
    /// Refuses more elements than there are trusted proxies: Envoy writes the names
    /// of certificates as they are, so that a comma in a URI or a DNS name begins
    /// another element. The outermost trusted proxy must therefore be in mode
    /// `SANITIZE_SET`, unless
    /// [`insecure_allow_client_elements`](Self::insecure_allow_client_elements) is set.
    ///
    /// One element is believed, that of the nearest proxy; what the others say is
    /// never added to it. It must have a `Hash`, a `Cert` or a `Chain`, else the
    /// request is refused: no such element comes from the two good modes. With
    /// `Cert` or `Chain` everything is read from the certificate, which must have
    /// the `Hash`. Without, a `URI` or a `DNS` name counts only where it is the only
    /// name in the element and the last of its pairs, without quotes: anything else
    /// can be the text of another name. When the certificate ends is not known then.
    /// An element whose `By`, `Hash`, `Cert`, `Chain` or `Subject` comes
    /// behind a name, or a `URI` behind a `DNS`, is refused: Envoy writes its own
    /// values first.
    pub fn xfcc() -> Self {
        Self::new(Format::Xfcc)
    }

    /// `Client-Cert` and `Client-Cert-Chain` (RFC 9440).
    pub fn rfc9440() -> Self {
        Self::new(Format::Rfc9440)
    }

    /// A field of your choice with one certificate as percent-encoded PEM: nginx's
    /// `$ssl_client_escaped_cert`.
    ///
    /// # Errors
    /// The name cannot be that of a header field, or is that of a field with
    /// [a meaning of its own](super#header-fields-that-speak-for-a-client).
    pub fn escaped_pem(header_name: &str) -> Result<Self, ConfigError> {
        let name = configured_header(header_name, "the client certificate")?;
        Ok(Self::new(Format::EscapedPem(name)))
    }

    fn new(format: Format) -> Self {
        let trust = CertificateTrust::ChainedToTrustAnchor;
        Self { format, trust, keeps_headers: false, xfcc: XfccRules::default() }
    }

    /// The proxy hands on whatever certificate was presented, verified or not. It
    /// then holds tokens that are bound to it (RFC 8705 section 2.2), and names
    /// no client.
    pub fn presented_only(mut self) -> Self {
        self.trust = CertificateTrust::PresentedOnly;
        self
    }

    /// Leaves the fields of the trusted hop in the request, for a service that
    /// reads them itself. Default: they are removed, and always where several
    /// proxies are configured.
    pub fn keep_headers(mut self) -> Self {
        self.keeps_headers = true;
        self
    }

    /// How many proxies in a row are trusted and append an element; the client is
    /// that of the outermost, so its element is the `n`-th from the end. One
    /// unless set. Fewer elements than that: the outermost had no client
    /// certificate. Only for [`xfcc`](Self::xfcc).
    pub fn trusted_proxies(mut self, n: usize) -> Self {
        self.xfcc.trusted_proxies = Some(n);
        self
    }

    /// Who we are to the trusted proxy that writes the element: one of its `By`
    /// must be this, else the request is refused. Not checked unless set. Only
    /// for [`xfcc`](Self::xfcc).
    pub fn expected_by(mut self, id: SpiffeId) -> Self {
        self.xfcc.expected_by = Some(id);
        self
    }

    /// Lets more elements through than there are trusted proxies, for an outermost
    /// proxy in mode `APPEND_FORWARD`, which hands on the elements that its clients
    /// write. **A client whose certificate has a comma in a URI or a DNS name then
    /// writes the element that is believed**: only where the authority signs no
    /// names that its clients choose. Only for [`xfcc`](Self::xfcc).
    pub fn insecure_allow_client_elements(mut self) -> Self {
        self.xfcc.allows_client_elements = true;
        self
    }

    fn check(&self) -> Result<(), ConfigError> {
        let mut mistakes = Mistakes::default();
        if self.xfcc.trusted_proxies == Some(0) {
            mistakes.add(ConfigError::OutOfRange {
                setting: "trusted_proxies",
                value: 0,
                expected: "1 or more: the proxy that is trusted counts",
            });
        }
        let XfccRules { trusted_proxies, expected_by, allows_client_elements } = &self.xfcc;
        for (setting, is_set) in [
            ("trusted_proxies", trusted_proxies.is_some()),
            ("expected_by", expected_by.is_some()),
            ("insecure_allow_client_elements", *allows_client_elements),
        ] {
            if is_set && !matches!(self.format, Format::Xfcc) {
                mistakes.add(ConfigError::XfccOnly { setting });
            }
        }
        mistakes.into_result()
    }
}

/// What a trusted hop says is believed; what any other peer says is not.
#[derive(Clone, Debug)]
pub(crate) struct ForwardedIdentity {
    header: ClientCertHeader,
    hop: TrustedHop,
    remembered: remembered::Remembered,
}

impl ForwardedIdentity {
    pub(crate) fn new(header: ClientCertHeader, hop: TrustedHop) -> Self {
        Self { header, hop, remembered: remembered::Remembered::new() }
    }

    /// Finds every mistake.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        self.header.check()
    }

    /// Marks the fields that the proxy writes itself.
    pub(crate) fn vouch(&self, guarded: &mut IdentityHeaders) {
        match &self.header.format {
            Format::Xfcc => guarded.vouch_for(&identity_headers::XFCC),
            Format::Rfc9440 => {
                guarded.vouch_for(&identity_headers::CLIENT_CERT);
                guarded.vouch_for(&identity_headers::CLIENT_CERT_CHAIN);
            }
            Format::EscapedPem(name) => guarded.vouch_for(name),
        }
    }

    /// Does the hop vouch for its fields?
    pub(crate) fn vouched(&self, peer: &PeerInfo, now: Timestamp) -> Vouched {
        match (self.hop.is(peer, now), self.header.keeps_headers) {
            (false, _) => Vouched::ForNothing,
            (true, false) => Vouched::ToBeRemoved,
            (true, true) => Vouched::ToBeKept,
        }
    }

    /// The client's certificate as the trusted hop has it; `None` if it has none,
    /// or if it is not valid now. Counts while `peer` is the hop.
    pub(crate) fn identify(
        &self,
        headers: &HeaderMap,
        peer: &PeerInfo,
        now: Timestamp,
    ) -> Result<Option<WorkloadIdentity>, DenialReason> {
        let certificate = self.read(headers).map_err(|Refusal { reason, problem }| {
            tracing::debug!(reason = reason.code(), problem = %Text::new(problem), "a trusted hop's client certificate is refused");
            reason
        })?;
        let client =
            certificate.filter(|certificate| certificate.is_current(now)).map(WorkloadIdentity::from);
        // Where its address alone makes it the hop, its certificate does not matter.
        let hop = peer.certificate(now).filter(|_| !self.hop.is(&peer.without_certificate(), now));
        Ok(match hop {
            Some(certificate) => client.map(|client| client.while_current(certificate)),
            None => client,
        })
    }

    fn read(&self, headers: &HeaderMap) -> Result<Option<PeerCertificate>, Refusal> {
        let fields: &[_] = match &self.header.format {
            Format::Xfcc => &[headers.get_all(&identity_headers::XFCC)],
            Format::Rfc9440 => &[
                headers.get_all(&identity_headers::CLIENT_CERT),
                headers.get_all(&identity_headers::CLIENT_CERT_CHAIN),
            ],
            Format::EscapedPem(name) => &[headers.get_all(name)],
        };
        let lines = || fields.iter().flat_map(GetAll::iter);
        if lines().next().is_none() {
            return Ok(None);
        }
        let len = lines().map(HeaderValue::len).sum();
        if len > MAX_FORWARDED_LEN {
            let reason = DenialReason::IdentityHeaderTooLarge;
            return Err(Refusal { reason, problem: "the client certificate's fields are too large" });
        }
        let key = self.remembered.key(fields, len);
        if let Some(certificate) = self.remembered.get(key) {
            return Ok(Some(certificate));
        }
        let certificate = match (&self.header.format, fields) {
            (Format::Xfcc, _) => self.of_xfcc(lines())?,
            (Format::Rfc9440, [leaf, chain]) => {
                let chain = client_cert::decode(leaf, chain)?;
                chain.map(|chain| self.of_chain(&chain)).transpose()?
            }
            (Format::Rfc9440 | Format::EscapedPem(_), _) => Some(self.of_escaped_pem(lines())?),
        };
        if let Some(certificate) = &certificate {
            self.remembered.insert(key, certificate);
        }
        Ok(certificate)
    }

    fn of_escaped_pem<'a>(
        &self,
        mut lines: impl Iterator<Item = &'a HeaderValue>,
    ) -> Result<PeerCertificate, Refusal> {
        match (lines.next(), lines.next()) {
            (Some(line), None) => self.of_chain(&[escaped_pem::decode_one(text(line)?)?]),
            _ => Err(Refusal::malformed("the client certificate's field stands there twice")),
        }
    }

    /// Whatever elements the lines have, in order: several lines are one field
    /// (RFC 9110 section 5.3).
    fn of_xfcc<'a>(
        &self,
        lines: impl Iterator<Item = &'a HeaderValue>,
    ) -> Result<Option<PeerCertificate>, Refusal> {
        let mut elements = Vec::new();
        for line in lines {
            let field = Xfcc::parse(text(line)?).map_err(|error| Refusal::malformed(error.problem()))?;
            elements.extend(field.into_elements());
        }
        let rules = &self.header.xfcc;
        let trusted = rules.trusted_proxies.and_then(NonZeroUsize::new).map_or(1, NonZeroUsize::get);
        if elements.len() > trusted && !rules.allows_client_elements {
            return Err(Refusal::malformed("there are more elements than trusted proxies"));
        }
        let element = elements.len().checked_sub(trusted).and_then(|place| elements.get(place));
        element.map(|element| self.of_element(element)).transpose()
    }

    fn of_element(&self, element: &XfccElement<'_>) -> Result<PeerCertificate, Refusal> {
        if !element.is_in_order() {
            return Err(Refusal::malformed("a pair follows a name of the client's certificate"));
        }
        let expected_by = self.header.xfcc.expected_by.as_ref();
        if expected_by.is_some_and(|us| element.by().all(|by| by != us.as_str())) {
            return Err(Refusal::mismatch("the proxy's element is by another than expected"));
        }
        let hash = element.hash().map(sha256).transpose()?;
        let chain = match (element.cert(), element.chain()) {
            (None, None) => {
                let thumbprint = hash.ok_or(Refusal::malformed("an element has neither Hash nor Cert"))?;
                return Ok(PeerCertificate::described(
                    thumbprint,
                    element.only_uri(),
                    element.only_dns_name(),
                    self.header.trust,
                ));
            }
            (Some(cert), None) => vec![escaped_pem::decode_one(cert)?],
            (None, Some(chain)) => escaped_pem::decode(chain)?,
            (Some(cert), Some(chain)) => {
                let (cert, chain) = (escaped_pem::decode_one(cert)?, escaped_pem::decode(chain)?);
                if chain.first() != Some(&cert) {
                    return Err(Refusal::mismatch("the chain begins with another certificate"));
                }
                chain
            }
        };
        let certificate = self.of_chain(&chain)?;
        match hash {
            Some(hash) if hash != *certificate.thumbprint() => {
                Err(Refusal::mismatch("the hash is that of another certificate"))
            }
            _ => Ok(certificate),
        }
    }

    fn of_chain(&self, chain: &[Vec<u8>]) -> Result<PeerCertificate, Refusal> {
        PeerCertificate::from_chain(chain, self.header.trust).map_err(|_cause| Refusal {
            reason: DenialReason::ForwardedCertificateInvalid,
            problem: "a certificate cannot be read",
        })
    }
}

fn text(line: &HeaderValue) -> Result<&str, Refusal> {
    line.to_str().map_err(|_cause| Refusal::malformed("the client certificate's field is not ASCII"))
}

/// A SHA-256 digest in hex, of something.
fn sha256(hex: &str) -> Result<[u8; 32], Refusal> {
    let wrong = Refusal::malformed("a hash is not the SHA-256 digest of a certificate");
    if hex.len() != 64 || hex.eq_ignore_ascii_case(HASH_OF_NOTHING) {
        return Err(wrong);
    }
    let mut hash = [0; 32];
    HEXLOWER_PERMISSIVE.decode_mut(hex.as_bytes(), &mut hash).map_err(|_cause| wrong)?;
    Ok(hash)
}
