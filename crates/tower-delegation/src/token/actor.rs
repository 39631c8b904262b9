//! Who acts, and for whom: subject, actor and the chain of earlier actors
//! (RFC 8693 section 4.1).

use serde_json::value::RawValue;

use super::json::{Nested, read_object, string};
use crate::{
    names::{IssuerUrl, SubjectId},
    reason::DenialReason,
};

/// What a subject is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SubjectKind {
    /// A person.
    User,
    /// An application that acts for itself (RFC 9068 section 2.2: `sub` names the client).
    Service,
    /// The token does not tell. Never counts as a user.
    Unknown,
}

impl SubjectKind {
    /// The kind in lower case, as audit events carry it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Service => "service",
            Self::Unknown => "unknown",
        }
    }
}

/// The party a request is made for. Its identity is issuer and id together
/// (RFC 8725 section 3.8).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject {
    issuer: IssuerUrl,
    id: SubjectId,
    kind: SubjectKind,
}

impl Subject {
    pub(super) fn new(issuer: IssuerUrl, id: SubjectId, kind: SubjectKind) -> Self {
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

/// A party that acts for the subject. Its identity is issuer and id together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Actor {
    issuer: IssuerUrl,
    id: SubjectId,
}

impl Actor {
    /// Who vouches for the actor: `act.iss`, or the token's issuer where that is absent.
    #[must_use]
    pub fn issuer(&self) -> &IssuerUrl {
        &self.issuer
    }

    /// The actor's identifier: `act.sub`.
    #[must_use]
    pub fn id(&self) -> &SubjectId {
        &self.id
    }
}

/// Reads an `act` claim: the current actor first, then earlier ones, newest first.
///
/// Goes down level by level in a loop, so the depth of a hostile chain costs
/// no stack. A chain of more than `max_actors` is refused, never cut short.
/// `exp`, `nbf` and `aud` inside mean nothing and are ignored (RFC 8693 section 4.1).
pub(super) fn read_chain(
    act: &RawValue,
    token_issuer: &IssuerUrl,
    max_actors: usize,
) -> Result<Box<[Actor]>, DenialReason> {
    const MALFORMED: DenialReason = DenialReason::ActorMalformed;
    let mut chain = Vec::with_capacity(1);
    let mut next = Some(act);
    while let Some(act) = next.take() {
        if chain.len() == max_actors {
            return Err(DenialReason::ActorChainTooLong);
        }
        let mut id = None;
        let mut issuer = None;
        read_object(act.get(), MALFORMED, |name, value| {
            let identity = || string(value).filter(|text| !text.is_empty()).ok_or(MALFORMED);
            match name {
                "sub" => id = Some(SubjectId::from(&*identity()?)),
                "iss" => issuer = Some(IssuerUrl::from(&*identity()?)),
                "act" => {
                    next = Some(value);
                    return Ok(Nested::Unchecked);
                }
                _ => {}
            }
            Ok(Nested::Checked)
        })?;
        let id = id.ok_or(MALFORMED)?;
        chain.push(Actor { issuer: issuer.unwrap_or_else(|| token_issuer.clone()), id });
    }
    Ok(chain.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(act: &str) -> Result<Vec<(String, String)>, DenialReason> {
        let act = serde_json::from_str(act).unwrap();
        let chain = read_chain(act, &IssuerUrl::from("https://idp"), 8)?;
        Ok(chain.iter().map(|actor| (actor.issuer.to_string(), actor.id.to_string())).collect())
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
    fn time_and_audience_inside_mean_nothing() {
        assert!(read(r#"{"sub":"svc","exp":1,"nbf":"x","aud":[1]}"#).is_ok());
    }

    #[test]
    fn eight_actors_are_read_and_nine_refused() {
        assert_eq!(read(&nested(8)).unwrap().len(), 8);
        assert_eq!(read(&nested(9)), Err(DenialReason::ActorChainTooLong));
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
