//! A refused request as an HTTP answer.
//!
//! One table, [`RejectionKind`] by kind: status, OAuth error, problem `code`.
//!
//! | kind | status | `error` in the challenge | `code` |
//! |---|---|---|---|
//! | missing credentials | 401 | none (RFC 6750 section 3.1), with the scopes of the route or else of the resource | `missing_credentials` |
//! | invalid request | 400 | `invalid_request` | `invalid_request` |
//! | invalid token | 401 | `invalid_token` | `invalid_token` |
//! | invalid DPoP proof | 401 | `invalid_dpop_proof` | `invalid_dpop_proof` |
//! | use DPoP nonce | 401 + `DPoP-Nonce` | `use_dpop_nonce` | `use_dpop_nonce` |
//! | insufficient user authentication | 401 | `insufficient_user_authentication`, with `acr_values` and `max_age` (RFC 9470 section 3) | `insufficient_user_authentication` |
//! | insufficient claims | 401 | `insufficient_claims`, with `claims`: the claims request of a downstream's authorization server, JSON in base64 | `insufficient_claims` |
//! | insufficient scope | 403 | `insufficient_scope`, with the scopes needed | `insufficient_scope` |
//! | forbidden | 403 | none: more scope would not help | `forbidden` |
//! | too many requests | 429 + `Retry-After` | no challenge | `too_many_requests` |
//! | JWT-SVID refused | 403 | no challenge: the access token was not looked at | `jwt_svid_refused` |
//! | invalid identity header | 400 | no challenge | `invalid_identity_header` |
//! | certificate refused | 403 | no challenge | `client_certificate_refused` |
//! | header fields too large | 431 | no challenge | `header_fields_too_large` |
//! | unavailable | 503 + `Retry-After` | no challenge | `temporarily_unavailable` |
//! | misconfigured | 500 | no challenge | `misconfigured` |
//!
//! One challenge, in a field line of its own, for each scheme that the service
//! takes tokens by: `Bearer`, and `DPoP` with its `algs` where it is configured.
//! The error is in the challenge of the scheme that the request used, or in
//! all of them where it used no single one (RFC 9449 section 7.2).
//!
//! Bodies are `application/problem+json` (RFC 9457). Which check a token failed
//! is in the audit event, never in the answer.

mod challenge;
mod table;

use std::{
    fmt,
    sync::{Arc, Once},
};

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE},
};

pub use self::challenge::Challenge;
pub(crate) use self::challenge::is_quotable;
use self::table::ErrorInChallenge;
pub use crate::reason::RejectionKind;
use crate::{
    context::{Basis, Effect, Evaluation, Needs, Refused, RequestRecord},
    credential::{ProtectionSpace, Scheme},
    reason::DenialReason,
    requirement::Requirement,
};

/// How long a client should wait before it asks again, in seconds: the time in
/// which one more attempt to fetch an unknown key becomes possible.
const RETRY_AFTER_SECONDS: &str = "10";

/// The field of a nonce for the client's next proofs (RFC 9449 section 8.1).
pub(crate) const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// Why a request was refused, ready to be sent.
///
/// Every refusal's response carries its `Rejection` in the extensions, for
/// middleware that renders errors of its own.
#[derive(Clone)]
pub struct Rejection {
    reason: DenialReason,
    /// `None`: no layer ran, so there is nothing to say of its credentials.
    space: Option<Arc<ProtectionSpace>>,
    /// The one scheme that the request used.
    scheme: Option<Scheme>,
    needs: Option<Box<Needs>>,
    dpop_nonce: Option<HeaderValue>,
    /// Whose good token was refused. Boxed: most refused tokens are not good.
    refused: Option<Box<Refused>>,
}

impl Rejection {
    /// A refusal of a request that used `scheme`, if it used one.
    pub(crate) fn new(reason: DenialReason, space: Arc<ProtectionSpace>, scheme: Option<Scheme>) -> Self {
        Self { reason, space: Some(space), scheme, needs: None, dpop_nonce: None, refused: None }
    }

    /// The same with what would help the client.
    #[must_use]
    pub(crate) fn with_needs(self, needs: Option<Box<Needs>>) -> Self {
        Self { needs, ..self }
    }

    /// The same with what all rules of the route need, where the request carried no
    /// credentials: the first rule alone has refused it.
    #[must_use]
    pub(crate) fn asking_for(self, needs: impl FnOnce() -> Option<Box<Needs>>) -> Self {
        match self.reason {
            DenialReason::CredentialsMissing => self.with_needs(needs()),
            _ => self,
        }
    }

