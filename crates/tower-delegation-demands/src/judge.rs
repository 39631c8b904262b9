//! What does not go together, and what cannot be meant.

use std::borrow::Cow;

use crate::{Form, Key, Repeat, Word};

/// One demand, as far as it is known where it is judged.
#[derive(Clone, Debug)]
pub struct Stated<'s> {
    /// What is demanded.
    pub key: Key,
    /// Its texts, in the order of its form; a claim within others by
    /// [`CLAIM_SEPARATOR`](crate::CLAIM_SEPARATOR). `None` is a constant, whose
    /// text is not known here.
    pub texts: Vec<Option<Cow<'s, str>>>,
    /// Its number, or its seconds, if known.
    pub number: Option<u64>,
}

/// What is wrong with one of the demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Which of those judged: of two that exclude each other, the later.
    pub at: usize,
    /// Which of its texts is wrong, if one of them is; the place behind the last text
    /// is its number.
    pub text: Option<usize>,
    /// What is wrong, and what would be right.
    pub words: String,
    /// Nothing contradicts, but something is written for nothing: worth an error
    /// where it is written, none where values come from elsewhere.
    pub is_redundant: bool,
}

/// What no token can meet together, by the keys of one value.
const EXCLUSIVE: &[(Key, Key, &str)] = &[
    (Key::Delegated, Key::NotDelegated, "no token has both, remove one"),
    (Key::OnBehalfOfUser, Key::NotOnBehalfOfUser, "no token has both, remove one"),
    (Key::Actor, Key::NotDelegated, "an actor is demanded and every one forbidden, remove one"),
    (Key::ActorOf, Key::NotDelegated, "an actor is demanded and every one forbidden, remove one"),
    (Key::ActorKind, Key::NotDelegated, "an actor is demanded and every one forbidden, remove one"),
    (Key::Actor, Key::ActorOf, "a token has one current actor, name several with `any_actor_of`"),
    (Key::Shadow, Key::Exception, "in shadow mode nothing is refused, remove one"),
];

/// What refuses names, and what demands one of them.
const DENIED: &[(Key, Key)] =
    &[(Key::DenyActor, Key::Actor), (Key::DenyActor, Key::ActorOf), (Key::DenyClient, Key::Client)];

/// Everything that is wrong with these demands together.
#[must_use]
pub fn judge(stated: &[Stated<'_>]) -> Vec<Mistake> {
    let mut judging = Judging { stated, mistakes: Vec::new() };
    for at in 0..stated.len() {
        judging.value(at);
        judging.repetition(at);
    }
    judging.exclusions();
    judging.parties();
    judging.denials();
    judging.bound(Key::Scope, Key::ScopesWithin);
    judging.bound(Key::Audience, Key::AudiencesWithin);
    judging.claims();
    judging.mistakes.sort_by_key(|mistake| (mistake.at, mistake.text));
    judging.mistakes
}

struct Judging<'j> {
    stated: &'j [Stated<'j>],
    mistakes: Vec<Mistake>,
}

impl Stated<'_> {
    fn known(&self) -> impl Iterator<Item = (usize, &str)> {
        self.texts.iter().enumerate().filter_map(|(place, text)| Some((place, text.as_deref()?)))
    }

    /// Its alternatives: all texts but the claim or the issuer in front of them.
    /// `None` if one of them is not known.
    fn alternatives(&self) -> Option<Vec<&str>> {
        let (skip, step) = match self.key.form() {
            Form::Pair(..) | Form::PairAny(..) => (1, 1),
            Form::AnyPair(..) => (1, 2),
            _ => (0, 1),
        };
        self.texts.iter().skip(skip).step_by(step).map(Option::as_deref).collect()
    }

    fn claim(&self) -> Option<&str> {
        self.texts.first()?.as_deref()
    }

    fn repeats(&self, other: &Self) -> bool {
        let known = |stated: &Self| -> Option<Vec<String>> {
            let mut texts: Vec<String> =
                stated.texts.iter().map(|text| text.as_deref().map(str::to_owned)).collect::<Option<_>>()?;
            if matches!(stated.key.form(), Form::Any(_)) {
                texts.sort();
            }
            Some(texts)
        };
        let has_value = !matches!(self.key.form(), Form::Detail | Form::Parts);
        has_value
            && self.key == other.key
            && self.number == other.number
            && known(self).is_some_and(|mine| known(other).is_some_and(|others| mine == others))
    }
}

