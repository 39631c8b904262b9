//! An HTTP client that presents a certificate.

use reqwest::{Certificate, Client, Identity};

use crate::pki::{TestIdentity, TestPki, made};

/// Builds an HTTP client that trusts one authority only, and presents a
/// certificate if it is given one. It knows no proxies and follows no redirects.
///
/// ```
/// use tower_delegation_testing::{MtlsClient, TestPki};
///
/// let pki = TestPki::new();
/// let orders = pki.workload("/ns/shop/sa/orders").issue();
/// let client: reqwest::Client = MtlsClient::new(&pki).identity(&orders).http2().build();
/// # let _ = client;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct MtlsClient {
    authorities: String,
    identity: Option<String>,
    protocol: Protocol,
}

#[derive(Clone, Copy, Debug)]
enum Protocol {
    Either,
    Http1,
    Http2,
}

impl MtlsClient {
    /// A client that trusts servers of `pki` and presents no certificate.
    pub fn new(pki: &TestPki) -> Self {
        Self { authorities: pki.bundle_pem(), identity: None, protocol: Protocol::Either }
    }

    /// Presents this certificate to servers that ask for one.
    pub fn identity(mut self, identity: &TestIdentity) -> Self {
        self.identity = Some(identity.chain_pem() + &identity.key_pem());
        self
    }

    /// Speaks HTTP/1.1 only.
    pub fn http1(mut self) -> Self {
        self.protocol = Protocol::Http1;
        self
    }

    /// Speaks HTTP/2 only.
    pub fn http2(mut self) -> Self {
        self.protocol = Protocol::Http2;
        self
    }

    /// The client, with connections of its own.
    #[must_use]
    pub fn build(&self) -> Client {
        let builder = Client::builder()
            .tls_certs_only(made(Certificate::from_pem_bundle(self.authorities.as_bytes())))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy();
        let builder = match &self.identity {
            Some(pem) => builder.identity(made(Identity::from_pem(pem.as_bytes()))),
            None => builder,
        };
        made(match self.protocol {
            Protocol::Either => builder.build(),
            Protocol::Http1 => builder.http1_only().build(),
            Protocol::Http2 => builder.http2_prior_knowledge().build(),
        })
    }
}
