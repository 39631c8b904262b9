//! [`Exchange`]: tokens for one downstream; and [`ExchangeRequest`], for one caller.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use backon::{ExponentialBuilder, Retryable as _};
use http::HeaderValue;
use moka::{future::Cache, policy::EvictionPolicy};
use url::Url;

use super::{
    answer::Answer,
    circuit::Circuit,
    downstream::Downstream,
    dpop::token_hash,
    error::{ExchangeError, Failure},
    issued::{BoundKey, DownstreamToken, Issued},
    status::{self, Account, ExchangeStatus},
    terms::{Asked, Terms},
    verify::Checked,
};
use crate::{
    audit::{ExchangeRecord, Places, Trail, Verified},
    authenticator::Authenticator,
    authorization::Round,
    clock::Moment,
    context::{Basis, DelegationContext, Needs, RequestFacts},
    credential::Credential,
    error::ConfigError,
    reason::{DenialReason, RejectionKind},
    rejection::Rejection,
    revocation::{RevocationListener, RevocationTarget, TargetMismatch},
    text::{Text, causes},
    text_hash::TextHash,
    token::{VerifiedToken, Verifier},
};

/// For how long a failure answers for the next request for the same token.
const FAILURE_LIFETIME: Duration = Duration::from_secs(1);

/// How often a request that did not reach the server, or at which it failed, is sent again.
const RETRIES: usize = 2;

/// Gets tokens for one downstream, each for one caller, and keeps them while they are good.
/// Cheap to clone; clones share what is kept.
///
/// Made by [`DelegationLayer::exchange`](crate::layer::DelegationLayer::exchange).
#[derive(Clone)]
pub struct Exchange(Arc<Inner>);

struct Inner {
    terms: Terms,
    /// Reads what comes back, where that is agreed.
    reader: Option<Arc<Verifier>>,
    authenticator: Authenticator,
    trail: Trail,
    kept: Cache<Key, Arc<Outcome>>,
    circuit: Circuit,
    account: Account,
}

/// The caller's token, by the hash of its text, and what was asked for. Everything else that a
/// token rests on (downstream, actor, binding) is the same for all that one `Exchange` keeps.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    caller: TextHash,
    scopes: Box<str>,
}

/// What came of a request to the server. A failure is kept for a moment.
enum Outcome {
    Issued(Arc<Issued>),
    Failed {
        reason: DenialReason,
        failure: Option<Arc<Failure>>,
        /// By the monotonic clock.
        until: Duration,
    },
}

impl Exchange {
    /// Checks the downstream; fetches nothing.
    pub(crate) fn new(
        downstream: Downstream,
        authenticator: Authenticator,
        trail: Trail,
    ) -> Result<Self, ConfigError> {
        let (terms, reads) = downstream.build(authenticator.http_client(), authenticator.clock())?;
        authenticator.check_rule(&format!("downstream {}", terms.name), &terms.requirement)?;
        let reader = reads.map(|terms| authenticator.reader(terms)).transpose()?;
        authenticator.keep_credentials();
        let kept = Cache::builder()
            .max_capacity(terms.max_entries)
            .eviction_policy(EvictionPolicy::lru())
            .support_invalidation_closures()
            .build();
        status::describe();
        let (circuit, account) = (Circuit::default(), Account::default());
        let inner = Arc::new(Inner { terms, reader, authenticator, trail, kept, circuit, account });
        let listener: Weak<dyn RevocationListener> = Arc::downgrade(&inner) as _;
        inner.authenticator.subscribe(listener)?;
        Ok(Self(inner))
    }

    /// Starts a request for a token, for this caller.
    pub fn on_behalf_of<'e>(&'e self, delegation: &'e DelegationContext) -> ExchangeRequest<'e> {
        ExchangeRequest { exchange: self, delegation, wanted: Vec::new() }
    }

