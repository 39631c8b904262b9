//! [`Revocable`]: what a revocation of any part of a token is found by.

use std::borrow::Cow;

use super::Facts;
use crate::{
    clock::Timestamp,
    revocation::{RevocationKey, RevocationKind},
};

/// Worked out once, when the token is verified.
#[derive(Default)]
pub(crate) struct Revocable {
    pub(crate) keys: Box<[RevocationKey]>,
    /// `iat`, a fraction rounded down: a token that was issued in the very second of
    /// a revocation counts as issued before it. `None` if the token does not say.
    pub(crate) issued_at: Option<Timestamp>,
}

/// An identifier, and what it is one of.
pub(super) type Identifier<'a> = (RevocationKind, Cow<'a, str>);

impl Revocable {
    /// The token, its subject, session and client, by every one of their
    /// `identifiers`: other systems name a party by another claim than the mapping
    /// reads. Each actor, in that role and as a subject.
    pub(super) fn of(facts: &Facts, identifiers: &[Identifier<'_>], issued_at: Option<Timestamp>) -> Self {
        use RevocationKind as Kind;
        let issuer = facts.subject.issuer();
        let mapped = [
            Some((Kind::Token, facts.token_id.as_str())),
            Some((Kind::Subject, facts.subject.id().as_str())),
            facts.session.as_ref().map(|session| (Kind::Session, session.as_str())),
            facts.client.as_ref().map(|client| (Kind::Client, client.as_str())),
        ];
        let mapped = mapped.into_iter().flatten();
        let named = identifiers.iter().map(|(kind, id)| (*kind, &**id));
        let of_token = mapped.chain(named).map(|(kind, id)| RevocationKey::of_party(kind, issuer, id));
        let of_actors = facts.actors.iter().flat_map(|actor| {
            actor.every_id().flat_map(|id| {
                [Kind::Actor, Kind::Subject]
                    .map(|kind| RevocationKey::of_party(kind, actor.issuer(), id.as_str()))
            })
        });
        let mut keys: Vec<RevocationKey> = Vec::new();
        for key in of_token.chain(of_actors) {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        Self { keys: keys.into(), issued_at }
    }
}
