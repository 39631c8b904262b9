//! Reading an attribute's arguments.
//!
//! Every mistake is reported, not only the first: an argument that cannot be
//! read is skipped up to its comma and reading goes on.

use proc_macro2::{Ident, TokenTree};
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::{LitStr, Token, parenthesized, token};

use crate::requirement::{Attribute, Demand, Errors, Key, Text, Value};

/// Reads arguments up to the end of `input`, whatever mistakes are among them.
pub(crate) fn each(
    input: ParseStream<'_>,
    errors: &mut Errors,
    mut one: impl FnMut(ParseStream<'_>, &mut Errors) -> syn::Result<()>,
) {
    while !input.is_empty() {
        let read = one(input, errors);
        let ended =
            read.and_then(|()| if input.is_empty() { Ok(()) } else { input.parse::<Token![,]>().map(drop) });
        if let Err(error) = ended {
            errors.push(error);
            while let Ok(skipped) = input.parse::<TokenTree>() {
                if matches!(&skipped, TokenTree::Punct(comma) if comma.as_char() == ',') {
                    break;
                }
            }
        }
    }
}

pub(crate) fn demand(
    attribute: Attribute,
    input: ParseStream<'_>,
    errors: &mut Errors,
) -> syn::Result<Demand> {
    let span = input.span();
    let (key, value) = match attribute {
        Attribute::Scope if input.peek(LitStr) => (Key::Scope, Value::Text(text(Key::Scope, input, errors)?)),
        Attribute::Scope => {
            let any =
                input.call(Ident::parse_any).ok().filter(|word| word == "any" && input.peek(token::Paren));
            if any.is_none() {
                let message = r#"expected a scope in quotes, or a choice: `any("..", "..")`"#;
                return Err(syn::Error::new(span, message));
            }
            (Key::AnyScope, Value::Any(choice(input, errors)?))
        }
        Attribute::Audience => (Key::Audience, Value::Text(text(Key::Audience, input, errors)?)),
        Attribute::Requires => named(input, errors)?,
    };
    Ok(Demand { key, value, span })
}

fn named(input: ParseStream<'_>, errors: &mut Errors) -> syn::Result<(Key, Value)> {
    let span = input.span();
    let word = input.call(Ident::parse_any).ok();
    let Some(key) = Key::ALL.into_iter().find(|key| word.as_ref().is_some_and(|word| word == key.name()))
    else {
        let known = Key::ALL.map(|key| format!("`{}`", key.usage())).join(", ");
        return Err(syn::Error::new(span, format_args!("unknown requirement; known are {known}")));
    };
    let wrong = || syn::Error::new(span, format_args!("write `{}`", key.usage()));
    let value = match key {
        Key::OnBehalfOfUser | Key::Delegated | Key::NotDelegated | Key::SenderConstrained => Value::None,
        Key::AnyScope if input.peek(token::Paren) => Value::Any(choice(input, errors)?),
        Key::AnyScope => return Err(wrong()),
        Key::Scope
        | Key::Audience
        | Key::Issuer
        | Key::SubjectKind
        | Key::Actor
        | Key::Client
        | Key::Workload => {
            input.parse::<Token![=]>().map_err(|_| wrong())?;
            if key == Key::SubjectKind { kind(input)? } else { Value::Text(text(key, input, errors)?) }
        }
    };
    if input.is_empty() || input.peek(Token![,]) { Ok((key, value)) } else { Err(wrong()) }
}

/// The scopes of `any("..", "..")`, from the parenthesis on.
fn choice(input: ParseStream<'_>, errors: &mut Errors) -> syn::Result<Vec<Text>> {
    let inside;
    let parenthesis = parenthesized!(inside in input);
    let mut scopes: Vec<Text> = Vec::new();
    let mut unread = Errors::default();
    each(&inside, &mut unread, |input, errors| {
        let scope = text(Key::Scope, input, errors)?;
        if scopes.contains(&scope) {
            errors.at(scope.literal.span(), "this scope is in the choice already: remove one of the two");
        }
        scopes.push(scope);
        Ok(())
    });
    match unread.finish() {
        Err(error) => errors.push(error),
        Ok(()) if scopes.len() < 2 => {
            errors.at(
                parenthesis.span.join(),
                "a choice is between two scopes at least: name another, or demand the one by itself",
            );
        }
        Ok(()) => {}
    }
    Ok(scopes)
}

fn kind(input: ParseStream<'_>) -> syn::Result<Value> {
    let span = input.span();
    let word = input.call(Ident::parse_any).map(|word| word.to_string());
    match word.as_deref() {
        Ok("user") => Ok(Value::User),
        Ok("service") => Ok(Value::Service),
        _ => Err(syn::Error::new(span, "expected `user` or `service`, without quotes")),
    }
}

fn text(key: Key, input: ParseStream<'_>, errors: &mut Errors) -> syn::Result<Text> {
    if !input.peek(LitStr) {
        return Err(input.error(format_args!("expected the {} as a string literal", noun(key))));
    }
    let literal: LitStr = input.parse()?;
    let value = literal.value();
    let mistake = match key {
        Key::Scope => scope_mistake(&value),
        Key::Workload => workload_mistake(&value),
        _ => identifier_mistake(&value),
    };
    if let Some(mistake) = mistake {
        errors.at(literal.span(), format_args!("the {} {mistake}", noun(key)));
    }
    Ok(Text { value, literal: literal.token() })
}

fn noun(key: Key) -> &'static str {
    match key {
        Key::Scope | Key::AnyScope => "scope",
        Key::Audience => "audience",
        Key::Issuer => "issuer",
        Key::Actor => "actor",
        Key::Client => "client",
        Key::Workload => "workload pattern",
        Key::SubjectKind
        | Key::OnBehalfOfUser
        | Key::Delegated
        | Key::NotDelegated
        | Key::SenderConstrained => "argument",
    }
}

