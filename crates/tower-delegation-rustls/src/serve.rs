//! [`serve`]: the accept loop.

use std::{
    convert::Infallible,
    error::Error,
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{body::Body, serve::Listener};
use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{sync::watch, task::JoinSet, time::sleep};
use tower::ServiceExt as _;
use tower_delegation::audit::Text;
use tower_service::Service;

use crate::{connection::TlsConnection, listener::TlsListener, peer::PeerService};

/// For the head of a request, and for the first request to come at all.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// A peer that is gone is noticed after at most twice this time.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Tokens of 16 KiB, proofs and certificates beside them. Others default to 16 KiB.
const MAX_HEADER_LIST: u32 = 64 * 1024;
const MAX_STREAMS: u32 = 200;

/// Serves `service` over `listener`, HTTP/1.1 and HTTP/2, until `shutdown`
/// completes.
///
/// Then no connection is accepted any more, those that are open are asked to
/// close, and this future completes when the last request has been answered. It
/// waits for as long as that takes: put a time-out around what follows
/// `shutdown`, or drop the future, which ends all connections at once.
///
/// After a [reload](crate::TlsConfig::reload) with other trust anchors, the
/// connections of before are asked to close too: requests under way are
/// answered, the next one needs a new handshake.
///
/// A head of a request that takes longer than 30 s ends its connection, and
/// so does a connection on which no request arrives for that long.
pub async fn serve<S, B>(mut listener: TlsListener, service: S, shutdown: impl Future<Output = ()>)
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let closing = watch::Sender::new(false);
    let generations = listener.config().generations();
    // Ends the connections when this future is dropped.
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            (connection, _) = listener.accept() => {
                let close = Close {
                    generation: connection.generation(),
                    generations: generations.clone(),
                    shutdown: closing.subscribe(),
                };
                connections.spawn(converse(connection, service.clone(), close));
            }
            Some(_) = connections.join_next() => {}
            () = &mut shutdown => break,
        }
    }
    // With it go the handshakes that are under way.
    drop(listener);
    closing.send_replace(true);
    while connections.join_next().await.is_some() {}
}

/// When a connection is to be closed.
struct Close {
    generation: u64,
    generations: watch::Receiver<u64>,
    shutdown: watch::Receiver<bool>,
}

impl Close {
    async fn asked_for(mut self) {
        // An error means that the other side is gone: then too there is nothing to wait for.
        tokio::select! {
            _ = self.generations.wait_for(|latest| *latest > self.generation) => {}
            _ = self.shutdown.wait_for(|closing| *closing) => {}
        }
    }
}

/// One connection, from its handshake to its end.
async fn converse<S, B>(connection: TlsConnection, service: S, close: Close)
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let address = connection.peer().address();
    let is_http2 = connection.is_http2();
    let service = PeerService::new(service, connection.peer().clone());
    let has_asked = Arc::new(AtomicBool::new(false));
    let service = service_fn({
        let has_asked = Arc::clone(&has_asked);
        move |request: Request<Incoming>| {
            has_asked.store(true, Ordering::Relaxed);
            service.clone().oneshot(request.map(Body::new))
        }
    });
    let builder = builder(is_http2);
    let mut conversation = pin!(builder.serve_connection_with_upgrades(TokioIo::new(connection), service));
    let mut close = pin!(close.asked_for());
    let mut first = pin!(sleep(HEAD_TIMEOUT));
    let (mut is_closing, mut is_first_due) = (false, true);
    loop {
        tokio::select! {
            end = &mut conversation => {
                if let Err(error) = end {
                    let error = error.to_string();
                    tracing::debug!(
                        address = %Text::new(&format!("{address:?}")), error = %Text::new(&error),
                        "connection ended early"
                    );
                }
                return;
            }
            () = &mut close, if !is_closing => {
                is_closing = true;
                conversation.as_mut().graceful_shutdown();
            }
            () = &mut first, if is_first_due => {
                is_first_due = false;
                if !has_asked.load(Ordering::Relaxed) {
                    tracing::debug!(address = %Text::new(&format!("{address:?}")), "connection ended: no request has arrived");
                    return;
                }
            }
        }
    }
}

fn builder(is_http2: bool) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_LIST);
    // As settled in the handshake, never by what the first bytes look like.
    if is_http2 { builder.http2_only() } else { builder.http1_only() }
}
