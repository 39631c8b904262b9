//! Reading an attribute's arguments, each in the form that the declaration gives
//! its key.
//!
//! Every mistake is reported, not only the first: an argument that cannot be
//! read is skipped up to its comma and reading goes on.

use proc_macro2::{Ident, Literal, Span, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::{ParseBuffer, ParseStream};
use syn::{LitInt, LitStr, Path, Token, bracketed, parenthesized, token};
use tower_delegation_demands::{CLAIM_SEPARATOR, Form, Key, Word, closest};

use crate::requirement::{Attribute, Demand, Errors, Value};

/// The argument that names the requirement and demands nothing.
const NAME: &str = "name";

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

pub(crate) fn is_name(input: ParseStream<'_>) -> bool {
    input.peek2(Token![=]) && input.fork().call(Ident::parse_any).is_ok_and(|word| word == NAME)
}

/// The text of `name = ".."`.
pub(crate) fn name(input: ParseStream<'_>) -> syn::Result<Value<String>> {
    input.call(Ident::parse_any)?;
    input.parse::<Token![=]>()?;
    literal_or_constant(NAME, input)
}

pub(crate) fn demand(attribute: Attribute, input: ParseStream<'_>) -> syn::Result<Demand> {
    let (plain, any) = match attribute {
        Attribute::Scope => (Key::Scope, Key::AnyScope),
        Attribute::Audience => (Key::Audience, Key::AnyAudience),
        Attribute::Requires => return named(input),
    };
    let span = input.span();
    let (key, texts) = if is_choice(input) {
        input.call(Ident::parse_any)?;
        (any, parenthesis(input, |inside| list(inside, |input| text(any, 0, input)))?)
    } else {
        (plain, vec![text(plain, 0, input)?])
    };
    if !ends(input) {
        let noun = word_of(plain, 0).noun();
        let message = format!(r#"expected a comma behind the {noun}; a choice is `any("..", "..")`"#);
        return Err(input.error(message));
    }
    Ok(Demand { key, texts, number: None, span })
}

fn named(input: ParseStream<'_>) -> syn::Result<Demand> {
    let span = input.span();
    let word = input.call(Ident::parse_any).map(|word| word.to_string()).unwrap_or_default();
    let key = match Key::of(&word) {
        Some(key) if key.is_literal() => key,
        Some(_) => {
            let message = format!(
                "`{word}` cannot be written in an attribute: write the requirement as a type `R: Requires` \
                 and take `Authorized<R>` as the first argument"
            );
            return Err(syn::Error::new(span, message));
        }
        None => return Err(syn::Error::new(span, unknown(&word))),
    };
    let wrong = || syn::Error::new(span, format_args!("write `{}`", key.usage()));
    let has_shape = match key.form() {
        Form::Flag => ends(input),
        Form::One(_) | Form::Number | Form::Seconds => input.peek(Token![=]),
        _ => input.peek(token::Paren),
    };
    if !has_shape {
        return Err(wrong());
    }
    let read = |inside: ParseStream<'_>| value(key, span, inside);
    let demand = match key.form() {
        Form::Flag => read(input)?,
        Form::One(_) | Form::Number | Form::Seconds => {
            input.parse::<Token![=]>()?;
            read(input)?
        }
        _ => parenthesis(input, read)?,
    };
    if ends(input) { Ok(demand) } else { Err(wrong()) }
}

fn unknown(word: &str) -> String {
    let known = Key::ALL.iter().filter(|key| key.is_literal()).map(|key| key.name());
    match closest(word, known.chain([NAME])) {
        Some(NAME) if word == NAME => r#"write `name = ".."`"#.to_owned(),
        Some(near) => format!("unknown requirement `{word}`: did you mean `{near}`?"),
        None if word.is_empty() => "expected the name of a requirement, such as `scope`".to_owned(),
        None => format!("unknown requirement `{word}`: the names are those of the methods of `Requirement`"),
    }
}

/// What stands behind `=` or in the parentheses of this key.
fn value(key: Key, span: Span, input: ParseStream<'_>) -> syn::Result<Demand> {
    let mut demand = Demand { key, texts: Vec::new(), number: None, span };
    // A place that misses its text is reported with the whole form.
    let comma = || match input.parse::<Token![,]>() {
        Ok(_) if !input.is_empty() => Ok(()),
        _ => Err(syn::Error::new(span, format_args!("write `{}`", key.usage()))),
    };
    match key.form() {
        Form::One(_) => demand.texts.push(text(key, 0, input)?),
        Form::Number | Form::Seconds => demand.number = Some(number(key, input)?),
        Form::Any(_) | Form::Within(_) => demand.texts = list(input, |input| text(key, 0, input))?,
        Form::Pair(..) => {
            demand.texts.push(text(key, 0, input)?);
            comma()?;
            demand.texts.push(text(key, 1, input)?);
        }
        Form::PairAny(..) => {
            demand.texts.push(text(key, 0, input)?);
            comma()?;
            if !is_choice(input) {
                return Err(input.error(format_args!("write `{}`", key.usage())));
            }
            input.call(Ident::parse_any)?;
            demand.texts.extend(parenthesis(input, |inside| list(inside, |input| text(key, 1, input)))?);
        }
        Form::AnyPair(..) => {
            let pair = |inside: ParseStream<'_>| {
                let first = text(key, 0, inside)?;
                inside.parse::<Token![,]>()?;
                let pair = [first, text(key, 1, inside)?];
                inside.parse::<Option<Token![,]>>().map(|_| pair)
            };
            demand.texts = list(input, |input| parenthesis(input, pair))?.into_iter().flatten().collect();
        }
        Form::Level(_) => {
            demand.texts.push(text(key, 0, input)?);
            comma()?;
            demand.number = Some(number(key, input)?);
        }
        Form::Flag | Form::Window | Form::AnyWindow | Form::Detail | Form::Parts | Form::Exception => {}
    }
    if matches!(key.form(), Form::Pair(..) | Form::PairAny(..) | Form::Level(_)) {
        input.parse::<Option<Token![,]>>()?;
    }
    Ok(demand)
}

/// Everything in parentheses, which must be read to their end. What cannot be read
/// is skipped with them.
fn parenthesis<T>(
    input: ParseStream<'_>,
    read: impl FnOnce(ParseStream<'_>) -> syn::Result<T>,
) -> syn::Result<T> {
    fn inside<'p>(input: ParseStream<'p>) -> syn::Result<ParseBuffer<'p>> {
        let inside;
        parenthesized!(inside in input);
        Ok(inside)
    }
    let inside = inside(input)?;
    let read = read(&inside);
    let more = (!inside.is_empty()).then(|| inside.error("expected nothing more here"));
    // syn's own error about what is left would hide every other.
    while inside.parse::<TokenTree>().is_ok() {}
    match more {
        Some(more) => read.and(Err(more)),
        None => read,
    }
}

