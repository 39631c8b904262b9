//! What one attribute demands: a [`RequirementSpec`], judged by the declaration,
//! and the builder calls that it becomes.

use std::{borrow::Cow, fmt};

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::parse::{ParseStream, Parser};
use tower_delegation_demands::{Form, Key, Stated, Word, judge};

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

/// A text or a number: what it says, if it is no constant, and the tokens for the
/// emitted code.
#[derive(Debug)]
pub(crate) struct Value<T> {
    pub(crate) known: Option<T>,
    pub(crate) tokens: TokenStream,
}

#[derive(Debug)]
pub(crate) struct Demand {
    pub(crate) key: Key,
    /// In the order of the key's form.
    pub(crate) texts: Vec<Value<String>>,
    pub(crate) number: Option<Value<u64>>,
    pub(crate) span: Span,
}

impl Demand {
    /// The call of the builder's method, which bears the key's name.
    fn call(&self) -> TokenStream {
        let method = format_ident!("{}", self.key.name());
        let texts = self.texts.iter().map(|text| &text.tokens);
        let number = self.number.iter().map(|number| &number.tokens);
        let arguments = match self.key.form() {
            Form::Any(_) | Form::Within(_) => quote!([#(#texts),*]),
            Form::PairAny(..) => {
                let (claim, values) = (texts.clone().take(1), texts.skip(1));
                quote!(#(#claim,)* [#(#values),*])
            }
            Form::AnyPair(..) => {
                let (first, second) = (texts.clone().step_by(2), texts.skip(1).step_by(2));
                quote!([#((#first, #second)),*])
            }
            Form::Seconds => quote!(#(::core::time::Duration::from_secs(#number))*),
            _ => {
                let arguments = texts.chain(number);
                quote!(#(#arguments),*)
            }
        };
        quote!(.#method(#arguments))
    }

    fn stated(&self) -> Stated<'_> {
        let texts = self.texts.iter().map(|text| text.known.as_deref().map(Cow::Borrowed)).collect();
        Stated { key: self.key, texts, number: self.number.as_ref().and_then(|number| number.known) }
    }

    /// Where the text of this place is, or behind the last one the number.
    fn tokens_at(&self, place: usize) -> Option<&TokenStream> {
        let number = self.number.iter().map(|number| &number.tokens);
        self.texts.iter().map(|text| &text.tokens).chain(number).nth(place)
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
pub(crate) struct RequirementSpec {
    name: Option<Value<String>>,
    demands: Vec<Demand>,
}

impl RequirementSpec {
    /// # Errors
    /// Every mistake in the arguments, each at its place.
    pub(crate) fn parse(attribute: Attribute, arguments: TokenStream) -> syn::Result<Self> {
        let mut errors = Errors::default();
        let mut spec = Self { name: None, demands: Vec::new() };
        let read = |input: ParseStream<'_>| {
            if input.is_empty() {
                let (name, example) = (attribute.name(), attribute.example());
                let message = format!("`#[{name}]` without arguments demands nothing: write `{example}`");
                errors.at(Span::call_site(), message);
            }
            arguments::each(input, &mut errors, |input, errors| {
                if arguments::is_name(input) {
                    spec.read_name(input, errors)
                } else {
                    spec.demands.push(arguments::demand(attribute, input)?);
                    Ok(())
                }
            });
            Ok(())
        };
        read.parse2(arguments)?;
        spec.check(attribute, &mut errors);
        errors.finish().map(|()| spec)
    }

    fn read_name(&mut self, input: ParseStream<'_>, errors: &mut Errors) -> syn::Result<()> {
        let name = arguments::name(input)?;
        if let Some(mistake) = name.known.as_deref().and_then(|name| Word::Value.mistake(name)) {
            errors.over(&name.tokens, format_args!("the name {mistake}"));
        }
        if self.name.is_some() {
            errors.over(&name.tokens, "the requirement has a name already: remove one of the two");
        }
        self.name.get_or_insert(name);
        Ok(())
    }

    /// The requirement, named after `function` unless the attribute names it.
    pub(crate) fn build(&self, function: &str) -> TokenStream {
        let name = self.name.as_ref().map_or_else(|| quote!(#function), |name| name.tokens.clone());
        let calls = self.demands.iter().map(Demand::call);
        quote!(::tower_delegation::requirement::Requirement::named(#name) #(#calls)*)
    }

    fn check(&self, attribute: Attribute, errors: &mut Errors) {
        let stated: Vec<Stated<'_>> = self.demands.iter().map(Demand::stated).collect();
        for mistake in judge(&stated) {
            let Some(demand) = self.demands.get(mistake.at) else { continue };
            let words = match attribute {
                Attribute::Audience => mistake.words.replace("`any_audience`", "`any(..)`"),
                Attribute::Scope | Attribute::Requires => mistake.words,
            };
            match mistake.text.and_then(|place| demand.tokens_at(place)) {
                Some(tokens) => errors.over(tokens, words),
                None => errors.at(demand.span, words),
            }
        }
        let is_demanding = |demand: &Demand| !demand.key.is_mode();
        match (self.demands.first(), &self.name) {
            (Some(mode), _) if !self.demands.iter().any(is_demanding) => {
                let mode_name = mode.key.name();
                errors.at(
                    mode.span,
                    format_args!("`{mode_name}` by itself demands nothing: name what is tried out"),
                );
            }
            (None, Some(name)) => {
                errors.over(&name.tokens, "a name by itself demands nothing: name a demand too")
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The declaration judges; here it is shown that all that it says arrives, and
    /// that nothing is judged of what is not known.
    #[test]
    fn every_contradiction_is_told_at_its_place() {
        for (name, arguments, expected) in [
            (
                "two at once",
                r#"delegated, not_delegated, scope = "a", scope = "a""#,
                vec!["`delegated` and `not_delegated`", "demanded already"],
            ),
            ("an alternative twice", r#"client = "a", client = "b""#, vec!["write `any_client`"]),
            ("actors, one of them denied", r#"any_actor("a", "b"), deny_actor = "a""#, vec!["leave it out"]),
            ("a constant twice", "client = A, client = B", vec!["write `any_client`"]),
            ("a choice that is none", r#"any_scope("a", "b"), scope = "b""#, vec!["always met"]),
            ("beyond a bound", r#"scopes_within("a"), scope = "b""#, vec!["lies beyond"]),
            ("beyond a bound of constants", r#"scopes_within(A), scope = "b""#, vec![]),
            ("two values", r#"claim_equals("c", "a"), claim_equals("c", "b")"#, vec!["two values at once"]),
            ("two values of constants", r#"claim_equals("c", A), claim_equals("c", "b")"#, vec![]),
            ("one of a path", r#"claim_equals(["c", "d"], "a"), claim_equals("c", "b")"#, vec![]),
            ("the chain as a claim", r#"claim_equals(["act", "sub"], "a")"#, vec!["chain of actors"]),
            ("one actor denied", r#"actor = "a", deny_actor = "b", max_actors = 1"#, vec![]),
            ("constants", "scope = A, scope = B, any_role(A, B), deny_actor = C, actor = D", vec![]),
        ] {
            let read = RequirementSpec::parse(Attribute::Requires, arguments.parse().unwrap());
            let messages: Vec<_> = read.err().into_iter().flatten().map(|error| error.to_string()).collect();
            assert_eq!(messages.len(), expected.len(), "{name}: {messages:?}");
            for (message, expected) in messages.iter().zip(expected) {
                assert!(message.contains(expected), "{name}: {messages:?}");
            }
        }
    }
}