    /// Is this caller, as of now, one who may cause an exchange?
    pub(super) fn judge(
        &self,
        delegation: &DelegationContext,
        round: Round,
    ) -> Result<DelegationContext, ExchangeError> {
        self.0.judge(delegation, round).map_err(|rejection| ExchangeError::new(rejection, None))
    }

    pub(super) fn terms(&self) -> &Terms {
        &self.0.terms
    }

    /// Where the downstream is.
    pub(super) fn base(&self) -> &Url {
        &self.0.terms.url
    }

    pub(super) fn trail(&self) -> &Trail {
        &self.0.trail
    }

    pub(super) fn now(&self) -> Moment {
        self.0.authenticator.now()
    }

    /// A refusal of what `caller` has caused, where it is known who that is.
    pub(super) fn rejection(&self, caller: Option<&DelegationContext>, reason: DenialReason) -> Rejection {
        match caller {
            Some(caller) => self.0.rejection(caller, reason),
            None => self.0.authenticator.rejection(reason, None),
        }
    }

    /// The name of the downstream.
    #[must_use]
    pub fn downstream(&self) -> &str {
        &self.0.terms.name
    }

    /// Where the downstream is, as it was [given](Downstream::new), with a path at least.
    #[must_use]
    pub fn url(&self) -> &str {
        self.0.terms.url.as_str()
    }

    /// How the exchanges are doing. Asks no server and waits for nothing.
    #[must_use]
    pub fn status(&self) -> ExchangeStatus {
        let is_paused = self.0.circuit.is_paused(self.now().monotonic);
        self.0.account.status(&self.0.terms.name, is_paused)
    }

    /// How many tokens are kept. Does pending clean-up first, so it is for status pages.
    pub async fn kept_tokens(&self) -> u64 {
        self.0.kept.run_pending_tasks().await;
        self.0.kept.entry_count()
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("downstream", &self.0.terms.name).finish_non_exhaustive()
    }
}

/// A request for a token, for one caller.
#[derive(Debug)]
#[must_use = "nothing is asked before `token`"]
pub struct ExchangeRequest<'e> {
    exchange: &'e Exchange,
    delegation: &'e DelegationContext,
    wanted: Vec<&'e str>,
}

impl<'e> ExchangeRequest<'e> {
    /// Asks for this scope, and for no others than those that are named. By default a token has
    /// all that the caller's effective scopes are [worth](Downstream::grants).
    pub fn scope(mut self, scope: &'e str) -> Self {
        self.wanted.push(scope);
        self
    }

    /// A token for the downstream: a kept one where there is one, else from the server.
    ///
    /// The caller's context is judged first, and again after each wait; then the downstream's
    /// [requirement](Downstream::require); then what is asked for. What comes back is verified
    /// before it is used and before it is kept.
    ///
    /// # Errors
    /// [`ExchangeError`], with a [`Rejection`] to answer with.
    pub async fn token(self) -> Result<DownstreamToken, ExchangeError> {
        let inner = &*self.exchange.0;
        let (caller, asked) = inner.decide(self.delegation, &self.wanted, Round::First)?;
        let clock = inner.authenticator.clock();
        let key = Key { caller: caller.token().hash(), scopes: asked.scopes.as_str().into() };
        if let Some(outcome) = inner.kept.get(&key).await
            && let Outcome::Issued(issued) = &*outcome
            && inner.is_good(issued, &asked, &caller)
        {
            return Ok(DownstreamToken(Arc::clone(issued)));
        }
        let entry = inner.kept.entry(key);
        let outcome = entry
            .or_insert_with_if(inner.fetch(&caller, &asked), |former| inner.is_over(former, &asked, &caller))
            .await
            .into_value();
        // What was judged before the wait is judged again after it.
        let (caller, asked) = inner.decide(self.delegation, &self.wanted, Round::Again)?;
        match &*outcome {
            Outcome::Issued(issued) => match inner.terms.check_again(issued, &asked.scopes, &caller) {
                Ok(()) if clock.now() < issued.until => Ok(DownstreamToken(Arc::clone(issued))),
                Ok(()) => Err(inner.refuse(self.delegation, DenialReason::ExchangeExpired, None)),
                Err(reason) => Err(inner.refuse(self.delegation, reason, None)),
            },
            Outcome::Failed { reason, failure, .. } => {
                Err(inner.refuse(self.delegation, *reason, failure.clone()))
            }
        }
    }
}

