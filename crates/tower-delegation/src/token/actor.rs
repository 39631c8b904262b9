//! Who acts, and for whom: subject, actor and the chain of earlier actors
//! (RFC 8693 section 4.1).

use std::iter;

use serde_json::value::RawValue;

use crate::{
    application::{Actors, ChainedActor},
    json::{Nested, read_object, string},
    names::{IssuerUrl, SubjectId, SubjectKind},
    reason::DenialReason,
};

const MALFORMED: DenialReason = DenialReason::ActorMalformed;

/// The party a request is made for. Its identity is issuer and id together
/// (RFC 8725 section 3.8).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject {
    issuer: IssuerUrl,
    id: SubjectId,
    kind: SubjectKind,
}

impl Subject {
    pub(crate) fn new(issuer: IssuerUrl, id: SubjectId, kind: SubjectKind) -> Self {
        Self { issuer, id, kind }
    }

    /// Who vouches for the subject.
    #[must_use]
    pub fn issuer(&self) -> &IssuerUrl {
        &self.issuer
    }

    /// The subject's identifier at its issuer.
    #[must_use]
    pub fn id(&self) -> &SubjectId {
        &self.id
    }

    /// User, service or unknown.
    #[must_use]
    pub fn kind(&self) -> SubjectKind {
        self.kind
    }
}

/// A party that acts for the subject. Its identity is issuer and id together, as far
/// as the token's issuer [may speak for](crate::TrustedIssuer::may_speak_for) that issuer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Actor {
    issuer: IssuerUrl,
    /// Another issuer that the token names, and that its own may not speak for.
    claimed_issuer: Option<IssuerUrl>,
    id: SubjectId,
    /// What else names it: only a revocation looks at these.
    other_ids: Box<[SubjectId]>,
}

impl Actor {
    /// Who vouches for the actor: the token's issuer, or `act.iss` where the token's
    /// issuer [may speak for](crate::TrustedIssuer::may_speak_for) that one.
    #[must_use]
    pub fn issuer(&self) -> &IssuerUrl {
        &self.issuer
    }

    /// `act.iss`, where the token's issuer may not speak for that issuer. The actor is
    /// then neither that issuer's nor the token issuer's own: no rule on actors admits it
    /// and no registry knows it. Revocations, suspensions and denied actors of either
    /// issuer still match it.
    #[must_use]
    pub fn claimed_issuer(&self) -> Option<&IssuerUrl> {
        self.claimed_issuer.as_ref()
    }

    /// Whether this is that actor of that issuer, and an issuer that may say so vouches for it.
    #[must_use]
    pub fn is(&self, issuer: &IssuerUrl, id: &SubjectId) -> bool {
        self.claimed_issuer.is_none() && self.issuer == *issuer && self.id == *id
    }

    /// Both issuers that it may be an actor of: for what can only deny.
    pub(super) fn every_issuer(&self) -> impl Iterator<Item = &IssuerUrl> {
        iter::once(&self.issuer).chain(&self.claimed_issuer)
    }

    /// The actor's identifier: `act.sub`, unless the issuer's
    /// [`ClaimMapping`](crate::issuer::ClaimMapping) names another member.
    #[must_use]
    pub fn id(&self) -> &SubjectId {
        &self.id
    }

    /// Every identifier that a revocation may name it by: `act.sub`, and the members
    /// that the mapping names.
    pub(super) fn every_id(&self) -> impl Iterator<Item = &SubjectId> {
        iter::once(&self.id).chain(&self.other_ids)
    }
}

impl Actors for Box<[Actor]> {
    fn actor(&self, at: usize) -> Option<ChainedActor<'_>> {
        let Actor { issuer, claimed_issuer, id, .. } = self.get(at)?;
        Some(ChainedActor { issuer, claimed_issuer: claimed_issuer.as_ref(), id })
    }
}

/// What names an actor.
pub(super) struct ActorNames<'n> {
    /// Vouches for actors that name no issuer.
    pub(super) token_issuer: &'n IssuerUrl,
    /// The other issuers whose actors it may name.
    pub(super) speaks_for: &'n [IssuerUrl],
    /// The members that identify an actor; the first that is there counts.
    pub(super) ids: &'n [Box<str>],
}

/// Reads an `act` claim: the current actor first, then earlier ones, newest first.
///
/// Goes down level by level in a loop, so the depth of a hostile chain costs
/// no stack. A chain of more than `max_actors` is refused, never cut short.
/// `exp`, `nbf` and `aud` inside mean nothing and are ignored (RFC 8693 section 4.1).
pub(super) fn read_chain(
    act: &RawValue,
    names: &ActorNames<'_>,
    max_actors: usize,
) -> Result<Box<[Actor]>, DenialReason> {
    let mut chain = Vec::with_capacity(1);
    let mut next = Some(act);
    while let Some(act) = next.take() {
        if chain.len() == max_actors {
            return Err(DenialReason::ActorChainTooLong);
        }
        let (actor, earlier) = read_actor(act, names)?;
        chain.push(actor);
        next = earlier;
    }
    Ok(chain.into())
}

