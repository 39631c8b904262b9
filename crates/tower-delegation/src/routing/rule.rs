//! What counts as a rule before a handler.

use std::{borrow::Cow, fmt, marker::PhantomData};

use axum::{
    extract::{FromRequestParts, Request},
    handler::Handler,
    response::{IntoResponse, Response},
};
use futures_util::future::Either;
use http::{header::WWW_AUTHENTICATE, request::Parts};

use super::Authorized;
use crate::{
    authorization::record,
    context::{Basis, Needs, RequestRecord},
    reason::RejectionKind,
    rejection::Rejection,
    requirement::{Requirement, Requires},
    routes::RouteRule,
};

/// An extractor that refuses a request which requirements do not allow.
///
/// [`Authorized<R>`] and [`Both`] are. An extractor of your own that holds an
/// `Authorized<R>` may be, too: it says in the inventory what it demands.
///
/// ```
/// use axum::extract::FromRequestParts;
/// use http::request::Parts;
/// use tower_delegation::{Authorized, Permit, Rejection, Requirement, Requires, routing::Rule};
///
/// struct Refund;
///
/// impl Requires for Refund {
///     fn requirement() -> Requirement {
///         Requirement::named("Refund").scope("orders:refund")
///     }
/// }
///
/// struct Clerk(Permit<Refund>);
///
/// impl<S: Sync> FromRequestParts<S> for Clerk {
///     type Rejection = Rejection;
///
///     async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
///         let Authorized(permit) = Authorized::from_request_parts(parts, state).await?;
///         Ok(Self(permit))
///     }
/// }
///
/// impl Rule for Clerk {
///     fn requirements() -> Vec<Requirement> {
///         Authorized::<Refund>::requirements()
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "the handler of this route has no rule: its first argument `{Self}` demands nothing of the request",
    label = "nothing says who may call this handler",
    note = "write `#[requires_scope(\"..\")]` or `#[requires(..)]` above the handler, or take `Authorized<R>` as its first argument",
    note = "a public route says why: `get(public(\"reason\", handler))`"
)]
pub trait Rule {
    /// What it demands: each must allow, in this order.
    fn requirements() -> Vec<Requirement>;
}

impl<R: Requires> Rule for Authorized<R> {
    fn requirements() -> Vec<Requirement> {
        vec![Requirement::of::<R>().clone()]
    }
}

/// Two rules as one argument: both must allow, the first is asked first.
/// Several attributes on one handler become this.
pub struct Both<A, B>(PhantomData<fn() -> (A, B)>);

impl<A, B> fmt::Debug for Both<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Both")
    }
}

impl<A: Rule, B: Rule> Rule for Both<A, B> {
    fn requirements() -> Vec<Requirement> {
        let mut requirements = A::requirements();
        requirements.extend(B::requirements());
        requirements
    }
}

impl<S, A, B> FromRequestParts<S> for Both<A, B>
where
    S: Send + Sync,
    A: Rule + FromRequestParts<S> + Send,
    B: Rule + FromRequestParts<S> + Send,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        A::from_request_parts(parts, state).await.map_err(asking_for_all::<Self>)?;
        B::from_request_parts(parts, state).await.map_err(IntoResponse::into_response)?;
        Ok(Self(PhantomData))
    }
}

/// The refusal by the first of several rules. Where the request carried no credentials,
/// its challenges name what all of them need.
fn asking_for_all<R: Rule>(refusal: impl IntoResponse) -> Response {
    let mut response = refusal.into_response();
    let Some(rejection) = response.extensions().get::<Rejection>() else { return response };
    if rejection.kind() == RejectionKind::MissingCredentials {
        let needs = || Needs::of_all(R::requirements().iter().map(Requirement::needs));
        let rejection = rejection.clone().asking_for(needs);
        response.headers_mut().remove(WWW_AUTHENTICATE);
        for challenge in rejection.challenges() {
            response.headers_mut().append(WWW_AUTHENTICATE, challenge.to_value());
        }
        response.extensions_mut().insert(rejection);
    }
    response
}

/// Demands a verified token and nothing more: the rule of a route that is for
/// every caller whom the issuer knows. `Authorized<AnyCaller>` says so aloud.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a name for a requirement")]
pub struct AnyCaller;

impl Requires for AnyCaller {
    fn requirement() -> Requirement {
        Requirement::named("any_caller")
    }
}

/// The arguments of a handler `H` that has a rule. Implemented where the first
/// argument is a [`Rule`], and for [`public`] handlers.
#[diagnostic::on_unimplemented(
    message = "the handler of this route has no rule: it demands nothing of the request",
    label = "nothing says who may call this handler",
    note = "write `#[requires_scope(\"..\")]` or `#[requires(..)]` above the handler, or take `Authorized<R>` as its first argument",
    note = "a public route says why: `get(public(\"reason\", handler))`"
)]
pub trait Ruled<H> {
    /// The rule, for the inventory.
    #[doc(hidden)]
    fn rule(handler: &H) -> RouteRule;
}