impl Inner {
    /// May this caller cause an exchange, and what for? The caller as of now.
    fn decide(
        &self,
        delegation: &DelegationContext,
        wanted: &[&str],
        round: Round,
    ) -> Result<(DelegationContext, Asked), ExchangeError> {
        let now = self.authenticator.clock().now();
        let judged = || {
            let current = self.judge(delegation, round)?;
            let is_fit = self.terms.steps.check_caller(&current);
            is_fit.map_err(|reason| self.rejection(delegation, reason))?;
            let asked = self.terms.ask(current.scopes(), wanted, now);
            let asked =
                asked.ok_or_else(|| self.rejection(delegation, DenialReason::ExchangeScopeNotGranted))?;
            Ok((current, asked))
        };
        judged().map_err(|rejection: Rejection| {
            let now = Moment::of(&**self.authenticator.clock());
            self.record(delegation, None, Err(rejection.reason()), now, Places::default());
            ExchangeError::new(rejection, None)
        })
    }

    /// The caller as of now, where they may cause an exchange.
    fn judge(&self, delegation: &DelegationContext, round: Round) -> Result<DelegationContext, Rejection> {
        let current = delegation.current().map_err(|reason| self.rejection(delegation, reason))?.into_owned();
        current.decide(&self.terms.requirement, &RequestFacts::none(), Basis::Question, round)?;
        if current.credential().is_none() || !self.authenticator.has_made(&current) {
            tracing::error!(
                downstream = %Text::new(&self.terms.name),
                "an exchange is asked for a context that another layer made, or before the exchange was set up"
            );
            return Err(self.rejection(delegation, DenialReason::ExchangeMisconfigured));
        }
        Ok(current)
    }

    /// Whether a kept token may be used: it is not near its end, what vouches for it is still in
    /// force, and the caller may have all that it grants.
    fn is_good(&self, issued: &Issued, asked: &Asked, caller: &DelegationContext) -> bool {
        let now = Moment::of(&**self.authenticator.clock());
        now.wall.saturating_add(self.terms.margin) < issued.until
            && self.terms.bound_certificate().is_ok_and(|current| current == issued.certificate)
            && match (&self.reader, &issued.token) {
                (Some(reader), Some(token)) => reader.recheck(token, now).is_ok(),
                _ => true,
            }
            && self.terms.check_again(issued, &asked.scopes, caller).is_ok()
    }

    /// Whether what is kept must be asked for again.
    fn is_over(&self, outcome: &Outcome, asked: &Asked, caller: &DelegationContext) -> bool {
        match outcome {
            Outcome::Issued(issued) => !self.is_good(issued, asked, caller),
            Outcome::Failed { until, .. } => *until <= self.authenticator.clock().monotonic(),
        }
    }

    /// Asks the server, and checks what comes back.
    async fn fetch(&self, caller: &DelegationContext, asked: &Asked) -> Arc<Outcome> {
        let outcome = match self.trail.reserve() {
            Ok(places) => self.fetch_on_record(caller, asked, places).await,
            Err(pending) => match pending.await {
                Ok(places) => self.fetch_on_record(caller, asked, places).await,
                Err(_no_place) => Err((DenialReason::AuditUnavailable, None)),
            },
        };
        Arc::new(match outcome {
            Ok(issued) => Outcome::Issued(Arc::new(issued)),
            Err((reason, failure)) => {
                let until = self.authenticator.clock().monotonic().saturating_add(FAILURE_LIFETIME);
                Outcome::Failed { reason, failure, until }
            }
        })
    }

