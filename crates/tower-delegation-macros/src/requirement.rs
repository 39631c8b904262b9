//! What one attribute demands: a [`RequirementSpec`], checked for repetitions
//! and contradictions, and the builder calls that it becomes.

use std::fmt;

use proc_macro2::{Literal, Span, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::parse::{ParseStream, Parser};

use crate::arguments;
use crate::key::{Form, Key};

/// Which of the three attributes was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attribute {
    Scope,
    Audience,
    Requires,
}

impl Attribute {
    pub(crate) const ALL: [Self; 3] = [Self::Scope, Self::Audience, Self::Requires];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Scope => "requires_scope",
            Self::Audience => "requires_audience",
            Self::Requires => "requires",
        }
    }

    fn example(self) -> &'static str {
        match self {
            Self::Scope => r#"#[requires_scope("orders:read")]"#,
            Self::Audience => r#"#[requires_audience("https://orders.example.com")]"#,
            Self::Requires => r#"#[requires(scope = "orders:refund", on_behalf_of_user)]"#,
        }
    }
}

/// A string literal: what it says, and the literal for the emitted code.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) value: String,
    pub(crate) literal: Literal,
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

#[derive(Debug, PartialEq)]
pub(crate) enum Value {
    None,
    Text(Text),
    /// One of these, or within these.
    Any(Vec<Text>),
    Pair(Text, Text),
    Number(u64),
    Level(Text, u8),
    User,
    Service,
    /// A variant of `ApplicationKind`.
    ApplicationKind(&'static str),
}

impl Value {
    /// Do two demands of one key say the same? The order in `any(..)` is nothing.
    fn repeats(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any(a), Self::Any(b)) => a.len() == b.len() && a.iter().all(|scope| b.contains(scope)),
            _ => self == other,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Demand {
    pub(crate) key: Key,
    pub(crate) value: Value,
    pub(crate) span: Span,
}

impl Demand {
    fn call(&self) -> TokenStream {
        let method = format_ident!("{}", self.key.name());
        match &self.value {
            Value::None => quote!(.#method()),
            Value::Text(Text { literal, .. }) => quote!(.#method(#literal)),
            Value::Any(texts) => {
                let literals = texts.iter().map(|text| &text.literal);
                quote!(.#method([#(#literals),*]))
            }
            Value::Pair(Text { literal: first, .. }, Text { literal: second, .. }) => {
                quote!(.#method(#first, #second))
            }
            Value::Number(seconds) if self.key.form() == Form::Seconds => {
                quote!(.#method(::core::time::Duration::from_secs(#seconds)))
            }
            Value::Number(number) => {
                let number = Literal::u64_unsuffixed(*number);
                quote!(.#method(#number))
            }
            Value::Level(Text { literal, .. }, level) => quote!(.#method(#literal, #level)),
            Value::ApplicationKind(kind) => {
                let kind = format_ident!("{kind}");
                quote!(.#method(::tower_delegation::context::ApplicationKind::#kind))
            }
            Value::User => quote!(.#method(::tower_delegation::context::SubjectKind::User)),
            Value::Service => quote!(.#method(::tower_delegation::context::SubjectKind::Service)),
        }
    }
}

/// Mistakes, gathered so that one compilation shows them all.
#[derive(Debug, Default)]
pub(crate) struct Errors(Option<syn::Error>);

impl Errors {
    pub(crate) fn push(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(first) => first.combine(error),
            None => self.0 = Some(error),
        }
    }

    pub(crate) fn at(&mut self, span: Span, message: impl fmt::Display) {
        self.push(syn::Error::new(span, message));
    }

    pub(crate) fn over(&mut self, tokens: impl ToTokens, message: impl fmt::Display) {
        self.push(syn::Error::new_spanned(tokens, message));
    }

    /// # Errors
    /// What was pushed, if anything was.
    pub(crate) fn finish(self) -> syn::Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}

/// What no token can meet together. Told at the place of the second.
const EXCLUSIVE: &[(Key, Key, &str)] = &[
    (
        Key::Delegated,
        Key::NotDelegated,
        "`delegated` and `not_delegated` exclude each other, no token has both: remove one",
    ),
    (
        Key::OnBehalfOfUser,
        Key::NotOnBehalfOfUser,
        "`on_behalf_of_user` and `not_on_behalf_of_user` exclude each other: remove one",
    ),
    (
        Key::Actor,
        Key::NotDelegated,
        "`actor` demands an actor and `not_delegated` forbids every one: remove one",
    ),
    (
        Key::ActorOf,
        Key::NotDelegated,
        "`actor_of` demands an actor and `not_delegated` forbids every one: remove one",
    ),
    (
        Key::ActorKind,
        Key::NotDelegated,
        "`actor_kind` demands an actor and `not_delegated` forbids every one: remove one",
    ),
];

/// One attribute's arguments: what is demanded, in the order written.
#[derive(Debug)]
pub(crate) struct RequirementSpec(Vec<Demand>);

impl RequirementSpec {
    /// # Errors
    /// Every mistake in the arguments, each at its place.
    pub(crate) fn parse(attribute: Attribute, arguments: TokenStream) -> syn::Result<Self> {
        let mut errors = Errors::default();
        let mut demands = Vec::new();
        let read = |input: ParseStream<'_>| {
            if input.is_empty() {
                let (name, example) = (attribute.name(), attribute.example());
                let message = format!("`#[{name}]` without arguments demands nothing: write `{example}`");
                errors.at(Span::call_site(), message);
            }
            arguments::each(input, &mut errors, |input, errors| {
                demands.push(arguments::demand(attribute, input, errors)?);
                Ok(())
            });
            Ok(())
        };
        read.parse2(arguments)?;
        let spec = Self(demands);
        spec.check(&mut errors);
        errors.finish().map(|()| spec)
    }

    /// `Requirement::named(..)` and one builder call for each demand.
    pub(crate) fn build(&self, name: &str) -> TokenStream {
        let calls = self.0.iter().map(Demand::call);
        quote!(::tower_delegation::requirement::Requirement::named(#name) #(#calls)*)
    }

    fn check(&self, errors: &mut Errors) {
        for (at, demand) in self.0.iter().enumerate() {
            let mut earlier = self.0.iter().take(at).filter(|earlier| earlier.key == demand.key);
            let is_single = matches!(demand.key.form(), Form::Number | Form::Seconds);
            if earlier.any(|earlier| is_single || earlier.value.repeats(&demand.value)) {
                errors.at(demand.span, "this is demanded already: remove one of the two");
            }
            let (Value::Any(texts), Some(alone)) = (&demand.value, demand.key.alone()) else { continue };
            for text in texts.iter().filter(|text| self.texts(alone).any(|other| other == *text)) {
                errors.at(
                    text.literal.span(),
                    format_args!(
                        "this {} is demanded by itself, so the choice is always met: remove one of the two",
                        alone.noun()
                    ),
                );
            }
        }
        for (one, other, message) in EXCLUSIVE {
            if let (Some(_), Some(span)) = (self.span(*one), self.span(*other)) {
                errors.at(span, message);
            }
        }
        let kinds = || self.0.iter().filter(|demand| demand.key == Key::SubjectKind);
        if let (Some(_), Some(kind)) = (self.span(Key::OnBehalfOfUser), kinds().next())
            && !kinds().any(|kind| kind.value == Value::User)
        {
            errors.at(kind.span, "`on_behalf_of_user` demands a user as the subject: remove `subject_kind = service`, or add `subject_kind = user`");
        }
        let is_zero = |demand: &&Demand| demand.key == Key::MaxActors && demand.value == Value::Number(0);
        if let Some(none) = self.0.iter().find(is_zero)
            && [Key::Delegated, Key::Actor, Key::ActorOf, Key::ActorKind]
                .into_iter()
                .any(|key| self.span(key).is_some())
        {
            errors.at(
                none.span,
                "`max_actors = 0` forbids every actor, and one is demanded: remove one of the two",
            );
        }
        for denied in
            self.texts(Key::DenyActor).filter(|denied| self.texts(Key::Actor).any(|actor| actor == *denied))
        {
            errors.at(denied.literal.span(), "this actor is demanded and denied: remove one of the two");
        }
        self.check_bounds(errors);
        self.check_claims(errors);
        if let [Demand { key: Key::Shadow, span, .. }] = self.0.as_slice() {
            errors.at(*span, "`shadow` by itself demands nothing: name what is tried out");
        }
    }

    /// Nothing is demanded beyond what is tolerated.
    fn check_bounds(&self, errors: &mut Errors) {
        let bound = |key| -> Vec<&Text> { self.lists(key).flatten().collect() };
        let (scopes, audiences) = (bound(Key::ScopesWithin), bound(Key::AudiencesWithin));
        let is_beyond = |bound: &[&Text], text: &Text| !bound.is_empty() && !bound.contains(&text);
        let message = "this lies beyond what is tolerated, so no token has both: add it there, or remove it";
        for scope in self.texts(Key::Scope).filter(|scope| is_beyond(&scopes, scope)) {
            errors.at(scope.literal.span(), message);
        }
        for choice in
            self.lists(Key::AnyScope).filter(|choice| choice.iter().all(|one| is_beyond(&scopes, one)))
        {
            if let Some(first) = choice.first() {
                errors.at(first.literal.span(), message);
            }
        }
        let demanded: Vec<&Text> = self.texts(Key::Audience).collect();
        if let (true, Some(first)) = (demanded.iter().all(|one| is_beyond(&audiences, one)), demanded.first())
        {
            errors.at(first.literal.span(), message);
        }
    }

    /// One claim says one thing.
    fn check_claims(&self, errors: &mut Errors) {
        let pairs = |key: Key| {
            self.0.iter().filter_map(move |demand| match &demand.value {
                Value::Pair(first, second) if demand.key == key => Some((first, second)),
                _ => None,
            })
        };
        for (at, (claim, value)) in pairs(Key::ClaimEquals).enumerate() {
            if pairs(Key::ClaimEquals).take(at).any(|(known, other)| known == claim && other != value) {
                errors.at(value.literal.span(), "the claim is demanded to be two values at once: remove one");
            }
        }
        for (claim, _) in pairs(Key::Purpose) {
            if pairs(Key::Purpose).next().is_some_and(|(first, _)| first != claim) {
                errors.at(
                    claim.literal.span(),
                    "the purpose is demanded of another claim too: use `claim_equals` for one of them",
                );
            }
        }
    }

    fn texts(&self, key: Key) -> impl Iterator<Item = &Text> {
        self.0.iter().filter_map(move |demand| match &demand.value {
            Value::Text(text) if demand.key == key => Some(text),
            _ => None,
        })
    }

    fn lists(&self, key: Key) -> impl Iterator<Item = &Vec<Text>> {
        self.0.iter().filter_map(move |demand| match &demand.value {
            Value::Any(texts) if demand.key == key => Some(texts),
            _ => None,
        })
    }

    fn span(&self, key: Key) -> Option<Span> {
        self.0.iter().find(|demand| demand.key == key).map(|demand| demand.span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_go_together_is_refused_once_at_the_later_place() {
        for (name, arguments, expected) in [
            ("delegated or not", "delegated, not_delegated", Some("exclude each other")),
            ("the other way round", "not_delegated, delegated", Some("exclude each other")),
            (
                "an actor without delegation",
                r#"not_delegated, actor = "a""#,
                Some("`actor` demands an actor"),
            ),
            ("a service as user", "on_behalf_of_user, subject_kind = service", Some("a user as the subject")),
            ("the same scope", r#"scope = "a", scope = "a""#, Some("demanded already")),
            ("the same flag", "delegated, scope = \"a\", delegated", Some("demanded already")),
            ("the same kind", "subject_kind = user, subject_kind = user", Some("demanded already")),
            ("the same audience, raw", r#"audience = "a", audience = r"a""#, Some("demanded already")),
            ("the same choice", r#"any_scope("a", "b"), any_scope("b", "a")"#, Some("demanded already")),
            ("a choice that is none", r#"any_scope("a", "b"), scope = "b""#, Some("always met")),
            ("for a user or not", "on_behalf_of_user, not_on_behalf_of_user", Some("exclude each other")),
            ("an actor of an issuer", r#"actor_of("i", "a"), not_delegated"#, Some("`actor_of` demands")),
            ("an actor of a kind", "actor_kind = agent, not_delegated", Some("`actor_kind` demands")),
            ("no actors", "delegated, max_actors = 0", Some("forbids every actor")),
            ("two bounds", "max_actors = 1, max_actors = 2", Some("demanded already")),
            ("two ages", "max_token_age = 1, max_token_age = 2", Some("demanded already")),
            ("an actor denied", r#"actor = "a", deny_actor = "a""#, Some("demanded and denied")),
            ("a role that is one of two", r#"role = "a", any_role("a", "b")"#, Some("always met")),
            ("a scope beyond", r#"scopes_within("a"), scope = "b""#, Some("beyond what is tolerated")),
            (
                "a choice beyond",
                r#"any_scope("b", "c"), scopes_within("a")"#,
                Some("beyond what is tolerated"),
            ),
            (
                "an audience beyond",
                r#"audience = "b", audiences_within("a")"#,
                Some("beyond what is tolerated"),
            ),
            ("two values", r#"claim_equals("c", "a"), claim_equals("c", "b")"#, Some("two values at once")),
            ("two claims", r#"purpose("c", "a"), purpose("d", "a")"#, Some("another claim")),
            ("the same pair", r#"purpose("c", "a"), purpose("c", "a")"#, Some("demanded already")),
            ("a trial of nothing", "shadow", Some("demands nothing")),
            ("a trial", r#"shadow, scope = "a""#, None),
            ("one actor denied", r#"actor = "a", deny_actor = "b", max_actors = 1"#, None),
            ("a scope within", r#"scopes_within("a", "b"), scope = "b", any_scope("a", "c")"#, None),
            ("two claims of one value", r#"claim_equals("c", "a"), claim_equals("d", "a")"#, None),
            ("an actor", r#"delegated, actor = "a", actor = "b""#, None),
            ("a user or a service", "on_behalf_of_user, subject_kind = service, subject_kind = user", None),
            ("one text as two things", r#"scope = "a", audience = "a", client = "a""#, None),
            ("choices that overlap", r#"any_scope("a", "b"), any_scope("a", "c")"#, None),
        ] {
            let read = RequirementSpec::parse(Attribute::Requires, arguments.parse().unwrap());
            match (read, expected) {
                (Ok(_), None) => {}
                (Ok(_), Some(expected)) => panic!("{name}: accepted, expected {expected}"),
                (Err(error), None) => panic!("{name}: {error}"),
                (Err(error), Some(expected)) => {
                    let messages: Vec<_> = error.into_iter().map(|error| error.to_string()).collect();
                    assert_eq!(messages.len(), 1, "{name}: {messages:?}");
                    assert!(messages[0].contains(expected), "{name}: {messages:?}");
                }
            }
        }
    }
}
