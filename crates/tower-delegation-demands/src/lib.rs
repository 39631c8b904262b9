//! The declaration of everything that a requirement of tower-delegation can
//! demand: each key once, with its form, its place in the order of the checks,
//! what its repetition means and what it excludes.
//!
//! This crate is an implementation detail of `tower-delegation` and its macros,
//! and has no stable interface. The builder, the attributes and the route table
//! are held against it, so a key that one of them lacks fails a test, and a
//! contradiction is judged by one function: [`judge`].

#![expect(clippy::exhaustive_enums, reason = "a key or a form that is added must be handled everywhere")]
#![expect(clippy::exhaustive_structs, reason = "internal to the project's crates")]

mod judge;
mod word;

pub use self::{
    judge::{Mistake, Stated, judge},
    word::{CLAIM_SEPARATOR, Word},
};

/// How the value of a key is written: in an attribute, and in a table's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `key` · `key = true`
    Flag,
    /// `key = ".."` · a text; a list of texts where the key may be repeated
    One(Word),
    /// `key("..", "..")` · a list of texts, one of which is enough; a list of
    /// such lists where the key may be repeated
    Any(Word),
    /// `key("..", "..")` · a list of texts, beyond which nothing is tolerated
    Within(Word),
    /// `key = 2`
    Number,
    /// `key = 300` · seconds, a `Duration` in the builder
    Seconds,
    /// `key("..", "..")` · `{ first = "second" }`, or a list of pairs
    Pair(Word, Word),
    /// `key("..", any("..", ".."))` · `{ first = ["..", ".."] }`, or a list of pairs
    PairAny(Word, Word),
    /// `key(("..", ".."), ("..", ".."))` · a list of pairs, one of which is enough
    AnyPair(Word, Word),
    /// `key("..", 70)` · `{ signal = 70 }`
    Level(Word),
    /// Not in an attribute · a table with hours and days
    Window,
    /// Not in an attribute · a list of such tables, one of which is enough
    AnyWindow,
    /// Not in an attribute · a table with members of RFC 9396
    Detail,
    /// Not in an attribute · a table of demands, or a list of them
    Parts,
    /// Not in an attribute · `{ reason = "..", until = .. }`
    Exception,
}

/// What it means to write a key more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// All of them must hold.
    All,
    /// A contradiction: what is demanded has one value. Where several are good,
    /// the key that begins with `any_` names them.
    Once,
}

macro_rules! keys {
    ($($key:ident $name:literal $form:expr, $repeat:ident;)*) => {
        /// What can be demanded, in the order of the checks. The method of the
        /// builder, the key of the attribute and the key of the table bear one name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "the method of `Requirement` says what each means")]
        pub enum Key { $($key,)* }

        impl Key {
            /// Every key, in the order of the checks.
            pub const ALL: &[Self] = &[$(Self::$key,)*];

            /// The name of key and method.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$key => $name,)* }
            }

            /// How its value is written.
            #[must_use]
            pub const fn form(self) -> Form {
                match self { $(Self::$key => $form,)* }
            }

            /// What repeating it means.
            #[must_use]
            pub const fn repeat(self) -> Repeat {
                match self { $(Self::$key => Repeat::$repeat,)* }
            }
        }
    };
}

use Form::{
    Any, AnyPair, AnyWindow, Detail, Exception, Flag, Level, Number, One, Pair, PairAny, Parts, Seconds,
    Window, Within,
};