/// Values with commas between them, all mistakes at once.
fn list<T>(
    input: ParseStream<'_>,
    mut one: impl FnMut(ParseStream<'_>) -> syn::Result<T>,
) -> syn::Result<Vec<T>> {
    let mut errors = Errors::default();
    let mut values = Vec::new();
    each(input, &mut errors, |input, _| one(input).map(|value| values.push(value)));
    errors.finish().map(|()| values)
}

fn is_choice(input: ParseStream<'_>) -> bool {
    input.peek2(token::Paren) && input.fork().call(Ident::parse_any).is_ok_and(|word| word == "any")
}

fn ends(input: ParseStream<'_>) -> bool {
    input.is_empty() || input.peek(Token![,])
}

fn word_of(key: Key, place: usize) -> Word {
    key.word(place).unwrap_or(Word::Value)
}

/// The text at this place of this key's form.
fn text(key: Key, place: usize, input: ParseStream<'_>) -> syn::Result<Value<String>> {
    let word = word_of(key, place);
    match word.choices() {
        Some(choices) => bare_word(word, choices, input),
        None if word == Word::Claim && input.peek(token::Bracket) => claim_path(input),
        None => literal_or_constant(word.noun(), input),
    }
}

/// A kind, which is a word without quotes, or a constant.
fn bare_word(word: Word, choices: &[&str], input: ParseStream<'_>) -> syn::Result<Value<String>> {
    let span = input.span();
    if let Some(constant) = constant(input)? {
        return Ok(constant);
    }
    let written = input.call(Ident::parse_any).map(|word| word.to_string()).unwrap_or_default();
    if !choices.contains(&written.as_str()) {
        let choices_said = choices.join("`, `");
        let near = closest(&written.to_lowercase(), choices.iter().copied());
        let hint = near.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
        let noun = word.noun();
        let message = format!("expected a {noun} without quotes, one of `{choices_said}`{hint}");
        return Err(syn::Error::new(span, message));
    }
    let name = match word {
        Word::SubjectKind => format_ident!("SubjectKind"),
        _ => format_ident!("ApplicationKind"),
    };
    let mut letters = written.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    let variant = Ident::new(&first.chain(letters).collect::<String>(), span);
    Ok(Value { known: Some(written), tokens: quote!(::tower_delegation::context::#name::#variant) })
}

/// A claim within others: `["realm", "plan"]`.
fn claim_path(input: ParseStream<'_>) -> syn::Result<Value<String>> {
    let inside;
    let bracket = bracketed!(inside in input);
    let names = list(&inside, |input| literal_or_constant(Word::Claim.noun(), input))?;
    let known: Option<Vec<String>> = names.iter().map(|name| name.known.clone()).collect();
    let tokens = names.iter().map(|name| &name.tokens);
    let tokens = quote_spanned!(bracket.span.join()=> [#(#tokens),*]);
    Ok(Value { known: known.map(|names| names.join(CLAIM_SEPARATOR.encode_utf8(&mut [0; 4]))), tokens })
}

fn literal_or_constant(noun: &str, input: ParseStream<'_>) -> syn::Result<Value<String>> {
    if input.peek(LitStr) {
        let literal: LitStr = input.parse()?;
        return Ok(Value { known: Some(literal.value()), tokens: literal.to_token_stream() });
    }
    constant(input)?.ok_or_else(|| {
        input.error(format_args!("expected the {noun} as a string literal, or the path of a constant"))
    })
}

fn number(key: Key, input: ParseStream<'_>) -> syn::Result<Value<u64>> {
    let noun = match key.form() {
        Form::Seconds => "number of seconds",
        Form::Level(_) => "level",
        _ => "number",
    };
    if !input.peek(LitInt) {
        let message = format_args!("expected the {noun} as a number, or the path of a constant");
        return constant(input)?.ok_or_else(|| input.error(message));
    }
    let literal: LitInt = input.parse()?;
    // A suffix would be taken for a unit, such as in `5m`.
    let number = if literal.suffix().is_empty() { literal.base10_parse::<u32>().ok() } else { None };
    let Some(number) = number.map(u64::from) else {
        let message = format_args!("expected the {noun} as a plain number");
        return Err(syn::Error::new(literal.span(), message));
    };
    let mut plain = Literal::u64_unsuffixed(number);
    plain.set_span(literal.span());
    Ok(Value { known: Some(number), tokens: plain.to_token_stream() })
}

/// The path of a constant, whose value is not known here: of several words, or one
/// without small letters, so that a word without its quotes is not taken for one.
fn constant<T>(input: ParseStream<'_>) -> syn::Result<Option<Value<T>>> {
    let ahead = input.fork();
    let Ok(path) = ahead.call(Path::parse_mod_style) else { return Ok(None) };
    let shouts = |word: &Ident| !word.to_string().chars().any(char::is_lowercase);
    if path.get_ident().is_some_and(|word| !shouts(word)) || !ends(&ahead) {
        return Ok(None);
    }
    let path: Path = input.call(Path::parse_mod_style)?;
    match path.segments.first() {
        Some(first) if first.ident == "Self" => Err(syn::Error::new(
            first.ident.span(),
            "the requirement is no part of the type: write its name for `Self`",
        )),
        _ => Ok(Some(Value { known: None, tokens: path.to_token_stream() })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requirement::RequirementSpec;
    use Attribute::{Audience, Requires, Scope};

    fn messages(attribute: Attribute, arguments: &str) -> Vec<String> {
        let read = RequirementSpec::parse(attribute, arguments.parse().unwrap());
        read.err().into_iter().flatten().map(|error| error.to_string()).collect()
    }

    fn built(attribute: Attribute, arguments: &str) -> String {
        let spec = RequirementSpec::parse(attribute, arguments.parse().unwrap()).unwrap();
        let built = spec.build("list").to_string().replace(' ', "");
        let path = "::tower_delegation::requirement::Requirement::named(\"list\")";
        built.replace(path, "").replace("::tower_delegation::context::", "")
    }

    /// Every key that an attribute can say, as the declaration writes it, becomes the
    /// call of the builder's method.
    #[test]
    fn every_key_of_the_declaration_is_read() {
        for key in Key::ALL.iter().copied().filter(|key| key.is_literal() && !key.is_mode()) {
            let usage = key.usage().replace("` or `", "|").replace("spiffe://..", "spiffe://a/b");
            // Of two kinds either; of two texts that are alike, another.
            let first = usage.split('|').next().unwrap().to_owned();
            let usage = match key.form() {
                Form::Any(word) if word.choices().is_some() => format!("{}(service, agent)", key.name()),
                Form::Any(Word::Workload) => format!(r#"{}("spiffe://a/b", "spiffe://a/c")"#, key.name()),
                Form::Any(_) => format!(r#"{}("a", "b")"#, key.name()),
                Form::PairAny(..) => format!(r#"{}("a", any("b", "c"))"#, key.name()),
                Form::Pair(..) => format!(r#"{}("a", "b")"#, key.name()),
                _ => first,
            };
            let usage =
                if key == Key::AnySubjectKind { "any_subject_kind(user, service)".to_owned() } else { usage };
            let call = built(Requires, &usage);
            assert!(call.starts_with(&format!(".{}(", key.name())), "{usage}: {call}");
        }
    }

    #[test]
    fn every_form_becomes_a_call() {
        for (attribute, arguments, expected) in [
            (Scope, r#""orders:read""#, r#".scope("orders:read")"#),
            (Scope, r#""a", any("b", r"c",), "#, r#".scope("a").any_scope(["b",r"c"])"#),
            (Scope, "scopes::READ, any(READ, \"c\")", r#".scope(scopes::READ).any_scope([READ,"c"])"#),
            (Audience, r#""https://a""#, r#".audience("https://a")"#),
            (Audience, r#"any("a", crate::AUDIENCE)"#, r#".any_audience(["a",crate::AUDIENCE])"#),
            (Requires, "delegated, shadow", ".delegated().shadow()"),
            (Requires, "scope = scopes::READ, client = WEB", ".scope(scopes::READ).client(WEB)"),
            (Requires, r#"scopes_within("a",)"#, r#".scopes_within(["a"])"#),
            (
                Requires,
                "max_actors = 2, max_token_age = 3_600",
                ".max_actors(2).max_token_age(::core::time::Duration::from_secs(3600))",
            ),
            (
                Requires,
                "max_actors = MAX, max_token_age = a::AGE",
                ".max_actors(MAX).max_token_age(::core::time::Duration::from_secs(a::AGE))",
            ),
            (Requires, r#"claim_equals("a", "b",)"#, r#".claim_equals("a","b")"#),
            (Requires, r#"claim_equals(["realm", PLAN], "b")"#, r#".claim_equals(["realm",PLAN],"b")"#),
            (Requires, r#"claim_one_of(CLAIM, any("a", GOLD))"#, r#".claim_one_of(CLAIM,["a",GOLD])"#),
            (
                Requires,
                r#"any_actor_of(("i", "a"), (ISS, "b",),)"#,
                r#".any_actor_of([("i","a"),(ISS,"b")])"#,
            ),
            (
                Requires,
                r#"risk_below("device", 70), risk_below(S, LEVEL)"#,
                r#".risk_below("device",70).risk_below(S,LEVEL)"#,
            ),
            (Requires, "subject_kind = user", ".subject_kind(SubjectKind::User)"),
            (
                Requires,
                "any_actor_kind(agent, ApplicationKind::Service)",
                ".any_actor_kind([ApplicationKind::Agent,ApplicationKind::Service])",
            ),
        ] {
            assert_eq!(built(attribute, arguments), expected, "{arguments}");
        }
        for (arguments, expected) in [
            (r#"name = "refund", delegated"#, r#"named("refund").delegated()"#),
            ("delegated, name = names::REFUND", "named(names::REFUND).delegated()"),
        ] {
            assert!(built(Requires, arguments).ends_with(expected), "{arguments}");
        }
        assert!(built(Scope, r#""a", name = "read""#).ends_with(r#"named("read").scope("a")"#));
    }

    /// Those that the tests of the compiler's messages do not have.
    #[test]
    fn mistakes_are_told_at_once() {
        let rows: &[(Attribute, &str, &str)] = &[
            (Scope, r#""a" "b", "c""#, "expected a comma behind the scope"),
            (Scope, r#"b"orders", 7"#, "scope as a string literal | scope as a string literal"),
            (Scope, r#"any["a", "b"], any()"#, "scope as a string literal | of no scopes"),
            (
                Scope,
                r#"any("a", b), any(""), any("a", any("b", "c"))"#,
                "scope as a string | scope as a string | scopes at least | scope is empty",
            ),
            (Audience, r#""", " a""#, "is empty | write `any(..)` for one of several | white space"),
            (
                Requires,
                r#"scopes = "a", rol = "admin", "a", verified_e_mail"#,
                "did you mean `scope` | did you mean `role` | expected the name | methods of `Requirement`",
            ),
            (Requires, "nam = \"a\", r#scope = A", "did you mean `name` | did you mean `scope`"),
            (
                Requires,
                r#"name = "a", name = "b", delegated, name = "c d ""#,
                "a name already | white space | a name already",
            ),
            (Requires, "max_token_age = 5m, max_actors = -1", "a plain number | a plain number"),
            (Requires, "max_actors = 99999999999, max_token_lifetime = 0", "a plain number | no time at all"),
            (
                Requires,
                r#"claim_equals("a", 1), claim_one_of("a", "b"), claim_equals(["a", ""], "b")"#,
                "value as a string | write `claim_one_of | claim is empty",
            ),
            (
                Requires,
                r#"any_actor_of("i", "a"), any_actor_of()"#,
                "expected parentheses | expected parentheses | of none",
            ),
        ];
        for (attribute, arguments, expected) in rows {
            let expected: Vec<&str> = expected.split(" | ").collect();
            let messages = messages(*attribute, arguments);
            assert_eq!(messages.len(), expected.len(), "{attribute:?} {arguments}: {messages:?}");
            for (message, expected) in messages.iter().zip(expected) {
                assert!(message.contains(expected), "{attribute:?} {arguments}: {message}");
            }
        }
    }
}
