//! How access tokens are told from other tokens where `typ` does not say it.

use serde_json::Value;

/// A check that tells an issuer's access tokens from its other tokens, for
/// issuers that send `typ: JWT` or none (RFC 8725 section 3.12).
///
/// # Example
/// ```
/// use tower_delegation::issuer::KindCheck;
///
/// // Cognito says which kind a token is in a claim of its own.
/// let check = KindCheck::claim_equals("token_use", "access");
/// // Both must hold:
/// let stricter = KindCheck::not_an_id_token().and(check);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a check does nothing until an issuer is given it"]
pub struct KindCheck {
    rules: Vec<Rule>,
}

/// Claims that only ID tokens (`nonce`, `at_hash`, `c_hash`: OpenID Connect
/// Core sections 2 and 3.3.2.11) and logout tokens or other security events
/// (`events`: RFC 8417 section 2.2) have.
const CLAIMS_OF_OTHER_KINDS: [&str; 4] = ["nonce", "at_hash", "c_hash", "events"];

/// Claims by which providers tell their kinds of tokens apart, whatever the
/// header's `typ` says: Keycloak (`typ`), Cognito (`token_use`), Curity
/// (`purpose`), Django and Flask (`token_type`, `type`), `FusionAuth` (`tty`).
const CLAIMS_OF_KINDS: [&str; 6] = ["typ", "token_use", "token_type", "type", "purpose", "tty"];

/// Their values for tokens that open no resource, in small letters and letters alone.
const OTHER_KINDS: [&str; 15] = [
    "id",
    "idtoken",
    "idjwt",
    "identitytoken",
    "refresh",
    "refreshtoken",
    "refreshjwt",
    "rtjwt",
    "offline",
    "offlinetoken",
    "logout",
    "logouttoken",
    "logoutjwt",
    "secevent",
    "seceventjwt",
];

/// The same for the claim in which two letters are the kind.
const OTHER_SHORT_KINDS: [&str; 2] = ["it", "rt"];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    ClaimIsOneOf { name: Box<str>, values: Box<[Box<str>]> },
    ClaimPresent { name: Box<str> },
    NotAnIdToken,
}

impl KindCheck {
    /// The claim `name` must be the string `value`, compared by code point.
    /// A token without the claim is refused.
    pub fn claim_equals(name: &str, value: &str) -> Self {
        Self::claim_is_one_of(name, [value])
    }

    /// The claim `name` must be one of these strings, compared by code point.
    /// A token without the claim is refused.
    pub fn claim_is_one_of<'v>(name: &str, values: impl IntoIterator<Item = &'v str>) -> Self {
        let values = values.into_iter().map(Box::from).collect();
        Self { rules: vec![Rule::ClaimIsOneOf { name: name.into(), values }] }
    }

    /// The claim `name`, which only access tokens have, must be there and not
    /// be `null`.
    pub fn claim_present(name: &str) -> Self {
        Self { rules: vec![Rule::ClaimPresent { name: name.into() }] }
    }

    /// The token must have none of `nonce`, `at_hash`, `c_hash` and `events`,
    /// whatever their value, and must not call itself an ID, refresh, offline or
    /// logout token: none of `typ`, `token_use`, `token_type`, `type`, `purpose`
    /// and `tty` may say so.
    ///
    /// Weaker than [`claim_equals`](Self::claim_equals): an ID token that was
    /// asked for without a `nonce` may have no such mark, and only its audience
    /// (the client, not this service) then gives it away.
    pub fn not_an_id_token() -> Self {
        Self { rules: vec![Rule::NotAnIdToken] }
    }

    /// This check and `other`.
    pub fn and(mut self, other: Self) -> Self {
        self.rules.extend(other.rules);
        self
    }

    /// Whether the token whose claims `claim` looks up is an access token.
    /// `claim` gives a claim's value as JSON text, `None` if it is absent.
    pub(crate) fn accepts<'c>(&self, claim: impl Fn(&str) -> Option<&'c str>) -> bool {
        self.rules.iter().all(|rule| match rule {
            Rule::ClaimIsOneOf { name, values } => {
                let found = claim(name).map(serde_json::from_str::<String>);
                matches!(found, Some(Ok(text)) if values.iter().any(|value| *text == **value))
            }
            Rule::ClaimPresent { name } => claim(name).is_some_and(|json| json != "null"),
            Rule::NotAnIdToken => {
                let is_other = |name: &&str| claim(name).is_some_and(|json| names_other_kind(name, json));
                CLAIMS_OF_OTHER_KINDS.iter().all(|name| claim(name).is_none())
                    && !CLAIMS_OF_KINDS.iter().any(is_other)
            }
        })
    }
}

