//! How one provider spells the claims of its access tokens.

use super::{
    ClaimCondition, ClaimPath, KindCheck, NameForm, ScopeForm,
    forms::{ActorForm, ActorText, GROUPS, PERMISSIONS, ROLES, standard},
};
use crate::names::{ClientId, SubjectKind};

/// What a provider's access tokens look like: plain data that says where each
/// fact stands.
///
/// A new issuer has [`rfc9068`](Self::rfc9068). For other providers there are
/// presets; a mapping of your own starts from one of them and is changed by the
/// methods. A method that is a noun replaces what was there, `add_` appends,
/// `allow_` relaxes one rule.
///
/// What no mapping changes:
///
/// 1. The signature by the issuer's own keys, `exp`, `nbf`, `cnf`, an `iat` that
///    is present, and the refusal of a member name that occurs twice.
/// 2. A claim of the wrong JSON type is never taken as empty. It refuses the
///    token where it is the subject, the client, the scopes, the session, the
///    actor, the token's identifier, or a tenant that must be the issuer's.
///    Elsewhere it is a state of that fact: what demands the fact is denied.
/// 3. Scopes, roles, permissions and groups stay four sets. Nothing that demands
///    a scope is ever satisfied by the other three.
/// 4. `scope` and `scp` that differ refuse the token. So do two claims that name
///    the client and differ, unless
///    [`allow_differing_clients`](Self::allow_differing_clients) is called.
/// 5. `typ: JWT`, or none, is accepted only together with a [`KindCheck`], and
///    never where `sub` is a SPIFFE ID: that is what a JWT-SVID looks like, which
///    says who a workload is and not what it may do.
///
/// # Example
/// A provider that sends `scope` as an array and its roles in `ext.roles`:
/// ```
/// use tower_delegation::issuer::{ClaimMapping, ScopeForm};
///
/// let mapping = ClaimMapping::rfc9068()
///     .scopes("scope", ScopeForm::Array)
///     .add_roles(["ext", "roles"]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a mapping does nothing until an issuer is given it"]
pub struct ClaimMapping {
    /// `None`: `at+jwt` only.
    pub(super) generic_type: Option<KindCheck>,
    pub(crate) audience: AudienceRule,
    /// The first that is there.
    pub(crate) subject: Vec<ClaimPath>,
    pub(crate) absent_subject: AbsentSubject,
    /// The first condition that holds; `Unknown` if none does.
    pub(crate) subject_kinds: Vec<(ClaimCondition, SubjectKind)>,
    /// All that are there must agree, or the first counts.
    pub(crate) client: Vec<ClaimPath>,
    pub(crate) differing_clients: DifferingClients,
    pub(crate) client_presence: Presence,
    /// All that are there must agree.
    pub(crate) scopes: Vec<(ClaimPath, ScopeForm)>,
    /// Claims that grant nothing, and must agree with the scopes if they are there.
    pub(crate) rival_scopes: Vec<ClaimPath>,
    pub(crate) roles: Vec<(ClaimPath, NameForm)>,
    pub(crate) permissions: Vec<(ClaimPath, NameForm)>,
    pub(crate) groups: Vec<(ClaimPath, NameForm)>,
    /// Claims that say: the groups are not all in this token.
    pub(crate) groups_elsewhere: Vec<ClaimPath>,
    pub(crate) tenant: Option<ClaimPath>,
    pub(crate) tenant_rule: TenantRule,
    /// The first that is there.
    pub(crate) token_id: Vec<ClaimPath>,
    pub(crate) token_id_presence: Presence,
    pub(crate) issued_at_presence: Presence,
    /// The first that is there.
    pub(crate) session: Vec<ClaimPath>,
    pub(crate) actor: ActorForm,
    /// The members of `act` that identify an actor: the first that is there.
    pub(crate) actor_ids: Vec<Box<str>>,
    /// Values of `act` that stand for no actor.
    pub(crate) absent_actors: Vec<Box<str>>,
    pub(crate) actor_text: ActorText,
}

