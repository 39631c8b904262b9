//! [`AuditEvent`]: what one request leaves on record.

use std::{fmt, net::SocketAddr, time::Duration};

use http::{Method, StatusCode};

use super::{
    exchange::{AuditedExchange, ExchangeRecord},
    party::AuditedActor,
    requirement::AuditedRequirement,
    revocation::AuditedRevocation,
    token_hash::{PresentedToken, TokenHash},
};
use crate::{
    arrival::Route,
    clock::Timestamp,
    context::{
        Actor, Application, ApplicationKind, DelegationContext, Evaluation, Refused, SenderConstraint,
        SubjectKind, WorkloadIdentity,
    },
    issuer::GrantKind,
    reason::DenialReason,
    text::Text,
    token::{Facts, VerifiedToken},
    trace::TraceContext,
};

/// What one request leaves on record: who asked, through which application,
/// what was decided and why.
///
/// Values from outside are [`Text`]. The original user is the
/// [`subject`](Self::subject), however long the chain of actors is. There is no
/// token in it, only its [keyed hash](Self::token_hash).
///
/// Cheap to make: it shares what it says with the request's context, and
/// nothing is formatted before a sink asks.
pub struct AuditEvent {
    pub(crate) time: Timestamp,
    pub(crate) latency: Duration,
    pub(crate) method: Method,
    pub(crate) route: Option<Route>,
    pub(crate) status: Option<StatusCode>,
    pub(crate) delegation: Option<DelegationContext>,
    /// Whose good token the layer refused; then there is no context.
    pub(crate) refused: Option<Refused>,
    pub(crate) evaluations: Vec<Evaluation>,
    /// How many more there were.
    pub(crate) omitted: u32,
    /// Why the layer itself refused the request.
    pub(crate) refusal: Option<DenialReason>,
    pub(crate) client_address: Option<SocketAddr>,
    pub(crate) trace: Option<TraceContext>,
    pub(crate) token: Option<PresentedToken>,
    /// What the event is about, where that is no request.
    pub(crate) exchange: Option<Box<ExchangeRecord>>,
}

/// What was decided about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuditDecision {
    /// Every requirement that was evaluated and enforced holds. What was only
    /// [asked](AuditedRequirement::is_asked) is no decision.
    Allow,
    /// The layer or a requirement refused, also where the handler answered
    /// something else than the refusal.
    Deny,
    /// No requirement was evaluated: a verified token alone, or none, was enough.
    None,
    /// There was no response: the client left, or the handler panicked.
    Abandoned,
}

impl AuditDecision {
    /// The decision in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::None => "none",
            Self::Abandoned => "abandoned",
        }
    }
}

impl AuditEvent {
    /// When the response's head was there, or the request had ended without one.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// From the arrival of the request's head to [`time`](Self::time).
    #[must_use]
    pub fn latency(&self) -> Duration {
        self.latency
    }

    /// What was decided.
    #[must_use]
    pub fn decision(&self) -> AuditDecision {
        match self.reason() {
            Some(_) => AuditDecision::Deny,
            None if self.exchange.is_some() => AuditDecision::Allow,
            None if self.status.is_none() => AuditDecision::Abandoned,
            None if self.requirements().all(AuditedRequirement::is_asked) => AuditDecision::None,
            None => AuditDecision::Allow,
        }
    }

    /// Why the request was denied. `None` where it was not: a denial that is
    /// only [recorded](AuditedRequirement::effect) is no reason.
    #[must_use]
    pub fn reason(&self) -> Option<DenialReason> {
        self.refusal.or_else(|| self.evaluations.iter().find_map(Evaluation::refusal))
    }

