//! The OAuth clients registered with an issuer.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use aws_lc_rs::digest;
use serde_json::Value;

use crate::ClientKey;

/// A client of a [`MockIssuer`](super::MockIssuer): how it authenticates, and
/// what it may ask for.
///
/// Unless restricted, a client may use every grant, ask for every target, and
/// exchange a token for one with the same scopes or fewer. The results of its
/// exchanges name it as the actor.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// # let idp = tower_delegation_testing::MockIdp::start().await;
/// use tower_delegation_testing::MockClient;
///
/// let gateway = MockClient::new("gateway")
///     .secret("s3cret")
///     .exchanges_for("https://stock.example.com", ["stock:read"]);
/// idp.register(gateway);
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a client is unknown until it is registered"]
pub struct MockClient {
    pub(crate) id: String,
    pub(crate) credentials: Vec<Credential>,
    /// `None` is every grant.
    pub(crate) grants: Option<BTreeSet<Grant>>,
    /// The most it is granted; `None` is anything.
    pub(crate) scopes: Option<BTreeSet<String>>,
    /// The scopes that it may ask for by target; empty is any target.
    pub(crate) targets: BTreeMap<String, BTreeSet<String>>,
    /// Its identifiers at other authorization servers.
    pub(crate) names: BTreeMap<String, String>,
    /// The audiences under which tokens are issued to it as a resource server.
    pub(crate) audiences: BTreeSet<String>,
    pub(crate) impersonates: bool,
    pub(crate) certificate_bound: bool,
    pub(crate) dpop_bound: bool,
}

/// One way in which a client can authenticate.
#[derive(Clone)]
pub(crate) enum Credential {
    Secret {
        secret: String,
        method: SecretMethod,
    },
    /// The JWK Set of the keys that sign its assertions.
    Keys(Value),
    /// The SPIFFE ID in its JWT-SVIDs.
    Workload(String),
    /// A name in a certificate that chains to a trust anchor.
    CertificateName(CertificateName),
    /// The SHA-256 hash of the certificate itself.
    Certificate([u8; 32]),
}

/// The one name of a certificate that is registered (RFC 8705 section 2.1.2).
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum CertificateName {
    Dns(String),
    Uri(String),
}

/// Where a secret is accepted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum SecretMethod {
    Basic,
    Post,
}

impl MockClient {
    /// Describes a client that cannot authenticate yet.
    pub fn new(client_id: impl Into<String>) -> Self {
        Self {
            id: client_id.into(),
            credentials: Vec::new(),
            grants: None,
            scopes: None,
            targets: BTreeMap::new(),
            names: BTreeMap::new(),
            audiences: BTreeSet::new(),
            impersonates: false,
            certificate_bound: false,
            dpop_bound: false,
        }
    }

    pub(crate) fn may_use(&self, scope: &str) -> bool {
        self.scopes.as_ref().is_none_or(|scopes| scopes.contains(scope))
    }

    fn credential(mut self, credential: Credential) -> Self {
        self.credentials.push(credential);
        self
    }
}

/// # Authentication
///
/// A client may have several credentials; a request presents exactly one.
impl MockClient {
    /// Accepts this secret in either of the two places of RFC 6749 section 2.3.1.
    pub fn secret(self, secret: impl Into<String>) -> Self {
        let secret = secret.into();
        self.secret_basic(secret.clone()).secret_post(secret)
    }

    /// Accepts this secret by HTTP Basic only: `client_secret_basic`.
    pub fn secret_basic(self, secret: impl Into<String>) -> Self {
        self.credential(Credential::Secret { secret: secret.into(), method: SecretMethod::Basic })
    }

    /// Accepts this secret in the form only: `client_secret_post`.
    pub fn secret_post(self, secret: impl Into<String>) -> Self {
        self.credential(Credential::Secret { secret: secret.into(), method: SecretMethod::Post })
    }

    /// Accepts assertions by this key: `private_key_jwt` (RFC 7523 section 2.2).
    ///
    /// An assertion is refused unless `iss` and `sub` are the client, `aud` is the issuer
    /// as one string, `exp` is at most ten minutes away, and `jti` was not
    /// seen before. For another audience, see
    /// [`accept_assertion_audience`](super::MockIssuer::accept_assertion_audience).
    pub fn private_key_jwt(self, key: &ClientKey) -> Self {
        self.private_key_jwks(key.jwks())
    }

