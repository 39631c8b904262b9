//! [`revocation_routes`]: revoking over HTTP.

use std::sync::Arc;

use axum::{
    Json,
    extract::{
        DefaultBodyLimit, Query, State,
        rejection::{JsonRejection, QueryRejection},
    },
    http::{
        HeaderValue, Method, StatusCode,
        header::{CONTENT_TYPE, RETRY_AFTER},
    },
    response::{IntoResponse, Response},
    routing,
};
use serde::Deserialize;

use super::{GuardedMethods, GuardedRouter};
use crate::{
    context::DelegationContext,
    error::ConfigError,
    layer::RequireLayer,
    requirement::Requirement,
    revocation::{
        Revocation, RevocationAction, RevocationChange, RevocationError, RevocationErrorKind, RevocationForm,
        RevocationList, RevocationPage, RevocationSink,
    },
    routes::RouteRule,
    text::Text,
};

/// The longest order, in bytes.
const MAX_ORDER: usize = 16 * 1024;

/// How many revocations a page has where the request does not say.
const DEFAULT_PAGE: usize = 100;

/// Routes that revoke, lift and list for callers that meet `requirement`, to be
/// nested in a guarded router or put [behind](GuardedRouter::behind) a layer.
///
/// | route | what | answers |
/// |---|---|---|
/// | `POST /` | revokes | 204: in force for every request that starts from now on |
/// | `POST /lift` | takes a revocation back | 204; 404 `not_revoked` if there is none |
/// | `GET /?limit=100&after=…` | lists what is in force, the oldest first, 1,000 at most | 200 with `revocations`, and `next` where the list goes on: the next request's `after` |
///
/// The body of the first two is JSON of these members; others are an error:
///
/// | member | what |
/// |---|---|
/// | `target` | `token`, `subject`, `session`, `client`, `actor`, `workload` or `certificate` |
/// | `issuer` | the issuer identifier; not for `workload` and `certificate` |
/// | `id` | `jti`, `sub`, `sid`, `client_id`, or what the issuer's mapping reads in its place; a SPIFFE ID; a certificate's `x5t#S256` |
/// | `issued_before` | optional, seconds since 1970: only tokens issued up to then; not to lift |
/// | `until` | optional, seconds since 1970: when the revocation ends, for a token its `exp`; not to lift. Default: when it is lifted |
/// | `reason` | optional: a text for the list and the audit event |
///
/// Errors are `application/problem+json`: 400 `invalid_revocation`, with the
/// [code](RevocationErrorKind::code) as `problem`, and nothing is changed; 409
/// `not_liftable` and 507 `revocations_full`, which
/// [`InMemoryRevocations`](crate::revocation::InMemoryRevocations) explains; 503
/// `revocations_unavailable` where the sink cannot be reached.
///
/// The audit event of the request says what was to be revoked or lifted, by whom, why
/// and until when.
///
/// # Errors
/// The requirement contradicts itself. It demands nothing, is in shadow mode or
/// has an exception: every verified token could then revoke.
///
/// # Example
/// ```
/// use tower_delegation::{
///     ConfigError, DelegationLayer, Requirement,
///     routing::{GuardedApp, GuardedRouter, revocation_routes},
///     revocation::InMemoryRevocations,
/// };
///
/// fn admin(delegation: DelegationLayer, store: InMemoryRevocations) -> Result<GuardedApp, ConfigError> {
///     let operators = Requirement::named("operators").scope("revocations:write");
///     GuardedRouter::new().nest("/revocations", revocation_routes(store, operators)?).behind(delegation)
/// }
/// # let _ = admin;
/// ```
pub fn revocation_routes<S>(
    sink: impl RevocationSink,
    requirement: Requirement,
) -> Result<GuardedRouter<S>, ConfigError>
where
    S: Clone + Send + Sync + 'static,
{
    let problem = if requirement.is_empty() {
        Some(("scope", "nothing is demanded, so every verified token could revoke: demand a scope"))
    } else if requirement.is_lenient() {
        Some(("shadow", "in shadow mode or under an exception every verified token could revoke: enforce it"))
    } else {
        None
    };
    if let Some((key, problem)) = problem {
        return Err(ConfigError::InvalidRequirement {
            requirement: requirement.name().to_owned(),
            key,
            problem: problem.to_owned(),
        });
    }
    let guard = RequireLayer::new(requirement.clone())?;
    let rule = RouteRule::Requirements(vec![requirement]);
    let rule = |method| (Some(method), rule.clone());
    let sink: Sink = Arc::new(sink);
    let guarded = |methods: routing::MethodRouter<Sink>, rules| {
        let methods = methods.layer(DefaultBodyLimit::max(MAX_ORDER)).route_layer(guard.clone());
        GuardedMethods::new(methods.with_state(sink.clone()), rules)
    };
    let root = guarded(routing::post(revoke).get(list), vec![rule(Method::POST), rule(Method::GET)]);
    let lift = guarded(routing::post(lift), vec![rule(Method::POST)]);
    Ok(GuardedRouter::new().route("/", root).route("/lift", lift))
}

