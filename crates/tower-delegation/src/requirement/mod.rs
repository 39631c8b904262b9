//! What a route demands: one [`Requirement`] behind the attribute, the
//! extractor, the layer and the call.
//!
//! 1. Every demand of a requirement must hold. A demand fails, or is unknown, where
//!    what it names is absent or malformed (`claim_malformed`); both deny, also inside
//!    [`not`](Requirement::not). A malformed claim that no demand names denies nothing.
//!    Where one of several values is enough, the method begins with `any_`; a second
//!    plain one is a contradiction, except of what adds up: scopes, roles, permissions,
//!    groups and authorization details.
//! 2. Demands are checked in one fixed order, and the denial names the first
//!    that fails:
//!
//!    | | demands |
//!    |---|---|
//!    | the token | issuer, tenant, audience, audiences and scopes within bounds, lifetime, age |
//!    | its sender | sender constraint, workload |
//!    | the parties | subject kind, on behalf of a user, delegation, number of actors, denied actors, actor, client, registered applications of client and presenter |
//!    | the circumstances | time windows, risk |
//!    | comparisons | claims, path, header fields, purpose |
//!    | grants | roles, permissions, groups, authorization details |
//!    | compositions | all of, any of, not |
//!    | what a client can mend | authentication, then scopes |
//!
//!    What a client can mend comes last, so that it hears of it only where it
//!    would really help. If authentication and scopes are both insufficient,
//!    one challenge names both (RFC 9470 section 3).
//! 3. A requirement that contradicts itself denies with 500 `misconfigured`;
//!    [`Requirement::check`] finds it before any request does.
//! 4. The time is that of the decision.
//!
//! An evaluation waits for nothing and allocates nothing: ten demands take about
//! 0.1 µs. Only demands on claims, purpose and authorization details read the
//! payload's JSON, each by itself, at about 1 µs, with a small buffer where the
//! payload nests.
//!
//! # Deployment caveat
//!
//! A requirement guards what it is attached to. A route without one is open to
//! every verified token.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use tower_delegation::requirement::{Requirement, Requires};
//!
//! struct RefundOrder;
//!
//! impl Requires for RefundOrder {
//!     fn requirement() -> Requirement {
//!         Requirement::named("RefundOrder")
//!             .scope("orders:refund")
//!             .on_behalf_of_user()
//!             .tenant_matches_path("tenant")
//!             .max_token_age(Duration::from_secs(300))
//!             .acr("urn:example:mfa")
//!     }
//! }
//!
//! assert!(Requirement::check::<RefundOrder>().is_ok());
//! ```

mod bars;
mod builder;
mod challenge;
mod check;
mod claims;
mod demand;
mod detail;
mod enforcement;
mod evidence;
mod granted;
mod names;
mod requires;
mod say;
#[cfg(test)]
mod tests;
mod window;

#[cfg(feature = "axum")]
#[doc = include_str!("../../../../docs/scenarios.md")]
pub mod scenarios {}

pub(crate) use self::{challenge::each_with_each, demand::Demand, evidence::Evidence, names::IssuerScope};
pub use self::{
    check::{Decision, Denial},
    demand::Requirement,
    detail::AuthorizationDetail,
    requires::Requires,
    window::{TimeWindow, Weekday},
};
