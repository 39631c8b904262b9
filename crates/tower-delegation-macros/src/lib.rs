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
//! It declares a hidden type that implements `Requires` and puts a hidden
//! argument `_: Authorized<ThatType>` before the handler's own. Axum runs
//! extractors from left to right, so a request that is not allowed is refused
//! before any other extractor runs and before the body is read. Nothing else
//! about the function changes.
//!
//! # Where an attribute may stand
//!
//! 1. On an `async fn` of any visibility: a free function, one inside a function
//!    body, or one without `self` in an `impl`. The dependency must be called
//!    `tower_delegation`.
//! 2. A function with type or const parameters of its own, one that returns
//!    `impl Trait + use<..>` and one with `#[axum::debug_handler]` must be free: the
//!    hidden type is then declared next to it. In an `impl` this is a compile error
//!    whose text says what to write instead.
//! 3. Never on a method with `self`, in a trait, or on anything but a function:
//!    there the requirement is a type of its own and the handler takes
//!    `Authorized<R>` as an argument. All of these are compile errors.
//! 4. Several times on one function: every one of the requirements must be
//!    met. They are evaluated from top to bottom. Axum's handlers take 16
//!    arguments and the attributes use one of them, which leaves 15.
//! 5. Above `#[axum::debug_handler]`, so that the checks of `debug_handler` see
//!    the hidden argument.
//!
//! # Values
//!
//! A value is a literal or the path of a constant: `scope = scopes::ORDERS_READ`,
//! with a constant of type `&str`; for seconds `u64`, for the number of actors
//! `usize`, for a level `u8`. It is found where the function is. A path of one word
//! is taken for a constant if it has no small letters. `Self::NAME` is not possible:
//! write the type's name.
//!
//! Everything that can be seen to be wrong at compile time is a compile error at its
//! place, all of them at once: an unknown key, a string that is no scope, a
//! repetition, a contradiction. What a constant says is not known at compile time:
//! mistakes in it, and contradictions that depend on it, are found by
//! `GuardedRouter::behind`, and on a plain router at the first request, which is
//! answered with 500. They are in the log then, in the same words.
//!
//! # Deployment caveat
//!
//! An attribute is evaluated when its handler is called. A route whose handler
//! has none demands nothing by itself: deny by default is the route table's or
//! the guarded router's work, `tower_delegation::routing::GuardedRouter`.

mod arguments;
mod expand;
mod handler;
mod requirement;

use proc_macro::TokenStream;

use crate::requirement::Attribute;

/// Demands scopes: all that are named, and one of each `any(..)`.
///
/// | written | the token must have |
/// |---|---|
/// | `#[requires_scope("orders:read")]` | this scope |
/// | `#[requires_scope(scopes::ORDERS_READ)]` | the scope that this constant names |
/// | `#[requires_scope("orders:read", "profile")]` | both |
/// | `#[requires_scope(any("orders:read", "orders:admin"))]` | at least one of the two |
/// | `#[requires_scope("profile", any("orders:read", "orders:admin"))]` | the first, and one of the others |
///
/// Each scope is one scope-token: printable ASCII without space, `"` and `\`
/// (RFC 6749 section 3.3). Scopes match exactly; there are no prefixes and no
/// wildcards. `name = ".."` names the requirement, which is otherwise named after
/// the function.
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
/// this very string in `aud`; `#[requires_audience(any("..", ".."))]` by a token with
/// any of them. It narrows what the issuer's configuration accepts, for one route of
/// a service that answers under several audiences; it never widens it.
///
/// Identifiers compare by code point: `https://orders.example.com` and
/// `https://orders.example.com/` are two. Constants and `name = ".."` are as in
/// [`macro@requires_scope`].
///
/// Refused at compile time: no audience, two of them without `any(..)`, an empty one,
/// one with a control character or surrounding white space, one named twice.
#[proc_macro_attribute]
pub fn requires_audience(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::attribute(Attribute::Audience, arguments.into(), &item.into()).into()
}

