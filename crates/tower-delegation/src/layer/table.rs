//! [`RouteTableLayer`]: a route table as a layer.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{DelegationBody, RequireFuture};
use crate::{
    context::{DelegationContext, PathParameters, RequestFacts, RequestRecord},
    reason::DenialReason,
    rejection::Rejection,
    requirement::{Access, Found, Requirement, RouteTable},
    text::Text,
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
/// ways: encoded slashes, dot segments, double slashes, backslashes.
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
        if RequestRecord::in_extensions(request.extensions()).is_none() {
            return Err(Rejection::layer_missing());
        }
        let rows = self.table.current();
        #[cfg(feature = "axum")]
        let route = request.extensions().get::<axum::extract::MatchedPath>().cloned();
        #[cfg(feature = "axum")]
        let found = match &route {
            Some(route) => rows.of_route(route.as_str(), request.method()),
            None => rows.of_path(original_path(&request), request.method()),
        };
        #[cfg(not(feature = "axum"))]
        let found = rows.of_path(request.uri().path(), request.method());
        let found = found.map_err(|reason| unruled(reason, &request))?;
        let Found { row, template, parameters } = found;
        match row.access() {
            Access::Public(reason) => {
                if let Some(record) = RequestRecord::in_extensions(request.extensions()) {
                    record.add_public(reason);
                }
            }
            Access::Requirement(requirement) => {
                #[cfg(feature = "axum")]
                if route.is_some() && requirement.reads_path() {
                    let (request, parameters) = super::require::path_parameters(request);
                    let parameters = parameters.as_ref().map(|found| -> &dyn PathParameters { found });
                    authorize(requirement, &request, template, parameters)?;
                    return Ok(request);
                }
                authorize(requirement, &request, template, Some(&parameters))?;
            }
        }
        Ok(request)
    }
}

/// The path as the client sent it, also where a router has cut off a prefix.
#[cfg(feature = "axum")]
fn original_path<B>(request: &Request<B>) -> &str {
    let original = request.extensions().get::<axum::extract::OriginalUri>();
    original.map_or_else(|| request.uri().path(), |original| original.path())
}

fn unruled<B>(reason: DenialReason, request: &Request<B>) -> Rejection {
    // A stranger can cause it at will, so it is no error of ours.
    tracing::debug!(method = %Text::new(request.method().as_str()), reason = reason.code(), "no row of the route table is for the request");
    match RequestRecord::in_extensions(request.extensions()) {
        Some(record) => Rejection::unruled(reason, record),
        None => Rejection::layer_missing(),
    }
}

fn authorize<B>(
    requirement: &Requirement,
    request: &Request<B>,
    template: &str,
    parameters: Option<&dyn PathParameters>,
) -> Result<(), Rejection> {
    let extensions = request.extensions();
    if let Some(delegation) = extensions.get::<DelegationContext>() {
        let mut facts = RequestFacts::of(request);
        facts.route = Some(template);
        facts.path_parameters = parameters;
        return delegation.authorize(requirement, &facts);
    }
    match RequestRecord::in_extensions(extensions) {
        Some(record) => Err(Rejection::missing_credentials(Some(requirement), record)),
        None => Err(Rejection::layer_missing()),
    }
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