    /// The same with a nonce for the client's next proofs.
    #[must_use]
    pub(crate) fn with_dpop_nonce(self, dpop_nonce: Option<HeaderValue>) -> Self {
        Self { dpop_nonce, ..self }
    }

    /// The same with whose good token it is that was refused.
    #[must_use]
    pub(crate) fn of(self, refused: Refused) -> Self {
        Self { refused: Some(Box::new(refused)), ..self }
    }

    /// Whose good token was refused: for the audit trail alone.
    pub(crate) fn take_refused(&mut self) -> Option<Box<Refused>> {
        self.refused.take()
    }

    /// No [`DelegationLayer`](crate::layer::DelegationLayer) ran before: a
    /// wiring mistake, so operators hear of it on every request.
    pub(crate) fn layer_missing() -> Self {
        tracing::error!(
            "a handler asks for the delegation context, and no DelegationLayer ran: \
             wrap the router with `.layer(delegation)`"
        );
        let reason = DenialReason::LayerMissing;
        Self { reason, space: None, scheme: None, needs: None, dpop_nonce: None, refused: None }
    }

    /// A handler answered, or was about to, and nothing had decided whether it may.
    pub(crate) fn undecided(is_preflight: bool) -> Self {
        if is_preflight {
            warn_of_preflight();
        } else {
            tracing::error!(
                "a request was served and no enforced requirement allowed it: \
                 give its route a rule that is not on trial, or declare it public with a reason; \
                 a route by the table needs `RouteTableLayer` around it"
            );
        }
        let reason = DenialReason::Undecided;
        Self { reason, space: None, scheme: None, needs: None, dpop_nonce: None, refused: None }
    }

    /// The first enforced denial of a request that was answered with success all
    /// the same.
    pub(crate) fn of_ignored_denial(record: &RequestRecord) -> Option<Self> {
        let (reason, needs) = record.refusal()?;
        tracing::warn!(
            %reason,
            "a request was denied and answered with success: the refusal is sent instead; \
             code that only asks calls `permits`"
        );
        Some(Self::new(reason, record.space().clone(), record.scheme()).with_needs(needs))
    }

    /// No rule was found for the request, for this reason.
    pub(crate) fn unruled(reason: DenialReason, record: &RequestRecord) -> Self {
        record.add_unruled(reason);
        Self::new(reason, record.space().clone(), record.scheme())
    }

