//! The attributes of tower-delegation: what a handler demands of a request,
//! written where the handler is.
//!
//! This crate is an implementation detail. Depend on `tower-delegation` with
//! its `axum` feature and use `tower_delegation::{requires, requires_audience,
//! requires_scope}`; the guide and the runnable examples are there.
//!
//! ```text
//! #[requires_scope("orders:read")]
//! async fn list_orders(State(db): State<Db>) -> Json<Vec<Order>> { … }
//! ```
//!
//! # What an attribute does
//!
//! It writes a hidden type that implements `Requires` and puts a hidden
//! argument `_: Authorized<ThatType>` before the handler's own. Axum runs
//! extractors from left to right, so a request that is not allowed is refused
//! before any other extractor runs and before the body is read. Nothing else
//! about the function changes.
//!
//! # Where an attribute may stand
//!
//! 1. On a free `async fn`, generic or not, of any visibility, also inside a
//!    function body. The dependency must be called `tower_delegation`.
//! 2. Never on a method, an associated function or anything but a function:
//!    there the requirement is a type of its own and the handler takes
//!    `Authorized<R>` as an argument. All of these are compile errors.
//! 3. Several times on one function: every one of the requirements must be
//!    met. They are evaluated from top to bottom. Axum's handlers take 16
//!    arguments and the attributes use one of them, which leaves 15.
//! 4. Above `#[axum::debug_handler]`, so that the checks of `debug_handler` see
//!    the hidden argument.
//!
//! What can be seen to be wrong at compile time is a compile error: a string
//! that is no scope, a repetition, a contradiction.
//!
//! # Deployment caveat
//!
//! An attribute is evaluated when its handler is called. A route whose handler
//! has none demands nothing by itself: deny by default is the route table's or
//! the guarded router's work, `tower_delegation::routing::GuardedRouter`.

mod arguments;
mod expand;
mod handler;
mod key;
mod requirement;

use proc_macro::TokenStream;

use crate::requirement::Attribute;

/// Demands scopes: all that are named, and one of each `any(..)`.
///
/// | written | the token must have |
/// |---|---|
/// | `#[requires_scope("orders:read")]` | this scope |
/// | `#[requires_scope("orders:read", "profile")]` | both |
/// | `#[requires_scope(any("orders:read", "orders:admin"))]` | at least one of the two |
/// | `#[requires_scope("profile", any("orders:read", "orders:admin"))]` | the first, and one of the others |
///
/// Each scope is one string literal and one scope-token: printable ASCII
/// without space, `"` and `\` (RFC 6749 section 3.3). Scopes match exactly; there
/// are no prefixes and no wildcards.
///
/// Refused at compile time: no scope at all, an `any(..)` of fewer than two, a
/// scope named twice, an `any(..)` with a scope that is demanded anyway.
#[proc_macro_attribute]
pub fn requires_scope(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::attribute(Attribute::Scope, arguments.into(), &item.into()).into()
}

/// Demands that the token was issued for this audience, or for one of several.
///
/// `#[requires_audience("https://orders.example.com")]` is met by a token with
/// this very string in `aud`; with several strings, by a token with any of
/// them. It narrows what the issuer's configuration accepts, for one route of a
/// service that answers under several audiences; it never widens it.
///
/// Identifiers compare by code point: `https://orders.example.com` and
/// `https://orders.example.com/` are two.
///
/// Refused at compile time: no audience, an empty one, one with a control
/// character or surrounding white space, one named twice.
#[proc_macro_attribute]
pub fn requires_audience(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::attribute(Attribute::Audience, arguments.into(), &item.into()).into()
}