    /// As [`private_key_jwt`](Self::private_key_jwt), with the keys of a JWK Set.
    pub fn private_key_jwks(self, jwks: Value) -> Self {
        self.credential(Credential::Keys(jwks))
    }

    /// Accepts JWT-SVIDs of this workload as assertions: `spiffe_jwt`. The trust
    /// domain's keys are given to
    /// [`trust_spiffe_keys`](super::MockIssuer::trust_spiffe_keys).
    ///
    /// The `client_assertion_type` is
    /// `urn:ietf:params:oauth:client-assertion-type:jwt-spiffe`, and the issuer is
    /// the only `aud` (draft-ietf-oauth-spiffe-client-auth).
    pub fn spiffe_jwt(self, spiffe_id: impl Into<String>) -> Self {
        self.credential(Credential::Workload(spiffe_id.into()))
    }

    /// Accepts certificates with this DNS name that chain to a trust anchor:
    /// `tls_client_auth` (RFC 8705 section 2.1). Tokens are bound to the
    /// certificate. The provider must be one with
    /// `MockIdpBuilder::mtls`, and the request names its `client_id`.
    pub fn certificate_dns_name(self, name: impl Into<String>) -> Self {
        self.credential(Credential::CertificateName(CertificateName::Dns(name.into())))
    }

    /// As [`certificate_dns_name`](Self::certificate_dns_name), by a URI such as
    /// a SPIFFE ID.
    pub fn certificate_uri(self, uri: impl Into<String>) -> Self {
        self.credential(Credential::CertificateName(CertificateName::Uri(uri.into())))
    }

    /// Accepts this certificate, given as DER: `self_signed_tls_client_auth` (RFC
    /// 8705 section 2.2). Tokens are bound to it. The provider must be one with
    /// `MockIdpBuilder::mtls_any_certificate`,
    /// and the request names its `client_id`.
    pub fn self_signed_certificate(self, der: impl AsRef<[u8]>) -> Self {
        let mut thumbprint = [0; 32];
        thumbprint.copy_from_slice(digest::digest(&digest::SHA256, der.as_ref()).as_ref());
        self.credential(Credential::Certificate(thumbprint))
    }
}

/// # Policy
impl MockClient {
    /// Permits these grants only; another one is `unauthorized_client`.
    pub fn grants(mut self, grants: impl IntoIterator<Item = Grant>) -> Self {
        self.grants = Some(grants.into_iter().collect());
        self
    }

    /// Grants no other scope than these. A request for more gets fewer; a
    /// request for none of these is `invalid_scope`.
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes = Some(scopes.into_iter().map(Into::into).collect());
        self
    }

    /// Permits to trade tokens for ones to this resource or audience, with
    /// these scopes, whatever the scopes of the traded token; can be called once
    /// per target. Another target is then `invalid_target`, another scope
    /// `invalid_scope`, and a request that names no scope gets all of them.
    ///
    /// Without any such target, a client may name every target, and ask for
    /// the scopes that the traded token has.
    pub fn exchanges_for<S: Into<String>>(
        mut self,
        target: impl Into<String>,
        scopes: impl IntoIterator<Item = S>,
    ) -> Self {
        self.targets.entry(target.into()).or_default().extend(scopes.into_iter().map(Into::into));
        self
    }

    /// Adds an audience under which the client itself receives tokens. Once there is
    /// one, the client may exchange only tokens that were issued for it: a token for
    /// others is `invalid_request`. On behalf of a user, a token has to be for
    /// the client in any case; its `client_id` is then one of its audiences, and a
    /// token for others is `invalid_grant`.
    pub fn add_audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.insert(audience.into());
        self
    }

    /// Names the client at another authorization server: the `client_id` of the
    /// grants that are issued for it there. The default is the same identifier.
    pub fn known_as(mut self, issuer: impl Into<String>, client_id: impl Into<String>) -> Self {
        self.names.insert(issuer.into(), client_id.into());
        self
    }

    /// Issues the results of its exchanges without any actor: impersonation
    /// (RFC 8693 section 1.1). The actors of the traded token are left out too.
    pub fn impersonates(mut self) -> Self {
        self.impersonates = true;
        self
    }

    /// Binds every token to the certificate of the request, however the client
    /// authenticates: `tls_client_certificate_bound_access_tokens` (RFC 8705 section 3.4).
    /// A request without a certificate is `invalid_request`.
    pub fn certificate_bound_tokens(mut self) -> Self {
        self.certificate_bound = true;
        self
    }

    /// Demands a DPoP proof with every request: `dpop_bound_access_tokens`
    /// (RFC 9449 section 5.2). A request without one is `invalid_dpop_proof`. Of
    /// other clients, a proof is optional.
    pub fn dpop_bound_tokens(mut self) -> Self {
        self.dpop_bound = true;
        self
    }
}

