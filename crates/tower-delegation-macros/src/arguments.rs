//! Reading an attribute's arguments.
//!
//! Every mistake is reported, not only the first: an argument that cannot be
//! read is skipped up to its comma and reading goes on.

use proc_macro2::{Ident, TokenTree};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::{LitInt, LitStr, Token, parenthesized, token};

use crate::key::{Form, Key};
use crate::requirement::{Attribute, Demand, Errors, Text, Value};

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
            (Key::AnyScope, Value::Any(choice(Key::AnyScope, input, errors)?))
        }
        Attribute::Audience => (Key::Audience, Value::Text(text(Key::Audience, input, errors)?)),
        Attribute::Requires => named(input, errors)?,
    };
    Ok(Demand { key, value, span })
}

fn named(input: ParseStream<'_>, errors: &mut Errors) -> syn::Result<(Key, Value)> {
    let span = input.span();
    let word = input.call(Ident::parse_any).ok();
    let is_named = |key: &Key| word.as_ref().is_some_and(|word| word == key.name());
    let Some(key) = Key::ALL.iter().copied().find(is_named) else {
        let known: Vec<String> = Key::ALL.iter().map(|key| format!("`{}`", key.name())).collect();
        let known = known.join(", ");
        return Err(syn::Error::new(span, format_args!("unknown requirement; known are {known}")));
    };
    let wrong = || syn::Error::new(span, format_args!("write `{}`", key.usage()));
    let value = match key.form() {
        Form::Flag => Value::None,
        Form::Choice | Form::List | Form::Pair | Form::Level if !input.peek(token::Paren) => {
            return Err(wrong());
        }
        Form::Choice | Form::List => Value::Any(choice(key, input, errors)?),
        Form::Pair => pair(key, input, errors).map_err(|_| wrong())?,
        Form::Level => level(key, input, errors).map_err(|_| wrong())?,
        Form::Text | Form::Number | Form::Seconds | Form::Kind | Form::ApplicationKind => {
            input.parse::<Token![=]>().map_err(|_| wrong())?;
            match key.form() {
                Form::Kind => kind(input)?,
                Form::ApplicationKind => application_kind(input)?,
                Form::Text => Value::Text(text(key, input, errors)?),
                _ => Value::Number(number(key, input, errors)?),
            }
        }
    };
    if input.is_empty() || input.peek(Token![,]) { Ok((key, value)) } else { Err(wrong()) }
}

/// The texts of `any("..", "..")`, from the parenthesis on.
fn choice(key: Key, input: ParseStream<'_>, errors: &mut Errors) -> syn::Result<Vec<Text>> {
    let inside;
    let parenthesis = parenthesized!(inside in input);
    let noun = key.noun();
    let mut texts: Vec<Text> = Vec::new();
    let mut unread = Errors::default();
    each(&inside, &mut unread, |input, errors| {
        let text = text(key, input, errors)?;
        if texts.contains(&text) {
            let message = format_args!("this {noun} is in the choice already: remove one of the two");
            errors.at(text.literal.span(), message);
        }
        texts.push(text);
        Ok(())
    });
    let few = if key.form() == Form::Choice { 2 } else { 1 };
    match unread.finish() {
        Err(error) => errors.push(error),
        Ok(()) if texts.len() < few => {
            let message = if few == 1 {
                format!("nothing is tolerated: name each {noun} that is")
            } else {
                format!("a choice is between two {noun}s at least: name another, or demand the one by itself")
            };
            errors.at(parenthesis.span.join(), message);
        }
        Ok(()) => {}
    }
    Ok(texts)
}

/// Both texts of `key("..", "..")`.
fn pair(key: Key, input: ParseStream<'_>, errors: &mut Errors) -> syn::Result<Value> {
    let (first, second) = two::<LitStr>(input)?;
    let noun = match key {
        Key::ActorOf => "actor",
        Key::ClaimMatchesPath => "parameter",
        Key::ClaimMatchesHeader => "header field",
        Key::Purpose => "purpose",
        _ => "value",
    };
    let first = checked(&first, key.noun(), identifier_mistake, errors);
    let mistake = if key == Key::ClaimMatchesHeader { header_mistake } else { identifier_mistake };
    Ok(Value::Pair(first, checked(&second, noun, mistake, errors)))
}

