//! What it takes to test a service that `tower-delegation` guards: a mock
//! identity provider on a real socket, tokens that are good or wrong in every
//! way, and a clock that moves when the test says so.
//!
//! Nothing is mocked on the service's side. The service discovers the provider,
//! fetches its keys and verifies tokens as in production, so a test that passes
//! has been through the whole path.
//!
//! ```
//! use std::time::Duration;
//! use axum::http::StatusCode;
//! use tower_delegation_testing::{Endpoint, MockIdp, TestClock};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), reqwest::Error> {
//!     let clock = TestClock::new();
//!     let idp = MockIdp::builder()
//!         .clock(clock.clone())
//!         .audience("https://orders.example.com")
//!         .start()
//!         .await;
//!
//!     // Tokens for the requests of a test: a good one, an expired one, a forged one.
//!     let good = idp.token().user("alice").client("shop-web").scopes(["orders:read"]).sign();
//!     let short = idp.token().expires_in(Duration::from_secs(10)).sign();
//!     let forged = idp.token().scopes(["orders:read"]).sign_with_other_key().sign();
//!     clock.advance(Duration::from_secs(11)); // `short` has expired
//!     # let _ = (&short, &forged);
//!
//!     // The service trades the caller's token for a narrower one.
//!     idp.register_client("orders", "secret");
//!     let form = [
//!         ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
//!         ("subject_token", &good),
//!         ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
//!         ("audience", "https://stock.example.com"),
//!     ];
//!     let http = reqwest::Client::builder().build()?;
//!     let request = http.post(idp.token_endpoint()).basic_auth("orders", Some("secret"));
//!     let answer: serde_json::Value = request.form(&form).send().await?.json().await?;
//!     assert_eq!(answer["scope"], "orders:read");
//!
//!     // The provider rotates its keys, then its key set fails.
//!     idp.rotate_keys();
//!     idp.fail_with(Endpoint::Jwks, StatusCode::SERVICE_UNAVAILABLE);
//!     assert_eq!(http.get(idp.jwks_uri()).send().await?.status(), 503);
//!     assert_eq!(idp.requests(Endpoint::Jwks), 1);
//!     Ok(())
//! }
//! ```
//!
//! # The parts
//!
//! - [`MockIdp`]: starts and stops with the test; more issuers under paths by
//!   [`issuer_at`](MockIdp::issuer_at).
//! - [`MockIssuer`]: what each issuer can do. Key rotation, odd and broken key
//!   sets, changed metadata, outages per [`Endpoint`], request counts.
//! - [`MockClient`]: a client of an issuer, how it authenticates and what it may
//!   ask for; [`ExchangeLife`] for the life of what it gets. [`TokenRequest`] is what it sent.
//! - [`ClientKey`]: the key by which a client or a workload authenticates, and its
//!   assertions, good and wrong.
//! - [`ExchangeFault`]: twelve ways in which an answer to a token exchange hands out
//!   too much.
//! - [`TokenBuilder`]: access, ID and logout tokens of every [`Algorithm`], and
//!   the forgeries that a resource server must refuse.
//! - [`DpopKey`]: a client's key and its DPoP proofs, good and wrong.
//! - [`check_replay_store`] and [`check_replay_share`]: the contract of `ReplayStore`, for your own.
//! - [`check_revocations`]: the contract of `RevocationStore` and `RevocationSink`.
//! - [`TestClock`]: the `Clock` for the provider and the service alike.
//! - `TestPki` and `MtlsClient` (feature `tls`): certificate authorities, the
//!   certificates of workloads and servers, good and wrong, and an HTTP client
//!   that presents them. `MockIdpBuilder::mtls` has the provider ask for them.
//!
//! # A service that exchanges tokens
//!
//! | to test that the service | set |
//! |---|---|
//! | authenticates as configured | the method of its [`MockClient`]; see [`TokenRequest::client_auth_method`] |
//! | asks for what it should | nothing; see [`MockIssuer::last_token_request`] |
//! | gives up where it may not | [`MockClient::exchanges_for`], [`MockClient::grants`], `may_act` in the token |
//! | refuses too much | each [`ExchangeFault`]; [`MockIssuer::set_token_answer`] for the answer itself |
//! | keeps to the life of the caller's token | [`ExchangeLife::Renewed`] |
//! | answers a nonce | [`MockIssuer::require_dpop_nonce`] |
//! | works with a provider without actors | [`MockClient::impersonates`], or [`Grant::JwtBearer`] on behalf of a user |
//! | works across two providers | [`MockIssuer::accept_grants_of`] |
//! | survives an outage | [`MockIssuer::fail_with_retry_after`], [`MockIssuer::hang_up`] and the like for [`Endpoint::Token`] |
//!
//! # Tests that do not flake
//!
//! Nothing here needs a sleep. Await [`MockIssuer::wait_for_requests`] to know
//! that the service has asked, [`MockIssuer::hold`] to keep the answer back
//! meanwhile, and [`TestClock::wait_for_sleepers`] to know that a background
//! task has gone to sleep before the clock is moved. Do not use
//! `tokio::time::pause`: it makes the time-outs of real sockets expire.
//!
//! # Deployment caveat
//!
//! The provider speaks plain HTTP, has no sign-in page and signs everything that
//! a test asks for. It is for tests; it listens on 127.0.0.1 only.
//!
//! # Panics
//!
//! Where the operating system gives no randomness, no memory or no loopback
//! socket, the crate panics: no test can go on then. Nothing that a test passes
//! in makes it panic.

mod algorithm;
mod client_key;
mod clock;
mod dpop;
mod idp;
mod keys;
#[cfg(feature = "tls")]
mod mtls_client;
#[cfg(feature = "tls")]
mod pki;
mod replay_store;
mod revocations;
mod token;

pub use self::{
    algorithm::Algorithm,
    client_key::{AssertionBuilder, ClientKey},
    clock::TestClock,
    dpop::{DpopKey, ProofBuilder},
    idp::{
        ClientAuthMethod, DEFAULT_AUDIENCE, Endpoint, ExchangeFault, ExchangeLife, Grant, Hold, MockClient,
        MockIdp, MockIdpBuilder, MockIssuer, TokenRequest,
    },
    keys::ALGORITHMS,
    replay_store::{check_replay_share, check_replay_store},
    revocations::check_revocations,
    token::{DEFAULT_CLIENT, DEFAULT_SUBJECT, TokenBuilder, USER_CLAIM},
};
#[cfg(feature = "tls")]
pub use self::{
    mtls_client::MtlsClient,
    pki::{CertificateBuilder, DEFAULT_TRUST_DOMAIN, KeyUsage, TestIdentity, TestPki},
};