/// What keeps tokens that are meant for others out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AudienceRule {
    /// `aud` names this service.
    Required,
    /// The client is one of these; an `aud` that is there names this service.
    Clients(Vec<ClientId>),
}

/// What a token without a subject is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AbsentSubject {
    Refused,
    /// The client's own, unless a claim is there that only users' tokens have.
    Client {
        unless: Vec<ClaimPath>,
    },
}

/// What two claims that name the client differently mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DifferingClients {
    Refused,
    /// The first of the mapping that is there counts.
    First,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Required,
    Optional,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TenantRule {
    Optional,
    /// The tenant is there, and is one of the segments of the issuer's path.
    InIssuer,
}

impl ClaimMapping {
    /// The profile of RFC 9068: `typ: at+jwt`; `sub`, `client_id`, `jti` and
    /// `aud` required; `scope` a string; roles, groups and, as permissions,
    /// `entitlements` in the form [`NameForm::Values`] (section 2.2.3.1). The mapping
    /// of an issuer that is given none.
    ///
    /// A subject that is the client is a service. Any other is of unknown kind:
    /// the RFC defines no claim that proves a user. Name one with
    /// [`add_user_claim`](Self::add_user_claim), or let
    /// [`assume_user_unless_client`](Self::assume_user_unless_client) take the risk.
    pub fn rfc9068() -> Self {
        Self {
            generic_type: None,
            audience: AudienceRule::Required,
            subject: vec!["sub".into()],
            absent_subject: AbsentSubject::Refused,
            // RFC 9068 sections 2.2 and 5: without a resource owner `sub` names the client,
            // and no user's `sub` may equal a client's. The reverse is said nowhere: many
            // providers name a client differently in `sub`.
            subject_kinds: vec![(ClaimCondition::subject_is_client(), SubjectKind::Service)],
            client: vec!["client_id".into()],
            differing_clients: DifferingClients::Refused,
            client_presence: Presence::Required,
            scopes: vec![("scope".into(), ScopeForm::String)],
            rival_scopes: Vec::new(),
            roles: standard(ROLES),
            permissions: standard(PERMISSIONS),
            groups: standard(GROUPS),
            groups_elsewhere: Vec::new(),
            tenant: None,
            tenant_rule: TenantRule::Optional,
            token_id: vec!["jti".into()],
            token_id_presence: Presence::Required,
            issued_at_presence: Presence::Required,
            session: vec!["sid".into()],
            actor: ActorForm::Nested,
            actor_ids: vec!["sub".into()],
            absent_actors: Vec::new(),
            actor_text: ActorText::Refused,
        }
    }

    /// Also accepts tokens with `typ: JWT` or without `typ`, which any token of
    /// the issuer may be, provided that `check` tells them to be access tokens
    /// (RFC 8725 section 3.12). Given twice, both checks must hold.
    pub fn accept_generic_type(mut self, check: KindCheck) -> Self {
        self.generic_type = Some(match self.generic_type {
            Some(former) => former.and(check),
            None => check,
        });
        self
    }

    /// Accepts tokens that name no audience, if they were issued to one of
    /// these clients; for providers that issue no `aud`.
    ///
    /// *Unsafe where clients are shared*: a token that one of them got for
    /// another service opens this one too. An `aud` that is there all the same
    /// must be one of the issuer's audiences. Given twice, all clients count.
    pub fn insecure_clients_instead_of_audience<C: Into<ClientId>>(
        mut self,
        clients: impl IntoIterator<Item = C>,
    ) -> Self {
        let mut known = match self.audience {
            AudienceRule::Required => Vec::new(),
            AudienceRule::Clients(known) => known,
        };
        known.extend(clients.into_iter().map(Into::into));
        self.audience = AudienceRule::Clients(known);
        self
    }

    /// The claim that identifies the subject: a string that the issuer never
    /// gives to anyone else.
    pub fn subject(mut self, path: impl Into<ClaimPath>) -> Self {
        self.subject = vec![path.into()];
        self
    }

    /// A claim that identifies the subject where the former ones are absent.
    pub fn add_subject(mut self, path: impl Into<ClaimPath>) -> Self {
        self.subject.push(path.into());
        self
    }

