//! TLS for services guarded by `tower-delegation`: a listener that hands on who
//! is at the other end of each connection, as [`PeerInfo`].
//!
//! ```no_run
//! // Not run: it needs a certificate and serves for ever.
//! use axum::{Router, extract::ConnectInfo, routing::get};
//! use tower_delegation::{clock::{Clock as _, SystemClock}, credential::PeerInfo};
//! use tower_delegation_rustls::{Pem, TlsConfig, TlsListener, serve};
//!
//! async fn who(ConnectInfo(peer): ConnectInfo<PeerInfo>) -> String {
//!     // Asked for now: the connection can outlive its certificate.
//!     let certificate = peer.certificate(SystemClock::new().now());
//!     let workload = certificate.and_then(|certificate| certificate.spiffe_id());
//!     workload.map_or_else(|| "no workload that is known".to_owned(), ToString::to_string)
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let tls = TlsConfig::builder()
//!         .server_certificate(Pem::file("tls/chain.pem"), Pem::file("tls/key.pem"))
//!         .accept_client_certificates(Pem::file("tls/bundle.pem"))
//!         .build()?;
//!     let listener = TlsListener::bind("0.0.0.0:8443", tls).await?;
//!     let app = Router::new().route("/", get(who));
//!     serve(listener, app, std::future::pending()).await;
//!     Ok(())
//! }
//! ```
//!
//! # Two ways to serve
//!
//! - [`serve`]: the accept loop of this crate. HTTP/1.1 and HTTP/2, time-outs
//!   and caps that suit large tokens, graceful shutdown; after the trust anchors
//!   have been replaced, it asks the connections of before to close.
//! - `axum::serve(listener, into_make_service_with_peer(app))`: the loop of
//!   axum, whose HTTP/2 stops at 16 KiB of header fields. After the trust
//!   anchors have been replaced, connections of before stay open and their
//!   certificates are no longer [current](tower_delegation::credential::PeerCertificate::is_current).
//!
//! Both put [`PeerInfo`], `ConnectInfo<PeerInfo>` and `ConnectInfo<SocketAddr>`
//! into the extensions of every request.
//!
//! # What a handshake proves
//!
//! | setting | a client without a certificate | a certificate that does not chain to the bundle | [`CertificateTrust`] |
//! |---|---|---|---|
//! | none | is let in | is not asked for | |
//! | [`require_client_certificates`](TlsConfigBuilder::require_client_certificates) | TLS alert | TLS alert | `ChainedToTrustAnchor` |
//! | [`accept_client_certificates`](TlsConfigBuilder::accept_client_certificates) | is let in | TLS alert | `ChainedToTrustAnchor` |
//! | [`require_workloads`](TlsConfigBuilder::require_workloads) | TLS alert | TLS alert; so is one that is no X509-SVID | `ChainedToTrustAnchor` |
//! | [`accept_workloads`](TlsConfigBuilder::accept_workloads) | is let in | the same | `ChainedToTrustAnchor` |
//! | [`accept_any_client_certificate`](TlsConfigBuilder::accept_any_client_certificate) | is let in | is let in | `PresentedOnly` |
//!
//! In every case the client has proved that it holds the certificate's key. TLS
//! 1.2 (with extended master secret) and 1.3; no early data, because it can be
//! replayed. A resumed session is the peer of its first handshake; sessions
//! do not outlive a [reload](TlsConfig::reload).
//!
//! # Deployment caveat
//!
//! The peer is the party that ended the TLS connection. Behind a proxy that ends it,
//! that is the proxy: this listener then says nothing about the caller. A bundle
//! of several trust domains lets each of their authorities name workloads of the
//! others, unless it is given domain by domain to
//! [`require_workloads`](TlsConfigBuilder::require_workloads).
//!
//! [`PeerInfo`]: tower_delegation::credential::PeerInfo
//! [`CertificateTrust`]: tower_delegation::credential::CertificateTrust

mod config;
mod connection;
mod error;
mod listener;
mod peer;
mod pem;
mod serve;
mod verifier;

pub use self::{
    config::{Reload, TlsConfig, TlsConfigBuilder},
    connection::TlsConnection,
    error::TlsConfigError,
    listener::TlsListener,
    peer::{IntoMakeServiceWithPeer, PeerService, into_make_service_with_peer},
    pem::Pem,
    serve::serve,
};
