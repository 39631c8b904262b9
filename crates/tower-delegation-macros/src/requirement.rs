//! What one attribute demands: a [`RequirementSpec`], checked for repetitions
//! and contradictions, and the builder calls that it becomes.

use std::fmt;

use proc_macro2::{Literal, Span, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::parse::{ParseStream, Parser};

use crate::arguments;

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

/// What can be demanded. A key of `#[requires]` and the builder method of
/// `Requirement` bear the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Scope,
    AnyScope,
    Audience,
    Issuer,
    SubjectKind,
    OnBehalfOfUser,
    Delegated,
    NotDelegated,
    Actor,
    Client,
    SenderConstrained,
    Workload,
}

impl Key {
    pub(crate) const ALL: [Self; 12] = [
        Self::Scope,
        Self::AnyScope,
        Self::Audience,
        Self::Issuer,
        Self::SubjectKind,
        Self::OnBehalfOfUser,
        Self::Delegated,
        Self::NotDelegated,
        Self::Actor,
        Self::Client,
        Self::SenderConstrained,
        Self::Workload,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Scope => "scope",
            Self::AnyScope => "any_scope",
            Self::Audience => "audience",
            Self::Issuer => "issuer",
            Self::SubjectKind => "subject_kind",
            Self::OnBehalfOfUser => "on_behalf_of_user",
            Self::Delegated => "delegated",
            Self::NotDelegated => "not_delegated",
            Self::Actor => "actor",
            Self::Client => "client",
            Self::SenderConstrained => "sender_constrained",
            Self::Workload => "workload",
        }
    }

    pub(crate) fn usage(self) -> &'static str {
        match self {
            Self::Scope => r#"scope = "..""#,
            Self::AnyScope => r#"any_scope("..", "..")"#,
            Self::Audience => r#"audience = "..""#,
            Self::Issuer => r#"issuer = "..""#,
            Self::SubjectKind => "subject_kind = user` or `subject_kind = service",
            Self::OnBehalfOfUser => "on_behalf_of_user",
            Self::Delegated => "delegated",
            Self::NotDelegated => "not_delegated",
            Self::Actor => r#"actor = "..""#,
            Self::Client => r#"client = "..""#,
            Self::SenderConstrained => "sender_constrained",
            Self::Workload => r#"workload = "spiffe://..""#,
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
    Any(Vec<Text>),
    User,
    Service,
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
            Value::Any(scopes) => {
                let literals = scopes.iter().map(|scope| &scope.literal);
                quote!(.#method([#(#literals),*]))
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
            if self
                .0
                .iter()
                .take(at)
                .any(|earlier| earlier.key == demand.key && earlier.value.repeats(&demand.value))
            {
                errors.at(demand.span, "this is demanded already: remove one of the two");
            }
            let Value::Any(scopes) = &demand.value else { continue };
            for scope in scopes {
                if self.0.iter().any(|other| matches!(&other.value, Value::Text(text) if other.key == Key::Scope && text == scope)) {
                    errors.at(scope.literal.span(), "this scope is demanded by itself, so the choice is always met: remove one of the two");
                }
            }
        }
        if let (Some(_), Some(span)) = (self.span(Key::Delegated), self.span(Key::NotDelegated)) {
            errors.at(
                span,
                "`delegated` and `not_delegated` exclude each other, no token has both: remove one",
            );
        }
        if let (Some(_), Some(span)) = (self.span(Key::Actor), self.span(Key::NotDelegated)) {
            errors.at(span, "`actor` demands an actor and `not_delegated` forbids every one: remove one");
        }
        let kinds = || self.0.iter().filter(|demand| demand.key == Key::SubjectKind);
        if let (Some(_), Some(kind)) = (self.span(Key::OnBehalfOfUser), kinds().next())
            && !kinds().any(|kind| kind.value == Value::User)
        {
            errors.at(kind.span, "`on_behalf_of_user` demands a user as the subject: remove `subject_kind = service`, or add `subject_kind = user`");
        }
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