    /// Takes a token without a subject as the client's own, of the kind
    /// service; unless one of `user_claims` is there, which only tokens for a
    /// user have: such a token lacks its subject and is refused.
    pub fn allow_absent_subject<P: Into<ClaimPath>>(
        mut self,
        user_claims: impl IntoIterator<Item = P>,
    ) -> Self {
        let unless = user_claims.into_iter().map(Into::into).collect();
        self.absent_subject = AbsentSubject::Client { unless };
        self
    }

    /// What the subject is, by the first condition that holds; unknown if none does.
    /// Replaces the conditions of the preset.
    ///
    /// Give conditions that prove a kind, not the absence of a mark of the other.
    /// `auth_time`, `acr` and `sid` prove nothing: some providers put them into
    /// the tokens of machines.
    pub fn subject_kinds(mut self, rules: impl IntoIterator<Item = (ClaimCondition, SubjectKind)>) -> Self {
        self.subject_kinds = rules.into_iter().collect();
        self
    }

    /// Tests that are asked after those that are already there.
    pub fn add_subject_kinds(
        mut self,
        rules: impl IntoIterator<Item = (ClaimCondition, SubjectKind)>,
    ) -> Self {
        self.subject_kinds.extend(rules);
        self
    }

    /// A claim that only tokens of users have: a subject whose token carries it
    /// is a user, unless an earlier condition tells another kind. `null`, `false`, zero and
    /// empty values prove nothing: see [`ClaimCondition::present`].
    pub fn add_user_claim(self, path: impl Into<ClaimPath>) -> Self {
        self.add_subject_kinds([(ClaimCondition::present(path), SubjectKind::User)])
    }

    /// Assumes that every subject that is not the client, by any claim that names
    /// either, is a user, unless an earlier condition tells another kind. Without a client, nothing is assumed.
    ///
    /// *Unsafe where the issuer names a client differently in `sub`* (Auth0:
    /// `abc@clients`; Keycloak: a UUID): the machine then counts as a user. Look
    /// at a token of the client credentials grant before you use this, and prefer
    /// [`add_user_claim`](Self::add_user_claim).
    pub fn assume_user_unless_client(self) -> Self {
        self.add_subject_kinds([(ClaimCondition::subject_is_not_client(), SubjectKind::User)])
    }

    /// The claim that names the client.
    pub fn client(mut self, path: impl Into<ClaimPath>) -> Self {
        self.client = vec![path.into()];
        self
    }

    /// One more claim that names the client. All that are there must agree.
    pub fn add_client(mut self, path: impl Into<ClaimPath>) -> Self {
        self.client.push(path.into());
        self
    }

    /// Takes the first claim that is there for the client, in the order of
    /// [`client`](Self::client) and [`add_client`](Self::add_client), where several
    /// name the client and differ. By default such a token is refused.
    pub fn allow_differing_clients(mut self) -> Self {
        self.differing_clients = DifferingClients::First;
        self
    }

    /// Accepts tokens that name no client. A requirement that demands one, or
    /// that someone acts for a user, is then not met.
    pub fn allow_absent_client(mut self) -> Self {
        self.client_presence = Presence::Optional;
        self
    }

    /// Reads no client: the tokens are not issued to OAuth clients.
    pub fn without_client(mut self) -> Self {
        self.client = Vec::new();
        self.allow_absent_client()
    }

    /// The claim that names the tenant.
    pub fn tenant(mut self, path: impl Into<ClaimPath>) -> Self {
        self.tenant = Some(path.into());
        self
    }

    /// Demands that the token names its tenant, and that the tenant is one of
    /// the segments of the issuer's path.
    pub fn require_tenant_in_issuer(mut self) -> Self {
        self.tenant_rule = TenantRule::InIssuer;
        self
    }

    /// The claim that identifies the token.
    pub fn token_id(mut self, path: impl Into<ClaimPath>) -> Self {
        self.token_id = vec![path.into()];
        self
    }

