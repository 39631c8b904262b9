//! A refused request as an HTTP answer.
//!
//! One table, [`RejectionKind`] by kind: status, OAuth error, problem `code`.
//!
//! | kind | status | `error` in the challenge | `code` |
//! |---|---|---|---|
//! | missing credentials | 401 | none (RFC 6750 section 3.1) | `missing_credentials` |
//! | invalid request | 400 | `invalid_request` | `invalid_request` |
//! | invalid token | 401 | `invalid_token` | `invalid_token` |
//! | insufficient scope | 403 | `insufficient_scope`, with the scopes needed | `insufficient_scope` |
//! | forbidden | 403 | none: more scope would not help | `forbidden` |
//! | invalid identity header | 400 | no challenge | `invalid_identity_header` |
//! | certificate refused | 403 | no challenge | `client_certificate_refused` |
//! | header fields too large | 431 | no challenge | `header_fields_too_large` |
//! | unavailable | 503 + `Retry-After` | no challenge | `temporarily_unavailable` |
//! | misconfigured | 500 | no challenge | `misconfigured` |
//!
//! Bodies are `application/problem+json` (RFC 9457). Which check a token failed
//! is in the audit event, never in the answer.

mod challenge;

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};

pub use self::challenge::Challenge;
pub(crate) use self::challenge::is_quotable;
pub use crate::reason::RejectionKind;
use crate::{
    context::{DelegationContext, Effect, Evaluation, RequestFacts, RequestRecord},
    reason::DenialReason,
    requirement::{Decision, Requirement},
};

/// How long a client should wait before it asks again, in seconds: the time in
/// which one more attempt to fetch an unknown key becomes possible.
const RETRY_AFTER_SECONDS: &str = "10";

/// The realm of challenges where no layer has set one.
const DEFAULT_REALM: &str = "api";

/// Why a request was refused, ready to be sent.
///
/// Every refusal's response carries its `Rejection` in the extensions, for
/// middleware that renders errors of its own.
#[derive(Clone)]
pub struct Rejection {
    reason: DenialReason,
    realm: Option<Arc<str>>,
    scope: Option<Box<str>>,
}

/// What one kind of rejection looks like outside.
struct Appearance {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    /// The problem's `detail` and the challenge's `error_description`.
    description: &'static str,
    challenge: ErrorInChallenge,
}

enum ErrorInChallenge {
    NoChallenge,
    NoError,
    Error(&'static str),
}

impl RejectionKind {
    fn appearance(self) -> Appearance {
        use ErrorInChallenge::{Error, NoChallenge, NoError};
        match self {
            Self::MissingCredentials => Appearance {
                status: StatusCode::UNAUTHORIZED,
                code: "missing_credentials",
                title: "Credentials are missing",
                description: "Send an access token in the Authorization header",
                challenge: NoError,
            },
            Self::InvalidRequest => Appearance {
                status: StatusCode::BAD_REQUEST,
                code: "invalid_request",
                title: "The request is not valid",
                description: "Send exactly one access token, in the Authorization header",
                challenge: Error("invalid_request"),
            },
            Self::InvalidToken => Appearance {
                status: StatusCode::UNAUTHORIZED,
                code: "invalid_token",
                title: "The access token is not valid",
                description: "The access token is expired, revoked, malformed or not valid here",
                challenge: Error("invalid_token"),
            },
            Self::InsufficientScope => Appearance {
                status: StatusCode::FORBIDDEN,
                code: "insufficient_scope",
                title: "The access token lacks scope",
                description: "The request needs more scope than the access token has",
                challenge: Error("insufficient_scope"),
            },
            Self::Forbidden => Appearance {
                status: StatusCode::FORBIDDEN,
                code: "forbidden",
                title: "The request is not allowed",
                description: "The access token is valid and does not allow this request",
                challenge: NoError,
            },
            Self::InvalidIdentityHeader => Appearance {
                status: StatusCode::BAD_REQUEST,
                code: "invalid_identity_header",
                title: "The request is not valid",
                description: "A header field that speaks for the client's identity is not acceptable",
                challenge: NoChallenge,
            },
            Self::CertificateRefused => Appearance {
                status: StatusCode::FORBIDDEN,
                code: "client_certificate_refused",
                title: "The client certificate is not acceptable",
                description: "The client certificate is not acceptable",
                challenge: NoChallenge,
            },
            Self::HeaderFieldsTooLarge => Appearance {
                status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                code: "header_fields_too_large",
                title: "The header fields are too large",
                description: "The fields for the client certificate are too large",
                challenge: NoChallenge,
            },
            Self::Unavailable => Appearance {
                status: StatusCode::SERVICE_UNAVAILABLE,
                code: "temporarily_unavailable",
                title: "The request cannot be authorized right now",
                description: "Something that is needed for the decision cannot be reached",
                challenge: NoChallenge,
            },
            Self::Misconfigured => Appearance {
                status: StatusCode::INTERNAL_SERVER_ERROR,
                code: "misconfigured",
                title: "The service is not configured correctly",
                description: "The service is not configured correctly",
                challenge: NoChallenge,
            },
        }
    }
}

impl Rejection {
    pub(crate) fn new(reason: DenialReason, realm: Arc<str>) -> Self {
        Self { reason, realm: Some(realm), scope: None }
    }