    async fn fetch_on_record(
        &self,
        caller: &DelegationContext,
        asked: &Asked,
        places: Places,
    ) -> Result<Issued, (DenialReason, Option<Arc<Failure>>)> {
        let began = Moment::of(&**self.authenticator.clock());
        match self.ask(caller, asked).await {
            Ok((issued, checked)) => {
                self.account.add_issued(&self.terms.name, checked.outlives_caller);
                self.record(caller, Some(asked), Ok(&checked), began, places);
                Ok(issued)
            }
            Err((reason, failure)) => {
                self.account.add_failed(&self.terms.name);
                self.log(reason, failure.as_deref());
                self.record(caller, Some(asked), Err(reason), began, places);
                Err((reason, failure))
            }
        }
    }

    async fn ask(
        &self,
        caller: &DelegationContext,
        asked: &Asked,
    ) -> Result<(Issued, Checked), (DenialReason, Option<Arc<Failure>>)> {
        let clock = self.authenticator.clock();
        if !self.circuit.allows(clock.monotonic()) {
            return Err((DenialReason::ExchangeUnavailable, None));
        }
        let failed = |failure: Arc<Failure>| {
            if failure.is_outage() {
                let caller = failure.may_be_the_callers().then(|| caller.subject());
                self.circuit.failed(clock.monotonic(), failure.retry_after(), caller);
            } else {
                self.circuit.answered();
            }
            (failure.reason(), Some(failure))
        };
        let backoff = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(50))
            .with_max_times(RETRIES)
            .with_jitter();
        let send = || self.send(caller, asked);
        let answer =
            send.retry(backoff).when(|failure: &Arc<Failure>| failure.may_retry()).await.map_err(failed)?;
        self.circuit.answered();
        self.accept(caller, asked, answer).await.map_err(|reason| (reason, None))
    }

    /// Once through the flow.
    async fn send(&self, caller: &DelegationContext, asked: &Asked) -> Result<Answer, Arc<Failure>> {
        let subject = caller.credential().ok_or_else(|| Failure::ours("the caller's token is not kept"));
        let clock = &**self.authenticator.clock();
        self.terms.request_token(subject.map_err(Arc::new)?, asked, clock).await
    }

    /// Checks an answer, and the token in it.
    async fn accept(
        &self,
        caller: &DelegationContext,
        asked: &Asked,
        answer: Answer,
    ) -> Result<(Issued, Checked), DenialReason> {
        self.terms.check_answer(&answer, &asked.scopes)?;
        let token = match &self.reader {
            None => None,
            Some(reader) => {
                Some(read(reader, &answer.token, Moment::of(&**self.authenticator.clock())).await?)
            }
        };
        let now = self.authenticator.clock().now();
        let checked = match &token {
            None => self.terms.check_opaque(&answer, &asked.scopes, caller, now),
            Some(token) => self.terms.check_token(token, &answer, &asked.scopes, caller, now),
        }?;
        let mut authorization =
            HeaderValue::try_from(format!("{} {}", self.terms.scheme().as_str(), answer.token))
                .map_err(|_invalid| DenialReason::ExchangeUnavailable)?;
        authorization.set_sensitive(true);
        let bound_to = |key| BoundKey { key: Arc::clone(key), token_hash: token_hash(&answer.token) };
        let issued = Issued {
            authorization,
            origin: self.terms.origin.clone(),
            scopes: checked.scopes.clone(),
            until: checked.until,
            caller: caller.token().clone(),
            token,
            key: self.terms.dpop.as_ref().map(bound_to),
            certificate: self.terms.bound_certificate()?,
        };
        Ok((issued, checked))
    }

    fn rejection(&self, delegation: &DelegationContext, reason: DenialReason) -> Rejection {
        Rejection::new(reason, delegation.record().space().clone(), delegation.record().scheme())
    }

    fn refuse(
        &self,
        delegation: &DelegationContext,
        reason: DenialReason,
        failure: Option<Arc<Failure>>,
    ) -> ExchangeError {
        let claims = failure.as_ref().and_then(|failure| failure.claims());
        let needs = claims.map(|claims| Box::new(Needs { claims, ..Needs::default() }));
        ExchangeError::new(self.rejection(delegation, reason).with_needs(needs), failure)
    }

    fn log(&self, reason: DenialReason, failure: Option<&Failure>) {
        let problem = failure.map(ToString::to_string).unwrap_or_default();
        let cause = failure.map(|failure| causes(failure)).unwrap_or_default();
        match reason.kind() {
            RejectionKind::Misconfigured => tracing::error!(
                downstream = %Text::new(&self.terms.name), %reason, problem = %Text::account(&problem),
                cause = %Text::account(&cause), "a token cannot be exchanged"
            ),
            _ if reason == DenialReason::ExchangeUnreadable => tracing::error!(
                downstream = %Text::new(&self.terms.name), %reason,
                "a token came back from an exchange and cannot be read"
            ),
            _ => tracing::warn!(
                downstream = %Text::new(&self.terms.name), %reason, problem = %Text::account(&problem),
                cause = %Text::account(&cause), "there is no token for a downstream"
            ),
        }
    }

    /// Leaves an audit event.
    fn record(
        &self,
        caller: &DelegationContext,
        asked: Option<&Asked>,
        result: Result<&Checked, DenialReason>,
        began: Moment,
        places: Places,
    ) {
        if !self.trail.is_enabled() {
            return;
        }
        let checked = result.ok();
        let exchange = ExchangeRecord {
            downstream: Arc::clone(&self.terms.name),
            target: self.terms.target.clone(),
            asked: asked.map(|asked| asked.scopes.clone()),
            issued: checked.map(|checked| checked.scopes.clone()),
            exception: asked.and_then(|asked| asked.exception.clone()),
            verified: if self.reader.is_some() { Verified::Token } else { Verified::Response },
            outlives_caller: checked.is_some_and(|checked| checked.outlives_caller),
            subject_remapped: checked.is_some_and(|checked| checked.is_remapped),
            passed_on: None,
        };
        let now = Moment::of(&**self.authenticator.clock());
        let when = (now.wall, began.elapsed(now));
        self.trail.record_exchange(exchange, caller, result.err(), when, places);
    }
}

