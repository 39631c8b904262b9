//! The built-in transport: reqwest, set up anew when a file of the configuration changes.

use std::{
    error::Error,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::{HeaderValue, Request};
use reqwest::{Certificate, Client, ClientBuilder, Identity, Proxy, redirect};
use tokio::sync::Semaphore;

use super::{
    HttpTransport, TransportError, TransportErrorKind,
    proxy::Route,
    transport::{TransportBody, TransportFuture},
};
use crate::{error::ConfigError, material::Material, text::Text};

/// How connections are made.
#[derive(Clone, Debug, Default)]
pub(super) struct Connections {
    pub(super) roots: Vec<Material>,
    pub(super) only_added_roots: bool,
    /// The chain and its key.
    pub(super) certificate: Option<(Material, Material)>,
    pub(super) proxy: Option<Route>,
}

/// What the client was set up with, as it was read.
#[derive(PartialEq, Eq)]
struct Contents {
    roots: Vec<Bytes>,
    certificate: Option<(Bytes, Bytes)>,
    proxy_authorization: Option<HeaderValue>,
}

impl Connections {
    fn has_files(&self) -> bool {
        let certificate = self.certificate.iter().flat_map(|(chain, key)| [chain, key]);
        let password = self.proxy.iter().filter_map(Route::password);
        self.roots.iter().chain(certificate).chain(password).any(Material::is_file)
    }

    fn read(&self) -> Result<Contents, ConfigError> {
        let certificate = match &self.certificate {
            Some((chain, key)) => Some((chain.read().map_err(problem)?, key.read().map_err(problem)?)),
            None => None,
        };
        Ok(Contents {
            roots: self.roots.iter().map(Material::read).collect::<Result<_, _>>().map_err(problem)?,
            certificate,
            proxy_authorization: match &self.proxy {
                Some(route) => route.authorization().map_err(problem)?,
                None => None,
            },
        })
    }

    fn client(&self, contents: &Contents) -> Result<Client, ConfigError> {
        let mut roots = Vec::new();
        for pem in &contents.roots {
            let certificates = Certificate::from_pem_bundle(pem).map_err(problem)?;
            if certificates.is_empty() {
                return Err(said("a root certificate is not PEM"));
            }
            roots.extend(certificates);
        }
        // The `no_*` calls hold even where another crate turns the feature on.
        let mut builder = ClientBuilder::new()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .referer(false);
        builder = if self.only_added_roots {
            builder.tls_certs_only(roots)
        } else {
            builder.tls_certs_merge(roots)
        };
        if let Some((chain, key)) = &contents.certificate {
            builder = builder.identity(identity(chain, key)?);
        }
        if let Some(route) = self.proxy.clone() {
            let mut proxy = Proxy::custom(move |url| route.proxy_for(url).cloned());
            if let Some(authorization) = &contents.proxy_authorization {
                proxy = proxy.custom_http_auth(authorization.clone());
            }
            builder = builder.proxy(proxy);
        }
        builder.build().map_err(problem)
    }
}

/// A chain in PEM and its key, or a certificate and its key in DER (PKCS #8).
fn identity(chain: &Bytes, key: &Bytes) -> Result<Identity, ConfigError> {
    let mut text = pem_of(chain, "CERTIFICATE");
    text.push(b'\n');
    text.extend(pem_of(key, "PRIVATE KEY"));
    // The cause of reqwest names the mistake, and quotes nothing.
    Identity::from_pem(&text).map_err(problem)
}

fn pem_of(content: &Bytes, label: &str) -> Vec<u8> {
    // A sequence (X.690 section 8.9) is no text.
    if content.first() == Some(&0x30) {
        return pem::encode(&pem::Pem::new(label, content.to_vec())).into_bytes();
    }
    content.to_vec()
}

fn said(problem: &str) -> ConfigError {
    ConfigError::HttpClient { problem: problem.to_owned() }
}

fn problem(error: impl Error) -> ConfigError {
    let mut problem = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        problem = format!("{problem}: {error}");
        cause = error.source();
    }
    ConfigError::HttpClient { problem }
}

struct Loaded {
    contents: Contents,
    client: Client,
    /// The SHA-256 hash of the certificate's DER.
    certificate_thumbprint: Option<[u8; 32]>,
}

impl Loaded {
    fn new(connections: &Connections, contents: Contents) -> Result<Self, ConfigError> {
        let client = connections.client(&contents)?;
        let certificate_thumbprint =
            contents.certificate.as_ref().map(|(chain, _)| thumbprint(chain)).transpose()?;
        Ok(Self { contents, client, certificate_thumbprint })
    }
}

