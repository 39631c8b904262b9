//! [`Revocable`]: what a revocation of any part of a token is found by.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{
    Facts,
    claims::date,
    json::{find, string},
};
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

/// The standard claims that name what can be revoked, as they are in the token.
#[derive(Default)]
pub(super) struct StandardClaims<'a> {
    pub(super) token_id: Option<&'a RawValue>,
    pub(super) subject: Option<&'a RawValue>,
    pub(super) session: Option<&'a RawValue>,
    pub(super) client: Option<&'a RawValue>,
    pub(super) actor: Option<&'a RawValue>,
    pub(super) issued_at: Option<&'a RawValue>,
}

impl Revocable {
    /// The token, its subject, session and client; each actor, in that role and
    /// as a subject. By the identifiers that the mapping reads, and by those of the
    /// standard claims where they differ: other systems name a party by these.
    pub(super) fn of(facts: &Facts, claims: &StandardClaims<'_>) -> Self {
        use RevocationKind as Kind;
        let issuer = facts.subject.issuer();
        let mapped = [
            Some((Kind::Token, facts.token_id.as_str())),
            Some((Kind::Subject, facts.subject.id().as_str())),
            facts.session.as_ref().map(|session| (Kind::Session, session.as_str())),
            facts.client.as_ref().map(|client| (Kind::Client, client.as_str())),
        ];
        let mut keys: Vec<RevocationKey> = Vec::with_capacity(mapped.len() + 2 * facts.actors.len());
        let mapped = mapped.into_iter().flatten();
        keys.extend(mapped.map(|(kind, id)| RevocationKey::of_party(kind, issuer, id)));
        for actor in &facts.actors {
            for kind in [Kind::Actor, Kind::Subject] {
                keys.push(RevocationKey::of_party(kind, actor.issuer(), actor.id().as_str()));
            }
        }
        let mut add = |kind, issuer, claim: Option<&RawValue>| {
            let Some(id) = claim.and_then(text) else { return };
            let key = RevocationKey::of_party(kind, issuer, &id);
            if !keys.contains(&key) {
                keys.push(key);
            }
        };
        add(Kind::Token, issuer, claims.token_id);
        add(Kind::Subject, issuer, claims.subject);
        add(Kind::Session, issuer, claims.session);
        // Without a client the mapping reads none, and there is none to revoke.
        add(Kind::Client, issuer, claims.client.filter(|_| facts.client.is_some()));
        let mut act = claims.actor;
        for actor in &facts.actors {
            let Some(object) = act.filter(|act| act.get().starts_with('{')) else { break };
            for kind in [Kind::Actor, Kind::Subject] {
                add(kind, actor.issuer(), find(object.get(), "sub"));
            }
            act = find(object.get(), "act");
        }
        Self { keys: keys.into(), issued_at: date(claims.issued_at, f64::floor).ok().flatten() }
    }
}

/// What is not a text identifies nothing.
fn text(claim: &RawValue) -> Option<Cow<'_, str>> {
    string(claim).filter(|text| !text.is_empty())
}
