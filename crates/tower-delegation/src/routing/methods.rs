//! The handlers of one path, each with its rule.

use std::convert::Infallible;

use axum::{handler::Handler, routing::MethodRouter};
use http::Method;

use super::Ruled;
use crate::{layer::RequireLayer, requirement::Requirement, routes::RouteRule};

/// The handlers of one path, by method, each with its rule. Made by [`get`],
/// [`post`] and the like, and taken by [`GuardedRouter::route`](super::GuardedRouter::route).
#[derive(Clone, Debug)]
#[must_use]
pub struct GuardedMethods<S = ()> {
    pub(super) ruled: MethodRouter<S, Infallible>,
    /// The public handlers: nothing is verified before them, so the layer before them
    /// is another one.
    pub(super) public: MethodRouter<S, Infallible>,
    pub(super) rules: Vec<(Option<Method>, RouteRule)>,
}

/// What [`GuardedRouter::route`](super::GuardedRouter::route) takes:
/// [`GuardedMethods`], and nothing else. A trait for the sake of the compiler's
/// message about handlers that another `get` has wrapped.
#[diagnostic::on_unimplemented(
    message = "a `GuardedRouter` takes handlers from `tower_delegation::routing::get` and the like, which demand a rule",
    label = "not from `tower_delegation::routing`",
    note = "write `use tower_delegation::routing::get;` in place of `use axum::routing::get;`, and so for the other methods",
    note = "to put one requirement before all that a `MethodRouter` serves, write `tower_delegation::routing::guard(requirement, methods)`"
)]
pub trait RuledMethods<S> {
    #[doc(hidden)]
    fn into_guarded(self) -> GuardedMethods<S>;
}

impl<S> RuledMethods<S> for GuardedMethods<S> {
    fn into_guarded(self) -> Self {
        self
    }
}

impl<S: Clone> GuardedMethods<S> {
    pub(super) fn new(ruled: MethodRouter<S>, rules: Vec<(Option<Method>, RouteRule)>) -> Self {
        Self { ruled, public: MethodRouter::new(), rules }
    }

    fn add<H, T>(
        mut self,
        method: Option<Method>,
        handler: H,
        on: impl FnOnce(MethodRouter<S>, H) -> MethodRouter<S>,
    ) -> Self
    where
        T: Ruled<H>,
    {
        let rule = T::rule(&handler);
        let is_public = rule.is_public();
        let overlaps = |(known, other): &(_, RouteRule)| *known == method && other.is_public() != is_public;
        assert!(!self.rules.iter().any(overlaps), "the method has two handlers, one of them public");
        match is_public {
            true => self.public = on(self.public, handler),
            false => self.ruled = on(self.ruled, handler),
        }
        self.rules.push((method, rule));
        self
    }
}

macro_rules! methods {
    ($($name:ident: $method:ident, $doc:literal;)*) => {
        $(
            #[doc = $doc]
            ///
            /// # Panics
            /// Where the method has a handler already, as in axum.
            pub fn $name<H, T, S>(handler: H) -> GuardedMethods<S>
            where
                H: Handler<T, S>,
                T: Ruled<H> + 'static,
                S: Clone + Send + Sync + 'static,
            {
                GuardedMethods::new(MethodRouter::new(), Vec::new()).$name(handler)
            }
        )*

        impl<S: Clone + Send + Sync + 'static> GuardedMethods<S> {
            $(
                #[doc = $doc]
                ///
                /// # Panics
                /// Where the method has a handler already, as in axum.
                pub fn $name<H, T>(self, handler: H) -> Self
                where
                    H: Handler<T, S>,
                    T: Ruled<H> + 'static,
                {
                    self.add::<H, T>(Some(Method::$method), handler, MethodRouter::$name)
                }
            )*

            /// Serves every method that has no handler of its own.
            ///
            /// # Panics
            /// Where there is such a handler already, as in axum.
            pub fn any<H, T>(self, handler: H) -> Self
            where
                H: Handler<T, S>,
                T: Ruled<H> + 'static,
            {
                self.add::<H, T>(None, handler, MethodRouter::fallback)
            }
        }
    };
}

methods! {
    get: GET, "Serves `GET`, and `HEAD` where that has no handler of its own.";
    post: POST, "Serves `POST`.";
    put: PUT, "Serves `PUT`.";
    patch: PATCH, "Serves `PATCH`.";
    delete: DELETE, "Serves `DELETE`.";
    head: HEAD, "Serves `HEAD`.";
    options: OPTIONS, "Serves `OPTIONS`.";
    trace: TRACE, "Serves `TRACE`.";
    connect: CONNECT, "Serves `CONNECT`.";
}

/// Serves every method that has no handler of its own.
pub fn any<H, T, S>(handler: H) -> GuardedMethods<S>
where
    H: Handler<T, S>,
    T: Ruled<H> + 'static,
    S: Clone + Send + Sync + 'static,
{
    GuardedMethods::new(MethodRouter::new(), Vec::new()).any(handler)
}

/// Puts one requirement before everything that `methods` serves: every method, the
/// handler of [`any`](axum::routing::any) and the answer to methods without a
/// handler.
///
/// The handlers need no rule of their own; the requirement is in the inventory for
/// every method of the path. A mistake in it is found by
/// [`GuardedRouter::behind`](super::GuardedRouter::behind). A handler that is added
/// to the result brings a rule of its own.
///
/// ```
/// use axum::routing::any;
/// use tower_delegation::{Requirement, routing::{GuardedRouter, guard}};
///
/// async fn orders() {}
/// async fn list_orders() {}
///
/// let read = Requirement::named("orders").scope("orders:read");
/// let router = GuardedRouter::<()>::new().route("/orders", guard(read, any(orders).get(list_orders)));
/// assert_eq!(router.inventory().to_string(), "*  /orders  orders: scope \"orders:read\"\n");
/// ```
pub fn guard<S>(requirement: Requirement, methods: MethodRouter<S>) -> GuardedMethods<S>
where
    S: Clone + Send + Sync + 'static,
{
    // Not `route_layer`, which leaves out what serves the remaining methods.
    let ruled = methods.layer(RequireLayer::unchecked(requirement.clone()));
    GuardedMethods::new(ruled, vec![(None, RouteRule::Requirements(vec![requirement]))])
}
