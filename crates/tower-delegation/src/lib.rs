#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(test), warn(clippy::too_many_lines))]
#![doc = include_str!("../../../README.md")]

pub mod application;
mod arrival;
pub mod audit;
pub mod authenticator;
mod authorization;
pub mod clock;
mod confirmation;
pub mod context;
pub mod credential;
pub mod error;
#[cfg(feature = "http-client")]
pub mod exchange;
#[cfg(feature = "http-client")]
pub mod http_client;
pub mod issuer;
mod json;
pub mod jwks;
pub mod jwt_svid;
pub mod layer;
#[cfg(feature = "http-client")]
pub mod material;
pub mod names;
mod pass_through_hasher;
mod privileges;
pub mod proof;
pub mod protected_resource;
pub mod reason;
pub mod rejection;
pub mod replay;
pub mod requirement;
pub mod revocation;
pub mod routes;
#[cfg(feature = "axum")]
pub mod routing;
pub mod scope;
mod seconds;
pub mod settings;
pub mod spiffe;
pub mod step;
mod text;
mod text_hash;
pub mod token;
mod trace;
#[cfg(feature = "reload")]
pub mod watch;
mod web_url;

#[cfg(feature = "axum")]
#[doc(inline)]
pub use self::routing::{Authorized, Permit};
#[doc(inline)]
pub use self::{
    application::Applications,
    authenticator::{Authenticator, ClientIdentity},
    context::{DelegationContext, RequestFacts, SubjectKind},
    error::ConfigError,
    issuer::TrustedIssuer,
    layer::{DelegationLayer, RequireLayer, RouteTableLayer},
    proof::{Dpop, DpopNonces},
    reason::DenialReason,
    rejection::Rejection,
    requirement::{Requirement, Requires},
    routes::RouteTable,
    settings::Settings,
};
#[cfg(feature = "axum")]
pub use tower_delegation_macros::{requires, requires_audience, requires_scope};