/// Of the first certificate of a chain in PEM, or of the one in DER.
fn thumbprint(chain: &Bytes) -> Result<[u8; 32], ConfigError> {
    // The cause could quote the file.
    let blocks = pem::parse_many(pem_of(chain, "CERTIFICATE"))
        .map_err(|_cause| said("the client certificate is not PEM"))?;
    let leaf = blocks.iter().find(|block| block.tag() == "CERTIFICATE");
    let leaf = leaf.ok_or_else(|| said("the client certificate is not there"))?;
    let mut thumbprint = [0; 32];
    thumbprint.copy_from_slice(digest(&SHA256, leaf.contents()).as_ref());
    Ok(thumbprint)
}

/// A client of reqwest, and what it was made of.
pub(super) struct BuiltIn {
    connections: Connections,
    loaded: ArcSwap<Loaded>,
    has_files: bool,
    /// One at a time.
    reader: Arc<Semaphore>,
    /// Whether what the files hold now is not usable, and that was reported.
    is_stale: AtomicBool,
}

impl BuiltIn {
    /// Reads the files, and sets up the client.
    pub(super) fn new(connections: Connections) -> Result<Self, ConfigError> {
        let contents = connections.read()?;
        let loaded = ArcSwap::from_pointee(Loaded::new(&connections, contents)?);
        let has_files = connections.has_files();
        Ok(Self {
            connections,
            loaded,
            has_files,
            reader: Arc::new(Semaphore::new(1)),
            is_stale: AtomicBool::new(false),
        })
    }

    /// What identifies the certificate that is presented now.
    pub(super) fn certificate_thumbprint(&self) -> Option<[u8; 32]> {
        self.loaded.load().certificate_thumbprint
    }

    /// The client that the files call for; the one from before where they cannot be
    /// read or used.
    fn renewed(&self) -> Client {
        let loaded = self.loaded.load_full();
        let renewed = self.connections.read().and_then(|contents| {
            if contents == loaded.contents {
                return Ok(None);
            }
            Ok(Some(Loaded::new(&self.connections, contents)?))
        });
        match renewed {
            Ok(renewed) => {
                self.is_stale.store(false, Ordering::Relaxed);
                let Some(renewed) = renewed else { return loaded.client.clone() };
                tracing::info!("the HTTP client has new certificates or credentials");
                let client = renewed.client.clone();
                self.loaded.store(Arc::new(renewed));
                client
            }
            Err(error) => {
                // Once, until they are good again: a busy service would repeat it with each request.
                if !self.is_stale.swap(true, Ordering::Relaxed) {
                    tracing::error!(
                        error = %Text::account(&error.to_string()),
                        "the HTTP client keeps its certificates and credentials: the new ones are not usable"
                    );
                }
                loaded.client.clone()
            }
        }
    }

    async fn client(self: &Arc<Self>) -> Client {
        // While one request reads the files, others go by what was read before: a file that
        // hangs holds up one thread.
        if self.has_files
            && let Ok(turn) = Arc::clone(&self.reader).try_acquire_owned()
        {
            let this = Arc::clone(self);
            let renewed = tokio::task::spawn_blocking(move || {
                let client = this.renewed();
                drop(turn);
                client
            });
            if let Ok(client) = renewed.await {
                return client;
            }
        }
        self.loaded.load().client.clone()
    }
}

impl std::fmt::Debug for BuiltIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.connections.fmt(f)
    }
}

impl HttpTransport for Arc<BuiltIn> {
    fn send<'a>(&'a self, request: Request<Bytes>) -> TransportFuture<'a> {
        Box::pin(async move {
            let request = reqwest::Request::try_from(request).map_err(transport_error)?;
            let response = self.client().await.execute(request).await.map_err(transport_error)?;
            let (head, body) = http::Response::from(response).into_parts();
            Ok(http::Response::from_parts(head, TransportBody::new(body)))
        })
    }
}

fn transport_error(error: reqwest::Error) -> TransportError {
    let kind = if error.is_timeout() {
        TransportErrorKind::Timeout
    } else if is_tls(&error) {
        TransportErrorKind::Tls
    } else {
        TransportErrorKind::Unreachable
    };
    TransportError::new(kind, error.without_url())
}

/// Whether TLS is what failed. An I/O error of TLS is of this kind (tokio-rustls), and
/// another I/O error may be around it, whose `source` passes it over.
fn is_tls(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let io = error.downcast_ref::<io::Error>();
        if io.is_some_and(|io| io.kind() == io::ErrorKind::InvalidData) {
            return true;
        }
        next = match io.and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}
