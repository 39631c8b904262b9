//! The rewriting: a hidden type with the requirement, and one hidden argument in
//! front of the handler's own.
//!
//! The type is declared inside of the function, which works wherever a function
//! may stand, also in an `impl`, and constants that the attribute names are found
//! as in the function. No signature can name it, so it becomes a type parameter,
//! and a bound that one type alone meets lets the compiler find it. Where a
//! parameter more would be in the way, the type is declared next to the function.

use std::{
    collections::HashMap,
    env,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{LazyLock, Mutex, PoisonError},
};

use proc_macro2::{Group, Literal, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote};
use syn::ext::IdentExt;
use syn::{FnArg, Ident, parse_quote};

use crate::handler::{Handler, MODULE, PARAMETER, is_requirement};
use crate::requirement::{Attribute, RequirementSpec};

/// Clippy's default for `too_many_arguments`.
const CLIPPY_ARGUMENTS: usize = 7;

/// The item with its hidden argument; or, with the mistakes, as it was, so that
/// they are not drowned in errors about a missing function.
pub(crate) fn attribute(attribute: Attribute, arguments: TokenStream, item: &TokenStream) -> TokenStream {
    let spec = RequirementSpec::parse(attribute, arguments);
    let mut handler = match syn::parse2::<Handler>(item.clone()) {
        Ok(handler) => handler,
        Err(error) => return refused(spec.err(), Some(error), item),
    };
    let mistakes = handler.check(attribute);
    match (spec, mistakes) {
        (Ok(spec), Ok(())) => {
            let hidden = handler.add_argument(&spec);
            quote!(#hidden #handler)
        }
        (spec, mistakes) => {
            if mistakes.is_err() {
                handler.attributes.retain(|attribute| !is_requirement(attribute));
            }
            refused(spec.err(), mistakes.err(), &handler)
        }
    }
}

fn refused(arguments: Option<syn::Error>, function: Option<syn::Error>, item: &dyn ToTokens) -> TokenStream {
    let errors = arguments.into_iter().chain(function).map(syn::Error::into_compile_error);
    quote!(#(#errors)* #item)
}

impl Handler {
    /// Adds to the hidden argument in front, so that requirements are evaluated
    /// from top to bottom and a router sees all of them. Returns what stands next to
    /// the function.
    fn add_argument(&mut self, spec: &RequirementSpec) -> TokenStream {
        let name = self.signature.ident.unraw().to_string();
        let requirement = spec.build(&name);
        let beside = if self.needs_a_named_type() {
            self.add_named(&name, &requirement)
        } else {
            self.add_unnamed(&name, &requirement);
            TokenStream::new()
        };
        let is_first = self.hidden() == 1;
        if is_first && self.signature.inputs.len() == CLIPPY_ARGUMENTS + 1 {
            self.attributes.push(parse_quote!(#[allow(clippy::too_many_arguments)]));
        }
        beside
    }

    /// With a type that is declared in the function's body.
    fn add_unnamed(&mut self, name: &str, requirement: &TokenStream) {
        let number = Literal::u64_unsuffixed(number_of(name, requirement));
        let number = quote!(::tower_delegation::routing::AttributeNumber<#number>);
        let hidden = hidden_type(name);
        let requires = requires(&hidden.to_token_stream(), requirement);
        self.declare(&quote! {
            const _: () = {
                #[allow(dead_code, unreachable_pub)]
                pub struct #hidden;
                #requires
                #[automatically_derived]
                impl ::tower_delegation::routing::ByAttribute<#hidden> for #number {}
            };
        });
        let parameter = format_ident!("{PARAMETER}{}", self.hidden() + 1, span = Span::call_site());
        let generics = &mut self.signature.generics;
        generics.params.push(parse_quote!(#parameter: ::tower_delegation::requirement::Requires));
        generics
            .make_where_clause()
            .predicates
            .push(parse_quote!(#number: ::tower_delegation::routing::ByAttribute<#parameter>));
        self.put_in_front(&parameter.to_token_stream());
    }

    /// With a type that is declared next to the function.
    fn add_named(&mut self, name: &str, requirement: &TokenStream) -> TokenStream {
        let hidden = hidden_type(name);
        let module = format_ident!("{MODULE}{}_of_{name}", self.hidden() + 1, span = Span::call_site());
        let requires = requires(&quote!(#module::#hidden), requirement);
        let conditions = || self.attributes.iter().filter(|attribute| attribute.path().is_ident("cfg"));
        let (of_type, of_impl) = (conditions(), conditions());
        let beside = quote! {
            #(#of_type)*
            #[doc(hidden)]
            mod #module {
                pub struct #hidden;
            }
            #(#of_impl)*
            #requires
        };
        self.put_in_front(&quote!(#module::#hidden));
        beside
    }

    fn put_in_front(&mut self, requires: &TokenStream) {
        let rule = quote!(::tower_delegation::routing::Authorized<#requires>);
        let hidden = self.hidden();
        match self.signature.inputs.first_mut() {
            Some(FnArg::Typed(earlier)) if hidden > 0 => {
                let above = &earlier.ty;
                *earlier.ty = parse_quote!(::tower_delegation::routing::Both<#above, #rule>);
            }
            _ => self.signature.inputs.insert(0, parse_quote!(_: #rule)),
        }
    }

    /// Puts an item in front of the body's statements, behind its inner attributes.
    fn declare(&mut self, item: &TokenStream) {
        let body = std::mem::take(&mut self.body).into_iter().map(|token| match token {
            TokenTree::Group(block) => {
                let tokens: Vec<TokenTree> = block.stream().into_iter().collect();
                let is = |at: usize, sign: char| {
                    matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == sign)
                };
                let mut inner = 0;
                while is(inner, '#') && is(inner + 1, '!') {
                    inner += 3;
                }
                let (attributes, statements) = tokens.split_at(inner.min(tokens.len()));
                let mut group = Group::new(block.delimiter(), quote!(#(#attributes)* #item #(#statements)*));
                group.set_span(block.span());
                TokenTree::Group(group)
            }
            other => other,
        });
        self.body = body.collect();
    }
}

fn hidden_type(function: &str) -> Ident {
    format_ident!("RequirementOf{}", upper_camel(function), span = Span::call_site())
}

fn requires(hidden: &TokenStream, requirement: &TokenStream) -> TokenStream {
    quote! {
        #[automatically_derived]
        impl ::tower_delegation::requirement::Requires for #hidden {
            fn requirement() -> ::tower_delegation::requirement::Requirement {
                #requirement
            }
        }
    }
}

/// A number that no other attribute has, in this crate or another, and that stays
/// the same from build to build.
fn number_of(function: &str, requirement: &TokenStream) -> u64 {
    static SEEN: LazyLock<Mutex<HashMap<u64, u64>>> = LazyLock::new(Mutex::default);
    const CRATE: [&str; 4] = ["CARGO_PKG_NAME", "CARGO_PKG_VERSION", "CARGO_CRATE_NAME", "CARGO_BIN_NAME"];
    let hash = |count: u64| {
        let mut hasher = DefaultHasher::new();
        (CRATE.map(env::var_os), function, requirement.to_string(), count).hash(&mut hasher);
        hasher.finish()
    };
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let count = seen.entry(hash(0)).or_default();
    *count += 1;
    hash(*count)
}

fn upper_camel(name: &str) -> String {
    let mut upper = true;
    let mut camel = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '_' => upper = true,
            _ if upper => {
                camel.extend(c.to_uppercase());
                upper = false;
            }
            _ => camel.push(c),
        }
    }
    camel
}

#[cfg(test)]
mod tests {
    use syn::{Item, ItemFn, ItemImpl, ItemMod};

    use super::*;

    fn expand(arguments: &str, item: &str) -> Vec<Item> {
        let arguments = arguments.parse().unwrap();
        let expanded = attribute(Attribute::Scope, arguments, &item.parse().unwrap());
        syn::parse2::<syn::File>(expanded).unwrap().items
    }

    fn expand_function(item: &str) -> ItemFn {
        match <[Item; 1]>::try_from(expand("\"a\", any(\"b\", C)", item)) {
            Ok([Item::Fn(function)]) => function,
            Ok(items) => panic!("{item}: {}", quote!(#(#items)*)),
            Err(items) => panic!("{item}: {}", quote!(#(#items)*)),
        }
    }

    /// The type next to the function, its implementation, and the function.
    fn expand_named(item: &str) -> (ItemMod, ItemImpl, ItemFn) {
        match <[Item; 3]>::try_from(expand("\"a\"", item)) {
            Ok([Item::Mod(module), Item::Impl(requires), Item::Fn(function)]) => (module, requires, function),
            Ok(items) => panic!("{item}: {}", quote!(#(#items)*)),
            Err(items) => panic!("{item}: {}", quote!(#(#items)*)),
        }
    }

    fn text(tokens: impl ToTokens) -> String {
        tokens.into_token_stream().to_string().replace(' ', "")
    }

    const PATH: &str = "::tower_delegation::routing::";

    #[test]
    fn a_function_gets_a_type_and_an_argument() {
        for (item, type_name) in [
            ("async fn list_orders() {}", "RequirementOfListOrders"),
            ("async fn r#type(a: u8) { b }", "RequirementOfType"),
            ("async fn __1() {}", "RequirementOf1"),
            ("async fn größe() {}", "RequirementOfGröße"),
            ("/// Docs.\n#[must_use] pub(crate) async fn a<'a>(b: &'a Self) -> Self { x }", "RequirementOfA"),
            (
                "async fn a(_: Authorized<Mine>, b: impl Into<u8>) { #![allow(x)] #![deny(y)] c; d }",
                "RequirementOfA",
            ),
            ("async unsafe extern \"C\" fn a() {}", "RequirementOfA"),
        ] {
            let function = expand_function(item);
            let name = function.sig.ident.unraw();
            let said = text(&function);
            assert_eq!(text(&function.sig.inputs[0]), format!("_:{PATH}Authorized<__Requirement1>"));
            let bound = said.split("where").nth(1).unwrap();
            assert!(bound.contains(&format!(":{PATH}ByAttribute<__Requirement1>")), "{said}");
            let built = format!(
                r#"::tower_delegation::requirement::Requirement::named("{name}").scope("a").any_scope(["b",C])"#
            );
            for part in [
                &format!("struct{type_name};"),
                &format!("{{{built}}}"),
                &format!("{PATH}ByAttribute<{type_name}>for"),
            ] {
                assert_eq!(said.matches(part).count(), 1, "{part}: {said}");
            }
            // What the function had is there still, inner attributes first.
            let own: ItemFn = syn::parse_str(item).unwrap();
            let each = |statements: &[syn::Stmt]| statements.iter().map(text).collect::<String>();
            assert_eq!(
                function.attrs.iter().map(text).collect::<String>(),
                own.attrs.iter().map(text).collect::<String>(),
                "{item}"
            );
            assert_eq!(each(&function.block.stmts[1..]), each(&own.block.stmts), "{item}");
            assert_eq!(function.sig.inputs.len(), own.sig.inputs.len() + 1, "{item}");
        }
    }

    #[test]
    fn no_number_is_given_twice() {
        let numbers: Vec<String> = ["async fn a() {}", "async fn a() {}", "async fn b() {}"]
            .into_iter()
            .map(|item| text(&expand_function(item).sig.generics.where_clause))
            .collect();
        assert!(
            numbers[0] != numbers[1] && numbers[1] != numbers[2] && numbers[0] != numbers[2],
            "{numbers:?}"
        );
    }

    #[test]
    fn a_parameter_more_is_not_always_possible() {
        for item in [
            "async fn a<T, const N: usize>(b: T) -> [T; N] where T: B {}",
            "async fn a<'a>(b: &'a u8) -> impl C + use<'a> {}",
            "#[axum::debug_handler] async fn a() {}",
            "#[cfg_attr(debug_assertions, axum::debug_handler)] async fn a() {}",
        ] {
            let (module, requires, function) = expand_named(item);
            let name = format!("{MODULE}1_of_a");
            assert_eq!(module.ident, name, "{item}");
            assert_eq!(text(&requires.self_ty), format!("{name}::RequirementOfA"), "{item}");
            assert_eq!(text(&function.sig.inputs[0]), format!("_:{PATH}Authorized<{name}::RequirementOfA>"));
            let own: ItemFn = syn::parse_str(item).unwrap();
            assert_eq!(text(&function.sig.generics), text(&own.sig.generics), "{item}");
            assert_eq!(text(&function.block), text(&own.block), "{item}");
        }
    }

    #[test]
    fn an_unfinished_body_is_left_alone() {
        let item = "async fn list() { let orders = }";
        let expanded = attribute(Attribute::Scope, quote!("a"), &item.parse().unwrap()).to_string();
        assert!(!expanded.contains("compile_error") && expanded.contains("Authorized"), "{expanded}");
    }

    #[test]
    fn attributes_are_evaluated_from_top_to_bottom() {
        let function = expand_function("#[requires_scope(\"d\")] async fn list(a: u8) {}");
        assert_eq!(function.attrs.len(), 1);
        let function = expand_function(&function.to_token_stream().to_string());
        let one = |number: u8| format!("{PATH}Authorized<__Requirement{number}>");
        let both = |one: &str, other: &str| format!("{PATH}Both<{one},{other}>");
        assert_eq!(text(&function.sig.inputs[0]), format!("_:{}", both(&one(1), &one(2))));
        let function = expand_function(&function.to_token_stream().to_string());
        let all = both(&both(&one(1), &one(2)), &one(3));
        assert_eq!(text(&function.sig.inputs[0]), format!("_:{all}"));
        assert_eq!((function.sig.inputs.len(), function.block.stmts.len()), (2, 3));

        let (_, _, function) = expand_named("#[requires_scope(\"d\")] async fn list<T>(a: T) {}");
        let (module, ..) = match &expand("\"b\"", &function.to_token_stream().to_string())[..] {
            [Item::Mod(module), Item::Impl(_), Item::Fn(function)] => (module.clone(), function.clone()),
            items => panic!("{}", quote!(#(#items)*)),
        };
        assert_eq!(module.ident, format!("{MODULE}2_of_list"));
    }

    #[test]
    fn the_type_is_there_under_the_functions_conditions_only() {
        let (module, requires, function) =
            expand_named("#[cfg(unix)] #[inline] #[cfg(feature = \"x\")] async fn list<T>() {}");
        let conditions = "#[cfg(unix)] #[cfg(feature=\"x\")]".replace(' ', "");
        let said = |attributes: &[syn::Attribute]| attributes.iter().map(text).collect::<String>();
        assert_eq!(said(&module.attrs), format!("{conditions}#[doc(hidden)]"));
        assert_eq!(said(&requires.attrs), format!("{conditions}#[automatically_derived]"));
        assert_eq!(function.attrs.len(), 3);
    }

    #[test]
    fn the_hidden_argument_does_not_trip_clippy() {
        for (own, allowed) in [(6, false), (7, true), (8, false)] {
            let function = expand_function(&format!("async fn list({}) {{}}", "_: u8, ".repeat(own)));
            assert_eq!(
                function.attrs.iter().any(|attribute| attribute.path().is_ident("allow")),
                allowed,
                "{own}"
            );
        }
    }

    #[test]
    fn a_refused_function_stays_as_it_was() {
        for (arguments, item, kept) in [
            ("\"a\"", "struct Orders;", "struct Orders;"),
            ("\"a b\"", "pub async fn a(b: u8) {}", "pub async fn a(b: u8) {}"),
            ("\"a b\"", "#[requires(delegated)] async fn a() {}", "#[requires(delegated)] async fn a() {}"),
            ("\"a\"", "#[inline] #[tower_delegation::requires(delegated)] fn a() {}", "#[inline] fn a() {}"),
        ] {
            let expanded = attribute(Attribute::Scope, arguments.parse().unwrap(), &item.parse().unwrap());
            assert!(text(&expanded).starts_with("::core::compile_error!"), "{item}: {expanded}");
            assert!(
                text(&expanded).ends_with(&text(kept.parse::<TokenStream>().unwrap())),
                "{item}: {expanded}"
            );
        }
    }

    #[test]
    fn mistakes_in_arguments_and_function_are_told_together() {
        let items = expand("\"\", \"a b\"", "fn list(&self) {}");
        let mistakes = items.iter().filter(|item| matches!(item, Item::Macro(_))).count();
        assert_eq!(mistakes, 4);
        assert!(matches!(items.last(), Some(Item::Fn(_))));
    }
}
