//! The rewriting: one hidden module with the requirement as a type, one hidden
//! argument in front of the handler's own.
//!
//! The module holds type and `impl` together, so that an attribute inside an
//! `impl`, which no macro can see, yields two errors and not four; the second
//! names the module, and its name says what to do.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::ext::IdentExt;
use syn::{FnArg, parse_quote};

use crate::handler::{HINT, Handler, is_requirement};
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
    /// from top to bottom and a router sees all of them, and returns the new type.
    fn add_argument(&mut self, spec: &RequirementSpec) -> TokenStream {
        let name = self.signature.ident.unraw().to_string();
        let hidden = self.hidden();
        let type_name = format_ident!("RequirementOf{}", upper_camel(&name), span = Span::call_site());
        let module = format_ident!("{HINT}{}_of_{name}", hidden + 1, span = Span::call_site());
        let mut module_at_name = module.clone();
        module_at_name.set_span(Span::call_site().located_at(self.signature.ident.span()));

        let rule = quote!(::tower_delegation::routing::Authorized<#module_at_name::#type_name>);
        match self.signature.inputs.first_mut() {
            Some(FnArg::Typed(earlier)) if hidden > 0 => {
                let above = &earlier.ty;
                *earlier.ty = parse_quote!(::tower_delegation::routing::Both<#above, #rule>);
            }
            _ => self.signature.inputs.insert(0, parse_quote!(_: #rule)),
        }
        if hidden == 0 && self.signature.inputs.len() == CLIPPY_ARGUMENTS + 1 {
            self.attributes.push(parse_quote!(#[allow(clippy::too_many_arguments)]));
        }

        let conditions = self.attributes.iter().filter(|attribute| attribute.path().is_ident("cfg"));
        let requirement = spec.build(&name);
        quote! {
            #(#conditions)*
            #[doc(hidden)]
            mod #module {
                pub struct #type_name;

                #[automatically_derived]
                impl ::tower_delegation::requirement::Requires for #type_name {
                    fn requirement() -> ::tower_delegation::requirement::Requirement {
                        #requirement
                    }
                }
            }
        }
    }
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
    use syn::{ImplItem, Item, ItemFn, ItemMod, Visibility};

    use super::*;

    fn expand(arguments: &str, item: &str) -> Vec<Item> {
        let arguments = arguments.parse().unwrap();
        let expanded = attribute(Attribute::Scope, arguments, &item.parse().unwrap());
        syn::parse2::<syn::File>(expanded).unwrap().items
    }

    fn expand_function(item: &str) -> (ItemMod, ItemFn) {
        match <[Item; 2]>::try_from(expand("\"a\", any(\"b\", \"c\")", item)) {
            Ok([Item::Mod(module), Item::Fn(function)]) => (module, function),
            Ok(items) => panic!("{item}: {}", quote!(#(#items)*)),
            Err(items) => panic!("{item}: {}", quote!(#(#items)*)),
        }
    }

    fn text(tokens: impl ToTokens) -> String {
        tokens.into_token_stream().to_string().replace(' ', "")
    }

    #[test]
    fn a_function_gets_a_type_and_an_argument() {
        for (item, module_name, type_name) in [
            ("async fn list_orders() {}", "1_of_list_orders", "RequirementOfListOrders"),
            ("async fn r#type(a: u8) {}", "1_of_type", "RequirementOfType"),
            ("async fn __1() {}", "1_of___1", "RequirementOf1"),
            ("async fn größe() {}", "1_of_größe", "RequirementOfGröße"),
            (
                "/// Docs.\n#[must_use] pub(crate) async fn a<'a, T, const N: usize>(b: &'a T) -> [T; N] where T: B { x }",
                "1_of_a",
                "RequirementOfA",
            ),
            ("async fn a(_: Authorized<Mine>, b: impl Into<u8>) {}", "1_of_a", "RequirementOfA"),
            ("async unsafe extern \"C\" fn a() {}", "1_of_a", "RequirementOfA"),
        ] {
            let (module, mut function) = expand_function(item);
            let module_name = format!("{HINT}{module_name}");
            assert_eq!(module.ident, module_name, "{item}");
            assert!(matches!(module.vis, Visibility::Inherited), "{item}");
            assert_eq!(text(&module.attrs[0]), "#[doc(hidden)]");

            let [Item::Struct(hidden), Item::Impl(requires)] = &module.content.as_ref().unwrap().1[..] else {
                panic!("{item}: {}", text(&module));
            };
            assert_eq!(hidden.ident, type_name, "{item}");
            assert_eq!(
                text(&requires.trait_.as_ref().unwrap().1),
                "::tower_delegation::requirement::Requires"
            );
            let [ImplItem::Fn(method)] = &requires.items[..] else { panic!("{item}: {}", text(requires)) };
            let name = function.sig.ident.unraw();
            let built = format!(
                r#"::tower_delegation::requirement::Requirement::named("{name}").scope("a").any_scope(["b","c"])"#
            );
            assert_eq!(text(&method.block), format!("{{{built}}}"), "{item}");

            let argument = format!("_:::tower_delegation::routing::Authorized<{module_name}::{type_name}>");
            assert_eq!(text(&function.sig.inputs[0]), argument, "{item}");
            function.sig.inputs = function.sig.inputs.into_iter().skip(1).collect();
            assert_eq!(text(function), text(syn::parse_str::<ItemFn>(item).unwrap()));
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
        let (first, function) = expand_function("#[requires_scope(\"d\")] async fn list(a: u8) {}");
        assert_eq!(function.attrs.len(), 1);
        let (second, function) = expand_function(&function.to_token_stream().to_string());
        let path = "::tower_delegation::routing::";
        let one = |module: &ItemMod| format!("{path}Authorized<{}::RequirementOfList>", module.ident);
        let expected = format!("_:{path}Both<{},{}>", one(&first), one(&second));
        assert_eq!(text(&function.sig.inputs[0]), expected);
        assert_eq!(function.sig.inputs.len(), 2);

        let (third, function) = expand_function(&function.to_token_stream().to_string());
        assert!(third.ident.to_string().contains("3_of_list"), "{}", third.ident);
        assert_eq!(function.sig.inputs.len(), 2);
    }

    #[test]
    fn the_type_is_there_under_the_functions_conditions_only() {
        let (module, function) =
            expand_function("#[cfg(unix)] #[inline] #[cfg(feature = \"x\")] async fn list() {}");
        let attributes: Vec<_> = module.attrs.iter().map(text).collect();
        assert_eq!(attributes, ["#[cfg(unix)]", "#[cfg(feature=\"x\")]", "#[doc(hidden)]"]);
        assert_eq!(function.attrs.len(), 3);
    }

    #[test]
    fn the_hidden_argument_does_not_trip_clippy() {
        for (own, allowed) in [(6, false), (7, true), (8, false)] {
            let (_, function) = expand_function(&format!("async fn list({}) {{}}", "_: u8, ".repeat(own)));
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
