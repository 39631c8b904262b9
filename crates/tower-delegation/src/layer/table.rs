//! [`RouteTableLayer`]: a route table as a layer.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{DelegationBody, RequireFuture};
use crate::{
    authorization::{context, record},
    context::{Basis, PathParameters, RequestFacts},
    reason::DenialReason,
    rejection::Rejection,
    requirement::Requirement,
    routes::{Access, Found, Parameters, RouteTable},
    text::Text,
};
#[cfg(feature = "axum")]
use crate::{
    context::{below_nested, matched_route, received_path},
    routes::ChosenRoute,
};

/// Lets a request through only if its row in a [`RouteTable`] allows it; where
/// it has none, it is refused.
///
/// Goes inside of a [`DelegationLayer`](super::DelegationLayer), with
/// [`allow_anonymous`](super::DelegationLayerBuilder::allow_anonymous) where rows
/// are public; without one every request is answered with 500.
///
/// Under axum a request's row is that of the route that axum has chosen: the
/// method, and the route's template to the letter. Where no route was chosen (a
/// plain tower service, a nested service, a fallback), the table matches the
/// path as the client sent it, and refuses paths that could be read in two
/// ways: encoded slashes, dot segments, double slashes, backslashes. So it does
/// where the `MatchedPath` that axum left is that of a router further outside: it
/// does not begin with the `NestedPath`, or does not match the path. A request that a
/// handler sends with the extensions of its own is looked up by its own path, and
/// refused where that is not known any more. Where the
/// table has a row that matches the path more closely than the chosen route, both
/// rows must allow the request.
///
/// # Example
///
/// ```
/// use axum::{Router, routing::get};
/// use tower_delegation::{ConfigError, DelegationLayer, RouteTable, RouteTableLayer};
///
/// fn router(delegation: DelegationLayer) -> Result<Router, ConfigError> {
///     let table = RouteTable::from_toml(r#"
///         [[route]]
///         methods = ["GET"]
///         path = "/orders/{id}"
///         scope = "orders:read"
///     "#)?;
///     Ok(Router::new()
///         .route("/orders/{id}", get(async || "an order"))
///         .layer(RouteTableLayer::new(&table))
///         .layer(delegation))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct RouteTableLayer {
    table: RouteTable,
}

impl RouteTableLayer {
    /// A layer that asks this table, and follows it when it is replaced.
    #[must_use]
    pub fn new(table: &RouteTable) -> Self {
        Self { table: table.clone() }
    }
}

impl<S> tower_layer::Layer<S> for RouteTableLayer {
    type Service = TableGuard<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TableGuard { inner, table: self.table.clone() }
    }
}

/// The service that [`RouteTableLayer`] makes.
#[derive(Clone, Debug)]
pub struct TableGuard<S> {
    inner: S,
    table: RouteTable,
}

impl<S> TableGuard<S> {
    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, to be changed.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service, by itself.
    pub fn into_inner(self) -> S {
        self.inner
    }

    fn check<B>(&self, request: Request<B>) -> Result<Request<B>, Rejection> {
        if record(request.extensions()).is_none() {
            return Err(Rejection::layer_missing());
        }
        let rows = self.table.current();
        #[cfg(feature = "axum")]
        let (found, closer) = received_path(request.extensions(), request.uri())
            .ok_or(DenialReason::PathAmbiguous)
            .and_then(|path| match ChosenRoute::of(&request) {
                Some(route) => rows.of_route(&route, path, request.method()),
                None => rows.of_path(path, request.method()).map(|found| (found, None)),
            })
            .map_err(|reason| unruled(reason, &request))?;
        #[cfg(not(feature = "axum"))]
        let (found, closer) = match rows.of_path(request.uri().path(), request.method()) {
            Ok(found) => (found, None),
            Err(reason) => return Err(unruled(reason, &request)),
        };
        let request = meet(&found, request)?;
        match closer {
            Some(closer) => meet(&closer, request),
            None => Ok(request),
        }
    }
}

#[cfg(feature = "axum")]
impl<'r> ChosenRoute<'r> {
    fn of<B>(request: &'r Request<B>) -> Option<Self> {
        let template = matched_route(request.extensions())?.as_str();
        let below_nested = below_nested(request.extensions(), template)?;
        Some(Self { template, below_nested, path: request.uri().path() })
    }
}

/// Holds a request against a row.
fn meet<B>(found: &Found<'_>, request: Request<B>) -> Result<Request<B>, Rejection> {
    let requirements = match found.row.access() {
        Access::Public(reason) => {
            if let Some(record) = record(request.extensions()) {
                record.add_public(reason, Basis::Row);
            }
            return Ok(request);
        }
        Access::Requirements(requirements) => requirements,
    };
    #[cfg(feature = "axum")]
    if matches!(found.parameters, Parameters::OfRoute) && requirements.iter().any(Requirement::reads_path) {
        let (request, parameters) = super::require::path_parameters(request);
        let parameters = parameters.as_ref().map(|found| -> &dyn PathParameters { found });
        authorize(requirements, &request, found.template, parameters)?;
        return Ok(request);
    }
    let parameters = match &found.parameters {
        Parameters::OfRoute => None,
        Parameters::OfTable(parameters) => Some(parameters as &dyn PathParameters),
    };
    authorize(requirements, &request, found.template, parameters)?;
    Ok(request)
}

fn unruled<B>(reason: DenialReason, request: &Request<B>) -> Rejection {
    // A stranger can cause it at will, so it is no error of ours.
    tracing::debug!(method = %Text::new(request.method().as_str()), reason = reason.code(), "no row of the route table is for the request");
    match record(request.extensions()) {
        Some(record) => Rejection::unruled(reason, record),
        None => Rejection::layer_missing(),
    }
}

fn authorize<B>(
    requirements: &[Requirement],
    request: &Request<B>,
    template: &str,
    parameters: Option<&dyn PathParameters>,
) -> Result<(), Rejection> {
    let delegation = context(request.extensions(), requirements.first())?;
    let mut facts = RequestFacts::of(request);
    facts.route = Some(template);
    facts.path_parameters = parameters;
    requirements.iter().try_for_each(|requirement| delegation.decide(requirement, &facts, Basis::Row))
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for TableGuard<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: Body,
    ResBody::Data: From<Bytes>,
{
    type Response = Response<DelegationBody<ResBody>>;
    type Error = S::Error;
    type Future = RequireFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        match self.check(request) {
            Ok(request) => RequireFuture::allowed(self.inner.call(request)),
            Err(rejection) => RequireFuture::denied(rejection),
        }
    }
}