    /// Every requirement that was evaluated, in order: the first 256, of which half may
    /// be asked, and the one that ended the request. A question that was asked several
    /// times with one answer is in it once.
    pub fn requirements(&self) -> impl ExactSizeIterator<Item = AuditedRequirement<'_>> {
        self.evaluations.iter().map(AuditedRequirement)
    }

    /// How many more requirements were evaluated than [`requirements`](Self::requirements)
    /// has.
    #[must_use]
    pub fn omitted_requirements(&self) -> u32 {
        self.omitted
    }

    /// The status of the response, if there was one.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> Text<'_> {
        Text::new(self.method.as_str())
    }

    /// The template of the route that matched (feature `axum`), such as
    /// `/orders/{id}`; never the path that was sent.
    #[must_use]
    pub fn route(&self) -> Option<Text<'_>> {
        #[cfg(feature = "axum")]
        return self.route.as_ref().map(|route| Text::new(route.as_str()));
        #[cfg(not(feature = "axum"))]
        return self.route.map(|never| match never {});
    }

    /// What the token says, if it is a good one: also where it was refused for who
    /// presented it.
    fn facts(&self) -> Option<&Facts> {
        let of_context = self.delegation.as_ref().map(DelegationContext::token);
        of_context.or_else(|| self.refused.as_ref().map(|refused| &refused.token)).map(VerifiedToken::facts)
    }

    /// Who vouches for subject and token.
    #[must_use]
    pub fn issuer(&self) -> Option<Text<'_>> {
        self.facts().map(|facts| Text::new(facts.subject.issuer().as_str()))
    }

    /// The party that the request was made for: the original user, also where another party acts.
    #[must_use]
    pub fn subject(&self) -> Option<Text<'_>> {
        self.facts().map(|facts| Text::new(facts.subject.id().as_str()))
    }

    /// What the subject is.
    #[must_use]
    pub fn subject_kind(&self) -> Option<SubjectKind> {
        self.facts().map(|facts| facts.subject.kind())
    }

    /// The application that the token was issued to.
    #[must_use]
    pub fn client(&self) -> Option<Text<'_>> {
        self.facts()?.client.as_ref().map(|client| Text::new(client.as_str()))
    }

    /// The registered application of the client, by its name.
    #[must_use]
    pub fn application(&self) -> Option<Text<'_>> {
        self.delegation.as_ref()?.application().map(Application::name).map(Text::new)
    }

    /// What the client's application is.
    #[must_use]
    pub fn application_kind(&self) -> Option<ApplicationKind> {
        self.delegation.as_ref()?.application().map(Application::kind)
    }

    /// The registered application that presented the token, by its name: the
    /// current actor's, else the client's.
    #[must_use]
    pub fn presenter(&self) -> Option<Text<'_>> {
        self.delegation.as_ref()?.presenter().map(Application::name).map(Text::new)
    }

    /// The party that acted for the subject.
    #[must_use]
    pub fn actor(&self) -> Option<AuditedActor<'_>> {
        self.actors().first().map(AuditedActor)
    }

    /// Those who acted before, newest first. For the record: nothing was
    /// granted because of them.
    pub fn earlier_actors(&self) -> impl ExactSizeIterator<Item = AuditedActor<'_>> {
        self.actors().iter().skip(1).map(AuditedActor)
    }

    fn actors(&self) -> &[Actor] {
        self.facts().map(|facts| &*facts.actors).unwrap_or_default()
    }

    /// The workload at the other end of the connection.
    #[must_use]
    pub fn workload(&self) -> Option<&WorkloadIdentity> {
        match (&self.delegation, &self.refused) {
            (Some(delegation), _) => delegation.workload(),
            (None, refused) => refused.as_ref()?.workload.as_ref(),
        }
    }

    /// How the token is tied to its presenter. `None` where the layer refused it.
    #[must_use]
    pub fn sender_constraint(&self) -> Option<SenderConstraint> {
        self.delegation.as_ref().map(DelegationContext::sender_constraint)
    }

    /// The scopes that requirements saw, space-delimited; those of the token where
    /// the layer refused it before any did.
    #[must_use]
    pub fn scopes(&self) -> Option<Text<'_>> {
        let seen = self.delegation.as_ref().map(DelegationContext::scopes);
        let scopes = seen.or_else(|| self.facts().map(Facts::granted_scopes))?;
        Some(Text::new(scopes.as_str()))
    }

    /// The scopes that the token names, where the bound of its issuer or the registry of
    /// applications has left some out of [`scopes`](Self::scopes).
    #[must_use]
    pub fn token_scopes(&self) -> Option<Text<'_>> {
        let delegation = self.delegation.as_ref()?;
        let granted = delegation.token_scopes();
        (granted != delegation.scopes()).then(|| Text::new(granted.as_str()))
    }

    /// What the token says beyond what its issuer [may
    /// grant](crate::TrustedIssuer::may_grant): the first 32. None of it was granted.
    pub fn beyond_issuer(&self) -> impl Iterator<Item = (GrantKind, Text<'_>)> {
        let excess = self.facts().into_iter().flat_map(|facts| facts.bounded.excess());
        excess.map(|(kind, name)| (kind, Text::new(name)))
    }

    /// The customer of the issuer that the token belongs to. `None` also where
    /// it is one of the [`malformed_claims`](Self::malformed_claims).
    #[must_use]
    pub fn tenant(&self) -> Option<Text<'_>> {
        let tenant = self.facts()?.tenant.as_ref().ok()?.as_ref()?;
        Some(Text::new(tenant.as_str()))
    }

    /// The facts that the token states in a malformed way, by name: `roles`,
    /// `permissions`, `groups`, `tenant`, `auth_time`, `acr` or `amr`. They are
    /// neither absent nor known, and what demanded one of them was denied.
    pub fn malformed_claims(&self) -> impl Iterator<Item = &'static str> {
        self.facts().into_iter().flat_map(Facts::malformed)
    }

    /// The log-in that the token comes from.
    #[must_use]
    pub fn session_id(&self) -> Option<Text<'_>> {
        self.facts()?.session.as_ref().map(|session| Text::new(session.as_str()))
    }

    /// The token's own identifier.
    #[must_use]
    pub fn token_id(&self) -> Option<Text<'_>> {
        self.facts().map(|facts| Text::new(facts.token_id.as_str()))
    }

    /// The keyed hash of the token that was presented, good or bad. `None` for
    /// a request that presents none, or two; and where no
    /// [`Audit`](super::Audit) is configured.
    ///
    /// Takes about a microsecond on each call.
    #[must_use]
    pub fn token_hash(&self) -> Option<TokenHash> {
        self.token.as_ref().map(PresentedToken::hash)
    }

    /// What the request asked to revoke or to lift, where it went to
    /// [`revocation_routes`](crate::routing::revocation_routes).
    #[must_use]
    pub fn revocation(&self) -> Option<AuditedRevocation<'_>> {
        self.delegation.as_ref()?.record().change().map(AuditedRevocation::new)
    }

    /// The exchange that the event is about, in place of a request. Subject, client, actors and
    /// token are then those of the caller, the method is that of the request to the
    /// authorization server, and there is no status.
    #[must_use]
    pub fn exchange(&self) -> Option<AuditedExchange<'_>> {
        self.exchange.as_deref().map(AuditedExchange::new)
    }

    /// The trace that the caller says the request belongs to.
    #[must_use]
    pub fn trace(&self) -> Option<TraceContext> {
        self.trace
    }

    /// The other end of the connection, where the listener tells of it: the
    /// client, or the proxy in front.
    #[must_use]
    pub fn client_address(&self) -> Option<SocketAddr> {
        self.client_address
    }
}