macro_rules! ruled {
    ($($argument:ident)*) => {
        impl<H, M, A: Rule, $($argument,)*> Ruled<H> for (M, A, $($argument,)*) {
            fn rule(_: &H) -> RouteRule {
                RouteRule::Requirements(A::requirements())
            }
        }
    };
}

ruled!();
ruled!(T2);
ruled!(T2 T3);
ruled!(T2 T3 T4);
ruled!(T2 T3 T4 T5);
ruled!(T2 T3 T4 T5 T6);
ruled!(T2 T3 T4 T5 T6 T7);
ruled!(T2 T3 T4 T5 T6 T7 T8);
ruled!(T2 T3 T4 T5 T6 T7 T8 T9);
ruled!(T2 T3 T4 T5 T6 T7 T8 T9 T10);
ruled!(T2 T3 T4 T5 T6 T7 T8 T9 T10 T11);
ruled!(T2 T3 T4 T5 T6 T7 T8 T9 T10 T11 T12);
ruled!(T2 T3 T4 T5 T6 T7 T8 T9 T10 T11 T12 T13);
ruled!(T2 T3 T4 T5 T6 T7 T8 T9 T10 T11 T12 T13 T14);
ruled!(T2 T3 T4 T5 T6 T7 T8 T9 T10 T11 T12 T13 T14 T15);
ruled!(T2 T3 T4 T5 T6 T7 T8 T9 T10 T11 T12 T13 T14 T15 T16);

/// A handler for everyone, with the reason why: it is in the inventory and in the
/// record of each request.
///
/// In a guarded router no token is verified before it runs, and nothing is waited for:
/// neither keys, nor a store of used proofs, nor a place in an audit queue (where a
/// queue is full, the event is dropped and counted). What is wrong with the
/// credentials at first sight is in the record, as the requirement `credentials` that
/// is not enforced. A handler that takes a `DelegationContext`, or an `Option` of one,
/// has the credentials verified then: it gets the context, or its client the 401 or
/// 503 that was due.
///
/// On a plain router it is behind whatever the layer there does.
///
/// ```
/// use tower_delegation::routing::{GuardedRouter, get, public};
///
/// async fn alive() {}
///
/// let router = GuardedRouter::<()>::new().route("/alive", get(public("probe of the orchestrator", alive)));
/// assert_eq!(router.inventory().to_string(), "GET  /alive  public: probe of the orchestrator\n");
/// ```
#[must_use]
pub fn public<H>(reason: impl Into<Cow<'static, str>>, handler: H) -> Public<H> {
    Public { reason: reason.into(), handler }
}

/// Made by [`public`].
#[derive(Clone, Debug)]
pub struct Public<H> {
    reason: Cow<'static, str>,
    handler: H,
}

/// Stands for the arguments of a [`Public`] handler.
#[derive(Debug)]
pub struct OfPublic<T>(PhantomData<fn() -> T>);

impl<H, T> Ruled<Public<H>> for OfPublic<T> {
    fn rule(handler: &Public<H>) -> RouteRule {
        RouteRule::Public(handler.reason.clone())
    }
}

impl<H: Handler<T, S>, T, S> Handler<OfPublic<T>, S> for Public<H> {
    type Future = H::Future;

    fn call(self, request: Request, state: S) -> Self::Future {
        if let Some(record) = record(request.extensions()) {
            record.add_public(&self.reason, Basis::Rule);
        }
        self.handler.call(request, state)
    }
}

/// A handler whose rule is a row of a [route table](crate::RouteTable), which a
/// [`RouteTableLayer`](crate::RouteTableLayer) around the route looks up.
///
/// It is served only if a row has allowed the request, or is public. Whatever else
/// was evaluated counts for nothing here, and so does a row in shadow mode or under
/// an exception: then it answers 500, and so it does without the layer.
#[must_use]
pub fn by_table<H>(handler: H) -> ByTable<H> {
    ByTable { handler }
}

/// Made by [`by_table`].
#[derive(Clone, Debug)]
pub struct ByTable<H> {
    handler: H,
}

/// Stands for the arguments of a [`ByTable`] handler.
#[derive(Debug)]
pub struct OfTable<T>(PhantomData<fn() -> T>);

impl<H, T> Ruled<ByTable<H>> for OfTable<T> {
    fn rule(_: &ByTable<H>) -> RouteRule {
        RouteRule::Table
    }
}

impl<H: Handler<T, S>, T, S> Handler<OfTable<T>, S> for ByTable<H> {
    type Future = Either<H::Future, std::future::Ready<Response>>;

    fn call(self, request: Request, state: S) -> Self::Future {
        let record = record(request.extensions());
        if record.is_some_and(RequestRecord::is_allowed_by_row) {
            Either::Left(self.handler.call(request, state))
        } else {
            Either::Right(std::future::ready(Rejection::undecided(false).into_response()))
        }
    }
}
