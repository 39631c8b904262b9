//! The last net: a response of success to a request about which nothing was
//! decided is not sent.

use http::{HeaderMap, HeaderValue, Request, Response, header::CONTENT_TYPE};

use super::{DelegationBody, observer::Caller};
use crate::rejection::Rejection;

const GRPC_STATUS: &str = "grpc-status";

/// What becomes of a response of success to a request about which nothing was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UndecidedResponses {
    Sent,
    Refused,
}

/// Watches one request for a decision.
pub(super) struct Watch {
    caller: Caller,
    is_grpc: bool,
}

impl Watch {
    pub(super) fn over<B>(request: &Request<B>, caller: Caller) -> Self {
        Self { caller, is_grpc: is_grpc(request.headers()) }
    }

    /// The refusal to send instead of this response.
    ///
    /// Answers of failure pass: middleware and routers make them, too (404, 405,
    /// 429), and they carry nothing that a decision would have kept back. With
    /// gRPC a failure has status 200 and says so in `grpc-status`.
    pub(super) fn refusal<B>(&self, response: &Response<B>) -> Option<Rejection> {
        if self.caller.record().is_some_and(|record| record.has_decision()) {
            return None;
        }
        let status = response.status();
        let failed_grpc = || response.headers().get(GRPC_STATUS).is_some_and(|status| status != "0");
        let is_failure = status.is_client_error() || status.is_server_error();
        let passes = is_failure || (self.is_grpc && failed_grpc());
        #[cfg(feature = "metrics")]
        metrics::counter!(
            "tower_delegation_undecided_responses_total",
            "outcome" => if passes { "passed" } else { "refused" }
        )
        .increment(1);
        (!passes).then(Rejection::undecided)
    }

    /// The refusal as the client understands it.
    pub(super) fn answer<B>(&self, rejection: &Rejection) -> Response<DelegationBody<B>> {
        if !self.is_grpc {
            return DelegationBody::refusal(rejection);
        }
        // Trailers-only: status 200, the outcome in the head, no body.
        let mut response = Response::new(DelegationBody::empty());
        response.extensions_mut().insert(rejection.clone());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(GRPC_STATUS, HeaderValue::from_static("13"));
        headers.insert("grpc-message", HeaderValue::from_static("the service is not configured correctly"));
        response
    }
}

/// `application/grpc`, `application/grpc+proto`, but not `application/grpc-web`,
/// whose clients expect trailers in the body.
fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = content_type.splitn(2, ['+', ';']);
    parts.next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/grpc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_told_by_its_content_type() {
        for (value, expected) in [
            ("application/grpc", true),
            ("Application/gRPC+proto", true),
            ("application/grpc; charset=x", true),
            ("application/grpc-web", false),
            ("application/grpcx", false),
            ("application/json", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
            assert_eq!(is_grpc(&headers), expected, "{value}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }
}
