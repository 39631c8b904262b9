//! [`TlsConfig`]: certificates and trust anchors, and how they are replaced.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime},
    server::ServerSessionMemoryCache,
    time_provider::TimeProvider,
};
use tokio::sync::watch;
use tower_delegation::{
    clock::{Clock, SystemClock},
    credential::{CertificateTrust, TrustGeneration},
    spiffe::SpiffeId,
};

#[cfg(feature = "reload")]
use tower_delegation::{audit::Text, watch::FileWatcher};

#[cfg(feature = "reload")]
use crate::pem::Content;
use crate::{
    error::{TlsConfigError, both},
    pem::Pem,
    verifier::{Anchors, ClientPolicy},
};

/// How many sessions can be resumed: less work for clients that come back.
const SESSIONS: usize = 1024;

/// What the service presents, and whose certificates it accepts.
///
/// Clones share one state: keep one to [`reload`](Self::reload) it while a
/// listener is using another.
#[derive(Clone)]
pub struct TlsConfig(Arc<Shared>);

struct Shared {
    active: ArcSwap<Active>,
    generation: TrustGeneration,
    /// The generation again, for those who wait for the next.
    announced: watch::Sender<u64>,
    /// What was built last. Held for as long as a reload takes: one at a time.
    last: Mutex<Last>,
}

struct Last {
    builder: TlsConfigBuilder,
    policy: ClientPolicy,
    /// What the files held at the last look, good or not.
    #[cfg(feature = "reload")]
    contents: Option<Vec<Content>>,
}

/// What new connections are met with.
pub(crate) struct Active {
    pub(crate) server: Arc<ServerConfig>,
    pub(crate) trust: CertificateTrust,
    pub(crate) generation: u64,
}

/// What a reload changed for the peers that are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reload {
    /// The same client certificates are accepted as before: connections stay as
    /// they are.
    SameTrust,
    /// Trust anchors, revocation lists or the treatment of client certificates
    /// have changed: no certificate that was verified before is current any more.
    NewTrust,
}

