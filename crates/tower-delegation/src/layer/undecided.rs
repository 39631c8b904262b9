//! The last net: a response of success is not sent where the request was denied,
//! or where nothing was decided about it.

use http::{HeaderValue, Response, header::CONTENT_TYPE};

use super::{body::DelegationBody, observer::Caller};
use crate::{
    arrival::{Arrival, Dialect},
    proof::OwnProof,
    reason::{DenialReason, RejectionKind},
    rejection::Rejection,
};

const GRPC_STATUS: &str = "grpc-status";

/// What becomes of a response of success to a request about which nothing was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UndecidedResponses {
    Sent,
    Refused,
}

/// Watches over the response to one request.
pub(super) struct Watch {
    caller: Caller,
    undecided: UndecidedResponses,
    dialect: Dialect,
    is_preflight: bool,
    /// Does the request end with this response?
    is_outermost: bool,
    /// That of the request, where it ends with this response.
    proof: Option<OwnProof>,
}

impl Watch {
    pub(super) fn over(arrival: Arrival<'_>, caller: Caller, undecided: UndecidedResponses) -> Self {
        let is_preflight = arrival.is_preflight();
        Self { caller, undecided, dialect: arrival.dialect(), is_preflight, is_outermost: false, proof: None }
    }

    /// The same for the layer that has authenticated the request, and where no other layer
    /// waits for it, its proof.
    pub(super) fn until_the_end(mut self, proof: Option<OwnProof>) -> Self {
        self.is_outermost = true;
        self.proof = proof;
        self
    }

    /// The refusal to send instead of this response.
    ///
    /// Answers of failure pass: middleware and routers make them, too (404, 405,
    /// 429), and they carry nothing that a decision would have kept back. With
    /// gRPC a failure has status 200 and says so in `grpc-status`.
    pub(super) fn refusal<B>(&self, response: &Response<B>) -> Option<Rejection> {
        let record = self.caller.record();
        let passes = self.is_failure(response);
        if !passes && let Some(denied) = record.and_then(Rejection::of_ignored_denial) {
            return Some(denied);
        }
        if self.undecided == UndecidedResponses::Sent || record.is_some_and(|record| record.has_decision()) {
            return None;
        }
        #[cfg(feature = "metrics")]
        metrics::counter!(
            "tower_delegation_undecided_responses_total",
            "outcome" => if passes { "passed" } else { "refused" }
        )
        .increment(1);
        (!passes).then(|| Rejection::undecided(self.is_preflight))
    }

    /// The refusal of credentials that the handler of a public route has asked for, where
    /// the response is that refusal.
    pub(super) fn late_refusal<B>(&self, response: &Response<B>) -> Option<DenialReason> {
        match self.caller {
            Caller::Deferred(_) => response.extensions().get().map(Rejection::reason),
            _ => None,
        }
    }

    /// A nonce for the client that turned out to be one with proofs.
    pub(super) fn late_nonce(&self) -> Option<HeaderValue> {
        match &self.caller {
            Caller::Deferred(deferred) => deferred.caller()?.dpop_nonce().cloned(),
            _ => None,
        }
    }

    fn is_failure<B>(&self, response: &Response<B>) -> bool {
        let status = response.status();
        let failed_grpc = || response.headers().get(GRPC_STATUS).is_some_and(|status| status != "0");
        status.is_client_error()
            || status.is_server_error()
            || (self.dialect == Dialect::Grpc && failed_grpc())
    }

    /// The refusal as the client understands it.
    pub(super) fn answer<B>(&self, rejection: &Rejection) -> Response<DelegationBody<B>> {
        if self.dialect == Dialect::Http {
            return DelegationBody::refusal(rejection);
        }
        let (status, message) = grpc_status(rejection.kind());
        // Trailers-only: status 200, the outcome in the head, no body.
        let mut response = Response::new(DelegationBody::empty());
        response.extensions_mut().insert(rejection.clone());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(GRPC_STATUS, HeaderValue::from_static(status));
        headers.insert("grpc-message", HeaderValue::from_static(message));
        response
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.is_outermost
            && let Some(record) = self.caller.record()
        {
            record.end();
        }
        if let Some(proof) = &self.proof {
            proof.end();
        }
    }
}

/// The code and the message of a refusal in gRPC.
fn grpc_status(kind: RejectionKind) -> (&'static str, &'static str) {
    match kind {
        RejectionKind::MissingCredentials
        | RejectionKind::InvalidToken
        | RejectionKind::InvalidDpopProof
        | RejectionKind::UseDpopNonce
        | RejectionKind::InsufficientUserAuthentication
        | RejectionKind::InsufficientClaims => ("16", "the request must be authenticated"),
        RejectionKind::InsufficientScope
        | RejectionKind::Forbidden
        | RejectionKind::CertificateRefused
        | RejectionKind::JwtSvidRefused => ("7", "the request is not allowed"),
        RejectionKind::InvalidRequest
        | RejectionKind::InvalidIdentityHeader
        | RejectionKind::HeaderFieldsTooLarge => ("3", "the request is not valid"),
        RejectionKind::TooManyRequests => ("8", "too many requests"),
        RejectionKind::Unavailable => ("14", "the request cannot be authorized right now"),
        RejectionKind::Misconfigured => ("13", "the service is not configured correctly"),
    }
}