impl fmt::Debug for MockClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let methods: BTreeSet<_> =
            self.credentials.iter().map(|credential| credential.method().as_str()).collect();
        f.debug_struct("MockClient")
            .field("id", &self.id)
            .field("methods", &methods)
            .field("grants", &self.grants)
            .field("scopes", &self.scopes)
            .field("targets", &self.targets)
            .field("names", &self.names)
            .field("audiences", &self.audiences)
            .field("impersonates", &self.impersonates)
            .finish_non_exhaustive()
    }
}

impl Credential {
    pub(crate) fn method(&self) -> ClientAuthMethod {
        match self {
            Self::Secret { method: SecretMethod::Basic, .. } => ClientAuthMethod::ClientSecretBasic,
            Self::Secret { method: SecretMethod::Post, .. } => ClientAuthMethod::ClientSecretPost,
            Self::Keys(_) => ClientAuthMethod::PrivateKeyJwt,
            Self::Workload(_) => ClientAuthMethod::SpiffeJwt,
            Self::CertificateName(_) => ClientAuthMethod::TlsClientAuth,
            Self::Certificate(_) => ClientAuthMethod::SelfSignedTlsClientAuth,
        }
    }
}

/// What a client asks the token endpoint for: `grant_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Grant {
    /// `client_credentials` (RFC 6749 section 4.4).
    ClientCredentials,
    /// `urn:ietf:params:oauth:grant-type:token-exchange` (RFC 8693): for an access
    /// token, or for a grant at another authorization server.
    TokenExchange,
    /// `urn:ietf:params:oauth:grant-type:jwt-bearer` (RFC 7523): on behalf of a
    /// user as Entra does it (`requested_token_use=on_behalf_of`), or with the
    /// grant of another authorization server.
    JwtBearer,
}

impl Grant {
    pub(crate) const ALL: [Self; 3] = [Self::ClientCredentials, Self::TokenExchange, Self::JwtBearer];

    /// Returns the value of `grant_type`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
            Self::TokenExchange => "urn:ietf:params:oauth:grant-type:token-exchange",
            Self::JwtBearer => "urn:ietf:params:oauth:grant-type:jwt-bearer",
        }
    }
}

/// How a client authenticated to the token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ClientAuthMethod {
    /// `client_secret_basic`: HTTP Basic.
    ClientSecretBasic,
    /// `client_secret_post`: in the form.
    ClientSecretPost,
    /// `private_key_jwt`: an assertion that the client signed (RFC 7523).
    PrivateKeyJwt,
    /// `spiffe_jwt`: a JWT-SVID as the assertion.
    SpiffeJwt,
    /// `tls_client_auth`: a certificate that chains to a trust anchor (RFC 8705).
    TlsClientAuth,
    /// `self_signed_tls_client_auth`: a certificate that is registered (RFC 8705).
    SelfSignedTlsClientAuth,
}

impl ClientAuthMethod {
    pub(crate) const ALL: [Self; 6] = [
        Self::ClientSecretBasic,
        Self::ClientSecretPost,
        Self::PrivateKeyJwt,
        Self::SpiffeJwt,
        Self::TlsClientAuth,
        Self::SelfSignedTlsClientAuth,
    ];

    /// Returns the name in `token_endpoint_auth_methods_supported`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::SpiffeJwt => "spiffe_jwt",
            Self::TlsClientAuth => "tls_client_auth",
            Self::SelfSignedTlsClientAuth => "self_signed_tls_client_auth",
        }
    }

    pub(crate) fn is_tls(self) -> bool {
        matches!(self, Self::TlsClientAuth | Self::SelfSignedTlsClientAuth)
    }
}