    /// Accepts tokens without an identifier. Theirs is then `sha-256:` and the
    /// base64url digest of what is signed, the token up to its last dot: an
    /// ECDSA signature has a second spelling that verifies as well.
    pub fn allow_absent_token_id(mut self) -> Self {
        self.token_id_presence = Presence::Optional;
        self
    }

    /// Accepts tokens without `iat`, which RFC 7519 section 4.1.6 makes optional.
    ///
    /// The age and the lifetime of such a token are not known: every limit on
    /// them, of the issuer, the registry or a requirement, refuses it, and a
    /// revocation of what was issued before some time covers it.
    pub fn allow_absent_issued_at(mut self) -> Self {
        self.issued_at_presence = Presence::Optional;
        self
    }

    /// The claim that identifies the session.
    pub fn session(mut self, path: impl Into<ClaimPath>) -> Self {
        self.session = vec![path.into()];
        self
    }

    /// A claim that identifies the session where the former ones are absent.
    pub fn add_session(mut self, path: impl Into<ClaimPath>) -> Self {
        self.session.push(path.into());
        self
    }

    /// Reads earlier actors from a list beside `act`, in place of an `act`
    /// inside `act`.
    pub fn earlier_actors(mut self, path: impl Into<ClaimPath>) -> Self {
        self.actor = ActorForm::Beside(path.into());
        self
    }

    /// The member of `act` that identifies an actor, in place of `sub`: `act` names
    /// its party by any claims (RFC 8693 section 4.1).
    pub fn actor_id(mut self, name: &str) -> Self {
        self.actor_ids = vec![name.into()];
        self
    }

    /// A member of `act` that identifies an actor where the former ones are absent.
    ///
    /// Rules and the registry see the identifier alone: the names that the two
    /// members give must not overlap.
    ///
    /// ```
    /// use tower_delegation::issuer::ClaimMapping;
    ///
    /// // `"act": { "client_id": "desk-agent" }`
    /// let mapping = ClaimMapping::rfc9068().add_actor_id("client_id");
    /// ```
    pub fn add_actor_id(mut self, name: &str) -> Self {
        self.actor_ids.push(name.into());
        self
    }

    /// Refuses tokens with an `act`: this issuer has no actors, so such a token
    /// is not what it looks like.
    pub fn without_actor(mut self) -> Self {
        self.actor = ActorForm::Refused;
        self
    }

    /// Takes an `act` that is this very string as no actor (RFC 8693 section
    /// 4.1 knows no such value).
    pub fn allow_absent_actor_value(mut self, value: &str) -> Self {
        self.absent_actors.push(value.into());
        self
    }

    /// Accepts an `act` that is a string with the JSON object in it.
    pub fn allow_actor_in_string(mut self) -> Self {
        self.actor_text = ActorText::Allowed;
        self
    }

    /// What is wrong with this mapping, whatever the issuer.
    pub(super) fn mistake(&self) -> Option<&'static str> {
        let unless = match &self.absent_subject {
            AbsentSubject::Refused => [].as_slice(),
            AbsentSubject::Client { unless } => unless.as_slice(),
        };
        let beside = match &self.actor {
            ActorForm::Nested | ActorForm::Refused => None,
            ActorForm::Beside(path) => Some(path),
        };
        let scopes: Vec<&ClaimPath> = self.scopes.iter().map(|(path, _)| path).collect();
        let sets = [scopes, paths(&self.roles), paths(&self.permissions), paths(&self.groups)];
        let facts = [&self.subject, &self.client, &self.groups_elsewhere, &self.token_id, &self.session]
            .into_iter()
            .flatten()
            .chain(unless)
            .chain(&self.tenant)
            .chain(self.subject_kinds.iter().flat_map(|(condition, _)| condition.paths()))
            .chain(sets.iter().flatten().copied());
        let facts: Vec<&ClaimPath> = facts.collect();
        if !facts.iter().copied().chain(beside).all(ClaimPath::is_sound) {
            return Some("a claim's path is empty, or has an empty name in it");
        }
        if facts.iter().any(|path| path.is_of_earlier_actors() || beside.is_some_and(|list| path.is_in(list)))
        {
            return Some("a fact is read from earlier actors, which never grant: name a claim of the token");
        }
        let mut read: Vec<&ClaimPath> = sets.iter().flatten().copied().collect();
        let count = read.len();
        read.sort_by_key(|path| &path.0);
        read.dedup();
        if read.len() < count {
            return Some(
                "one claim is read as two of scopes, roles, permissions and groups, or twice as one",
            );
        }
        let is_reserved = |name: &str| name.is_empty() || ["iss", "act"].contains(&name);
        if self.actor_ids.iter().any(|name| is_reserved(name)) {
            return Some(
                "an actor is identified by a member of `act` that is not `iss`, `act` or without a name",
            );
        }
        let is_without_client = self.client.is_empty() || self.client_presence == Presence::Optional;
        if is_without_client && matches!(self.absent_subject, AbsentSubject::Client { .. }) {
            return Some("the client stands in for an absent subject, and may be absent itself");
        }
        if is_without_client && matches!(self.audience, AudienceRule::Clients(_)) {
            return Some("the client stands in for the audience, and may be absent itself");
        }
        if self.tenant_rule == TenantRule::InIssuer && self.tenant.is_none() {
            return Some("the tenant must be in the issuer, and no claim names it");
        }
        None
    }
}