/// Verifies what came back by the terms of its issuer.
async fn read(reader: &Arc<Verifier>, token: &str, now: Moment) -> Result<VerifiedToken, DenialReason> {
    let read = async {
        let credential = Credential::new(token)?;
        let (token, _) = reader.verify(credential, now).answer().await;
        token
    };
    read.await.map_err(|reason| match reason {
        DenialReason::IssuerUnknown => DenialReason::ExchangeIssuerMismatch,
        DenialReason::AudienceMismatch => DenialReason::ExchangeAudienceMismatch,
        DenialReason::TokenExpired => DenialReason::ExchangeExpired,
        DenialReason::TokenLifetimeTooLong => DenialReason::ExchangeLifeTooLong,
        reason if reason.kind() == RejectionKind::Unavailable => DenialReason::ExchangeUnavailable,
        _ => DenialReason::ExchangeUnreadable,
    })
}

impl RevocationListener for Inner {
    /// Nothing that is kept is used without judging its caller; this gives back memory at once.
    fn revoked(&self) {
        let (authenticator, now) = (self.authenticator.clone(), self.authenticator.clock().now());
        // Fails only without support for closures, which the cache has.
        let _ = self.kept.invalidate_entries_if(move |_, outcome| match &**outcome {
            Outcome::Issued(issued) => authenticator.is_revoked(&issued.caller, now),
            Outcome::Failed { .. } => false,
        });
    }

    fn mismatch(&self, target: &RevocationTarget) -> Option<TargetMismatch> {
        self.authenticator.mismatch(target)
    }
}
