//! Certificate authorities and what they issue, made at run time.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType,
    SerialNumber, string::Ia5String,
};
use time::OffsetDateTime;
use tower_delegation::clock::{Clock as _, SystemClock, Timestamp};

/// The trust domain of [`TestPki::new`].
pub const DEFAULT_TRUST_DOMAIN: &str = "example.org";

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A certificate authority of a trust domain.
///
/// What it issues is valid from an hour ago to an hour from now, by the
/// machine's clock, if nothing else is said. Clones are the same authority.
///
/// ```
/// use tower_delegation_testing::TestPki;
///
/// let mut pki = TestPki::new();
/// let server = pki.server().issue();
/// let orders = pki.workload("/ns/shop/sa/orders").dns_name("orders.shop").issue();
/// let stolen = pki.workload("/ns/shop/sa/old").issue();
/// let revoked = pki.revocation_list([&stolen]);
/// let before = pki.bundle_pem();
/// pki.rotate(); // `orders` chains to `before`, not to `pki.bundle_pem()`
/// # let _ = (server, orders, revoked, before);
/// ```
#[derive(Clone)]
pub struct TestPki {
    trust_domain: Arc<str>,
    authority: Arc<Authority>,
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// The authority's own certificate, then those above it; the last one is the root.
    chain: Vec<Certificate>,
}

impl TestPki {
    /// A new authority for [`DEFAULT_TRUST_DOMAIN`].
    #[must_use]
    pub fn new() -> Self {
        Self::of_trust_domain(DEFAULT_TRUST_DOMAIN)
    }

    /// A new authority for a trust domain.
    ///
    /// # Panics
    ///
    /// The name is not ASCII.
    #[must_use]
    pub fn of_trust_domain(name: &str) -> Self {
        Self { trust_domain: name.into(), authority: Arc::new(Authority::new(name, None)) }
    }

    /// An authority below this one: its certificates come with a chain of two.
    #[must_use]
    pub fn intermediate(&self) -> Self {
        let authority = Authority::new(&self.trust_domain, Some(&self.authority));
        Self { trust_domain: Arc::clone(&self.trust_domain), authority: Arc::new(authority) }
    }

    /// Replaces the authority by a new one of the same trust domain.
    pub fn rotate(&mut self) {
        *self = Self::of_trust_domain(&self.trust_domain);
    }

    /// The root certificate as PEM: what others are given to trust.
    #[must_use]
    pub fn bundle_pem(&self) -> String {
        self.authority.chain.last().map(Certificate::pem).unwrap_or_default()
    }

    /// A certificate for a server on this machine: `localhost`, `127.0.0.1` and `::1`.
    pub fn server(&self) -> CertificateBuilder {
        let mut builder = CertificateBuilder::new(Some(Arc::clone(&self.authority))).dns_name("localhost");
        for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            builder.params.subject_alt_names.push(SanType::IpAddress(address));
        }
        builder
    }

    /// An X509-SVID: the certificate of the workload with this path in the
    /// trust domain, such as `/ns/shop/sa/orders`.
    ///
    /// # Panics
    ///
    /// The path is not ASCII.
    pub fn workload(&self, path: &str) -> CertificateBuilder {
        self.certificate().uri(&format!("spiffe://{}{path}", self.trust_domain))
    }

    /// A certificate with no name at all.
    pub fn certificate(&self) -> CertificateBuilder {
        CertificateBuilder::new(Some(Arc::clone(&self.authority)))
    }

    /// The certificate revocation list of this authority, as PEM.
    #[must_use]
    pub fn revocation_list<'a>(&self, revoked: impl IntoIterator<Item = &'a TestIdentity>) -> String {
        let now = now();
        let revoked = revoked.into_iter().map(|identity| RevokedCertParams {
            serial_number: identity.serial.clone(),
            revocation_time: at(now),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: at(now.saturating_sub(HOUR)),
            next_update: at(now.saturating_add(DAY)),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        made(made(list.signed_by(&self.authority.issuer)).pem())
    }
}

impl Default for TestPki {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TestPki {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestPki").field("trust_domain", &self.trust_domain).finish_non_exhaustive()
    }
}

impl Authority {
    fn new(trust_domain: &str, above: Option<&Self>) -> Self {
        let mut params = params(HOUR, DAY);
        let key = made(KeyPair::generate());
        params.distinguished_name.push(DnType::CommonName, format!("{trust_domain} {}", name_of(&key)));
        params.subject_alt_names = vec![uri(&format!("spiffe://{trust_domain}"))];
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = match above {
            Some(above) => made(params.signed_by(&key, &above.issuer)),
            None => made(params.self_signed(&key)),
        };
        let above = above.map(|above| above.chain.clone()).unwrap_or_default();
        let chain = std::iter::once(certificate).chain(above).collect();
        Self { issuer: Issuer::new(params, key), chain }
    }
}

/// Collects a certificate: a good one, or one that must be refused.
#[must_use]
pub struct CertificateBuilder {
    authority: Option<Arc<Authority>>,
    params: CertificateParams,
}

impl CertificateBuilder {
    fn new(authority: Option<Arc<Authority>>) -> Self {
        let mut params = params(HOUR, HOUR);
        params.distinguished_name.push(DnType::CommonName, "test");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        Self { authority, params }
    }

    /// One more DNS name.
    ///
    /// # Panics
    ///
    /// The name is not ASCII.
    pub fn dns_name(mut self, name: &str) -> Self {
        self.params.subject_alt_names.push(SanType::DnsName(made(Ia5String::try_from(name))));
        self
    }

    /// One more URI.
    ///
    /// # Panics
    ///
    /// The URI is not ASCII.
    pub fn uri(mut self, text: &str) -> Self {
        self.params.subject_alt_names.push(uri(text));
        self
    }

    /// Valid from now on, for this long.
    pub fn valid_for(mut self, duration: Duration) -> Self {
        self.params.not_after = at(now().saturating_add(duration));
        self
    }

    /// Valid until an hour ago.
    pub fn expired(mut self) -> Self {
        self.params.not_before = at(now().saturating_sub(2 * HOUR));
        self.params.not_after = at(now().saturating_sub(HOUR));
        self
    }

    /// Valid from an hour from now on.
    pub fn not_yet_valid(mut self) -> Self {
        self.params.not_before = at(now().saturating_add(HOUR));
        self.params.not_after = at(now().saturating_add(2 * HOUR));
        self
    }

    /// With exactly these key usages; with none, the extension is left out.
    pub fn key_usages(mut self, usages: impl IntoIterator<Item = KeyUsage>) -> Self {
        self.params.key_usages = usages.into_iter().map(KeyUsage::purpose).collect();
        self
    }

    /// Good for TLS clients only, not for servers: no X509-SVID.
    pub fn for_clients_only(mut self) -> Self {
        self.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self
    }

    /// Marked as an authority's.
    pub fn authority(mut self) -> Self {
        self.params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        self
    }

    /// Signed with its own key: no authority vouches for it.
    pub fn self_signed(mut self) -> Self {
        self.authority = None;
        self
    }

    /// Makes a key and the certificate for it.
    #[must_use]
    pub fn issue(self) -> TestIdentity {
        let Self { authority, mut params } = self;
        let key = made(KeyPair::generate());
        let serial = SerialNumber::from(name_of(&key));
        params.serial_number = Some(serial.clone());
        let mut chain = Vec::new();
        match &authority {
            Some(authority) => {
                chain.push(made(params.signed_by(&key, &authority.issuer)));
                // The root is what others trust already: it is not sent along.
                if let Some((_root, between)) = authority.chain.split_last() {
                    chain.extend_from_slice(between);
                }
            }
            None => chain.push(made(params.self_signed(&key))),
        }
        TestIdentity { chain, key: Arc::new(key), serial }
    }
}

impl fmt::Debug for CertificateBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateBuilder").finish_non_exhaustive()
    }
}