/// Whether the claim's JSON is a text, or a list with one, that names another
/// kind than an access token, however it is spelled.
fn names_other_kind(name: &str, json: &str) -> bool {
    let is_other = |text: &str| {
        let mut text: String = text.chars().filter(char::is_ascii_alphabetic).collect();
        text.make_ascii_lowercase();
        OTHER_KINDS.contains(&&*text) || (name == "tty" && OTHER_SHORT_KINDS.contains(&&*text))
    };
    match serde_json::from_str(json) {
        Ok(Value::String(text)) => is_other(&text),
        // Also next to what is no text.
        Ok(Value::Array(items)) => items.iter().filter_map(Value::as_str).any(is_other),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_other_kinds_are_refused() {
        let token_use = KindCheck::claim_equals("token_use", "access");
        let no_id_token = KindCheck::not_an_id_token();
        let one_of = KindCheck::claim_is_one_of("typ", ["Bearer", "DPoP"]);
        let present = KindCheck::claim_present("azp");
        let both = no_id_token.clone().and(token_use.clone());
        type Claims = &'static [(&'static str, &'static str)];
        let rows: &[(&str, &KindCheck, Claims, bool)] = &[
            ("equal", &token_use, &[("token_use", r#""access""#)], true),
            ("equal with an escape", &token_use, &[("token_use", r#""\u0061ccess""#)], true),
            ("absent", &token_use, &[], false),
            ("another value", &token_use, &[("token_use", r#""id""#)], false),
            ("another case", &token_use, &[("token_use", r#""Access""#)], false),
            ("an array", &token_use, &[("token_use", r#"["access"]"#)], false),
            ("null", &token_use, &[("token_use", "null")], false),
            ("the second of two", &one_of, &[("typ", r#""DPoP""#)], true),
            ("none of two", &one_of, &[("typ", r#""Refresh""#)], false),
            ("present", &present, &[("azp", r#""shop""#)], true),
            ("not present", &present, &[], false),
            ("present as null", &present, &[("azp", "null")], false),
            ("plain", &no_id_token, &[("scope", r#""a""#)], true),
            ("nonce", &no_id_token, &[("nonce", r#""n""#)], false),
            ("nonce null", &no_id_token, &[("nonce", "null")], false),
            ("at_hash", &no_id_token, &[("at_hash", r#""h""#)], false),
            ("c_hash", &no_id_token, &[("c_hash", r#""h""#)], false),
            ("events", &no_id_token, &[("events", "{}")], false),
            ("calls itself an ID token", &no_id_token, &[("typ", r#""ID""#)], false),
            ("calls itself a refresh token", &no_id_token, &[("token_type", r#""refresh""#)], false),
            ("in other words", &no_id_token, &[("token_type", r#""refreshToken""#)], false),
            ("with a space", &no_id_token, &[("token_use", r#""Refresh Token""#)], false),
            ("as a media type", &no_id_token, &[("typ", r#""logout+jwt""#)], false),
            ("in two letters", &no_id_token, &[("tty", r#""it""#)], false),
            ("two letters that mean something else", &no_id_token, &[("type", r#""IT""#)], true),
            ("an access token in two letters", &no_id_token, &[("tty", r#""at""#)], true),
            ("an access token as a media type", &no_id_token, &[("typ", r#""at+jwt""#)], true),
            ("an access token in words", &no_id_token, &[("token_type", r#""access_token""#)], true),
            ("nothing but the ending", &no_id_token, &[("typ", r#""JWT""#)], true),
            ("is one of two kinds", &no_id_token, &[("purpose", r#"["access","id"]"#)], false),
            ("is a kind next to no text", &no_id_token, &[("purpose", r#"["refresh",1,null]"#)], false),
            ("is of no kind, in a list", &no_id_token, &[("purpose", r#"["access",1]"#)], true),
            ("calls itself an access token", &no_id_token, &[("typ", r#""Bearer""#)], true),
            ("says something else", &no_id_token, &[("type", r#""invoice""#), ("purpose", "1")], true),
            ("both hold", &both, &[("token_use", r#""access""#)], true),
            ("one of two fails", &both, &[("token_use", r#""access""#), ("nonce", r#""n""#)], false),
            ("the other fails", &both, &[("token_use", r#""id""#)], false),
        ];
        for (name, check, claims, accepted) in rows {
            let look_up =
                |wanted: &str| claims.iter().find(|(name, _)| *name == wanted).map(|(_, json)| *json);
            assert_eq!(check.accepts(look_up), *accepted, "{name}");
        }
    }
}
