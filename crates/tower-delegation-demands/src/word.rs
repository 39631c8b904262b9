//! What a text in a demand is, and which texts it can be.

/// Separates the names of a [claim](Word::Claim) that lies within others: `realm`, then `name`.
pub const CLAIM_SEPARATOR: char = '\u{1f}';

macro_rules! words {
    ($($word:ident $noun:literal;)*) => {
        /// What a text is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the noun says it")]
        pub enum Word { $($word,)* }

        impl Word {
            /// What it is called.
            #[must_use]
            pub const fn noun(self) -> &'static str {
                match self { $(Self::$word => $noun,)* }
            }
        }
    };
}

words! {
    Acr "authentication class";
    Actor "actor";
    Application "application";
    ApplicationKind "kind of application";
    Audience "audience";
    Claim "claim";
    Client "client";
    Environment "environment";
    Group "group";
    Header "header field";
    Issuer "issuer";
    Parameter "parameter";
    Permission "permission";
    Purpose "purpose";
    Role "role";
    Scope "scope";
    Signal "risk signal";
    SubjectKind "kind of subject";
    Tenant "tenant";
    Value "value";
    Workload "workload pattern";
}

impl Word {
    /// The texts that it can be, where they are few: bare words in an attribute.
    #[must_use]
    pub const fn choices(self) -> Option<&'static [&'static str]> {
        match self {
            Self::SubjectKind => Some(&["user", "service"]),
            Self::ApplicationKind => Some(&["application", "service", "agent"]),
            _ => None,
        }
    }

    pub(crate) fn example(self) -> String {
        match (self, self.choices()) {
            (_, Some(choices)) => choices.join("` or `"),
            (Self::Workload, None) => r#""spiffe://..""#.to_owned(),
            (_, None) => r#""..""#.to_owned(),
        }
    }

    /// What keeps `text` from being this, to be read after the noun.
    #[must_use]
    pub fn mistake(self, text: &str) -> Option<String> {
        if text.is_empty() {
            return Some("is empty: name it".to_owned());
        }
        match self {
            // `scope-token = 1*( %x21 / %x23-5B / %x5D-7E )`, RFC 6749 section 3.3.
            Self::Scope if text.contains(' ') => {
                Some("contains a space: write one text for each scope".to_owned())
            }
            Self::Scope => without(
                text,
                is_token,
                "only printable ASCII without space, `\"` and `\\` is allowed (RFC 6749 section 3.3)",
            ),
            // In the `acr_values` of a challenge, RFC 9470 section 3.
            Self::Acr => without(
                text,
                is_token,
                "only printable ASCII without space, `\"` and `\\` fits in a challenge",
            ),
            // `token`, RFC 9110 section 5.6.2.
            Self::Header => without(
                text,
                |c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c),
                "no name of a header field does",
            ),
            Self::Workload if !has_path(text) => Some(
                "is no SPIFFE ID with a path: write `spiffe://trust-domain/path`, `*` for one segment"
                    .to_owned(),
            ),
            Self::Claim => {
                // An earlier actor would grant by way of a claim; the current one is
                // demanded together with who vouches for it (RFC 8693 section 4.1).
                if text.split(CLAIM_SEPARATOR).next() == Some("act") {
                    return Some(
                        "is the chain of actors: demand `actor`, `actor_of` or `deny_actor`".to_owned(),
                    );
                }
                text.split(CLAIM_SEPARATOR).find_map(identifier)
            }
            Self::SubjectKind | Self::ApplicationKind => {
                let choices = self.choices().unwrap_or_default();
                (!choices.contains(&text)).then(|| format!("is none of `{}`", choices.join("`, `")))
            }
            _ => identifier(text),
        }
    }
}

fn is_token(c: char) -> bool {
    matches!(c, '\x21' | '\x23'..='\x5B' | '\x5D'..='\x7E')
}

fn has_path(pattern: &str) -> bool {
    pattern.strip_prefix("spiffe://").is_some_and(|rest| rest.trim_matches('/').contains('/'))
}

fn without(text: &str, is_good: impl Fn(char) -> bool, rule: &str) -> Option<String> {
    text.chars().find(|c| !is_good(*c)).map(|bad| format!("contains {bad:?}: {rule}"))
}

/// Identifiers are opaque and compare by code point; white space around one and
/// control characters are mistakes in the writing.
fn identifier(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some("is empty: name it".to_owned());
    }
    if text.trim() != text {
        return Some("has white space around it: remove that, it is compared exactly".to_owned());
    }
    text.chars().find(|c| c.is_control()).map(|bad| format!("contains {bad:?}: remove the control character"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_cannot_be_meant_are_refused() {
        for (word, text, expected) in [
            (Word::Scope, "", "empty"),
            (Word::Scope, "a b", "a space"),
            (Word::Scope, "a\"", "'\"'"),
            (Word::Scope, "é", "'é'"),
            (Word::Acr, "a b", "' '"),
            (Word::Acr, "a\\", "'\\\\'"),
            (Word::Header, "x y", "' '"),
            (Word::Header, "x:", "':'"),
            (Word::Workload, "orders", "no SPIFFE ID"),
            (Word::Workload, "spiffe://prod", "no SPIFFE ID"),
            (Word::Workload, "spiffe://prod/", "no SPIFFE ID"),
            (Word::Workload, "spiffe://prod/a ", "white space"),
            (Word::Client, " web", "white space"),
            (Word::Client, "we\nb", "'\\n'"),
            (Word::Claim, "a\u{1f}", "empty"),
            (Word::Claim, "a\u{1f} b", "white space"),
            (Word::Claim, "act", "chain of actors"),
            (Word::Claim, "act\u{1f}sub", "chain of actors"),
            (Word::Claim, "act\u{1f}act\u{1f}sub", "chain of actors"),
            (Word::SubjectKind, "unknown", "`user`, `service`"),
            (Word::ApplicationKind, "User", "`application`, `service`, `agent`"),
        ] {
            let mistake = word.mistake(text).unwrap_or_default();
            assert!(mistake.contains(expected), "{word:?} {text:?}: {mistake}");
        }
        for (word, text) in [
            (Word::Scope, "orders:read"),
            (Word::Acr, "urn:mace:incommon:iap:silver"),
            (Word::Header, "x-tenant"),
            (Word::Workload, "spiffe://prod/ns/*/web"),
            (Word::Client, "Größe 1"),
            (Word::Claim, "actor"),
            (Word::Claim, "https://example.com/plan"),
            (Word::Claim, "realm\u{1f}act"),
            (Word::SubjectKind, "user"),
            (Word::ApplicationKind, "agent"),
        ] {
            assert_eq!(word.mistake(text), None, "{word:?} {text:?}");
        }
    }
}