/// What a certificate's key may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyUsage {
    /// `digitalSignature`.
    DigitalSignature,
    /// `keyCertSign`.
    KeyCertSign,
    /// `cRLSign`.
    CrlSign,
    /// `keyAgreement`.
    KeyAgreement,
}

impl KeyUsage {
    fn purpose(self) -> KeyUsagePurpose {
        match self {
            Self::DigitalSignature => KeyUsagePurpose::DigitalSignature,
            Self::KeyCertSign => KeyUsagePurpose::KeyCertSign,
            Self::CrlSign => KeyUsagePurpose::CrlSign,
            Self::KeyAgreement => KeyUsagePurpose::KeyAgreement,
        }
    }
}

/// A certificate with its chain and its key.
#[derive(Clone)]
pub struct TestIdentity {
    chain: Vec<Certificate>,
    key: Arc<KeyPair>,
    serial: SerialNumber,
}

impl TestIdentity {
    /// The certificate and those between it and the root, as PEM.
    #[must_use]
    pub fn chain_pem(&self) -> String {
        self.chain.iter().map(Certificate::pem).collect()
    }

    /// The same as DER, the certificate itself first.
    #[must_use]
    pub fn chain_der(&self) -> Vec<Vec<u8>> {
        self.chain.iter().map(|certificate| certificate.der().to_vec()).collect()
    }

    /// The certificate itself as DER: what a token is
    /// [bound to](crate::TokenBuilder::bound_to_certificate).
    #[must_use]
    pub fn certificate_der(&self) -> &[u8] {
        self.chain.first().map_or(&[], |certificate| certificate.der())
    }

    /// The private key, PKCS #8 as PEM.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// The private key, PKCS #8 as DER.
    #[must_use]
    pub fn key_der(&self) -> Vec<u8> {
        self.key.serialize_der()
    }
}

impl fmt::Debug for TestIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestIdentity").finish_non_exhaustive()
    }
}

fn params(before: Duration, after: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = at(now().saturating_sub(before));
    params.not_after = at(now().saturating_add(after));
    params
}

fn uri(text: &str) -> SanType {
    SanType::URI(made(Ia5String::try_from(text)))
}

/// Eight bytes that no other key has, the first of them positive.
fn name_of(key: &KeyPair) -> u64 {
    let tail = key.public_key_raw().iter().rev().take(8);
    tail.fold(0, |name, byte| (name << 8) | u64::from(*byte)) >> 1
}

fn now() -> Timestamp {
    SystemClock::new().now()
}

fn at(time: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(time.unix_seconds()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[expect(clippy::panic, reason = "for tests: without randomness, none can go on")]
pub(crate) fn made<T, E: fmt::Debug>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("cannot be made: {error:?}"))
}
