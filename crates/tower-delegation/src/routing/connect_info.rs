//! Lets axum's own listeners tell of each connection's other end:
//! `app.into_make_service_with_connect_info::<PeerInfo>()`.

use axum::{extract::connect_info::Connected, serve::IncomingStream};
use tokio::net::TcpListener;

use crate::credential::PeerInfo;

impl Connected<IncomingStream<'_, TcpListener>> for PeerInfo {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self::new(*stream.remote_addr())
    }
}

#[cfg(unix)]
impl Connected<IncomingStream<'_, tokio::net::UnixListener>> for PeerInfo {
    fn connect_info(_: IncomingStream<'_, tokio::net::UnixListener>) -> Self {
        Self::unix_socket()
    }
}
