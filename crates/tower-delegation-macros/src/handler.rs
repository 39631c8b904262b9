//! The function under an attribute: what is read of it, and why some cannot have one.

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{FnArg, GenericParam, Pat, Signature, Token, Visibility};

use crate::requirement::{Attribute, Errors};

/// How the hidden type parameters begin.
pub(crate) const PARAMETER: &str = "__Requirement";
/// How the hidden modules begin: read where an attribute stands on a generic
/// function inside an `impl`.
pub(crate) const MODULE: &str = "In_an_impl_take_Authorized_as_argument_";
const ON_A_METHOD: &str =
    "write the requirement as a type `R: Requires` and take `Authorized<R>` as an extractor argument";

/// Axum implements `Handler` for functions of up to this many arguments.
const ARGUMENTS: usize = 16;

/// A function whose body is not parsed: it may be unfinished, as in an editor.
pub(crate) struct Handler {
    pub(crate) attributes: Vec<syn::Attribute>,
    visibility: Visibility,
    pub(crate) signature: Signature,
    pub(crate) body: TokenStream,
}

impl Parse for Handler {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attributes = input.call(syn::Attribute::parse_outer)?;
        let visibility = input.parse()?;
        if !is_function(&input.fork()) {
            return Err(
                input.error(format_args!("this attribute goes on an `async fn`; elsewhere {ON_A_METHOD}"))
            );
        }
        Ok(Self { attributes, visibility, signature: input.parse()?, body: input.parse()? })
    }
}

impl ToTokens for Handler {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { attributes, visibility, signature, body } = self;
        tokens.extend(quote!(#(#attributes)* #visibility #signature #body));
    }
}

impl Handler {
    /// Why this function cannot have a hidden argument.
    pub(crate) fn check(&self, attribute: Attribute) -> syn::Result<()> {
        let mut errors = Errors::default();
        let name = attribute.name();
        let signature = &self.signature;
        if let Some(receiver) = signature.receiver() {
            errors.over(
                receiver,
                format_args!("`#[{name}]` is for functions without `self`, which axum serves: {ON_A_METHOD}"),
            );
        } else if !is_block(&self.body) {
            errors.at(
                signature.ident.span(),
                format_args!("`#[{name}]` needs a function with a body; in a trait, {ON_A_METHOD}"),
            );
        }
        if signature.asyncness.is_none() {
            errors.at(
                signature.fn_token.span,
                format_args!("`#[{name}]` goes on an async function: write `async fn`"),
            );
        }
        let own = signature.inputs.len() - usize::from(self.hidden() > 0);
        if let (true, Some(last)) = (own >= ARGUMENTS, signature.inputs.last()) {
            errors.over(
                last,
                format_args!(
                    "an axum handler takes at most {ARGUMENTS} arguments and attributes of this kind add one: \
                     this function has {own} of its own; remove one of them"
                ),
            );
        }
        errors.finish()
    }

    /// Must the type of the hidden argument have a name? A parameter would change what
    /// `::<..>` means at a call, `debug_handler` takes no generic function, and
    /// `use<..>` names every parameter.
    pub(crate) fn needs_a_named_type(&self) -> bool {
        let Signature { generics, output, .. } = &self.signature;
        let is_own = |parameter: &GenericParam| match parameter {
            GenericParam::Type(parameter) => !parameter.ident.to_string().starts_with(PARAMETER),
            GenericParam::Const(_) => true,
            GenericParam::Lifetime(_) => false,
        };
        let attributes = self.attributes.iter().map(|attribute| attribute.meta.to_token_stream());
        generics.params.iter().any(is_own)
            || count(output.to_token_stream(), &|word| word == "use") > 0
            || attributes.map(|meta| count(meta, &|word| word == "debug_handler")).sum::<usize>() > 0
    }

    /// How many attributes above this one have added to the hidden argument.
    pub(crate) fn hidden(&self) -> usize {
        match self.signature.inputs.first() {
            Some(FnArg::Typed(argument)) if matches!(*argument.pat, Pat::Wild(_)) => {
                count(argument.ty.to_token_stream(), &|word| {
                    let word = word.to_string();
                    word.starts_with(PARAMETER) || word.starts_with(MODULE)
                })
            }
            _ => 0,
        }
    }
}

fn is_function(input: ParseStream<'_>) -> bool {
    while !input.peek(Token![fn]) {
        let word = input.call(Ident::parse_any).ok();
        let qualifier = word.is_some_and(|word| {
            ["const", "async", "unsafe", "safe", "extern"].iter().any(|known| word == known)
        });
        if !qualifier && input.parse::<syn::LitStr>().is_err() {
            return false;
        }
    }
    true
}

fn is_block(body: &TokenStream) -> bool {
    matches!(body.clone().into_iter().next(), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace)
}

pub(crate) fn is_requirement(attribute: &syn::Attribute) -> bool {
    let name = attribute.path().segments.last().map(|segment| &segment.ident);
    name.is_some_and(|name| Attribute::ALL.iter().any(|attribute| name == attribute.name()))
}

fn count(tokens: TokenStream, wanted: &dyn Fn(&Ident) -> bool) -> usize {
    let of_one = |token| match token {
        TokenTree::Ident(word) => usize::from(wanted(&word)),
        TokenTree::Group(group) => count(group.stream(), wanted),
        _ => 0,
    };
    tokens.into_iter().map(of_one).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_have_an_argument_more_is_accepted() {
        let fifteen = "_: u8, ".repeat(15);
        for item in [
            "async fn list() {}",
            "pub(crate) async unsafe extern \"C\" fn list<'a, T>(a: &'a T) -> T where T: Into<u8> { Self }",
            "async fn list() { let unfinished = }",
            "async fn list<T: Into<Self>>(a: &Self) -> (u8, Self) {}",
            &format!("async fn list({fifteen}) {{}}"),
            &format!("#[tower_delegation::requires(delegated)] async fn list({fifteen}) {{}}"),
        ] {
            let handler: Handler = syn::parse_str(item).unwrap();
            assert_eq!(handler.check(Attribute::Scope).err().map(|error| error.to_string()), None, "{item}");
        }
    }

    #[test]
    fn the_rest_is_refused() {
        let fifteen = "_: u8, ".repeat(15);
        for (item, expected) in [
            ("struct Orders;", "on an `async fn`"),
            ("pub mod orders {}", "on an `async fn`"),
            ("const ORDERS: u8 = 1;", "on an `async fn`"),
            ("impl Orders {}", "on an `async fn`"),
            ("fn list() {}", "write `async fn`"),
            ("fn list() -> impl Future<Output = ()> {}", "write `async fn`"),
            ("async fn list(&self) {}", "`Authorized<R>`"),
            ("async fn list(mut self: Box<Self>) {}", "`Authorized<R>`"),
            ("async fn list(a: u8);", "in a trait"),
            (&format!("async fn list({fifteen} _: u8) {{}}"), "at most 16 arguments"),
            (
                &format!("#[tower_delegation::requires(delegated)] async fn list({fifteen} _: u8) {{}}"),
                "has 16 of its own",
            ),
        ] {
            let checked = syn::parse_str(item).and_then(|handler: Handler| handler.check(Attribute::Scope));
            let error = checked.unwrap_err().to_string();
            assert!(error.contains(expected), "{item}: {error}");
        }
    }
}