/// Reads a chain that is no nest: the current actor in `act`, earlier ones in
/// an array beside it, in the token's order.
pub(super) fn read_list(
    act: &RawValue,
    earlier: &RawValue,
    names: &ActorNames<'_>,
    max_actors: usize,
) -> Result<Box<[Actor]>, DenialReason> {
    let earlier: Vec<&RawValue> = serde_json::from_str(earlier.get()).or(Err(MALFORMED))?;
    if earlier.len() >= max_actors {
        return Err(DenialReason::ActorChainTooLong);
    }
    let mut chain = Vec::with_capacity(1 + earlier.len());
    for act in iter::once(act).chain(earlier) {
        let (actor, nested) = read_actor(act, names)?;
        // Two forms at once: which one tells the chain?
        if nested.is_some() {
            return Err(MALFORMED);
        }
        chain.push(actor);
    }
    Ok(chain.into())
}

/// One actor, and the `act` inside.
fn read_actor<'a>(
    act: &'a RawValue,
    names: &ActorNames<'_>,
) -> Result<(Actor, Option<&'a RawValue>), DenialReason> {
    let mut ids: Vec<(usize, SubjectId)> = Vec::with_capacity(1);
    let mut issuer = None;
    let mut nested = None;
    read_object(act.get(), MALFORMED, |name, value| {
        let identity = || string(value).filter(|text| !text.is_empty());
        if let Some(rank) = names.ids.iter().position(|id| **id == *name) {
            ids.push((rank, SubjectId::from(&*identity().ok_or(MALFORMED)?)));
        } else if name == "sub" {
            // Named, and not read: it may be malformed.
            ids.extend(identity().map(|id| (names.ids.len(), SubjectId::from(&*id))));
        }
        match name {
            "iss" => issuer = Some(IssuerUrl::from(&*identity().ok_or(MALFORMED)?)),
            "act" => {
                nested = Some(value);
                return Ok(Nested::Unchecked);
            }
            _ => {}
        }
        Ok(Nested::Checked)
    })?;
    ids.sort_by_key(|(rank, _)| *rank);
    let mut ids = ids.into_iter();
    let (_, id) = ids.next().filter(|(rank, _)| *rank < names.ids.len()).ok_or(MALFORMED)?;
    let other_ids = ids.map(|(_, other)| other).filter(|other| *other != id).collect();
    let own = names.token_issuer;
    let (issuer, claimed_issuer) = match issuer {
        Some(named) if names.speaks_for.contains(&named) => (named, None),
        Some(named) if named != *own => (own.clone(), Some(named)),
        Some(_) | None => (own.clone(), None),
    };
    Ok((Actor { issuer, claimed_issuer, id, other_ids }, nested))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(act: &str) -> Result<Vec<(String, String)>, DenialReason> {
        read_by(&["sub"], act)
    }

    fn read_by(ids: &[&str], act: &str) -> Result<Vec<(String, String)>, DenialReason> {
        let act = serde_json::from_str(act).unwrap();
        let ids: Vec<Box<str>> = ids.iter().map(|id| Box::from(*id)).collect();
        let names = ActorNames {
            token_issuer: &IssuerUrl::from("https://idp"),
            speaks_for: &["https://other".into()],
            ids: &ids,
        };
        let chain = read_chain(act, &names, 8)?;
        let issuer = |actor: &Actor| match &actor.claimed_issuer {
            Some(claimed) => format!("{} claims {claimed}", actor.issuer),
            None => actor.issuer.to_string(),
        };
        Ok(chain.iter().map(|actor| (issuer(actor), actor.id.to_string())).collect())
    }

    fn nested(depth: usize) -> String {
        (0..depth).fold(String::new(), |inner, level| {
            let inner = if inner.is_empty() { inner } else { format!(r#","act":{inner}"#) };
            format!(r#"{{"sub":"a{level}"{inner}}}"#)
        })
    }

    #[test]
    fn the_outermost_is_current() {
        let chain = read(r#"{"sub":"now","iss":"https://other","act":{"sub":"before"}}"#).unwrap();
        assert_eq!(chain, [("https://other".into(), "now".into()), ("https://idp".into(), "before".into())]);
    }

    #[test]
    fn an_issuer_speaks_for_its_own_actors_and_for_those_it_is_given() {
        for (name, iss, issuer) in [
            ("its own", "https://idp", "https://idp"),
            ("given", "https://other", "https://other"),
            ("not given", "https://third", "https://idp claims https://third"),
            ("nearly given", "https://other/", "https://idp claims https://other/"),
        ] {
            let act = format!(r#"{{"sub":"now","act":{{"sub":"before","iss":"{iss}"}}}}"#);
            let chain = read(&act).unwrap();
            assert_eq!(
                chain,
                [("https://idp".into(), "now".into()), (issuer.into(), "before".into())],
                "{name}"
            );
            let chain = read(&format!(r#"{{"sub":"now","iss":"{iss}"}}"#)).unwrap();
            assert_eq!(chain, [(issuer.into(), "now".into())], "{name}");
        }
    }

    #[test]
    fn the_first_of_several_names_counts() {
        let ids = |ids: &[&str], act: &str| {
            read_by(ids, act).map(|chain| chain.into_iter().map(|(_, id)| id).collect::<Vec<_>>())
        };
        let both = ["sub", "client_id"];
        assert_eq!(ids(&both, r#"{"client_id":"app"}"#).unwrap(), ["app"]);
        assert_eq!(ids(&both, r#"{"client_id":"app","sub":"bot"}"#).unwrap(), ["bot"]);
        let nested = r#"{"client_id":"app","act":{"sub":"bot"}}"#;
        assert_eq!(ids(&both, nested).unwrap(), ["app", "bot"]);
        assert_eq!(ids(&["client_id"], nested), Err(MALFORMED), "the earlier one has no such name");
        for act in [r#"{"client_id":1}"#, r#"{"client_id":null}"#, r#"{"sub":"bot","client_id":""}"#, "{}"] {
            assert_eq!(ids(&both, act), Err(MALFORMED), "{act}");
        }
    }

    #[test]
    fn time_and_audience_inside_mean_nothing() {
        assert!(read(r#"{"sub":"svc","exp":1,"nbf":"x","aud":[1]}"#).is_ok());
    }

    #[test]
    fn eight_actors_are_read_and_nine_refused() {
        assert_eq!(read(&nested(8)).unwrap().len(), 8);
        assert_eq!(read(&nested(9)), Err(DenialReason::ActorChainTooLong));
    }

    fn list(act: &str, earlier: &str) -> Result<Vec<String>, DenialReason> {
        let (act, earlier) = (serde_json::from_str(act).unwrap(), serde_json::from_str(earlier).unwrap());
        let names = ActorNames {
            token_issuer: &IssuerUrl::from("https://idp"),
            speaks_for: &[],
            ids: &["sub".into()],
        };
        let chain = read_list(act, earlier, &names, 3)?;
        Ok(chain.iter().map(|actor| actor.id.to_string()).collect())
    }

    #[test]
    fn a_list_beside_is_a_chain() {
        let chain = list(r#"{"sub":"a"}"#, r#"[{"sub":"b"},{"sub":"c"}]"#);
        assert_eq!(chain.unwrap(), ["a", "b", "c"]);
        assert_eq!(list(r#"{"sub":"a"}"#, "[]").unwrap(), ["a"]);
    }

    #[test]
    fn refused_lists() {
        use DenialReason::{ActorChainTooLong, ActorMalformed, DuplicateMember};
        let act = r#"{"sub":"a"}"#;
        for (name, act, earlier, reason) in [
            ("no array", act, r#"{"sub":"b"}"#, ActorMalformed),
            ("null", act, "null", ActorMalformed),
            ("names", act, r#"["b"]"#, ActorMalformed),
            ("no name", act, "[{}]", ActorMalformed),
            ("nested beside", act, r#"[{"sub":"b","act":{"sub":"c"}}]"#, ActorMalformed),
            ("nested in act", r#"{"sub":"a","act":{"sub":"b"}}"#, "[]", ActorMalformed),
            ("twice", act, r#"[{"sub":"b","sub":"b"}]"#, DuplicateMember),
            ("too many", act, r#"[{"sub":"b"},{"sub":"c"},{"sub":"d"}]"#, ActorChainTooLong),
        ] {
            assert_eq!(list(act, earlier), Err(reason), "{name}");
        }
    }

    #[test]
    fn refused() {
        for act in [
            r#""admin""#,
            r#"[{"sub":"a"}]"#,
            "null",
            "{}",
            r#"{"sub":1}"#,
            r#"{"sub":""}"#,
            r#"{"sub":"a","iss":""}"#,
            r#"{"sub":"a","iss":1}"#,
            r#"{"iss":"https://idp"}"#,
            r#"{"client_id":"a"}"#,
            r#"{"sub":"a","act":"x"}"#,
            r#"{"sub":"a","act":null}"#,
            r#"{"sub":"a","act":{}}"#,
        ] {
            assert_eq!(read(act), Err(DenialReason::ActorMalformed), "{act}");
        }
        for act in [r#"{"sub":"a","sub":"a"}"#, r#"{"sub":"a","act":{"sub":"b","x":{"y":1,"y":1}}}"#] {
            assert_eq!(read(act), Err(DenialReason::DuplicateMember), "{act}");
        }
    }
}
