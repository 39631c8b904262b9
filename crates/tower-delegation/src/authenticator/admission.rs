//! Who presents a token, and may they: from a verified token to the context.

use std::sync::Arc;

use http::HeaderValue;

use super::Authenticator;
use crate::{
    clock::{Moment, Timestamp},
    context::{
        Circumstances, DelegationContext, HeldToken, Judgement, Passage, Refused, RequestRecord,
        SenderConstraint,
    },
    credential::Scheme,
    proof::{self, Presented, ProofEnd, Proved, Transport},
    reason::{DenialReason, RejectionKind},
    rejection::Rejection,
    step::Step,
    token::VerifiedToken,
};

/// A good token whose presenter may present it, and what is known of the request.
struct Admission {
    token: VerifiedToken,
    scheme: Scheme,
    passage: Option<Passage>,
    credential: Option<HeldToken>,
    constraint: SenderConstraint,
    transport: Transport,
    judgement: Judgement,
    dpop_nonce: Option<HeaderValue>,
}

impl Admission {
    /// What the record says of a request that is refused after all.
    fn into_refused(self) -> Refused {
        Refused { token: self.token, workload: self.transport.workload() }
    }
}

impl Authenticator {
    /// Judges a token and who presents it, at `now`. What was said about the other end of
    /// the connection is judged again after each wait, with everything else.
    pub(super) fn judge(
        &self,
        presented: Presented<'_>,
        transport: Transport,
        now: Moment,
    ) -> Step<Result<DelegationContext, Rejection>> {
        match self.0.verifier.verify(presented.credential, now) {
            Step::Ready((token, now)) => self.prove(token, presented, transport, now),
            Step::Wait(token) => {
                let (authenticator, held) = (self.clone(), presented.hold());
                Step::wait(async move {
                    let (token, now) = token.await;
                    let proved = authenticator.prove(token, held.presented(), transport.at(now.wall), now);
                    proved.answer().await
                })
            }
        }
    }

    /// Checks who presents the token: what it is bound to, the registry of
    /// applications, and that nothing about it was revoked.
    fn prove(
        &self,
        token: Result<VerifiedToken, DenialReason>,
        presented: Presented<'_>,
        transport: Transport,
        now: Moment,
    ) -> Step<Result<DelegationContext, Rejection>> {
        let token = match token {
            Ok(token) => token,
            Err(reason) => return Step::Ready(Err(self.unverified(reason, presented, now))),
        };
        let prove = || {
            let confirmation = token.facts().confirmation.as_ref();
            let proved = proof::check(confirmation, presented, &transport, self.0.dpop.as_ref(), now)?;
            let judgement = self.0.judge.judge_presenter(&token, &transport, proved.constraint, now.wall)?;
            Ok((proved, judgement))
        };
        let (Proved { constraint, single_use, dpop_nonce }, judgement) = match prove() {
            Ok(proved) => proved,
            Err(reason) => {
                let refused = Refused { token, workload: transport.workload() };
                return Step::Ready(Err(self.refusal(reason, presented, now).of(refused)));
            }
        };
        let (scheme, passage) = (presented.credential.scheme(), self.passage_of(presented, token.hash()));
        let credential = self.held(presented.credential);
        let admission =
            Admission { token, scheme, passage, credential, constraint, transport, judgement, dpop_nonce };
        // After all else, so that no client can use up the identifier of another's
        // proof (RFC 9449 section 11.1).
        let Some(single_use) = single_use else { return Step::Ready(Ok(self.admit(admission, now.wall))) };
        match single_use.spend() {
            Step::Ready(verdict) => Step::Ready(match verdict {
                Ok(()) => Ok(self.admit(admission, now.wall)),
                Err(reason) => Err(self.refusal(reason, presented, now).of(admission.into_refused())),
            }),
            Step::Wait(verdict) => {
                let (authenticator, held, end) = (self.clone(), presented.hold(), single_use.end());
                Step::wait(async move {
                    let verdict = verdict.await;
                    authenticator.admit_after_wait(verdict, admission, held.presented(), end)
                })
            }
        }
    }

    /// Has the authority of the context ended since the request was judged? A request may
    /// have waited for long between two layers.
    pub(crate) fn has_ended(&self, delegation: &DelegationContext, now: Moment) -> bool {
        delegation.current_at(now.wall).is_err()
    }

