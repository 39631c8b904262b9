//! How a request learns who is at the other end of its connection.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    net::SocketAddr,
    task::{Context, Poll},
};

use axum::{extract::ConnectInfo, serve::IncomingStream};
use http::Request;
use tower_delegation::credential::PeerInfo;
use tower_service::Service;

use crate::listener::TlsListener;

/// Lets `axum::serve` tell `service` the peer of each request.
///
/// `Router::into_make_service_with_connect_info` cannot do it: [`PeerInfo`] and
/// axum's trait for it belong to other crates.
///
/// ```no_run
/// // Not run: it needs a certificate and serves for ever.
/// # use axum::Router;
/// # use tower_delegation_rustls::{TlsListener, into_make_service_with_peer};
/// # async fn run(listener: TlsListener, app: Router) -> std::io::Result<()> {
/// axum::serve(listener, into_make_service_with_peer(app)).await
/// # }
/// ```
pub fn into_make_service_with_peer<S>(service: S) -> IntoMakeServiceWithPeer<S> {
    IntoMakeServiceWithPeer { service }
}

/// Makes a [`PeerService`] for each connection.
#[derive(Clone, Debug)]
pub struct IntoMakeServiceWithPeer<S> {
    service: S,
}

impl<S: Clone> Service<IncomingStream<'_, TlsListener>> for IntoMakeServiceWithPeer<S> {
    type Response = PeerService<S>;
    type Error = Infallible;
    type Future = Ready<Result<PeerService<S>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, stream: IncomingStream<'_, TlsListener>) -> Self::Future {
        // The service was not readied and is not called: each clone is readied by who calls it.
        ready(Ok(PeerService::new(self.service.clone(), stream.io().peer().clone())))
    }
}

/// Puts [`PeerInfo`], `ConnectInfo<PeerInfo>` and `ConnectInfo<SocketAddr>` into
/// the extensions of the requests of one connection: the first for services that
/// know nothing of axum, the others for its extractors.
#[derive(Clone, Debug)]
pub struct PeerService<S> {
    inner: S,
    peer: PeerInfo,
}

impl<S> PeerService<S> {
    /// Tells `inner` that its requests come from `peer`.
    pub fn new(inner: S, peer: PeerInfo) -> Self {
        Self { inner, peer }
    }

    /// The service inside.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service inside.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service inside.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B> Service<Request<B>> for PeerService<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        let extensions = request.extensions_mut();
        if let Some(address) = self.peer.address() {
            extensions.insert::<ConnectInfo<SocketAddr>>(ConnectInfo(address));
        }
        extensions.insert(ConnectInfo(self.peer.clone()));
        extensions.insert(self.peer.clone());
        self.inner.call(request)
    }
}
