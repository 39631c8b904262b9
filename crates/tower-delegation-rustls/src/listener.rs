//! [`TlsListener`]: accepts connections and completes their handshakes.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::serve::Listener;
use tokio::{
    net::{TcpListener, TcpStream, ToSocketAddrs},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tower_delegation::audit::Text;

use crate::{config::TlsConfig, connection::TlsConnection};

/// How long to wait where the operating system has no connection to give, most
/// likely because the process may open no more files.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts TLS connections, for [`serve`](crate::serve) or `axum::serve`.
///
/// Handshakes go on side by side: a client that opens a connection and stays
/// silent holds up no one but itself. Where a cap is reached, further
/// connections wait in the operating system's queue.
#[derive(Debug)]
pub struct TlsListener {
    entrance: Entrance,
    config: TlsConfig,
    handshake_timeout: Duration,
    /// Those under way. They end when the listener is dropped.
    under_way: JoinSet<Option<(TlsConnection, SocketAddr)>>,
}

impl TlsListener {
    /// Listens on `address`.
    ///
    /// # Errors
    ///
    /// The address does not resolve or cannot be listened on.
    pub async fn bind(address: impl ToSocketAddrs, config: TlsConfig) -> io::Result<Self> {
        Ok(Self::new(TcpListener::bind(address).await?, config))
    }

    /// Takes connections from `tcp`.
    #[must_use]
    pub fn new(tcp: TcpListener, config: TlsConfig) -> Self {
        Self {
            entrance: Entrance { tcp, handshakes: places(256), connections: places(10_000) },
            config,
            handshake_timeout: Duration::from_secs(5),
            under_way: JoinSet::new(),
        }
    }

    /// How long a handshake may take. Default: 5 s.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// How many handshakes may go on at one time, at least one. Default: 256.
    #[must_use]
    pub fn max_handshakes(mut self, count: usize) -> Self {
        self.entrance.handshakes = places(count);
        self
    }

    /// How many connections may be open at one time, those in their handshake
    /// included, at least one. Default: 10,000.
    #[must_use]
    pub fn max_connections(mut self, count: usize) -> Self {
        self.entrance.connections = places(count);
        self
    }

    /// The address that is listened on.
    ///
    /// # Errors
    ///
    /// The operating system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.entrance.tcp.local_addr()
    }

    pub(crate) fn config(&self) -> &TlsConfig {
        &self.config
    }

    fn begin(&mut self, arrival: Arrival) {
        let Arrival { stream, address, connection, handshake } = arrival;
        let (config, limit) = (self.config.clone(), self.handshake_timeout);
        self.under_way.spawn(async move {
            let _place = handshake;
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%address, error = %Text::new(&error.to_string()), "cannot set TCP_NODELAY");
            }
            match timeout(limit, TlsConnection::accept(config, stream, address, connection)).await {
                Ok(Ok(connection)) => return Some((connection, address)),
                Ok(Err(error)) => {
                    let cause =
                        std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                    tracing::debug!(
                        %address, error = %Text::new(&error.to_string()), cause = %Text::new(&cause),
                        "no TLS connection"
                    );
                }
                Err(_) => tracing::debug!(%address, "no TLS connection: the handshake took too long"),
            }
            None
        });
    }
}

impl Listener for TlsListener {
    type Io = TlsConnection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TlsConnection, SocketAddr) {
        loop {
            tokio::select! {
                Some(done) = self.under_way.join_next() => {
                    if let Ok(Some(connection)) = done {
                        return connection;
                    }
                }
                arrival = self.entrance.next() => {
                    if let Some(arrival) = arrival {
                        self.begin(arrival);
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.entrance.tcp.local_addr()
    }
}

/// Where connections come from, and how many may come in.
#[derive(Debug)]
struct Entrance {
    tcp: TcpListener,
    handshakes: Arc<Semaphore>,
    connections: Arc<Semaphore>,
}

impl Entrance {
    /// The next connection that there is a place for.
    async fn next(&self) -> Option<Arrival> {
        // Never an error: the semaphores are never closed.
        let connection = Arc::clone(&self.connections).acquire_owned().await.ok()?;
        let handshake = Arc::clone(&self.handshakes).acquire_owned().await.ok()?;
        match self.tcp.accept().await {
            Ok((stream, address)) => Some(Arrival { stream, address, connection, handshake }),
            Err(error) if is_about_one_connection(&error) => None,
            Err(error) => {
                tracing::error!(error = %Text::new(&error.to_string()), "cannot accept connections");
                sleep(PAUSE).await;
                None
            }
        }
    }
}

/// A connection before its handshake, and the places that it takes.
struct Arrival {
    stream: TcpStream,
    address: SocketAddr,
    connection: OwnedSemaphorePermit,
    handshake: OwnedSemaphorePermit,
}

fn places(count: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(count.clamp(1, Semaphore::MAX_PERMITS)))
}

/// Whether the client is gone, rather than anything wrong on our side.
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
