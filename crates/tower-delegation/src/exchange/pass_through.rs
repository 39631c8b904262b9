//! The caller's own token, for a downstream that cannot be given another.

use std::sync::Arc;

use http::HeaderValue;

use super::{
    error::ExchangeError,
    issued::{DownstreamToken, Issued},
    request::Exchange,
};
use crate::{
    audit::{ExchangeRecord, Places, Verified},
    authorization::Round,
    clock::Moment,
    context::{DelegationContext, SenderConstraint},
    reason::DenialReason,
};

impl Exchange {
    /// The caller's **own token**, to be put on requests to the downstream's own origin: what
    /// [`on_behalf_of`](Self::on_behalf_of) is there to avoid. The downstream can do with it
    /// everything that the caller can, here and wherever else the token is accepted, until it
    /// ends; what may ever be asked for does not bound it.
    ///
    /// For a downstream that takes no other token yet. The caller's context is judged and the
    /// downstream's [requirement](super::Downstream::require) must allow, as for an exchange. An
    /// audit event with the reason is left each time, and where it cannot be, there is no token.
    /// A token that is bound to the caller's key or certificate is refused: it is of no use to
    /// another party. This is never done in place of an exchange that has failed.
    ///
    /// # Errors
    /// [`ExchangeError`], with a [`Rejection`](crate::rejection::Rejection) to answer with:
    /// `pass_through_bound` (500) for a bound token, and `exchange_misconfigured` (500) without
    /// a reason, or where the token was not kept.
    pub async fn dangerous_callers_token(
        &self,
        reason: &str,
        delegation: &DelegationContext,
    ) -> Result<DownstreamToken, ExchangeError> {
        let began = self.now();
        let judge = |round| {
            let passed = self.judge(delegation, round);
            passed.and_then(|caller| {
                let authorization = authorization_of(&caller, reason)
                    .map_err(|reason| ExchangeError::new(self.rejection(Some(delegation), reason), None))?;
                Ok((caller, authorization))
            })
        };
        let record = |issued: Option<&DelegationContext>, refusal: Option<DenialReason>, places: Places| {
            self.record_pass_through(reason, issued, delegation, refusal, began, places);
        };
        let refused = |error: ExchangeError| {
            record(None, Some(error.reason()), Places::default());
            error
        };
        judge(Round::First).map_err(refused)?;
        let places = match self.trail().reserve() {
            Ok(places) => places,
            Err(pending) => pending.await.map_err(|_no_place| {
                let reason = DenialReason::AuditUnavailable;
                refused(ExchangeError::new(self.rejection(Some(delegation), reason), None))
            })?,
        };
        // What was judged before the wait is judged again after it.
        let (caller, authorization) = judge(Round::Again).map_err(refused)?;
        record(Some(&caller), None, places);
        Ok(DownstreamToken(Arc::new(Issued {
            authorization,
            origin: self.base().origin(),
            scopes: caller.token_scopes().clone(),
            until: caller.expires_at(),
            caller: caller.token().clone(),
            token: None,
            key: None,
            certificate: None,
        })))
    }

    fn record_pass_through(
        &self,
        reason: &str,
        issued: Option<&DelegationContext>,
        delegation: &DelegationContext,
        refusal: Option<DenialReason>,
        began: Moment,
        places: Places,
    ) {
        if !self.trail().is_enabled() {
            return;
        }
        let record = ExchangeRecord {
            downstream: self.terms().name.clone(),
            target: self.terms().target.clone(),
            asked: None,
            issued: issued.map(|caller| caller.token_scopes().clone()),
            exception: None,
            // By this layer, when it came.
            verified: Verified::Token,
            outlives_caller: false,
            subject_remapped: false,
            passed_on: Some(reason.into()),
        };
        let now = self.now();
        self.trail().record_exchange(record, delegation, refusal, (now.wall, began.elapsed(now)), places);
    }
}

/// `Authorization` with the caller's own token.
fn authorization_of(caller: &DelegationContext, reason: &str) -> Result<HeaderValue, DenialReason> {
    if reason.trim().is_empty() {
        tracing::error!("a caller's token is to be passed on without a reason: say why");
        return Err(DenialReason::ExchangeMisconfigured);
    }
    let is_bound = caller.sender_constraint() != SenderConstraint::None;
    if is_bound || caller.token().facts().confirmation.is_some() {
        return Err(DenialReason::PassThroughBound);
    }
    let token = caller.credential().ok_or(DenialReason::ExchangeMisconfigured)?;
    let mut authorization = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_invalid| DenialReason::ExchangeMisconfigured)?;
    authorization.set_sensitive(true);
    Ok(authorization)
}