impl TlsConfig {
    /// Starts a configuration that asks for no client certificates.
    pub fn builder() -> TlsConfigBuilder {
        TlsConfigBuilder {
            server: None,
            clients: Vec::new(),
            revocation_lists: Vec::new(),
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// Reads the files again that the configuration was built from. Blocks
    /// while it reads.
    ///
    /// New handshakes are met with what was read, and no session of before can
    /// be resumed. If the trust in client certificates has changed, those of
    /// before are no longer current, and [`serve`](crate::serve) asks their
    /// connections to close.
    ///
    /// # Errors
    ///
    /// As [`TlsConfigBuilder::build`]; everything then stays as it was.
    pub fn reload(&self) -> Result<Reload, TlsConfigError> {
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        let builder = last.builder.clone();
        self.install(&mut last, builder)
    }

    /// As [`reload`](Self::reload), with other certificates and trust anchors.
    ///
    /// # Errors
    ///
    /// As [`TlsConfigBuilder::build`]; everything then stays as it was.
    pub fn replace(&self, builder: TlsConfigBuilder) -> Result<Reload, TlsConfigError> {
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        self.install(&mut last, builder)
    }

    fn install(&self, last: &mut Last, builder: TlsConfigBuilder) -> Result<Reload, TlsConfigError> {
        let (server, policy) = builder.read()?;
        let is_new = policy != last.policy;
        let generation = self.0.generation.current() + u64::from(is_new);
        // First the new configuration, then the end of the old generation: a
        // handshake never begins with trust anchors that have just been removed.
        self.0.active.store(Arc::new(Active { server, trust: policy.trust(), generation }));
        last.builder = builder;
        last.policy = policy;
        if !is_new {
            return Ok(Reload::SameTrust);
        }
        self.0.generation.advance();
        self.0.announced.send_replace(generation);
        Ok(Reload::NewTrust)
    }

    /// Watches the files that the configuration was built from, and
    /// [reloads](Self::reload) them whenever the content of one has changed, on a thread of
    /// its own: see [`FileWatcher`] for how files are best replaced. Until a certificate and
    /// its key fit together, those from before stay in use.
    ///
    /// What is not usable leaves everything as it was: that is an error event of `tracing`.
    ///
    /// # Errors
    /// [`TlsConfigError::NoFile`] if nothing was given by [`Pem::file`],
    /// [`TlsConfigError::Unwatchable`] if the operating system refuses.
    ///
    /// # Example
    /// ```no_run
    /// # // There are no such files where documentation is tested.
    /// use tower_delegation_rustls::{Pem, TlsConfig, TlsConfigError};
    ///
    /// fn serve() -> Result<(), TlsConfigError> {
    ///     let tls = TlsConfig::builder()
    ///         .server_certificate(Pem::file("/run/tls/tls.crt"), Pem::file("/run/tls/tls.key"))
    ///         .require_client_certificates(Pem::file("/run/tls/ca.crt"))
    ///         .build()?;
    ///     let _watcher = tls.watch()?;
    ///     // … `TlsListener::bind(address, tls)`, and serve.
    ///     Ok(())
    /// }
    /// ```
    #[cfg(feature = "reload")]
    pub fn watch(&self) -> Result<FileWatcher, TlsConfigError> {
        let files: Vec<_> = {
            let last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
            last.builder.pems().filter_map(|pem| pem.path().map(ToOwned::to_owned)).collect()
        };
        let path = files.first().cloned().ok_or(TlsConfigError::NoFile)?;
        let config = self.clone();
        let look = move || match config.reload_if_changed() {
            Ok(None) => {}
            Ok(Some(_)) => tracing::info!("TLS certificates were read again"),
            Err(error) => tracing::error!(
                error = %Text::new(&error.to_string()), "TLS certificates stay as they were"
            ),
        };
        FileWatcher::start(files, look).map_err(|source| TlsConfigError::Unwatchable { path, source })
    }

    /// As [`reload`](Self::reload), unless the files hold what they held at the last look.
    #[cfg(feature = "reload")]
    fn reload_if_changed(&self) -> Result<Option<Reload>, TlsConfigError> {
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        // An unreadable file has no content: whatever is read next is news.
        let former = last.contents.take();
        let contents = last.builder.pems().map(|pem| pem.read("a file that is watched"));
        let contents = contents.collect::<Result<Vec<_>, _>>()?;
        let is_news = former.as_ref() != Some(&contents);
        last.contents = Some(contents);
        if !is_news {
            return Ok(None);
        }
        let builder = last.builder.clone();
        self.install(&mut last, builder).map(Some)
    }

    /// What a connection that comes now is met with.
    pub(crate) fn active(&self) -> Arc<Active> {
        self.0.active.load_full()
    }

    pub(crate) fn generation(&self) -> &TrustGeneration {
        &self.0.generation
    }

    /// Hears of each new generation.
    pub(crate) fn generations(&self) -> watch::Receiver<u64> {
        self.0.announced.subscribe()
    }
}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfig").field("generation", &self.0.generation.current()).finish_non_exhaustive()
    }
}

/// Collects a [`TlsConfig`].
#[derive(Clone, Debug)]
#[must_use]
pub struct TlsConfigBuilder {
    server: Option<(Pem, Pem)>,
    clients: Vec<ClientCertificates>,
    revocation_lists: Vec<Pem>,
    clock: Arc<dyn Clock>,
}

#[derive(Clone, Debug)]
enum ClientCertificates {
    Chained { bundles: Bundles, required: bool },
    Any,
}

#[derive(Clone, Debug)]
enum Bundles {
    Common(Pem),
    ByTrustDomain(Vec<(String, Pem)>),
}

impl TlsConfigBuilder {
    /// The certificate that the service presents, its own first, and its key
    /// (PKCS #8, PKCS #1 or SEC 1).
    pub fn server_certificate(mut self, chain: Pem, key: Pem) -> Self {
        self.server = Some((chain, key));
        self
    }

    /// Every client needs a certificate that chains to one of the trust anchors
    /// in `bundle`.
    pub fn require_client_certificates(mut self, bundle: Pem) -> Self {
        self.clients.push(ClientCertificates::Chained { bundles: Bundles::Common(bundle), required: true });
        self
    }