    /// No [`DelegationLayer`](crate::layer::DelegationLayer) ran before: a
    /// wiring mistake, so operators hear of it on every request.
    pub(crate) fn layer_missing() -> Self {
        tracing::error!(
            "a handler asks for the delegation context, and no DelegationLayer ran: \
             wrap the router with `.layer(delegation)`"
        );
        Self { reason: DenialReason::LayerMissing, realm: None, scope: None }
    }

    /// No credentials where `requirement` demands some.
    pub(crate) fn missing_credentials(requirement: Option<&Requirement>, record: &RequestRecord) -> Self {
        let scope = requirement.and_then(Requirement::challenge_scope).map(Into::into);
        let name = requirement.map_or("credentials", Requirement::name).to_owned();
        let reason = DenialReason::CredentialsMissing;
        record.add(Evaluation { requirement: name.into(), denial: Some(reason), effect: Effect::Enforced });
        Self { reason, realm: Some(record.realm().clone()), scope }
    }

    /// What the client may know.
    #[must_use]
    pub fn kind(&self) -> RejectionKind {
        self.reason.kind()
    }

    /// What the operator should know. Keep it out of responses.
    #[must_use]
    pub fn reason(&self) -> DenialReason {
        self.reason
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.kind().appearance().status
    }

    /// The stable code in the answer's body.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.kind().appearance().code
    }

    /// The challenge of the answer: for those who render the body themselves.
    /// A 401 without it breaks clients (RFC 9110 section 15.5.2).
    #[must_use]
    pub fn challenge(&self) -> Option<Challenge> {
        let appearance = self.kind().appearance();
        let challenge =
            Challenge::new("Bearer").parameter("realm", self.realm.as_deref().unwrap_or(DEFAULT_REALM));
        let challenge = match appearance.challenge {
            ErrorInChallenge::NoChallenge => return None,
            ErrorInChallenge::NoError => challenge,
            ErrorInChallenge::Error(error) => {
                challenge.parameter("error", error).parameter("error_description", appearance.description)
            }
        };
        Some(challenge.maybe_parameter("scope", self.scope.as_deref()))
    }

    /// The whole answer.
    #[must_use]
    pub fn to_response(&self) -> Response<Bytes> {
        let appearance = self.kind().appearance();
        let body = format!(
            r#"{{"title":"{}","status":{},"detail":"{}","code":"{}"}}"#,
            appearance.title,
            appearance.status.as_u16(),
            appearance.description,
            appearance.code,
        );
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = appearance.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(challenge) = self.challenge() {
            headers.insert(WWW_AUTHENTICATE, challenge.to_value());
        }
        if self.kind() == RejectionKind::Unavailable {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        response.extensions_mut().insert(self.clone());
        response
    }
}

impl fmt::Debug for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejection").field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind().appearance().description)
    }
}