/// Demands several things at once, in one requirement.
///
/// | argument | demands | repeated |
/// |---|---|---|
/// | `scope = "orders:refund"` | this scope | all of them |
/// | `any_scope("a", "b")` | one of these scopes | one of each |
/// | `scopes_within("a", "b")` | no scope beyond these | all of them count |
/// | `audience = "https://orders.example.com"` | this entry of `aud` | any of them |
/// | `audiences_within("a", "b")` | no entry of `aud` beyond these | all of them count |
/// | `issuer = "https://idp.example.com"` | a token of this issuer | any of them |
/// | `tenant = "acme"` | a token of this tenant | any of them |
/// | `max_token_lifetime = 900` | a token issued for this many seconds at most | |
/// | `max_token_age = 300` | a token issued this many seconds ago at most | |
/// | `sender_constrained` | a token bound to its presenter | |
/// | `mutual_tls` | a token bound to the client certificate | |
/// | `dpop` | a token bound to a key (`DPoP`) | |
/// | `workload = "spiffe://prod/ns/*/web"` | a workload with a SPIFFE ID of this pattern | any of them |
/// | `subject_kind = user`, `subject_kind = service` | a subject of this kind | any of them |
/// | `on_behalf_of_user` | a user's token, used by an application | |
/// | `not_on_behalf_of_user` | none such | |
/// | `delegated` | an actor (`act`) | |
/// | `not_delegated` | no actor | |
/// | `max_actors = 2` | a chain of this many actors at most | |
/// | `deny_actor = "bot"` | a chain without this actor | without any of them |
/// | `actor = "agent"` | this current actor, of the token's issuer | any of them |
/// | `actor_of("https://idp.example.com", "agent")` | this current actor, of this issuer | any of them |
/// | `client = "web"` | a token issued to this client | any of them |
/// | `application = "Shop"`, `presenter = "Copilot"` | this registered application of the client, of the presenter | any of them |
/// | `application_kind = service`, `presenter_kind = agent` | a client, a presenter whose application is of this kind | any of them |
/// | `actor_kind = agent` | a current actor whose application is of this kind | any of them |
/// | `application_tenant = "acme"`, `presenter_tenant = ".."` | an application registered for this tenant by name | any of them |
/// | `application_environment = "prod"`, `presenter_environment = ".."` | an application registered for this environment by name | any of them |
/// | `risk_below("device", 70)` | less risk than this, by this signal | all of them |
/// | `claim_equals("plan", "gold")` | a claim with this text | all of them |
/// | `claim_matches_path("account", "account_id")` | a claim with the text of this parameter of the path | all of them |
/// | `claim_matches_header("account", "x-account")` | a claim with the text of this header field | all of them |
/// | `tenant_matches_path = "tenant"`, `tenant_matches_header = "x-tenant"` | the same of the tenant | all of them |
/// | `subject_matches_path = "user_id"` | the same of the subject | all of them |
/// | `purpose("purpose", "treatment")` | this purpose, in this claim | any of them |
/// | `role = "a"`, `permission = "a"`, `group = "a"` | this role, permission, group | all of them |
/// | `any_role("a", "b")`, `any_permission(..)`, `any_group(..)` | one of these | one of each |
/// | `acr = "mfa"` | this class of authentication | any of them |
/// | `max_authentication_age = 300` | a user who authenticated this many seconds ago at most | |
/// | `shadow` | nothing yet: denials are recorded, and the request goes on | |
///
/// All demands with different names must be met. Values are literals, but for
/// the kinds, which are bare words. A key bears the name of the method of
/// `Requirement`, which says more; what is no literal (time windows,
/// authorization details, compositions, exceptions) is written as a type.
///
/// Refused at compile time, besides what the other two attributes refuse: an
/// unknown name; what excludes each other, such as `delegated` or `actor`
/// together with `not_delegated`, `on_behalf_of_user` where `subject_kind`
/// leaves no user, an actor that is denied, a scope beyond `scopes_within`, one
/// claim with two values; `shadow` alone.
#[proc_macro_attribute]
pub fn requires(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::attribute(Attribute::Requires, arguments.into(), &item.into()).into()
}