    /// A client may present a certificate; it then has to chain to one of the
    /// trust anchors in `bundle`.
    pub fn accept_client_certificates(mut self, bundle: Pem) -> Self {
        self.clients.push(ClientCertificates::Chained { bundles: Bundles::Common(bundle), required: false });
        self
    }

    /// Every client needs an [X509-SVID](tower_delegation::credential::x509_svid_id)
    /// that chains to the bundle of its own trust domain, one of `bundles`
    /// (names such as `example.org`). For workloads of more than one trust
    /// domain this is the only safe way (X509-SVID section 5.1).
    pub fn require_workloads<N: Into<String>>(mut self, bundles: impl IntoIterator<Item = (N, Pem)>) -> Self {
        let bundles = Bundles::ByTrustDomain(named(bundles));
        self.clients.push(ClientCertificates::Chained { bundles, required: true });
        self
    }

    /// A client may present a certificate; it then has to be as for
    /// [`require_workloads`](Self::require_workloads).
    pub fn accept_workloads<N: Into<String>>(mut self, bundles: impl IntoIterator<Item = (N, Pem)>) -> Self {
        let bundles = Bundles::ByTrustDomain(named(bundles));
        self.clients.push(ClientCertificates::Chained { bundles, required: false });
        self
    }

    /// A client may present any certificate whose key it holds, a self-signed
    /// one too (RFC 8705 section 2.2). Such a certificate can hold a token that
    /// is bound to it; it never says who the client is.
    pub fn accept_any_client_certificate(mut self) -> Self {
        self.clients.push(ClientCertificates::Any);
        self
    }

    /// Certificate revocation lists for the client bundle; can be called more
    /// than once. If there are any, each authority in a client's chain needs
    /// one: a client whose status is unknown, or known only from a list that
    /// has expired, is refused.
    pub fn add_revocation_lists(mut self, lists: Pem) -> Self {
        self.revocation_lists.push(lists);
        self
    }

    /// Where the handshakes take the time from. Default: the machine's clock.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Reads the files and checks everything.
    ///
    /// # Errors
    ///
    /// Everything that is missing, cannot be read or does not fit together: see
    /// [`TlsConfigError::mistakes`].
    pub fn build(self) -> Result<TlsConfig, TlsConfigError> {
        let (server, policy) = self.read()?;
        let active = Active { server, trust: policy.trust(), generation: 0 };
        Ok(TlsConfig(Arc::new(Shared {
            active: ArcSwap::from_pointee(active),
            generation: TrustGeneration::new(),
            announced: watch::Sender::new(0),
            last: Mutex::new(Last {
                builder: self,
                policy,
                #[cfg(feature = "reload")]
                contents: None,
            }),
        })))
    }

    /// Every text and file.
    #[cfg(feature = "reload")]
    fn pems(&self) -> impl Iterator<Item = &Pem> {
        let server = self.server.iter().flat_map(|(chain, key)| [chain, key]);
        let clients = self.clients.iter().flat_map(ClientCertificates::pems);
        server.chain(clients).chain(&self.revocation_lists)
    }

    /// Reads everything, and reports everything that is wrong with it.
    fn read(&self) -> Result<(Arc<ServerConfig>, ClientPolicy), TlsConfigError> {
        let (certificate, policy) = both(self.certificate(), self.policy())?;
        Ok((self.server_config(certificate, &policy)?, policy))
    }

    fn policy(&self) -> Result<ClientPolicy, TlsConfigError> {
        let mut revocation_lists = Ok(BTreeSet::new());
        for pem in &self.revocation_lists {
            let lists = pem.all::<CertificateRevocationListDer<'_>>("a certificate revocation list");
            revocation_lists = both(revocation_lists, lists).map(|(mut all, lists)| {
                all.extend(lists.iter().map(|list| list.to_vec()));
                all
            });
        }
        let policy = match self.clients.as_slice() {
            [] => Ok(ClientPolicy::Ignored),
            [ClientCertificates::Any] => Ok(ClientPolicy::Any),
            [ClientCertificates::Chained { bundles, required }] => {
                let (anchors, revocation_lists) = both(bundles.anchors(), revocation_lists)?;
                return Ok(ClientPolicy::Chained { anchors, revocation_lists, required: *required });
            }
            [_, _, ..] => Err(TlsConfigError::ClientCertificatesTwice),
        };
        let (policy, revocation_lists) = both(policy, revocation_lists)?;
        if revocation_lists.is_empty() { Ok(policy) } else { Err(TlsConfigError::RevocationListsUnused) }
    }

