//! [`revocation_routes`]: revoking over HTTP.

use axum::{
    Json, Router,
    extract::{State, rejection::JsonRejection},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::post,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

use crate::{
    clock::Timestamp,
    context::DelegationContext,
    error::ConfigError,
    layer::RequireLayer,
    requirement::Requirement,
    revocation::{InMemoryRevocations, Revocation, RevocationError, RevocationTarget},
    spiffe::SpiffeId,
    text::Text,
};

/// A router with one route, `POST /`, that takes revocations in for whoever
/// meets `requirement`. Put it behind the [`DelegationLayer`](crate::layer::DelegationLayer).
///
/// The body is JSON of these members; others are an error:
///
/// | member | what |
/// |---|---|
/// | `target` | `token`, `subject`, `session`, `client`, `actor`, `workload` or `certificate` |
/// | `issuer` | the issuer identifier; not for `workload` and `certificate` |
/// | `id` | `jti`, `sub`, `sid`, `client_id`; a SPIFFE ID; a certificate's `x5t#S256` |
/// | `issued_before` | optional, seconds since 1970: only tokens issued up to then |
/// | `until` | optional, seconds since 1970: how long the revocation is kept |
///
/// 204: in force from now on. 400 `invalid_revocation`: nothing was revoked.
/// 507 `revocations_full`: the store is full, and refuses every token that was
/// issued so far instead.
///
/// # Errors
/// The requirement contradicts itself, or it demands nothing: every verified
/// token could then revoke.
///
/// # Example
/// ```
/// use axum::Router;
/// use tower_delegation::{
///     ConfigError, DelegationLayer, Requirement, axum::revocation_routes, revocation::InMemoryRevocations,
/// };
///
/// fn admin(delegation: DelegationLayer, store: InMemoryRevocations) -> Result<Router, ConfigError> {
///     let operators = Requirement::named("operators").scope("revocations:write");
///     Ok(Router::new().nest("/revocations", revocation_routes(store, operators)?).layer(delegation))
/// }
/// # let _ = admin;
/// ```
pub fn revocation_routes<S>(
    store: InMemoryRevocations,
    requirement: Requirement,
) -> Result<Router<S>, ConfigError>
where
    S: Clone + Send + Sync + 'static,
{
    if requirement.is_empty() {
        return Err(ConfigError::ContradictoryRequirement {
            requirement: requirement.name().to_owned(),
            problem: "it demands nothing, so every verified token could revoke".to_owned(),
        });
    }
    let guard = RequireLayer::new(requirement)?;
    Ok(Router::new().route("/", post(revoke)).route_layer(guard).with_state(store))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    target: Target,
    issuer: Option<String>,
    id: String,
    issued_before: Option<i64>,
    until: Option<i64>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Target {
    Token,
    Subject,
    Session,
    Client,
    Actor,
    Workload,
    Certificate,
}

async fn revoke(
    State(store): State<InMemoryRevocations>,
    delegation: DelegationContext,
    order: Result<Json<Order>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let Json(order) = order.map_err(|rejection| Problem::Invalid(rejection.body_text()))?;
    let kind = order.target;
    store.revoke(order.into_revocation()?)?;
    tracing::info!(target = kind.name(), by = %Text::new(delegation.subject().id().as_str()), "revocation taken in");
    Ok(StatusCode::NO_CONTENT)
}

impl Order {
    fn into_revocation(self) -> Result<Revocation, Problem> {
        let invalid = |text: &str| Problem::Invalid(text.to_owned());
        if self.id.is_empty() {
            return Err(invalid("`id` is empty"));
        }
        let needs_issuer = !matches!(self.target, Target::Workload | Target::Certificate);
        let issuer = match (self.issuer, needs_issuer) {
            (Some(issuer), true) if !issuer.is_empty() => issuer.into(),
            (_, true) => return Err(invalid("`issuer` is missing")),
            (Some(_), false) => return Err(invalid("a workload has no `issuer`")),
            (None, false) => String::new().into(),
        };
        let id = self.id;
        let target = match self.target {
            Target::Token => RevocationTarget::Token(issuer, id.into()),
            Target::Subject => RevocationTarget::Subject(issuer, id.into()),
            Target::Session => RevocationTarget::Session(issuer, id.into()),
            Target::Client => RevocationTarget::Client(issuer, id.into()),
            Target::Actor => RevocationTarget::Actor(issuer, id.into()),
            Target::Workload => {
                RevocationTarget::Workload(SpiffeId::new(&id).map_err(|_| invalid("`id` is no SPIFFE ID"))?)
            }
            Target::Certificate => {
                let thumbprint = URL_SAFE_NO_PAD.decode(id).ok().and_then(|bytes| bytes.try_into().ok());
                RevocationTarget::Certificate(thumbprint.ok_or_else(|| invalid("`id` is no `x5t#S256`"))?)
            }
        };
        let mut revocation = Revocation::new(target);
        if let Some(seconds) = self.issued_before {
            revocation = revocation.issued_before(Timestamp::from_unix_seconds(seconds));
        }
        if let Some(seconds) = self.until {
            revocation = revocation.until(Timestamp::from_unix_seconds(seconds));
        }
        Ok(revocation)
    }
}

impl Target {
    fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Subject => "subject",
            Self::Session => "session",
            Self::Client => "client",
            Self::Actor => "actor",
            Self::Workload => "workload",
            Self::Certificate => "certificate",
        }
    }
}

/// Why nothing, or more than what was asked for, was revoked (RFC 9457).
enum Problem {
    Invalid(String),
    Full(RevocationError),
}

impl From<RevocationError> for Problem {
    fn from(error: RevocationError) -> Self {
        Self::Full(error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, code, detail) = match self {
            Self::Invalid(detail) => (StatusCode::BAD_REQUEST, "invalid_revocation", detail),
            Self::Full(error) => (StatusCode::INSUFFICIENT_STORAGE, "revocations_full", error.to_string()),
        };
        let body = serde_json::json!({ "status": status.as_u16(), "code": code, "detail": detail });
        (status, [(CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
    }
}