    /// The context of a request that has waited since it was judged, judged again.
    pub(crate) fn renew(
        &self,
        delegation: &DelegationContext,
        now: Moment,
    ) -> Result<DelegationContext, Rejection> {
        let (token, constraint) = (delegation.token(), delegation.sender_constraint());
        let transport = delegation.transport().clone().at(now.wall);
        let scheme = delegation.record().scheme();
        match self.0.judge.judge_again(token, &transport, constraint, now) {
            Ok(judgement) => {
                let admission = Admission {
                    token: token.clone(),
                    scheme: scheme.unwrap_or(Scheme::Bearer),
                    passage: delegation.record().passage().cloned(),
                    credential: delegation.circumstances().credential.clone(),
                    constraint,
                    transport,
                    judgement,
                    dpop_nonce: delegation.dpop_nonce().cloned(),
                };
                let renewed = self.admit(admission, now.wall);
                if let Some(trace) = delegation.record().trace() {
                    renewed.record().set_trace(Arc::clone(trace));
                }
                Ok(renewed)
            }
            Err(reason) => {
                let refused = Refused { token: token.clone(), workload: transport.workload() };
                Err(self.rejection(reason, scheme).of(refused))
            }
        }
    }

    /// Makes the context after the store was waited for, unless the proof was used
    /// before. What was good before the wait is judged again: the token and its key,
    /// the proof's age, the other end of the connection, the registry, and what was revoked.
    fn admit_after_wait(
        &self,
        verdict: Result<(), DenialReason>,
        mut admission: Admission,
        presented: Presented<'_>,
        end: ProofEnd,
    ) -> Result<DelegationContext, Rejection> {
        let now = self.now();
        admission.transport = admission.transport.at(now.wall);
        let judge = || {
            verdict?;
            // By the terms and keys of now, under which the token may be good anew.
            let token = match self.0.verifier.verify(presented.credential, now) {
                Step::Ready((token, _)) => token?,
                // The proof is used up, so the client asks again with another one.
                Step::Wait(_) => return Err(DenialReason::KeysUnavailable),
            };
            let judgement =
                self.0.judge.judge_again(&token, &admission.transport, admission.constraint, now)?;
            end.check(now)?;
            Ok((token, judgement))
        };
        match judge() {
            Ok((token, judgement)) => Ok(self.admit(Admission { token, judgement, ..admission }, now.wall)),
            Err(reason) => Err(self.refusal(reason, presented, now).of(admission.into_refused())),
        }
    }

    fn admit(&self, admission: Admission, at: Timestamp) -> DelegationContext {
        let Admission { token, scheme, passage, credential, constraint, transport, judgement, dpop_nonce } =
            admission;
        let Judgement { registration, revocations } = judgement;
        let record = RequestRecord::new(self.0.space.clone(), Some(scheme), passage);
        if let Some(registration) = &registration {
            registration.mark_seen(at);
        }
        let circumstances = Circumstances {
            at,
            leeway: self.0.judge.leeway,
            risk: self.0.risk.clone(),
            credential,
            judge: Arc::clone(&self.0.judge),
            revision: revocations,
        };
        DelegationContext::assertion(
            token,
            constraint,
            transport,
            registration,
            dpop_nonce,
            circumstances,
            record,
        )
    }

    /// A refusal of a token that is not good.
    fn unverified(&self, reason: DenialReason, presented: Presented<'_>, now: Moment) -> Rejection {
        match (presented.request, reason) {
            (Some(_), _) => self.refusal(reason, presented, now),
            // No request presented it, so no request is malformed.
            (None, DenialReason::CredentialsMalformed) => self.rejection(DenialReason::TokenMalformed, None),
            (None, _) => self.rejection(reason, None),
        }
    }

    /// A refusal of what a request presents, with what the client needs to try again.
    fn refusal(&self, reason: DenialReason, presented: Presented<'_>, now: Moment) -> Rejection {
        let rejection = self.rejection(reason, Some(presented.credential.scheme()));
        match &self.0.dpop {
            Some(dpop) if reason.kind() == RejectionKind::UseDpopNonce => {
                rejection.with_dpop_nonce(dpop.current_nonce(now.wall))
            }
            _ => rejection,
        }
    }
}
