//! [`Terms`]: a checked downstream, and what may be asked for there.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use url::Url;

use super::{actor_token::ActorTokens, dpop::DpopKey, flow::Steps, server::Server};
use crate::{
    clock::Timestamp,
    names::{Audience, ClientId, IssuerUrl, SubjectId},
    requirement::Requirement,
    scope::ScopeSet,
};

/// What the token of a downstream must say of this service, which acts there for the caller
/// (RFC 8693 section 4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ActorMode {
    /// The current actor is this service, and beneath it is the chain of the caller's token,
    /// unchanged.
    #[default]
    Required,
    /// The token may name no actor at all. One that it names is judged as if it were required.
    /// What it says is recorded.
    RecordedOnly,
    /// The issuer cannot say it (Entra's on-behalf-of): a token with an actor is refused, and
    /// the client that it names must be this service.
    None,
}

/// A downstream whose configuration has been checked.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) name: Arc<str>,
    pub(super) url: Url,
    pub(super) origin: url::Origin,
    pub(super) resource: String,
    pub(super) asks_by_audience: bool,
    /// What `aud` must be.
    pub(super) target: Audience,
    pub(super) server: Server,
    pub(super) steps: Steps,
    pub(super) actor: Option<ActorTokens>,
    pub(super) requirement: Requirement,
    /// The most that may ever be asked for.
    pub(super) scopes: BTreeSet<String>,
    pub(super) grants: Vec<(String, Vec<String>)>,
    pub(super) exceptions: Vec<(Vec<String>, String, Timestamp)>,
    pub(super) provider_scope: Option<String>,
    pub(super) acts_as: (IssuerUrl, SubjectId),
    pub(super) actor_mode: ActorMode,
    pub(super) chain_gain: Vec<ClientId>,
    pub(super) subject_remapped: bool,
    /// Do the terms by which tokens are read say where their tenant is?
    pub(super) reads_tenant: bool,
    pub(super) detail_types: Vec<Box<str>>,
    pub(super) max_lifetime: Duration,
    pub(super) issuer_caps_life: bool,
    pub(super) margin: Duration,
    pub(super) max_entries: u64,
    /// What tokens are bound to.
    pub(super) dpop: Option<Arc<DpopKey>>,
    pub(super) is_certificate_bound: bool,
}

/// The scopes to ask for, sorted, and why some of them are more than the caller's are worth.
pub(super) struct Asked {
    pub(super) scopes: ScopeSet,
    pub(super) exception: Option<String>,
}

impl Terms {
    /// What may be asked for a caller with these scopes: all that they are worth, or `wanted`
    /// where it is no more than that. `None` where there is nothing to ask for, or `wanted` is
    /// more.
    pub(super) fn ask(&self, held: &ScopeSet, wanted: &[&str], now: Timestamp) -> Option<Asked> {
        let mut worth: BTreeSet<&str> = BTreeSet::new();
        for scope in held.iter() {
            let mut said = self.grants.iter().filter(|(of, _)| of == scope).peekable();
            if said.peek().is_none() {
                worth.insert(scope);
            }
            worth.extend(said.flat_map(|(_, worth)| worth).map(String::as_str));
        }
        worth.retain(|scope| self.scopes.contains(*scope));
        let mut exception = None;
        for scope in wanted.iter().filter(|scope| !worth.contains(*scope)) {
            let (_, reason, _) = self
                .exceptions
                .iter()
                .find(|(scopes, _, until)| now < *until && scopes.iter().any(|excepted| excepted == scope))?;
            exception = Some(reason.clone());
        }
        let asked = if wanted.is_empty() { worth } else { wanted.iter().copied().collect() };
        let joined = asked.into_iter().collect::<Vec<_>>().join(" ");
        let scopes = ScopeSet::parse(&joined).filter(|scopes| !scopes.is_empty())?;
        Some(Asked { scopes, exception })
    }
}