    /// No credentials where `requirement` demands some.
    pub(crate) fn missing_credentials(requirement: Option<&Requirement>, record: &RequestRecord) -> Self {
        let needs = requirement.and_then(Requirement::needs);
        let name = requirement.map_or("credentials", Requirement::name).to_owned();
        let reason = DenialReason::CredentialsMissing;
        record.add(Evaluation {
            requirement: name.into(),
            denial: Some(reason),
            effect: Effect::Enforced,
            basis: Basis::Rule,
            scopes: requirement.and_then(Requirement::demanded_scopes).cloned(),
            needs: needs.clone(),
        });
        Self::new(reason, record.space().clone(), None).with_needs(needs)
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

    /// The challenges of the answer, each for a `WWW-Authenticate` field line of
    /// its own: for those who render the body themselves. A 401 without them
    /// breaks clients (RFC 9110 section 15.5.2).
    pub fn challenges(&self) -> impl Iterator<Item = Challenge> {
        let space = match self.kind().appearance().challenge {
            ErrorInChallenge::NoChallenge => None,
            ErrorInChallenge::NoError | ErrorInChallenge::Error(_) => self.space.as_deref(),
        };
        space.into_iter().flat_map(|space| space.schemes().map(|scheme| self.challenge(scheme, space)))
    }

    fn challenge(&self, scheme: Scheme, space: &ProtectionSpace) -> Challenge {
        let appearance = self.kind().appearance();
        let was_used = self.scheme.is_none_or(|used| used == scheme);
        let mut challenge = Challenge::new(scheme.as_str()).parameter("realm", space.realm());
        if let ErrorInChallenge::Error(error) = appearance.challenge
            && was_used
        {
            challenge =
                challenge.parameter("error", error).parameter("error_description", appearance.description);
        }
        if let (Some(needs), true) = (&self.needs, was_used) {
            challenge = with_needs(challenge, needs);
        } else if self.kind() == RejectionKind::MissingCredentials {
            // Nothing is known of the route, or it names no scope: then the resource's.
            challenge = challenge.maybe_parameter("scope", space.scopes().as_deref());
        }
        challenge
            .maybe_parameter("algs", space.algorithms(scheme))
            .maybe_parameter("resource_metadata", space.resource_metadata())
    }

    /// The nonce that the client should use in its next proofs: the value of the
    /// answer's `DPoP-Nonce` field, where there is one (RFC 9449 section 9).
    #[must_use]
    pub fn dpop_nonce(&self) -> Option<&HeaderValue> {
        self.dpop_nonce.as_ref()
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
        for challenge in self.challenges() {
            headers.append(WWW_AUTHENTICATE, challenge.to_value());
        }
        if let Some(nonce) = &self.dpop_nonce {
            headers.insert(DPOP_NONCE, nonce.clone());
        }
        if matches!(self.kind(), RejectionKind::Unavailable | RejectionKind::TooManyRequests) {
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

/// Any stranger can send a preflight: it is reported once in the life of the process.
fn warn_of_preflight() {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        tracing::warn!(
            "a CORS preflight was answered inside of the DelegationLayer and refused, because it carries no \
             token: put the CORS layer outside of it"
        );
    });
}

/// Adds what the client needs to the challenge (RFC 6750 section 3, RFC 9470 section 3).
fn with_needs(challenge: Challenge, needs: &Needs) -> Challenge {
    let max_age = needs.max_age.map(|age| age.as_secs().to_string());
    let given = |text: &'_ str| !text.is_empty();
    challenge
        .maybe_parameter("acr_values", Some(needs.acr_values.as_str()).filter(|acr| given(acr)))
        .maybe_parameter("max_age", max_age.as_deref())
        .maybe_parameter("claims", Some(needs.claims.as_str()).filter(|claims| given(claims)))
        .maybe_parameter("scope", Some(needs.scope.as_str()).filter(|scope| given(scope)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(reason: DenialReason) -> Response<Bytes> {
        let space = Arc::new(ProtectionSpace::new("api", None));
        Rejection::new(reason, space, Some(Scheme::Bearer)).to_response()
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
            (
                R::AuthenticationTooOld,
                401,
                Some(
                    r#"Bearer realm="api", error="insufficient_user_authentication", error_description="The request needs a stronger or a more recent authentication of the user""#,
                ),
                "insufficient_user_authentication",
            ),
            (
                R::ExchangeInteractionRequired,
                401,
                Some(
                    r#"Bearer realm="api", error="insufficient_claims", error_description="A service behind this one needs a token that was issued for the given claims request""#,
                ),
                "insufficient_claims",
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

    #[test]
    fn each_scheme_has_its_challenge_and_the_one_used_has_the_error() {
        use DenialReason as R;
        let bearer = r#"Bearer realm="api""#;
        let dpop = r#"DPoP realm="api", algs="ES256 EdDSA""#;
        let space = Arc::new(ProtectionSpace::new("api", Some("ES256 EdDSA".to_owned())));
        for (name, reason, scheme, error_in) in [
            ("9449-7.1-4: nothing was sent", R::CredentialsMissing, None, [None, None]),
            (
                "9449-7.2-2: by Bearer",
                R::DpopTokenAsBearer,
                Some(Scheme::Bearer),
                [Some("invalid_token"), None],
            ),
            ("9449-7.2-2: by DPoP", R::TokenExpired, Some(Scheme::Dpop), [None, Some("invalid_token")]),
            (
                "9449-4.3-6",
                R::DpopProofSignatureInvalid,
                Some(Scheme::Dpop),
                [None, Some("invalid_dpop_proof")],
            ),
            ("9449-9-1", R::DpopNonceMissing, Some(Scheme::Dpop), [None, Some("use_dpop_nonce")]),
            ("9449-7.2-2: by both", R::CredentialsMultiple, None, [Some("invalid_request"); 2]),
            ("a denial that has no error", R::ClientNotAllowed, Some(Scheme::Dpop), [None, None]),
        ] {
            let response = Rejection::new(reason, space.clone(), scheme).to_response();
            let fields = response.headers().get_all(WWW_AUTHENTICATE);
            let fields: Vec<&str> = fields.iter().map(|field| field.to_str().unwrap()).collect();
            assert_eq!(fields.len(), 2, "{name}");
            for ((field, error), plain) in fields.iter().zip(error_in).zip([bearer, dpop]) {
                match error {
                    None => assert_eq!(*field, plain, "{name}"),
                    Some(error) => {
                        assert!(field.contains(&format!(r#", error="{error}", "#)), "{name}: {field}")
                    }
                }
            }
            assert!(fields[1].ends_with(r#", algs="ES256 EdDSA""#), "{name}");
        }
        for reason in [R::ReplayStoreFull, R::PeerInfoMissing] {
            assert_eq!(Rejection::new(reason, space.clone(), None).challenges().count(), 0, "{reason}");
        }
    }
}
