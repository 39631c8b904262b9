//! The requests by which a token for a downstream is got.

use std::{borrow::Cow, sync::Arc};

use super::{
    answer::Answer,
    authentication::Form,
    error::{Failure, Party},
    flow::Steps,
    server::{Means, Server},
    terms::{Asked, Terms},
    wire::{ACCESS_TOKEN, ID_JAG, JWT_BEARER, TOKEN_EXCHANGE},
};
use crate::{clock::Clock, reason::DenialReason, scope::ScopeSet};

/// What an exchange asks for (RFC 8693 section 2.1).
struct Wanted<'a> {
    /// The caller's token.
    subject: &'a str,
    token_type: &'static str,
    targets: Vec<(&'static str, &'a str)>,
    scope: &'a str,
}

impl Terms {
    /// Asks for a token in exchange for `subject`, by as many requests as the flow needs.
    pub(super) async fn request_token(
        &self,
        subject: &str,
        asked: &Asked,
        clock: &dyn Clock,
    ) -> Result<Answer, Arc<Failure>> {
        let means = Means { key: self.dpop.as_deref(), clock };
        let scope = self.scope_parameter(asked);
        match &self.steps {
            Steps::Exchange => {
                let targets = vec![self.target_parameter()];
                let wanted = Wanted { subject, token_type: ACCESS_TOKEN, targets, scope: &scope };
                self.exchange(&self.server, wanted, means).await
            }
            Steps::EntraOnBehalfOf(_) => {
                let form = self.on_behalf_of_form(subject, &scope);
                let answer = self.server.request(&form, means, Party::Caller).await?;
                Ok(Answer { scopes: answer.scopes.map(|scopes| self.short_names(&scopes)), ..answer })
            }
            Steps::Chained(first, token_type) => {
                let grant = self.grant(first, token_type, (subject, &scope), means).await?;
                check_grant(&grant, token_type, &asked.scopes)
                    .map_err(|reason| Arc::new(Failure::violation(reason)))?;
                let form = vec![
                    ("grant_type", JWT_BEARER.into()),
                    ("assertion", Cow::from(&*grant.token)),
                    self.target_parameter_pair(),
                    ("scope", Cow::from(&*scope)),
                ];
                // What it refuses is the grant of the other server, not the caller's token.
                self.server.request(&form, means, Party::Unknown).await
            }
        }
    }

    /// RFC 8693 section 2.1.
    async fn exchange(
        &self,
        server: &Server,
        wanted: Wanted<'_>,
        means: Means<'_>,
    ) -> Result<Answer, Arc<Failure>> {
        let mut form: Form<'_> = vec![
            ("grant_type", TOKEN_EXCHANGE.into()),
            ("subject_token", wanted.subject.into()),
            ("subject_token_type", ACCESS_TOKEN.into()),
            ("requested_token_type", wanted.token_type.into()),
        ];
        form.extend(wanted.targets.into_iter().map(|(name, value)| (name, value.into())));
        form.push(("scope", wanted.scope.into()));
        let Some(actor) = &self.actor else {
            return server.request(&form, means, Party::Caller).await;
        };
        let (token, token_type) = actor.token(server, means).await?;
        form.push(("actor_token", token.to_string().into()));
        form.push(("actor_token_type", token_type.into()));
        // It may be either of the two tokens that is refused.
        let answer = server.request(&form, means, Party::Unknown).await;
        if answer.as_ref().is_err_and(|failure| failure.is_refusal()) {
            actor.forget().await;
        }
        answer
    }

    /// The grant of the first of two servers.
    async fn grant(
        &self,
        first: &Server,
        token_type: &'static str,
        (subject, scope): (&str, &str),
        means: Means<'_>,
    ) -> Result<Answer, Arc<Failure>> {
        let mut targets = vec![("audience", self.server.issuer.as_str())];
        if token_type == ID_JAG {
            targets.push(("resource", &*self.resource));
        }
        self.exchange(first, Wanted { subject, token_type, targets, scope }, means).await
    }

    /// RFC 7523 section 2.1, as Entra extends it.
    fn on_behalf_of_form<'a>(&self, subject: &'a str, scope: &'a str) -> Form<'a> {
        vec![
            ("grant_type", JWT_BEARER.into()),
            ("assertion", subject.into()),
            ("requested_token_use", "on_behalf_of".into()),
            ("scope", scope.into()),
        ]
    }

    fn target_parameter(&self) -> (&'static str, &str) {
        match self.asks_by_audience {
            true => ("audience", self.target.as_str()),
            false => ("resource", &*self.resource),
        }
    }

    fn target_parameter_pair(&self) -> (&'static str, Cow<'_, str>) {
        let (name, value) = self.target_parameter();
        (name, value.into())
    }

    fn scope_parameter<'a>(&'a self, asked: &'a Asked) -> Cow<'a, str> {
        match (&self.provider_scope, &self.steps) {
            (Some(scope), _) => scope.into(),
            (None, Steps::EntraOnBehalfOf(_)) => {
                let full = |scope: &str| format!("{}/{scope}", self.resource);
                asked.scopes.iter().map(full).collect::<Vec<_>>().join(" ").into()
            }
            (None, Steps::Exchange | Steps::Chained(..)) => asked.scopes.as_str().into(),
        }
    }

    /// Scopes without the resource before each, as Entra's tokens write them.
    fn short_names(&self, scopes: &ScopeSet) -> ScopeSet {
        let short = |scope: &'_ str| {
            let name = scope.strip_prefix(&self.resource).and_then(|rest| rest.strip_prefix('/'));
            name.filter(|name| !name.is_empty()).unwrap_or(scope).to_owned()
        };
        let names = scopes.iter().map(short).collect::<Vec<_>>().join(" ");
        ScopeSet::parse(&names).unwrap_or_else(|| scopes.clone())
    }
}

/// Is it a grant of this type, for no more than was asked for, and nothing that opens a door by
/// itself (RFC 8693 section 2.2.1)?
fn check_grant(answer: &Answer, token_type: &str, asked: &ScopeSet) -> Result<(), DenialReason> {
    if answer.has_refresh_token {
        return Err(DenialReason::ExchangeRefreshToken);
    }
    if answer.issued_token_type.as_deref() != Some(token_type)
        || !answer.token_type.eq_ignore_ascii_case("N_A")
    {
        return Err(DenialReason::ExchangeTypeMismatch);
    }
    let is_within = |scopes: &ScopeSet| scopes.iter().all(|scope| asked.contains(scope));
    if answer.scopes.as_ref().is_some_and(|scopes| !is_within(scopes)) {
        return Err(DenialReason::ExchangeScopeWider);
    }
    Ok(())
}