/// Demands several things at once, in one requirement.
///
/// | argument | demands |
/// |---|---|
/// | `issuer = "https://idp.example.com"`, `any_issuer("..", "..")` | a token of this issuer |
/// | `tenant = "acme"`, `any_tenant(..)` | a token of this tenant |
/// | `audience = "https://orders.example.com"`, `any_audience(..)` | this entry of `aud` |
/// | `audiences_within("a", "b")` | no entry of `aud` beyond these |
/// | `scopes_within("a", "b")` | no scope beyond these |
/// | `max_token_lifetime = 900` | a token issued for this many seconds at most |
/// | `max_token_age = 300` | a token issued this many seconds ago at most |
/// | `sender_constrained` | a token bound to its presenter |
/// | `mutual_tls` | a token bound to the client certificate |
/// | `dpop` | a token bound to a key (`DPoP`) |
/// | `workload = "spiffe://prod/ns/*/web"`, `any_workload(..)` | a workload with a SPIFFE ID of this pattern |
/// | `subject_kind = user`, `any_subject_kind(user, service)` | a subject of this kind |
/// | `on_behalf_of_user`, `not_on_behalf_of_user` | a user's token, used by an application; none such |
/// | `delegated`, `not_delegated` | an actor (`act`); none |
/// | `max_actors = 2` | a chain of this many actors at most |
/// | `deny_client = "bot"` | another client; repeated, none of them |
/// | `deny_actor = "bot"` | a chain without this actor; repeated, without any of them |
/// | `actor = "agent"`, `any_actor(..)` | this current actor, of the token's issuer |
/// | `actor_of("https://idp.example.com", "agent")`, `any_actor_of(("..", ".."), ("..", ".."))` | this current actor, of this issuer |
/// | `client = "web"`, `any_client(..)` | a token issued to this client |
/// | `application = "Shop"`, `any_application(..)` | this registered application of the client |
/// | `application_kind = service`, `any_application_kind(..)` | a client whose application is of this kind |
/// | `application_tenant = "acme"`, `any_application_tenant(..)` | an application registered for this tenant by name |
/// | `application_environment = "prod"`, `any_application_environment(..)` | an application registered for this environment by name |
/// | `presenter = "Copilot"`, `any_presenter(..)` | this registered application of the presenter |
/// | `presenter_kind = agent`, `any_presenter_kind(..)` | a presenter whose application is of this kind |
/// | `presenter_tenant = "acme"`, `any_presenter_tenant(..)` | as `application_tenant`, of the presenter |
/// | `presenter_environment = "prod"`, `any_presenter_environment(..)` | as `application_environment`, of the presenter |
/// | `actor_kind = agent`, `any_actor_kind(..)` | a current actor whose application is of this kind |
/// | `risk_below("device", 70)` | less risk than this, by this signal |
/// | `claim_equals("plan", "gold")`, `claim_one_of("plan", any("gold", "silver"))` | a claim with this text; with one of these |
/// | `claim_matches_path("account", "account_id")` | a claim with the text of this parameter of the path |
/// | `claim_matches_header("account", "x-account")` | a claim with the text of this header field |
/// | `tenant_matches_path = "tenant"`, `tenant_matches_header = "x-tenant"` | the same of the tenant |
/// | `subject_matches_path = "user_id"` | the same of the subject |
/// | `purpose("purpose", "treatment")`, `any_purpose("purpose", any(..))` | this purpose, in this claim |
/// | `role = "a"`, `any_role("a", "b")` | this role; one of these |
/// | `permission = "a"`, `any_permission("a", "b")` | this permission; one of these |
/// | `group = "a"`, `any_group("a", "b")` | this group; one of these |
/// | `acr = "mfa"`, `any_acr(..)` | this class of authentication; one of these |
/// | `max_authentication_age = 300` | a user who authenticated this many seconds ago at most |
/// | `scope = "orders:refund"`, `any_scope("a", "b")` | this scope; one of these |
/// | `shadow` | nothing yet: denials are recorded, and the request goes on |
/// | `name = "refund"` | nothing: names the requirement, which is otherwise named after the function |
///
/// All of them must be met. Scopes, roles, permissions, groups, denied actors, claims,
/// comparisons and signals may be repeated, and then each must be met; repeating any
/// other key is a contradiction, and its `any_..` names the alternatives. A key bears
/// the name of the method of `Requirement`, which says more. A claim inside others is
/// written `["realm", "plan"]`. Kinds are bare words. What has no literal form (time
/// windows, authorization details, compositions, exceptions) is written as a type.
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

#[cfg(test)]
mod tests {
    use tower_delegation_demands::Key;

    #[test]
    fn the_documentation_has_every_key_once() {
        let rows: Vec<&str> =
            include_str!("lib.rs").lines().filter(|line| line.starts_with("/// | `")).collect();
        for key in Key::ALL.iter().filter(|key| key.is_literal()) {
            let said = |row: &&&str| {
                let arguments = row.split(" | ").nth(1).unwrap_or_default();
                arguments
                    .split('`')
                    .skip(1)
                    .step_by(2)
                    .any(|code| code.split([' ', '(']).next() == Some(key.name()))
            };
            assert_eq!(rows.iter().filter(said).count(), 1, "{}", key.name());
        }
    }
}