impl std::error::Error for Rejection {}

impl DelegationContext {
    /// Evaluates `requirement` here and now: inside a resolver, a job, a tool.
    /// Goes through the same evaluation as the attribute, the extractor and the
    /// layer, and leaves the same record.
    ///
    /// # Errors
    /// The [`Rejection`] to answer with, if a demand does not hold.
    ///
    /// ```
    /// use tower_delegation::{context::{DelegationContext, RequestFacts}, rejection::Rejection, requirement::Requirement};
    ///
    /// fn refund(delegation: &DelegationContext) -> Result<(), Rejection> {
    ///     delegation.authorize(&Requirement::named("refund").scope("orders:refund"), &RequestFacts::none())?;
    ///     // …
    ///     Ok(())
    /// }
    /// ```
    pub fn authorize(&self, requirement: &Requirement, facts: &RequestFacts<'_>) -> Result<(), Rejection> {
        let decision = requirement.evaluate(self, facts);
        let denial = match &decision {
            Decision::Allow => None,
            Decision::Deny(denial) => Some(denial.reason()),
        };
        self.record().add(Evaluation {
            requirement: requirement.shared_name(),
            denial,
            effect: Effect::Enforced,
        });
        match denial {
            None => Ok(()),
            Some(reason) => {
                if reason == DenialReason::RequirementContradictory {
                    tracing::error!(requirement = requirement.name(), "the requirement contradicts itself");
                }
                let names_scope = reason.kind() == RejectionKind::InsufficientScope;
                Err(Rejection {
                    reason,
                    realm: Some(self.record().realm().clone()),
                    scope: requirement.challenge_scope().filter(|_| names_scope).map(Into::into),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(reason: DenialReason) -> Response<Bytes> {
        Rejection::new(reason, "api".into()).to_response()
    }

    #[test]
    fn each_kind_has_its_answer() {
        use DenialReason as R;
        for (reason, status, challenge, code) in [
            (R::CredentialsMissing, 401, Some(r#"Bearer realm="api""#), "missing_credentials"),
            (
                R::TokenInQuery,
                400,
                Some(
                    r#"Bearer realm="api", error="invalid_request", error_description="Send exactly one access token, in the Authorization header""#,
                ),
                "invalid_request",
            ),
            (
                R::TokenExpired,
                401,
                Some(
                    r#"Bearer realm="api", error="invalid_token", error_description="The access token is expired, revoked, malformed or not valid here""#,
                ),
                "invalid_token",
            ),
            (R::ClientNotAllowed, 403, Some(r#"Bearer realm="api""#), "forbidden"),
            (R::IdentityHeaderMalformed, 400, None, "invalid_identity_header"),
            (R::ForwardedCertificateInvalid, 403, None, "client_certificate_refused"),
            (R::IdentityHeaderTooLarge, 431, None, "header_fields_too_large"),
            (R::KeysUnavailable, 503, None, "temporarily_unavailable"),
            (R::LayerMissing, 500, None, "misconfigured"),
        ] {
            let response = answer(reason);
            assert_eq!(response.status(), status, "{reason}");
            let sent = response.headers().get(WWW_AUTHENTICATE).map(|value| value.to_str().unwrap());
            assert_eq!(sent, challenge, "{reason}");
            let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
            assert_eq!(body["code"], code, "{reason}");
            assert_eq!(body["status"], status, "{reason}");
            assert_eq!(response.headers().contains_key(RETRY_AFTER), status == 503, "{reason}");
            assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        }
    }

    #[test]
    fn our_own_outage_is_never_a_401_or_403() {
        for reason in DenialReason::ALL {
            let status = answer(*reason).status();
            let ours = matches!(reason.kind(), RejectionKind::Unavailable | RejectionKind::Misconfigured);
            assert_eq!(status.is_server_error(), ours, "{reason}");
        }
    }
}
