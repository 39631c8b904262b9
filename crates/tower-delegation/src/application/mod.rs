//! The registry of applications: which of them may hold tokens, from where,
//! for whom, and how much at most.
//!
//! With a registry ([`DelegationLayerBuilder::applications`]) a token counts only
//! as far as the application that presents it is registered for it. The
//! *presenter* is the application of the current actor where the token has an
//! `act` (RFC 8693 section 4.1), else that of the client. On every request,
//! also with a token that was seen before, in this order:
//!
//! 1. the token names a client: else `client_missing`;
//! 2. the client belongs to a registered application: `client_unregistered`;
//! 3. so does the current actor, if there is one: `actor_unregistered`; an earlier
//!    actor that does not is recorded, or
//!    [refused](ApplicationsBuilder::refuse_unknown_earlier_actors);
//! 4. none of them is suspended, and neither is the application of an earlier actor,
//!    of a subject that is no user, or one that any of them is registered for under
//!    another name (a client's or an actor's): `client_suspended`, `actor_suspended`;
//! 5. the same with those that have expired: `client_expired`, `actor_expired`;
//! 6. both are registered for the service's environment: `environment_not_allowed`;
//! 7. and for the token's tenant: `tenant_not_allowed`;
//! 8. the presenter may act for subjects of this kind: `acting_not_allowed`;
//! 9. the token does not live longer than both may hold one:
//!    `application_token_lifetime_too_long`;
//! 10. the token is bound to its sender, if either demands that:
//!     `application_sender_constraint_missing`;
//! 11. the workload that sent the request is one of the presenter's:
//!     `workload_unknown`, `workload_not_registered`;
//! 12. what the token grants is within both ceilings, if either refuses more:
//!     `token_too_broad`. Otherwise it is cut.
//!
//! The ceiling bounds everything that a token can grant: scopes, roles,
//! permissions, groups and types of authorization details (RFC 9396). What is left
//! is *effective*: what the token grants, as far as the client's application and
//! the current actor's may ever use it. Requirements and audit events see nothing
//! else. A [claim](crate::context::DelegationContext::claim) that is read by its
//! name is the token's own, and is not cut.
//!
//! Without a registry the clients of an issuer are taken as they come.
//!
//! # Deployment caveat
//!
//! The rule is as good as the identity of the workload: without
//! [`ClientIdentity`](crate::authenticator::ClientIdentity) no workload is
//! known, and only applications that [may be presented from
//! anywhere](ApplicationBuilder::allow_any_workload) are served.
//!
//! # Example
//!
//! ```
//! use tower_delegation::{
//!     Applications, ClientIdentity, ConfigError, DelegationLayer, TrustedIssuer,
//!     application::{Application, ApplicationKind},
//! };
//!
//! fn layer(issuer: TrustedIssuer) -> Result<DelegationLayer, ConfigError> {
//!     let web = Application::builder("shop-web", ApplicationKind::Application)
//!         .issuer("https://idp.example.com")
//!         .add_client_id("shop-web")
//!         .add_workload("spiffe://prod.example/shop/web")
//!         .add_scopes(["orders:read", "orders:refund"])
//!         .acts_for_users();
//!     let copilot = Application::builder("copilot", ApplicationKind::Agent)
//!         .issuer("https://idp.example.com")
//!         .add_actor_id("copilot")
//!         .add_workload("spiffe://prod.example/agents/copilot")
//!         .add_scopes(["orders:read"])
//!         .acts_for_users();
//!     let applications = Applications::builder().add_application(web).add_application(copilot).build()?;
//!     DelegationLayer::builder()
//!         .add_issuer(issuer)
//!         .client_identity(ClientIdentity::from_tls())
//!         .applications(applications)
//!         .build()
//! }
//! # let issuer = TrustedIssuer::discover("https://idp.example.com")?.add_audience("https://orders.example.com");
//! # layer(issuer)?;
//! # Ok::<(), ConfigError>(())
//! ```
//!
//! [`DelegationLayerBuilder::applications`]: crate::layer::DelegationLayerBuilder::applications

mod applications;
mod builder;
mod ceiling;
mod deadline;
mod document;
mod entry;
#[cfg(feature = "toml")]
mod file;
mod last_seen;
mod presenter;
mod registry;
#[cfg(test)]
mod tests;
mod workloads;

#[cfg(feature = "toml")]
#[doc = include_str!("../../../../docs/applications.md")]
pub mod registry_file {}

pub(crate) use self::{
    applications::RegistrationSlot,
    presenter::{Actors, ChainedActor, Granted, Registration, SenderFacts, TokenParties},
};
pub use self::{
    applications::{Applications, ApplicationsBuilder, LoadFailure, RegistryStatus},
    builder::ApplicationBuilder,
    ceiling::Ceiling,
    deadline::Deadline,
    entry::{Application, ApplicationKind, ApplicationStatus, Excess},
};