    fn certificate(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsConfigError> {
        let (chain, key) = self.server.as_ref().ok_or(TlsConfigError::NoServerCertificate)?;
        both(chain.all("the server certificate"), key.first("the server certificate's key"))
    }

    fn server_config(
        &self,
        (chain, key): (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>),
        policy: &ClientPolicy,
    ) -> Result<Arc<ServerConfig>, TlsConfigError> {
        // By name, not the process-wide default: another crate may have set that.
        let provider = Arc::new(aws_lc_rs::default_provider());
        let time = Arc::new(HandshakeTime(Arc::clone(&self.clock)));
        let mut server = ServerConfig::builder_with_details(Arc::clone(&provider), time)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsConfigError::Protocol { source: error.into() })?
            .with_client_cert_verifier(policy.verifier(&provider)?)
            .with_single_cert(chain, key)
            .map_err(|error| TlsConfigError::ServerCertificate { source: error.into() })?;
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Early data can be replayed.
        server.max_early_data_size = 0;
        // RFC 7627: without it, a resumed TLS 1.2 session can be another peer's.
        server.require_ems = true;
        // In this process's memory, and new with each reload: no one resumes a
        // session that was begun under other trust anchors.
        server.session_storage = ServerSessionMemoryCache::new(SESSIONS);
        Ok(Arc::new(server))
    }
}

#[cfg(feature = "reload")]
impl ClientCertificates {
    fn pems(&self) -> Vec<&Pem> {
        match self {
            Self::Chained { bundles: Bundles::Common(bundle), .. } => vec![bundle],
            Self::Chained { bundles: Bundles::ByTrustDomain(named), .. } => {
                named.iter().map(|(_, bundle)| bundle).collect()
            }
            Self::Any => Vec::new(),
        }
    }
}

impl Bundles {
    fn anchors(&self) -> Result<Anchors, TlsConfigError> {
        let named = match self {
            Self::Common(bundle) => return Ok(Anchors::Common(certificates(bundle)?)),
            Self::ByTrustDomain(named) => named,
        };
        let mut anchors = Ok(BTreeMap::<String, BTreeSet<Vec<u8>>>::new());
        for (name, bundle) in named {
            let is_named = match SpiffeId::new(&format!("spiffe://{name}")) {
                Ok(id) if !id.has_path() => Ok(()),
                Ok(_) | Err(_) => Err(TlsConfigError::InvalidTrustDomain { name: name.clone() }),
            };
            let bundle = both(is_named, certificates(bundle));
            anchors = both(anchors, bundle).map(|(mut anchors, ((), bundle))| {
                anchors.entry(name.clone()).or_default().extend(bundle);
                anchors
            });
        }
        match anchors? {
            none if none.is_empty() => Err(TlsConfigError::NoTrustDomain),
            anchors => Ok(Anchors::ByTrustDomain(anchors)),
        }
    }
}

fn named<N: Into<String>>(bundles: impl IntoIterator<Item = (N, Pem)>) -> Vec<(String, Pem)> {
    bundles.into_iter().map(|(name, bundle)| (name.into(), bundle)).collect()
}

fn certificates(bundle: &Pem) -> Result<BTreeSet<Vec<u8>>, TlsConfigError> {
    let anchors = bundle.all::<CertificateDer<'_>>("the client bundle")?;
    Ok(anchors.iter().map(|anchor| anchor.to_vec()).collect())
}

/// The library's clock, as rustls asks it.
#[derive(Debug)]
struct HandshakeTime(Arc<dyn Clock>);

impl TimeProvider for HandshakeTime {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().unix_seconds()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}