impl fmt::Debug for AuditEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditEvent")
            .field("decision", &self.decision())
            .field("reason", &self.reason())
            .field("method", &self.method())
            .field("route", &self.route())
            .field("subject", &self.subject())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::{Basis, Effect};

    fn event(evaluations: Vec<Evaluation>, refusal: Option<DenialReason>, status: Option<u16>) -> AuditEvent {
        AuditEvent {
            time: Timestamp::from_unix_seconds(0),
            latency: Duration::ZERO,
            method: Method::GET,
            route: None,
            status: status.map(|status| StatusCode::from_u16(status).unwrap()),
            delegation: None,
            refused: None,
            evaluations,
            omitted: 0,
            refusal,
            client_address: None,
            trace: None,
            token: None,
            exchange: None,
        }
    }

    fn evaluation(denial: Option<DenialReason>, effect: Effect) -> Evaluation {
        Evaluation {
            requirement: "order".into(),
            denial,
            effect,
            basis: Basis::Rule,
            scopes: None,
            needs: None,
        }
    }

    #[test]
    fn only_an_enforced_denial_is_a_refusal() {
        let missing = Some(DenialReason::ScopeMissing);
        let exception = || Effect::Excepted("until the\nmigration".into());
        let outcome = |denial, effect| evaluation(denial, effect);
        let asked = |denial| Evaluation { basis: Basis::Question, ..evaluation(denial, Effect::Enforced) };
        for (name, evaluations, decision, reason, outcomes) in [
            ("none", vec![], "none", None, &[][..]),
            ("allowed", vec![outcome(None, Effect::Enforced)], "allow", None, &["allow"]),
            ("denied", vec![outcome(missing, Effect::Enforced)], "deny", missing, &["deny"]),
            ("shadowed", vec![outcome(missing, Effect::Shadowed)], "allow", None, &["deny (shadow)"]),
            ("excepted", vec![outcome(missing, exception())], "allow", None, &["deny (exception)"]),
            ("on trial, and it holds", vec![outcome(None, Effect::Shadowed)], "allow", None, &["allow"]),
            ("asked", vec![asked(None)], "none", None, &["allow (asked)"]),
            ("asked, and denied", vec![asked(missing)], "none", None, &["deny (asked)"]),
            (
                "asked, then allowed",
                vec![asked(missing), outcome(None, Effect::Enforced)],
                "allow",
                None,
                &["deny (asked)", "allow"],
            ),
            (
                "shadowed, then denied",
                vec![
                    outcome(Some(DenialReason::ActorNotAllowed), Effect::Shadowed),
                    outcome(missing, Effect::Enforced),
                ],
                "deny",
                missing,
                &["deny (shadow)", "deny"],
            ),
        ] {
            let event = event(evaluations, None, Some(200));
            assert_eq!(event.decision().as_str(), decision, "{name}");
            assert_eq!(event.reason(), reason, "{name}");
            let all: Vec<_> = event.requirements().map(AuditedRequirement::outcome).collect();
            assert_eq!(all, outcomes, "{name}");
        }
    }

    #[test]
    fn a_refusal_or_a_missing_answer_decides_without_a_requirement() {
        let expired = Some(DenialReason::TokenExpired);
        for (name, event, decision) in [
            ("the layer refused", event(vec![], expired, Some(401)), AuditDecision::Deny),
            ("no answer", event(vec![], None, None), AuditDecision::Abandoned),
            (
                "no answer to what was allowed",
                event(vec![evaluation(None, Effect::Enforced)], None, None),
                AuditDecision::Abandoned,
            ),
            (
                "no answer to what was denied",
                event(vec![evaluation(expired, Effect::Enforced)], None, None),
                AuditDecision::Deny,
            ),
        ] {
            assert_eq!(event.decision(), decision, "{name}");
        }
    }

    #[test]
    fn a_requirement_tells_what_came_of_it() {
        let missing = Some(DenialReason::ScopeMissing);
        for (evaluation, expected) in [
            (evaluation(None, Effect::Enforced), r#"{"name":"order","outcome":"allow"}"#),
            (
                evaluation(missing, Effect::Shadowed),
                r#"{"name":"order","outcome":"deny (shadow)","reason":"scope_missing"}"#,
            ),
            (
                evaluation(missing, Effect::Excepted("until\nMay".into())),
                r#"{"name":"order","outcome":"deny (exception)","reason":"scope_missing","exception":"until\nMay"}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&AuditedRequirement(&evaluation)).unwrap(), expected);
        }
    }

    #[test]
    fn an_event_shows_no_token() {
        let mut headers = http::HeaderMap::new();
        headers.insert(http::header::AUTHORIZATION, "Bearer secret".parse().unwrap());
        let key = crate::audit::TokenHashKey::random().unwrap();
        let event = AuditEvent { token: PresentedToken::of(&headers, &key), ..event(vec![], None, None) };
        assert!(event.token_hash().is_some() && !format!("{event:?}").contains("secret"));
    }
}