impl Default for ClaimMapping {
    fn default() -> Self {
        Self::rfc9068()
    }
}

fn paths(claims: &[(ClaimPath, NameForm)]) -> Vec<&ClaimPath> {
    claims.iter().map(|(path, _)| path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictory_mappings_are_found() {
        let new = ClaimMapping::rfc9068;
        for (name, mapping) in [
            ("empty name", new().subject("")),
            ("empty path", new().add_roles([])),
            ("empty segment", new().tenant(["a", ""])),
            (
                "empty path in a condition",
                new().subject_kinds([(ClaimCondition::present(""), SubjectKind::User)]),
            ),
            ("empty path of earlier actors", new().earlier_actors("")),
            ("roles as permissions", new().add_roles("r").add_permissions("r")),
            ("groups as scopes", new().add_groups("scope")),
            ("roles twice", new().add_roles("r").add_roles("r")),
            ("neither subject nor client", new().allow_absent_client().allow_absent_subject(["sid"])),
            ("no client for a subject", new().without_client().allow_absent_subject(["sid"])),
            (
                "neither audience nor client",
                new().without_client().insecure_clients_instead_of_audience(["a"]),
            ),
            ("no tenant", new().require_tenant_in_issuer()),
            ("entitlements as two", new().add_roles("entitlements").add_groups("entitlements")),
            ("groups twice", new().add_groups("groups").add_groups_as("groups", NameForm::Either)),
            ("roles in two forms", new().add_roles("r").add_roles_as("r", NameForm::Members)),
            ("an actor without a name", new().add_actor_id("")),
            ("an actor by its issuer", new().actor_id("iss")),
            ("an actor by another", new().add_actor_id("act")),
            ("roles of an earlier actor", new().add_roles(["act", "act", "roles"])),
            ("a scope of an earlier actor", new().add_scopes(["act", "act", "scope"], ScopeForm::String)),
            ("an earlier actor as the client", new().client(["act", "act", "sub"])),
            ("an earlier actor as the subject", new().add_subject(["act", "act", "act", "sub"])),
            ("an earlier actor as the mark of users", new().add_user_claim(["act", "act"])),
            ("an earlier actor's tenant", new().tenant(["act", "act", "tenant"])),
            ("earlier actors as groups", new().earlier_actors("chain").add_groups("chain")),
            ("what is in earlier actors", new().earlier_actors(["x", "chain"]).tenant(["x", "chain", "t"])),
        ] {
            assert!(mapping.mistake().is_some(), "{name}");
        }
        for (name, mapping) in [
            ("the default", new()),
            ("the current actor's tenant", new().tenant(["act", "tenant"])),
            ("a claim that is called as the chain", new().add_roles(["realm", "act", "act"])),
            ("beside earlier actors", new().earlier_actors(["x", "chain"]).tenant(["x", "tenant"])),
        ] {
            assert_eq!(mapping.mistake(), None, "{name}");
        }
    }
}
