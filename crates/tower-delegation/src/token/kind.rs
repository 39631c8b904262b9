//! Who a subject is taken for: the conditions of a mapping, judged for one token.

use std::borrow::Cow;

use super::{claims::says_nothing, mapping::Mapped};
use crate::{
    issuer::{ClaimPath, Condition},
    json::{string, strings},
    names::{ClientId, SubjectId, SubjectKind},
};

/// What came of one condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Holds,
    Fails,
    /// The condition could not read its claim, or read more than it can decide by.
    Undecided,
}

/// A claim as a condition reads it.
enum Texts<'a> {
    Absent,
    One(Cow<'a, str>),
    Several(Vec<Cow<'a, str>>),
    Unreadable,
}

impl From<bool> for Verdict {
    fn from(holds: bool) -> Self {
        if holds { Self::Holds } else { Self::Fails }
    }
}

impl<'a> Mapped<'_, '_, 'a> {
    /// The kind that the first condition proves. A condition that cannot decide ends the
    /// search: a later one would go by the absence of what could not be read.
    pub(super) fn subject_kind(&self, subject: &SubjectId, client: Option<&ClientId>) -> SubjectKind {
        for (condition, kind) in &self.mapping.subject_kinds {
            match self.judge(&condition.0, subject, client.map(ClientId::as_str)) {
                Verdict::Holds => return *kind,
                Verdict::Fails => {}
                Verdict::Undecided => return SubjectKind::Unknown,
            }
        }
        SubjectKind::Unknown
    }

    fn judge(&self, condition: &Condition, subject: &SubjectId, client: Option<&str>) -> Verdict {
        match condition {
            Condition::Always => Verdict::Holds,
            Condition::Present(path) => self.is_present(path),
            Condition::Equals(path, value) => self.text_holds(path, |text| *text == **value),
            Condition::StartsWith(path, start) => self.text_holds(path, |text| text.starts_with(&**start)),
            Condition::EndsWith(path, end) => self.text_holds(path, |text| text.ends_with(&**end)),
            Condition::Contains(path, part) => self.text_holds(path, |text| text.contains(&**part)),
            Condition::HasWord(path, word) => {
                self.text_holds(path, |text| text.split(' ').any(|one| *one == **word))
            }
            Condition::Same(path, other) => self.are_the_same(path, other),
            Condition::NamesClient { path, prefix, suffix } => self.text_holds(path, |text| {
                let named = text.strip_prefix(&**prefix).and_then(|rest| rest.strip_suffix(&**suffix));
                named.is_some_and(|named| client.is_some_and(|client| named.eq_ignore_ascii_case(client)))
            }),
            Condition::SubjectIsClient => self.is_client(subject).into(),
            Condition::SubjectIsNotClient => (client.is_some() && !self.is_client(subject)).into(),
            Condition::All(conditions) => {
                let mut verdicts = conditions.iter().map(|condition| self.judge(condition, subject, client));
                verdicts.find(|verdict| *verdict != Verdict::Holds).unwrap_or(Verdict::Holds)
            }
        }
    }

    /// Is the subject a client, by any of its names and any name of a client? `sub`
    /// counts also where the mapping reads another claim for the subject, and a
    /// client also where another claim was chosen: no user is named like a client
    /// (RFC 9068 section 5).
    fn is_client(&self, subject: &SubjectId) -> bool {
        let mut clients = self.mapping.client.iter().filter_map(|path| string(self.optional(path).ok()??));
        let sub = self.claims.subject.and_then(string);
        clients.any(|client| *subject == *client || sub.as_ref().is_some_and(|sub| *sub == client))
    }

    fn is_present(&self, path: &ClaimPath) -> Verdict {
        match self.optional(path) {
            Err(_) => Verdict::Undecided,
            Ok(None) => Verdict::Fails,
            Ok(Some(value)) if value.get() == "false" => Verdict::Fails,
            Ok(Some(value)) if says_nothing(value) => Verdict::Undecided,
            Ok(Some(_)) => Verdict::Holds,
        }
    }

    /// One text decides. Several can only say that nothing is proved.
    fn text_holds(&self, path: &ClaimPath, holds: impl Fn(&str) -> bool) -> Verdict {
        match self.texts(path) {
            Texts::Absent => Verdict::Fails,
            Texts::One(text) => holds(&text).into(),
            Texts::Several(texts) if texts.iter().any(|text| holds(text)) => Verdict::Undecided,
            Texts::Several(_) => Verdict::Fails,
            Texts::Unreadable => Verdict::Undecided,
        }
    }

    fn are_the_same(&self, path: &ClaimPath, other: &ClaimPath) -> Verdict {
        match (self.texts(path), self.texts(other)) {
            (Texts::Unreadable, _) | (_, Texts::Unreadable) => Verdict::Undecided,
            (Texts::Absent, _) | (_, Texts::Absent) => Verdict::Fails,
            (Texts::One(one), Texts::One(other)) => (one == other).into(),
            (Texts::One(one), Texts::Several(several)) | (Texts::Several(several), Texts::One(one)) => {
                if several.contains(&one) {
                    Verdict::Undecided
                } else {
                    Verdict::Fails
                }
            }
            (Texts::Several(several), Texts::Several(others)) => {
                let is_shared = several.iter().any(|one| others.contains(one));
                if is_shared { Verdict::Undecided } else { Verdict::Fails }
            }
        }
    }

    fn texts(&self, path: &ClaimPath) -> Texts<'a> {
        let value = match self.optional(path) {
            Err(_) => return Texts::Unreadable,
            Ok(None) => return Texts::Absent,
            Ok(Some(value)) => value,
        };
        match string(value) {
            Some(text) if text.is_empty() => Texts::Unreadable,
            Some(text) => Texts::One(text),
            None => strings(value).map_or(Texts::Unreadable, Texts::Several),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        issuer::{ClaimCondition, ClaimMapping},
        token::claims::RawClaims,
    };

    /// `User` if the condition holds, `Service` if it does not, `Unknown` if it ends the search.
    fn kind(condition: ClaimCondition, payload: &str) -> SubjectKind {
        let claims = RawClaims::parse(payload).unwrap();
        let rules = [(condition, SubjectKind::User), (ClaimCondition::always(), SubjectKind::Service)];
        let mapping = ClaimMapping::rfc9068().subject_kinds(rules);
        let mapped = Mapped { mapping: &mapping, claims: &claims };
        let (subject, client) = mapped.parties().unwrap();
        mapped.subject_kind(&subject, client.as_ref())
    }

    /// No user is named like a client, whichever claim the mapping reads for either.
    #[test]
    fn a_subject_that_is_a_client_by_any_name() {
        use SubjectKind::{Service, Unknown, User};
        let assumed = || ClaimMapping::rfc9068().assume_user_unless_client();
        let by_uid = assumed().subject("uid").add_subject("sub");
        let differing = assumed().add_client("azp").allow_differing_clients();
        for (name, mapping, payload, expected) in [
            ("another", &by_uid, r#"{"uid":"1","sub":"alice","client_id":"shop"}"#, User),
            ("`sub` is the client", &by_uid, r#"{"uid":"1","sub":"shop","client_id":"shop"}"#, Service),
            ("`uid` is the client", &by_uid, r#"{"uid":"shop","sub":"x","client_id":"shop"}"#, Service),
            ("no claim of a client", &differing, r#"{"sub":"alice","client_id":"a","azp":"b"}"#, User),
            ("the first", &differing, r#"{"sub":"a","client_id":"a","azp":"b"}"#, Service),
            ("the second", &differing, r#"{"sub":"b","client_id":"a","azp":"b"}"#, Service),
            ("no client", &assumed().allow_absent_client(), r#"{"sub":"alice"}"#, Unknown),
        ] {
            let claims = RawClaims::parse(payload).unwrap();
            let mapped = Mapped { mapping, claims: &claims };
            let (subject, client) = mapped.parties().unwrap();
            assert_eq!(mapped.subject_kind(&subject, client.as_ref()), expected, "{name}");
        }
    }

    #[test]
    fn tests_of_claims() {
        use ClaimCondition as T;
        use SubjectKind::{Service as Fails, Unknown, User as Holds};
        let rows: &[(&str, ClaimCondition, &str, SubjectKind)] = &[
            ("always", T::always(), "1", Holds),
            ("present", T::present("x"), "1", Holds),
            ("present, false", T::present("x"), "false", Fails),
            ("present, null", T::present("x"), "null", Fails),
            ("present, no text", T::present("x"), r#""""#, Unknown),
            ("present, an empty list", T::present("x"), "[ ]", Unknown),
            ("present, a space", T::present("x"), r#"" ""#, Unknown),
            ("present, an empty object", T::present("x"), "{}", Unknown),
            ("present, zero", T::present("x"), "0", Unknown),
            ("present, one", T::present("x"), "1", Holds),
            ("present, a tab", T::present("x"), r#""\t""#, Unknown),
            ("present, a wide space", T::present("x"), r#""\u3000""#, Unknown),
            ("present, the word false", T::present("x"), r#""False""#, Unknown),
            ("present, the word null", T::present("x"), r#""null""#, Unknown),
            ("present, a list of nothing", T::present("x"), r#"["",null,false,[],{}]"#, Unknown),
            ("present, an object of nothing", T::present("x"), r#"{"a":"","b":{"c":null}}"#, Unknown),
            ("present, a list of something", T::present("x"), r#"["","a"]"#, Holds),
            ("present, an object of something", T::present("x"), r#"{"a":null,"b":[1]}"#, Holds),
            ("absent", T::present("y"), "1", Fails),
            ("inside", T::present(["x", "a.b"]), r#"{"a.b":1}"#, Holds),
            ("not inside", T::present(["x", "a", "b"]), r#"{"a.b":1}"#, Fails),
            ("in no object", T::present(["x", "a"]), "[1]", Unknown),
            ("inside of null", T::present(["x", "a"]), "null", Fails),
            ("equal", T::equals("x", "app"), r#""app""#, Holds),
            ("another case", T::equals("x", "app"), r#""App""#, Fails),
            ("null is absent", T::equals("x", "app"), "null", Fails),
            ("a number", T::equals("x", "app"), "1", Unknown),
            ("an object", T::equals("x", "app"), r#"{"app":1}"#, Unknown),
            ("empty", T::equals("x", "app"), r#""""#, Unknown),
            ("a list with it", T::equals("x", "app"), r#"["a","app"]"#, Unknown),
            ("a list without it", T::equals("x", "app"), r#"["a","b"]"#, Fails),
            ("an empty list", T::equals("x", "app"), "[]", Fails),
            ("a list with more than texts", T::equals("x", "app"), r#"["a",1]"#, Unknown),
            ("start", T::starts_with("x", "a"), r#""app""#, Holds),
            ("no start", T::starts_with("x", "p"), r#""app""#, Fails),
            ("a list with such a start", T::starts_with("x", "a"), r#"["app"]"#, Unknown),
            ("end", T::ends_with("x", "@clients"), r#""a@clients""#, Holds),
            ("no end", T::ends_with("x", "@clients"), r#""a@clients.x""#, Fails),
            ("part", T::contains("x", "|"), r#""a|b""#, Holds),
            ("word", T::has_word("x", "13"), r#""3 13""#, Holds),
            ("part of a word", T::has_word("x", "13"), r#""3 113""#, Fails),
            ("a list with the word", T::has_word("x", "13"), r#"["3","13"]"#, Unknown),
            ("the same", T::same("sub", "x"), r#""alice""#, Holds),
            ("not the same", T::same("sub", "x"), r#""bob""#, Fails),
            ("both absent", T::same("y", "z"), "1", Fails),
            ("the same in a list", T::same("sub", "x"), r#"["alice"]"#, Unknown),
            ("a number is not the same", T::same("sub", "x"), "1", Unknown),
            ("the client's name", T::names_client("x", "sa-", ""), r#""sa-shop""#, Holds),
            ("longer than that", T::names_client("x", "sa-", ""), r#""sa-shop2""#, Fails),
            ("no such prefix", T::names_client("x", "sa-", ""), r#""shop""#, Fails),
            ("between", T::names_client("x", "<", ">"), r#""<shop>""#, Holds),
            ("no such suffix", T::names_client("x", "<", ">"), r#""<shop""#, Fails),
            ("nothing between", T::names_client("x", "a", "a"), r#""a""#, Fails),
            ("the client", T::subject_is_client(), "1", Fails),
            ("both hold", T::present("x").and(T::equals("sub", "alice")), "1", Holds),
            ("one of both", T::present("x").and(T::equals("sub", "bob")), "1", Fails),
            ("the second is not read", T::present("y").and(T::equals("x", "app")), "1", Fails),
            ("the second cannot be read", T::present("sub").and(T::equals("x", "app")), "1", Unknown),
            ("three", T::always().and(T::present("x")).and(T::present("y")), "1", Fails),
        ];
        for (name, condition, x, expected) in rows {
            let payload = format!(r#"{{"sub":"alice","client_id":"Shop","x":{x}}}"#);
            assert_eq!(kind(condition.clone(), &payload), *expected, "{name}");
        }
    }
}