/// `scope-token = 1*( %x21 / %x23-5B / %x5D-7E )`, RFC 6749 section 3.3.
fn scope_mistake(scope: &str) -> Option<String> {
    if scope.is_empty() {
        return Some("is empty: name it".to_owned());
    }
    let bad = scope.chars().find(|c| !matches!(c, '\x21' | '\x23'..='\x5B' | '\x5D'..='\x7E'))?;
    Some(match bad {
        ' ' => "contains a space: write one string for each scope".to_owned(),
        _ => format!(
            "contains {bad:?}: only printable ASCII without space, `\"` and `\\` is allowed (RFC 6749 section 3.3)"
        ),
    })
}

/// The library reads the pattern; what is no SPIFFE ID at all is told here.
fn workload_mistake(pattern: &str) -> Option<String> {
    let named = pattern.strip_prefix("spiffe://").is_some_and(|rest| rest.trim_matches('/').contains('/'));
    if named {
        return identifier_mistake(pattern);
    }
    Some("is no SPIFFE ID with a path: write `spiffe://trust-domain/path`, `*` for one segment".to_owned())
}

/// Identifiers are opaque and compared by code point; what no issuer sends is a slip of the pen.
fn identifier_mistake(identifier: &str) -> Option<String> {
    if identifier.is_empty() {
        return Some("is empty: name it".to_owned());
    }
    if identifier.trim() != identifier {
        return Some("has white space around it: remove that, identifiers match exactly".to_owned());
    }
    identifier
        .chars()
        .find(|c| c.is_control())
        .map(|bad| format!("contains {bad:?}: remove the control character"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requirement::RequirementSpec;

    fn messages(attribute: Attribute, arguments: &str) -> Vec<String> {
        let read = RequirementSpec::parse(attribute, arguments.parse().unwrap());
        read.err().into_iter().flatten().map(|error| error.to_string()).collect()
    }

    #[test]
    fn every_form_is_read() {
        for (attribute, arguments) in [
            (Attribute::Scope, r#""orders:read""#),
            (Attribute::Scope, r#""a", "b","#),
            (Attribute::Scope, r#"any("a", "b")"#),
            (Attribute::Scope, r#""a", any("b", r"c",), any("d", "e"), "!#[]~""#),
            (
                Attribute::Requires,
                r#"sender_constrained, workload = "spiffe://prod/ns/*/web", workload = "spiffe://prod/**""#,
            ),
            (Attribute::Audience, r#""https://orders.example.com""#),
            (Attribute::Audience, r#""orders", "Bestellungen: Größe 1""#),
            (Attribute::Requires, r#"scope = "a", any_scope("b", "c"), audience = "d", issuer = "e""#),
            (
                Attribute::Requires,
                r#"actor = "a", client = "b", subject_kind = user, on_behalf_of_user, delegated"#,
            ),
            (Attribute::Requires, "not_delegated"),
        ] {
            assert_eq!(messages(attribute, arguments), [""; 0], "{attribute:?} {arguments}");
        }
    }

    #[test]
    fn every_mistake_is_named() {
        use Attribute::{Audience, Requires, Scope};
        let rows: &[(Attribute, &str, &[&str])] = &[
            (Scope, "", &["`#[requires_scope]` without arguments"]),
            (Audience, "", &["`#[requires_audience]` without arguments"]),
            (Requires, "", &["`#[requires]` without arguments"]),
            (Scope, ",", &["expected a scope in quotes"]),
            (Scope, r#""a",, "b""#, &["expected a scope in quotes"]),
            (Scope, r#""a" "b""#, &["expected `,`"]),
            (Scope, r#""a".to_owned()"#, &["expected `,`"]),
            (Scope, "orders", &["expected a scope in quotes"]),
            (Scope, "ORDERS::READ", &["expected a scope in quotes"]),
            (Scope, r#"b"orders""#, &["expected a scope in quotes"]),
            (Scope, "7", &["expected a scope in quotes"]),
            (Scope, r#"all("a", "b")"#, &["expected a scope in quotes"]),
            (Scope, r#"any["a", "b"]"#, &["expected a scope in quotes"]),
            (Scope, r#"scope = "a""#, &["expected a scope in quotes"]),
            (Scope, r#""""#, &["scope is empty"]),
            (Scope, r#""a b""#, &["contains a space"]),
            (Scope, r#"" ", "a ""#, &["contains a space", "contains a space"]),
            (
                Scope,
                r#""a\"b", "a\\b", "a\nb", "a\x7fb", "é""#,
                &["'\"'", r"'\\'", r"'\n'", r"'\u{7f}'", "'é'"],
            ),
            (Scope, "any()", &["two scopes at least"]),
            (Scope, r#"any("a")"#, &["two scopes at least"]),
            (Scope, r#"any("a", "a")"#, &["in the choice already"]),
            (Scope, r#"any("a", b), any("")"#, &["the scope as a string literal", "scope is empty"]),
            (Scope, r#"any("a", any("b", "c"))"#, &["the scope as a string literal"]),
            (
                Audience,
                r#""", " a", "a\n", "a\u{0}b""#,
                &["is empty", "white space", "white space", "control character"],
            ),
            (Audience, r#"any("a", "b")"#, &["the audience as a string literal"]),
            (Requires, r#"role = "admin", "a", scope = "a""#, &["known are `scope", "known are `scope"]),
            (Requires, r#"r#scope = "a""#, &["unknown requirement"]),
            (Requires, "scope", &["write `scope = \"..\"`"]),
            (Requires, r#"scope("a")"#, &["write `scope = \"..\"`"]),
            (Requires, r#"scope == "a""#, &["the scope as a string literal"]),
            (Requires, r#"scope = "a b", client = """#, &["contains a space", "client is empty"]),
            (Requires, "issuer =", &["the issuer as a string literal"]),
            (Requires, r#"any_scope = "a""#, &["write `any_scope"]),
            (Requires, "delegated = true, not_delegated()", &["write `delegated`", "write `not_delegated`"]),
            (Requires, r#"subject_kind = "user""#, &["without quotes"]),
            (
                Requires,
                "subject_kind = User, subject_kind = user | service",
                &["without quotes", "write `subject_kind"],
            ),
            (Requires, "subject_kind(user)", &["write `subject_kind"]),
        ];
        for (attribute, arguments, expected) in rows {
            let messages = messages(*attribute, arguments);
            assert_eq!(messages.len(), expected.len(), "{attribute:?} {arguments}: {messages:?}");
            for (message, expected) in messages.iter().zip(*expected) {
                assert!(message.contains(expected), "{attribute:?} {arguments}: {message}");
            }
        }
    }
}