/// Text and level of `key("..", 70)`.
fn level(key: Key, input: ParseStream<'_>, errors: &mut Errors) -> syn::Result<Value> {
    let (name, literal) = two::<LitInt>(input)?;
    let name = checked(&name, key.noun(), identifier_mistake, errors);
    let level = literal.base10_parse().unwrap_or_default();
    if !(1..=100).contains(&level) {
        errors.at(literal.span(), "the level is a number from 1 to 100");
    }
    Ok(Value::Level(name, level))
}

/// A text and another literal, in parentheses. Reads what is inside to its end,
/// whatever stands there.
fn two<T: Parse>(input: ParseStream<'_>) -> syn::Result<(LitStr, T)> {
    let inside;
    parenthesized!(inside in input);
    let read = |inside: ParseStream<'_>| {
        let first = inside.parse()?;
        inside.parse::<Token![,]>()?;
        let second = inside.parse()?;
        inside.parse::<Option<Token![,]>>()?;
        Ok((first, second))
    };
    read.parse2(inside.parse()?)
}

fn number(key: Key, input: ParseStream<'_>, errors: &mut Errors) -> syn::Result<u64> {
    if !input.peek(LitInt) {
        return Err(input.error(format_args!("expected the {} as a number", key.noun())));
    }
    let literal: LitInt = input.parse()?;
    // A suffix would be taken for a unit, such as in `5m`.
    let number = if literal.suffix().is_empty() { literal.base10_parse::<u32>().ok() } else { None };
    let Some(number) = number else {
        let message = format_args!("expected the {} as a plain number", key.noun());
        return Err(syn::Error::new(literal.span(), message));
    };
    if number == 0 && matches!(key, Key::MaxTokenAge | Key::MaxTokenLifetime) {
        errors.at(literal.span(), "no token lives for no time at all: name at least one second");
    }
    Ok(number.into())
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

fn application_kind(input: ParseStream<'_>) -> syn::Result<Value> {
    let span = input.span();
    let word = input.call(Ident::parse_any).map(|word| word.to_string());
    Ok(Value::ApplicationKind(match word.as_deref() {
        Ok("application") => "Application",
        Ok("service") => "Service",
        Ok("agent") => "Agent",
        _ => {
            let message = "expected `application`, `service` or `agent`, without quotes";
            return Err(syn::Error::new(span, message));
        }
    }))
}

fn text(key: Key, input: ParseStream<'_>, errors: &mut Errors) -> syn::Result<Text> {
    if !input.peek(LitStr) {
        return Err(input.error(format_args!("expected the {} as a string literal", key.noun())));
    }
    let mistake = match key {
        Key::Scope | Key::AnyScope | Key::ScopesWithin => scope_mistake,
        Key::Workload => workload_mistake,
        Key::Acr => acr_mistake,
        Key::TenantMatchesHeader => header_mistake,
        _ => identifier_mistake,
    };
    Ok(checked(&input.parse()?, key.noun(), mistake, errors))
}

fn checked(literal: &LitStr, noun: &str, mistake: fn(&str) -> Option<String>, errors: &mut Errors) -> Text {
    let value = literal.value();
    if let Some(mistake) = mistake(&value) {
        errors.at(literal.span(), format_args!("the {noun} {mistake}"));
    }
    Text { value, literal: literal.token() }
}

/// What stands in the `acr_values` of a challenge, RFC 9470 section 3.
fn acr_mistake(acr: &str) -> Option<String> {
    if acr.is_empty() {
        return Some("is empty: name it".to_owned());
    }
    let bad = acr.chars().find(|c| !matches!(c, '\x21' | '\x23'..='\x5B' | '\x5D'..='\x7E'))?;
    Some(format!(
        "contains {bad:?}: only printable ASCII without space, `\"` and `\\` can stand in a challenge"
    ))
}

/// `token`, RFC 9110 section 5.6.2.
fn header_mistake(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("is empty: name it".to_owned());
    }
    let bad = name.chars().find(|c| !(c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(*c)))?;
    Some(format!("contains {bad:?}, which no name of a header field does"))
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
            (Attribute::Requires, r#"scopes_within("a",), audiences_within("b", "c"), tenant = "d""#),
            (
                Attribute::Requires,
                "max_token_lifetime = 900, max_token_age = 3_600, max_authentication_age = 0",
            ),
            (
                Attribute::Requires,
                r#"mutual_tls, dpop, not_on_behalf_of_user, max_actors = 2, deny_actor = "a""#,
            ),
            (Attribute::Requires, r#"actor_of("https://idp", "a"), actor_of("https://idp", "b",)"#),
            (
                Attribute::Requires,
                r#"application = "Shop", application_kind = service, presenter = "Copilot""#,
            ),
            (
                Attribute::Requires,
                r#"presenter_kind = agent, presenter_kind = application, actor_kind = agent"#,
            ),
            (
                Attribute::Requires,
                r#"application_tenant = "a", application_environment = "b", presenter_tenant = "c""#,
            ),
            (Attribute::Requires, r#"risk_below("device", 70), claim_equals("a", "b")"#),
            (Attribute::Requires, r#"claim_matches_path("a", "b"), claim_matches_header("a", "X-B")"#),
            (Attribute::Requires, r#"tenant_matches_path = "a", tenant_matches_header = "x-a""#),
            (Attribute::Requires, r#"subject_matches_path = "a", purpose("a", "b"), purpose("a", "c")"#),
            (
                Attribute::Requires,
                r#"role = "a", any_role("b", "c"), permission = "d", any_permission("e", "f")"#,
            ),
            (Attribute::Requires, r#"group = "a", any_group("b", "c"), acr = "mfa", acr = "urn:x", shadow"#),
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
            (Requires, r#"roles = "admin", "a", scope = "a""#, &["known are `scope", "known are `scope"]),
            (Requires, "max_token_age", &["write `max_token_age = 300`"]),
            (Requires, "max_token_age = \"5m\", max_actors = two", &["as a number", "as a number"]),
            (Requires, "max_token_age = 5m, max_actors = -1", &["a plain number", "a plain number"]),
            (Requires, "max_token_age = 0, max_token_lifetime = 0", &["no time at all", "no time at all"]),
            (Requires, "max_actors = 99999999999", &["a plain number"]),
            (
                Requires,
                "scopes_within(), audiences_within()",
                &["nothing is tolerated", "nothing is tolerated"],
            ),
            (Requires, r#"scopes_within("a b"), any_role("a")"#, &["contains a space", "two roles at least"]),
            (
                Requires,
                r#"any_group("a", "a"), any_role = "a""#,
                &["in the choice already", "write `any_role"],
            ),
            (
                Requires,
                r#"claim_equals("a"), claim_equals = "a", claim_equals("a", 1), purpose("a", "b", "c")"#,
                &["write `claim_equals", "write `claim_equals", "write `claim_equals", "write `purpose"],
            ),
            (Requires, r#"claim_equals("", " b")"#, &["claim is empty", "white space"]),
            (
                Requires,
                r#"claim_matches_header("a", "x y"), tenant_matches_header = """#,
                &["' '", "is empty"],
            ),
            (Requires, r#"acr = "a b", acr = """#, &["' '", "authentication class is empty"]),
            (
                Requires,
                r#"risk_below("a"), risk_below("a", 0), risk_below("a", 101)"#,
                &["write `risk_below", "1 to 100", "1 to 100"],
            ),
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
            (
                Requires,
                r#"presenter_kind = "agent", actor_kind = user, application_kind"#,
                &["without quotes", "without quotes", "write `application_kind"],
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
