//! [`TlsConnection`]: one connection after its handshake.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tower_delegation::credential::{CertificateError, PeerCertificate, PeerInfo};

use crate::config::TlsConfig;

/// A connection whose TLS handshake has succeeded, and who is at its other end.
pub struct TlsConnection {
    stream: TlsStream<TcpStream>,
    peer: PeerInfo,
    generation: u64,
    /// Its place among the connections that are allowed at one time.
    _place: OwnedSemaphorePermit,
}

/// Why a connection came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("the TLS handshake failed")]
    Tls(#[from] io::Error),
    #[error("the client certificate cannot be read")]
    Certificate(#[from] CertificateError),
}

impl TlsConnection {
    pub(crate) async fn accept(
        config: TlsConfig,
        tcp: TcpStream,
        address: SocketAddr,
        place: OwnedSemaphorePermit,
    ) -> Result<Self, HandshakeError> {
        let active = config.active();
        let stream = TlsAcceptor::from(active.server.clone()).accept(tcp).await?;
        let (_, session) = stream.get_ref();
        let peer = match session.peer_certificates() {
            None | Some([]) => PeerInfo::new(address),
            Some(chain) => {
                let certificate = PeerCertificate::from_der(chain, active.trust)?;
                PeerInfo::from((address, certificate.verified_under(config.generation(), active.generation)))
            }
        };
        Ok(Self { stream, peer, generation: active.generation, _place: place })
    }

    /// Who is at the other end.
    #[must_use]
    pub fn peer(&self) -> &PeerInfo {
        &self.peer
    }

    /// Whether the client and we have settled on HTTP/2 (ALPN).
    pub(crate) fn is_http2(&self) -> bool {
        self.stream.get_ref().1.alpn_protocol() == Some(b"h2")
    }

    /// The generation of trust anchors that the handshake was verified against.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }
}

impl fmt::Debug for TlsConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConnection").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl AsyncRead for TlsConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for TlsConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