keys! {
    // The token.
    Issuer "issuer" One(Word::Issuer), Once;
    AnyIssuer "any_issuer" Any(Word::Issuer), Once;
    Tenant "tenant" One(Word::Tenant), Once;
    AnyTenant "any_tenant" Any(Word::Tenant), Once;
    Audience "audience" One(Word::Audience), Once;
    AnyAudience "any_audience" Any(Word::Audience), Once;
    AudiencesWithin "audiences_within" Within(Word::Audience), Once;
    ScopesWithin "scopes_within" Within(Word::Scope), Once;
    MaxTokenLifetime "max_token_lifetime" Seconds, All;
    MaxTokenAge "max_token_age" Seconds, All;
    // Its sender.
    SenderConstrained "sender_constrained" Flag, All;
    MutualTls "mutual_tls" Flag, All;
    Dpop "dpop" Flag, All;
    Workload "workload" One(Word::Workload), Once;
    AnyWorkload "any_workload" Any(Word::Workload), Once;
    // The parties.
    SubjectKind "subject_kind" One(Word::SubjectKind), Once;
    AnySubjectKind "any_subject_kind" Any(Word::SubjectKind), Once;
    OnBehalfOfUser "on_behalf_of_user" Flag, All;
    NotOnBehalfOfUser "not_on_behalf_of_user" Flag, All;
    Delegated "delegated" Flag, All;
    NotDelegated "not_delegated" Flag, All;
    MaxActors "max_actors" Number, All;
    DenyActor "deny_actor" One(Word::Actor), All;
    Actor "actor" One(Word::Actor), Once;
    AnyActor "any_actor" Any(Word::Actor), Once;
    ActorOf "actor_of" Pair(Word::Issuer, Word::Actor), Once;
    AnyActorOf "any_actor_of" AnyPair(Word::Issuer, Word::Actor), Once;
    DenyClient "deny_client" One(Word::Client), All;
    Client "client" One(Word::Client), Once;
    AnyClient "any_client" Any(Word::Client), Once;
    // Their registered applications.
    Application "application" One(Word::Application), Once;
    AnyApplication "any_application" Any(Word::Application), Once;
    ApplicationKind "application_kind" One(Word::ApplicationKind), Once;
    AnyApplicationKind "any_application_kind" Any(Word::ApplicationKind), Once;
    ApplicationTenant "application_tenant" One(Word::Tenant), Once;
    AnyApplicationTenant "any_application_tenant" Any(Word::Tenant), Once;
    ApplicationEnvironment "application_environment" One(Word::Environment), Once;
    AnyApplicationEnvironment "any_application_environment" Any(Word::Environment), Once;
    Presenter "presenter" One(Word::Application), Once;
    AnyPresenter "any_presenter" Any(Word::Application), Once;
    PresenterKind "presenter_kind" One(Word::ApplicationKind), Once;
    AnyPresenterKind "any_presenter_kind" Any(Word::ApplicationKind), Once;
    PresenterTenant "presenter_tenant" One(Word::Tenant), Once;
    AnyPresenterTenant "any_presenter_tenant" Any(Word::Tenant), Once;
    PresenterEnvironment "presenter_environment" One(Word::Environment), Once;
    AnyPresenterEnvironment "any_presenter_environment" Any(Word::Environment), Once;
    ActorKind "actor_kind" One(Word::ApplicationKind), Once;
    AnyActorKind "any_actor_kind" Any(Word::ApplicationKind), Once;
    // The request.
    TimeWindow "time_window" Window, Once;
    AnyTimeWindow "any_time_window" AnyWindow, Once;
    RiskBelow "risk_below" Level(Word::Signal), All;
    // Comparisons.
    ClaimEquals "claim_equals" Pair(Word::Claim, Word::Value), All;
    ClaimOneOf "claim_one_of" PairAny(Word::Claim, Word::Value), All;
    ClaimMatchesPath "claim_matches_path" Pair(Word::Claim, Word::Parameter), All;
    ClaimMatchesHeader "claim_matches_header" Pair(Word::Claim, Word::Header), All;
    TenantMatchesPath "tenant_matches_path" One(Word::Parameter), All;
    TenantMatchesHeader "tenant_matches_header" One(Word::Header), All;
    SubjectMatchesPath "subject_matches_path" One(Word::Parameter), All;
    Purpose "purpose" Pair(Word::Claim, Word::Purpose), Once;
    AnyPurpose "any_purpose" PairAny(Word::Claim, Word::Purpose), Once;
    // Grants.
    Role "role" One(Word::Role), All;
    AnyRole "any_role" Any(Word::Role), All;
    Permission "permission" One(Word::Permission), All;
    AnyPermission "any_permission" Any(Word::Permission), All;
    Group "group" One(Word::Group), All;
    AnyGroup "any_group" Any(Word::Group), All;
    AuthorizationDetail "authorization_detail" Detail, All;
    // Compositions.
    AllOf "all_of" Parts, All;
    AnyOf "any_of" Parts, All;
    Not "not" Parts, All;
    // What a client can mend.
    Acr "acr" One(Word::Acr), Once;
    AnyAcr "any_acr" Any(Word::Acr), Once;
    MaxAuthenticationAge "max_authentication_age" Seconds, All;
    Scope "scope" One(Word::Scope), All;
    AnyScope "any_scope" Any(Word::Scope), All;
    // What comes of a denial.
    Shadow "shadow" Flag, All;
    Exception "exception" Exception, Once;
}