impl<'j> Judging<'j> {
    fn of(&self, plain: Key) -> impl Iterator<Item = (usize, &'j Stated<'j>)> + use<'j> {
        self.stated.iter().enumerate().filter(move |(_, stated)| stated.key.plain() == plain)
    }

    fn wrong(&mut self, at: usize, text: Option<usize>, words: String) {
        self.mistakes.push(Mistake { at, text, words, is_redundant: false });
    }

    fn redundant(&mut self, at: usize, text: Option<usize>, words: String) {
        self.mistakes.push(Mistake { at, text, words, is_redundant: true });
    }

    fn value(&mut self, at: usize) {
        let Some(stated) = self.stated.get(at) else { return };
        let key = stated.key;
        for (place, text) in stated.known() {
            let Some(word) = key.word(place) else { continue };
            if let Some(mistake) = word.mistake(text) {
                self.wrong(at, Some(place), format!("the {} {mistake}", word.noun()));
            }
        }
        let number = stated.number;
        match key.form() {
            Form::Any(word) | Form::PairAny(_, word) => self.choice(at, stated, word),
            Form::AnyPair(..) | Form::AnyWindow if stated.texts.is_empty() => {
                self.wrong(at, None, format!("one of none is demanded: name what `{}` is good", key.name()));
            }
            Form::Within(word) if stated.texts.is_empty() => {
                let words = format!("nothing is tolerated: name each {} that is", word.noun());
                // A token without scopes can be demanded; one without audience is denied.
                self.mistakes.push(Mistake { at, text: None, words, is_redundant: word == Word::Scope });
            }
            Form::Level(_) if number.is_some_and(|level| !(1..=100).contains(&level)) => {
                self.wrong(at, Some(stated.texts.len()), "the level is a number from 1 to 100".to_owned());
            }
            Form::Seconds if number == Some(0) && key != Key::MaxAuthenticationAge => {
                self.wrong(
                    at,
                    Some(stated.texts.len()),
                    "no token lives for no time at all: name at least one second".to_owned(),
                );
            }
            _ => {}
        }
    }

    fn choice(&mut self, at: usize, stated: &Stated<'_>, word: Word) {
        let noun = word.noun();
        let first = usize::from(matches!(stated.key.form(), Form::PairAny(..)));
        for (place, text) in stated.known().filter(|(place, _)| *place >= first) {
            if stated.known().any(|(earlier, known)| (first..place).contains(&earlier) && known == text) {
                self.redundant(
                    at,
                    Some(place),
                    format!("this {noun} is in the choice already: remove one of the two"),
                );
            }
        }
        match stated.texts.len().saturating_sub(first) {
            0 => self.wrong(at, None, format!("one of no {noun}s is demanded: name at least one")),
            1 => self.redundant(
                at,
                None,
                format!(
                    "a choice is between two {noun}s at least: name another, or demand the one by itself"
                ),
            ),
            _ => {}
        }
    }

    fn repetition(&mut self, at: usize) {
        let Some(stated) = self.stated.get(at) else { return };
        let key = stated.key;
        let earlier =
            || self.of(key.plain()).take_while(move |(earlier, _)| *earlier < at).map(|(_, earlier)| earlier);
        if key.repeat() == Repeat::Once && earlier().next().is_some() {
            let name = key.plain().name();
            let fix = match key.plain().any() {
                Some(any) => format!("write `{}` for one of several", any.name()),
                None => "remove one of the two".to_owned(),
            };
            return self.wrong(at, None, format!("`{name}` is demanded already, and both must hold: {fix}"));
        }
        let is_bound = matches!(key.form(), Form::Number | Form::Seconds);
        if earlier().any(|earlier| is_bound || earlier.repeats(stated)) {
            return self.redundant(at, None, "this is demanded already: remove one of the two".to_owned());
        }
        let Form::Any(word) = key.form() else { return };
        for (place, text) in stated.known() {
            let by_itself = self.of(key.plain()).any(|(_, one)| one.key != key && one.claim() == Some(text));
            if by_itself && key.repeat() == Repeat::All {
                let words = format!(
                    "this {} is demanded by itself, so the choice is always met: remove one of the two",
                    word.noun()
                );
                self.redundant(at, Some(place), words);
            }
        }
    }

    fn exclusions(&mut self) {
        for (one, other, why) in EXCLUSIVE {
            if let (Some((first, mine)), Some((second, others))) =
                (self.of(*one).next(), self.of(*other).next())
            {
                let (mine, others) = (mine.key.name(), others.key.name());
                self.wrong(
                    first.max(second),
                    None,
                    format!("`{mine}` and `{others}` exclude each other: {why}"),
                );
            }
        }
    }

    fn parties(&mut self) {
        let kinds =
            self.of(Key::SubjectKind).next().and_then(|(at, kinds)| Some((at, kinds.alternatives()?)));
        if let (Some((user, _)), Some((at, kinds))) = (self.of(Key::OnBehalfOfUser).next(), kinds)
            && !kinds.contains(&"user")
        {
            let words = "`on_behalf_of_user` demands a user as the subject, and `subject_kind` another one: remove one";
            self.wrong(at.max(user), None, words.to_owned());
        }
        let demanding = [Key::Delegated, Key::Actor, Key::ActorOf, Key::ActorKind];
        let demanding = demanding.into_iter().find_map(|key| self.of(key).next());
        let none = self.of(Key::MaxActors).find(|(_, stated)| stated.number == Some(0));
        if let (Some((one, _)), Some((none, _))) = (demanding, none) {
            let words = "`max_actors = 0` forbids every actor, and one is demanded: remove one of the two";
            self.wrong(one.max(none), None, words.to_owned());
        }
    }

    /// One who is demanded and denied.
    fn denials(&mut self) {
        for (denying, demanding) in DENIED {
            let denied: Vec<(usize, &str)> =
                self.of(*denying).filter_map(|(at, stated)| Some((at, stated.claim()?))).collect();
            for (at, stated) in self.of(*demanding) {
                let Some(ids) = stated.alternatives() else { continue };
                let of = |id: &&str| denied.iter().find(|(_, denied)| denied == id);
                let hits: Vec<usize> = ids.iter().filter_map(of).map(|(at, _)| *at).collect();
                let Some(last) = hits.iter().copied().max() else { continue };
                let noun = denying.word(0).map_or("value", Word::noun);
                if hits.len() == ids.len() {
                    let words = format!("this {noun} is demanded and denied: remove one of the two");
                    self.wrong(at.max(last), None, words);
                } else {
                    let words = format!("one {noun} of this choice is denied: leave it out");
                    self.redundant(at.max(last), None, words);
                }
            }
        }
    }

    /// A demand beyond a bound.
    fn bound(&mut self, plain: Key, within: Key) {
        let Some((bound_at, bound)) = self.of(within).next() else { return };
        let Some(bound) = bound.alternatives() else { return };
        for (at, stated) in self.of(plain) {
            let Some(texts) = stated.alternatives() else { continue };
            if !texts.is_empty() && !texts.iter().any(|text| bound.contains(text)) {
                let words = format!(
                    "`{}` lies beyond `{}`: remove one, or widen the bound",
                    stated.key.name(),
                    within.name()
                );
                self.wrong(at.max(bound_at), None, words);
            }
        }
    }

    /// One claim, two values.
    fn claims(&mut self) {
        let values: Vec<(usize, &str, Vec<&str>)> = self
            .of(Key::ClaimEquals)
            .chain(self.of(Key::ClaimOneOf))
            .filter_map(|(at, stated)| Some((at, stated.claim()?, stated.alternatives()?)))
            .collect();
        for (later, claim, some) in &values {
            let is_other = |(earlier, known, others): &&(usize, &str, Vec<&str>)| {
                earlier < later && known == claim && !some.iter().any(|value| others.contains(value))
            };
            if values.iter().any(|other| is_other(&other)) {
                self.wrong(
                    *later,
                    None,
                    "one claim is demanded to be two values at once: remove one".to_owned(),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stated(key: &str, texts: &[&'static str]) -> Stated<'static> {
        let key = Key::of(key).unwrap();
        let (texts, number) = match (key.form(), texts) {
            (Form::Number | Form::Seconds, [number]) => (&[][..], number.parse().ok()),
            (Form::Level(_), [name, number]) => (&[*name][..], number.parse().ok()),
            _ => (texts, None),
        };
        // `?` is a constant.
        let texts = texts.iter().map(|text| (*text != "?").then_some(Cow::Borrowed(*text))).collect();
        Stated { key, texts, number }
    }

    /// `key a b; key c`
    fn read(text: &'static str) -> Vec<Mistake> {
        let demands = text.split(';').map(|demand| {
            let words: Vec<&str> = demand.split_whitespace().collect();
            stated(words[0], &words[1..])
        });
        judge(&demands.collect::<Vec<_>>())
    }

    #[test]
    fn what_does_not_go_together_is_found_at_the_later_place() {
        for (text, expected) in [
            ("delegated; not_delegated", "no token has both"),
            ("not_delegated; delegated", "no token has both"),
            ("on_behalf_of_user; not_on_behalf_of_user", "no token has both"),
            ("not_delegated; actor a", "every one forbidden"),
            ("any_actor a b; not_delegated", "`any_actor` and `not_delegated`"),
            ("actor_of i a; not_delegated", "every one forbidden"),
            ("any_actor_of i a i b; not_delegated", "every one forbidden"),
            ("any_actor_kind agent service; not_delegated", "every one forbidden"),
            ("actor a; actor_of i a", "one current actor"),
            ("any_actor a b; any_actor_of i a i b", "one current actor"),
            ("delegated; max_actors 0", "forbids every actor"),
            ("max_actors 0; actor ?", "forbids every actor"),
            ("on_behalf_of_user; subject_kind service", "a user as the subject"),
            ("actor a; deny_actor a", "demanded and denied"),
            ("deny_actor a; deny_actor b; any_actor a b", "demanded and denied"),
            ("any_actor_of i a j a; deny_actor a", "demanded and denied"),
            ("any_client a b; deny_client a; deny_client b", "client is demanded and denied"),
            ("client a; client a", "write `any_client`"),
            ("client a; client ?", "write `any_client`"),
            ("client a; any_client a b", "write `any_client`"),
            ("any_issuer a b; any_issuer b c", "write `any_issuer`"),
            ("tenant a; tenant b", "write `any_tenant`"),
            ("audience a; audience b", "write `any_audience`"),
            ("workload spiffe://a/b; workload spiffe://a/c", "write `any_workload`"),
            ("acr a; acr b", "write `any_acr`"),
            ("purpose p a; purpose p b", "write `any_purpose`"),
            ("actor_of i a; actor_of i b", "write `any_actor_of`"),
            ("presenter_kind agent; presenter_kind service", "write `any_presenter_kind`"),
            ("time_window; time_window", "write `any_time_window`"),
            ("scopes_within a; scopes_within b", "remove one of the two"),
            ("scopes_within a; scope b", "beyond `scopes_within`"),
            ("any_scope b c; scopes_within a", "beyond `scopes_within`"),
            ("audience a; audiences_within b", "beyond `audiences_within`"),
            ("claim_equals c a; claim_equals c b", "two values at once"),
            ("claim_one_of c a b; claim_equals c d", "two values at once"),
            ("shadow; exception", "exclude each other"),
            ("delegated; any_scope", "one of no scopes"),
            ("delegated; any_actor_of", "one of none"),
            ("delegated; claim_one_of c", "one of no values"),
            ("delegated; audiences_within", "nothing is tolerated"),
            ("delegated; max_token_age 0", "no time at all"),
            ("delegated; risk_below device 0", "from 1 to 100"),
            ("delegated; risk_below device 101", "from 1 to 100"),
            ("delegated; subject_kind unknown", "none of `user`"),
            ("delegated; purpose act a", "chain of actors"),
        ] {
            let mistakes = read(text);
            let [mistake] = &mistakes[..] else { panic!("{text}: {mistakes:?}") };
            assert!(mistake.words.contains(expected), "{text}: {mistake:?}");
            let last = text.matches(';').count();
            assert_eq!((mistake.at, mistake.is_redundant), (last, false), "{text}: {mistake:?}");
        }
    }

    #[test]
    fn what_is_written_for_nothing_is_no_contradiction() {
        for (text, expected) in [
            ("delegated; delegated", "demanded already"),
            ("scope a; scope a", "demanded already"),
            ("any_scope a b; any_scope b a", "demanded already"),
            ("risk_below a 1; risk_below a 1", "demanded already"),
            ("delegated; any_scope a", "two scopes at least"),
            ("delegated; any_client a a", "in the choice already"),
            ("delegated; claim_one_of a a", "two values at least"),
            ("delegated; scopes_within", "nothing is tolerated"),
            ("max_actors 1; max_actors 2", "demanded already"),
            ("max_token_age 1; max_token_age 1", "demanded already"),
            ("role a; any_role a b", "always met"),
            ("any_actor a b; deny_actor a", "leave it out"),
        ] {
            let mistakes = read(text);
            let [mistake] = &mistakes[..] else { panic!("{text}: {mistakes:?}") };
            assert!(mistake.words.contains(expected) && mistake.is_redundant, "{text}: {mistake:?}");
        }
    }

    #[test]
    fn what_goes_together_and_what_is_not_known_passes() {
        for text in [
            "scope a; scope b; any_scope c d; any_scope c e",
            "client a; audience a; scope a",
            "delegated; actor a; deny_actor b; max_actors 1",
            "on_behalf_of_user; any_subject_kind service user",
            "on_behalf_of_user; subject_kind ?",
            "scopes_within a b; scope b; any_scope a c",
            "scopes_within ?; scope b",
            "claim_equals c a; claim_equals d b; claim_one_of c a b",
            "claim_equals c a; claim_equals c ?",
            "deny_actor a; deny_actor b",
            "any_client a ?; deny_actor a",
            "max_actors 0; not_delegated",
            "max_authentication_age 0",
            "all_of; all_of; not; not; authorization_detail; authorization_detail",
            "any_time_window a b",
        ] {
            assert_eq!(read(text), [], "{text}");
        }
    }

    #[test]
    fn every_mistake_is_found() {
        let mistakes = read("delegated; scope a\" ; not_delegated; client ; max_token_age 0; client b");
        let places: Vec<_> = mistakes.iter().map(|mistake| (mistake.at, mistake.text)).collect();
        assert_eq!(places, [(1, Some(0)), (2, None), (4, Some(0)), (5, None)]);
    }
}