type Sink = Arc<dyn RevocationSink>;

type Order = Result<Json<RevocationForm>, JsonRejection>;

async fn revoke(
    State(sink): State<Sink>,
    delegation: DelegationContext,
    order: Order,
) -> Result<StatusCode, Problem> {
    let revocation = read(order)?;
    record(&delegation, RevocationAction::Revoke, &revocation);
    revocation.check(delegation.authenticated_at())?;
    sink.revoke(revocation.revoked_by(caller(&delegation))).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn lift(
    State(sink): State<Sink>,
    delegation: DelegationContext,
    order: Order,
) -> Result<StatusCode, Problem> {
    let revocation = read(order)?;
    if revocation.ends().is_some() || revocation.covers_issued_before().is_some() {
        return Err(Problem::Unreadable("a revocation is lifted whole, without a limit".to_owned()));
    }
    record(&delegation, RevocationAction::Lift, &revocation);
    revocation.check(delegation.authenticated_at())?;
    match sink.lift(revocation.target().clone()).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::NotRevoked),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    limit: Option<usize>,
    after: Option<String>,
}

async fn list(
    State(sink): State<Sink>,
    part: Result<Query<Part>, QueryRejection>,
) -> Result<Json<RevocationList>, Problem> {
    let Query(part) = part.map_err(|rejection| Problem::Unreadable(rejection.body_text()))?;
    let page = RevocationPage::first(part.limit.unwrap_or(DEFAULT_PAGE));
    let page = match part.after {
        Some(place) => page.after(place),
        None => page,
    };
    Ok(Json(sink.list(page).await?))
}

fn read(order: Order) -> Result<Revocation, Problem> {
    let Json(form) = order.map_err(|rejection| Problem::Unreadable(rejection.body_text()))?;
    if form.says_who_or_when() {
        let detail = "`revoked_by` and `revoked_at` are set by the service";
        return Err(Problem::Unreadable(detail.to_owned()));
    }
    Ok(Revocation::try_from(form)?)
}

fn record(delegation: &DelegationContext, action: RevocationAction, revocation: &Revocation) {
    delegation.record().set_change(RevocationChange { action, revocation: revocation.clone() });
}

/// Who revokes, in words: short enough for every sink.
fn caller(delegation: &DelegationContext) -> String {
    let subject = delegation.subject();
    let names = [
        delegation.actor().map(|actor| actor.id().as_str()),
        Some(subject.id().as_str()),
        Some(subject.issuer().as_str()),
    ];
    let names: Vec<String> = names.into_iter().flatten().map(short).collect();
    match names.as_slice() {
        [actor, subject, issuer] => format!("{actor} for {subject} of {issuer}"),
        names => names.join(" of "),
    }
}

/// Harmless in a log line, and of at most 40 characters, which are 160 bytes.
fn short(name: &str) -> String {
    let name = Text::new(name).to_string();
    let mut short: String = name.chars().take(40).collect();
    if short.len() < name.len() {
        short.push('…');
    }
    short
}

/// Why nothing, or not exactly what was asked for, was done (RFC 9457).
enum Problem {
    /// No order, or one with a member that has no place there.
    Unreadable(String),
    NotRevoked,
    Refused(RevocationError),
}

impl From<RevocationError> for Problem {
    fn from(error: RevocationError) -> Self {
        Self::Refused(error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, code, problem, detail) = match self {
            Self::Unreadable(detail) => (StatusCode::BAD_REQUEST, "invalid_revocation", "unreadable", detail),
            Self::NotRevoked => {
                (StatusCode::NOT_FOUND, "not_revoked", "not_revoked", "nothing is revoked there".to_owned())
            }
            Self::Refused(error) => {
                let (status, code) = match error.kind() {
                    RevocationErrorKind::Full => (StatusCode::INSUFFICIENT_STORAGE, "revocations_full"),
                    RevocationErrorKind::Unavailable => {
                        (StatusCode::SERVICE_UNAVAILABLE, "revocations_unavailable")
                    }
                    RevocationErrorKind::NotListed => (StatusCode::CONFLICT, "not_liftable"),
                    RevocationErrorKind::InvalidTarget
                    | RevocationErrorKind::MatchesNothing
                    | RevocationErrorKind::IssuerNotTrusted
                    | RevocationErrorKind::UntilPassed
                    | RevocationErrorKind::IssuedBeforeAhead
                    | RevocationErrorKind::NotATime
                    | RevocationErrorKind::TooLong
                    | RevocationErrorKind::InvalidPage => (StatusCode::BAD_REQUEST, "invalid_revocation"),
                };
                (status, code, error.kind().code(), error.to_string())
            }
        };
        let body = serde_json::json!({
            "status": status.as_u16(), "code": code, "problem": problem, "detail": detail,
        });
        let content_type = [(CONTENT_TYPE, "application/problem+json")];
        let mut response = (status, content_type, body.to_string()).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("10"));
        }
        response
    }
}