impl Key {
    /// The key of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|key| key.name() == name)
    }

    /// The key whose name is most like a word that is no key: "did you mean".
    #[must_use]
    pub fn like(word: &str) -> Option<Self> {
        closest(word, Self::ALL.iter().map(|key| key.name())).and_then(Self::of)
    }

    /// The key that demands one value, where this one demands one of several.
    #[must_use]
    pub fn plain(self) -> Self {
        self.name().strip_prefix("any_").and_then(Self::of).unwrap_or(self)
    }

    /// The key that demands one of several values, where there is one.
    #[must_use]
    pub fn any(self) -> Option<Self> {
        Self::ALL.iter().copied().find(|key| *key != self && key.plain() == self)
    }

    /// Can an attribute say it? What cannot be written there is written as a type.
    #[must_use]
    pub fn is_literal(self) -> bool {
        !matches!(self.form(), Window | AnyWindow | Detail | Parts | Exception)
    }

    /// Does it say what comes of a denial, and demand nothing?
    #[must_use]
    pub fn is_mode(self) -> bool {
        matches!(self, Self::Shadow | Self::Exception)
    }

    /// What its text at this place is; several alternatives share the last one.
    #[must_use]
    pub fn word(self, place: usize) -> Option<Word> {
        match self.form() {
            One(word) | Any(word) | Within(word) | Level(word) => Some(word),
            Pair(first, second) | PairAny(first, second) => Some(if place == 0 { first } else { second }),
            AnyPair(first, second) => Some(if place.is_multiple_of(2) { first } else { second }),
            Flag | Number | Seconds | Window | AnyWindow | Detail | Parts | Exception => None,
        }
    }

    /// How an attribute says it.
    #[must_use]
    pub fn usage(self) -> String {
        let name = self.name();
        match self.form() {
            One(word) => format!("{name} = {}", word.example()),
            Any(word) => format!("{name}({}, {})", word.example(), word.example()),
            Within(word) => format!("{name}({})", word.example()),
            Number => format!("{name} = 2"),
            Seconds => format!("{name} = 300"),
            Pair(one, two) => format!(r#"{name}("{}", "{}")"#, one.noun(), two.noun()),
            PairAny(one, two) => {
                format!(r#"{name}("{}", any("{two}", "{two}"))"#, one.noun(), two = two.noun())
            }
            AnyPair(one, two) => format!(
                r#"{name}(("{one}", "{two}"), ("{one}", "{two}"))"#,
                one = one.noun(),
                two = two.noun()
            ),
            Level(word) => format!(r#"{name}("{}", 70)"#, word.noun()),
            Flag | Window | AnyWindow | Detail | Parts | Exception => name.to_owned(),
        }
    }
}

/// The one of `known` that is most like `word`, if any is.
pub fn closest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let near = known.into_iter().map(|known| (distance(word, known), known)).min()?;
    (near.0 <= 2.max(word.len() / 3)).then_some(near.1)
}

/// How many letters must be changed, added or removed.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (at, letter) in one.chars().enumerate() {
        let mut corner = at;
        let mut left = at + 1;
        for (known, cell) in other.chars().zip(row.iter_mut().skip(1)) {
            let changed = corner + usize::from(letter != known);
            corner = *cell;
            left = changed.min(corner + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = at + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_belongs_to_the_key_of_one_value() {
        for key in Key::ALL.iter().copied() {
            let Some(any) = key.any() else { continue };
            assert_eq!((any.plain(), any.repeat(), any.any()), (key, key.repeat(), None), "{}", any.name());
            assert!(key < any, "{}", any.name());
        }
        for key in Key::ALL.iter().filter(|key| key.repeat() == Repeat::Once && key.plain() == **key) {
            let has_values = matches!(key.form(), One(_) | Pair(..) | Window);
            assert_eq!(key.any().is_some(), has_values, "{}", key.name());
        }
        assert_eq!(Key::AnyOf.plain(), Key::AnyOf);
        assert_eq!(Key::AnyScope.plain(), Key::Scope);
    }

    #[test]
    fn a_word_that_is_no_key_is_like_one_or_none() {
        for (word, expected) in [
            ("scopes", Some("scope")),
            ("clients", Some("client")),
            ("any_clients", Some("any_client")),
            ("on_behalf_of_a_user", Some("on_behalf_of_user")),
            ("max_tokn_age", Some("max_token_age")),
            ("Role", Some("role")),
            ("gruop", Some("group")),
            ("verified_e_mail", None),
            ("", None),
        ] {
            assert_eq!(Key::like(word).map(Key::name), expected, "{word}");
        }
    }
}
