//! Token exchange: the caller's token stops here, and a narrower one goes on.
//!
//! A [`Downstream`] says which service is called, the most that may ever be asked for there,
//! and who may cause it. [`DelegationLayer::exchange`](crate::layer::DelegationLayer::exchange)
//! makes an [`Exchange`] of it, which trades the token of a caller for one that may be sent
//! there, and keeps it while it is good: by RFC 8693, or by another [`Flow`].
//!
//! 1. Before anything is asked for: the caller's context is judged as of now, the downstream's
//!    requirement must allow, and the scopes are no more than the caller's are worth there.
//! 2. What comes back is verified before it is used: by the terms that
//!    [`Downstream::reads`] agrees on, for one audience, with the caller's subject, this service as
//!    the actor above the caller's unchanged chain, no more scope than was asked for,
//!    [bound](Downstream::dpop_bound) as was asked for, and with a life that ends in time. Where the
//!    token is [opaque](Downstream::opaque), the members of the answer are checked, and the event
//!    says so.
//! 3. Each violation has a [reason](crate::reason::DenialReason) of its own, an audit event and a
//!    warning, and no request leaves. Where there is no token there is no call: the caller's own
//!    token is never passed on instead.
//! 4. A token is kept for the very token, scopes and downstream that it was asked for; a thousand
//!    callers with one token cause one exchange. It is used until the earliest of its own end, the
//!    caller's and the [longest life](Downstream::max_token_lifetime); a revoked, suspended or
//!    expired caller gets none, at once.
//! 5. An outage of the authorization server is 503 with `Retry-After`, never a 401; kept tokens
//!    are used up to their margin. After five outages in a row nothing is sent for five seconds.
//!
//! Calls to the downstream are made by [`outgoing`]: through reqwest, or any tower service.
//!
//! # Deployment caveat
//!
//! An authorization server decides what a token says. What cannot be read is trusted as far as
//! the server is: prefer [`Downstream::reads`].

#[doc = include_str!("../../../../docs/exchange.md")]
pub mod guide {}

mod actor_token;
mod answer;
mod authentication;
mod circuit;
mod downstream;
mod dpop;
mod error;
mod flow;
mod issued;
pub mod outgoing;
mod pass_through;
mod request;
mod server;
mod signing;
mod status;
mod steps;
mod terms;
mod verify;
mod wire;

pub use self::{
    actor_token::ActorToken,
    authentication::ClientAuthentication,
    downstream::Downstream,
    error::ExchangeError,
    flow::Flow,
    issued::{AuthorizeError, DownstreamToken},
    request::{Exchange, ExchangeRequest},
    server::AuthorizationServer,
    signing::SigningKey,
    status::ExchangeStatus,
    terms::ActorMode,
};
