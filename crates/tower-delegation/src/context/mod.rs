//! [`DelegationContext`]: what the layer verified about a request.
//!
//! 1. There is a context: a token was verified for this very request. The only
//!    way to one leads through the [`Authenticator`](crate::authenticator::Authenticator).
//! 2. There is none: no credentials were sent, and the layer allows that.
//!
//! A context that is kept beyond the request is judged again wherever it decides: see
//! [`streams`].
//!
//! A context says who asks and through which application. Whether they may is
//! decided by a [`Requirement`](crate::requirement::Requirement).

#[doc = include_str!("../../../../docs/streams.md")]
pub mod streams {}

mod accessors;
mod current;
mod delegation;
mod facts;
mod head;
mod judge;
mod passage;
mod record;

pub(crate) use self::{
    delegation::{Circumstances, HeldToken, NamedSignal, Refused, RiskSignals},
    judge::{Judge, Judgement},
    passage::Passage,
    record::{Anonymous, Basis, Effect, Evaluation, Evaluations, Needs, RequestRecord},
};
pub use self::{
    delegation::{DelegationContext, RiskRequest, RiskSignal},
    facts::{PathParameters, RequestFacts},
    head::RequestHead,
};
pub use crate::{
    application::{Application, ApplicationKind},
    confirmation::SenderConstraint,
    credential::{PeerCertificate, WorkloadIdentity},
    names::SubjectKind,
    privileges::{GroupSet, PermissionSet, RoleSet},
    token::{Actor, ClaimError, Subject},
};
