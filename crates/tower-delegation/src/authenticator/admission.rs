//! Who presents a token, and may they: from a verified token to the context.

use std::sync::Arc;

use http::HeaderValue;

use super::{Authentication, Authenticator, Pending, revocation_query};
use crate::{
    application::{Registration, SenderFacts},
    context::{Circumstances, DelegationContext, Refused, RequestRecord, SenderConstraint},
    credential::{Credential, Scheme},
    proof::{self, Presentation, PresentingRequest, SingleUse, Transport},
    reason::DenialReason,
    rejection::Rejection,
    replay::{ReplayStoreError, ReplayStoreErrorKind, Sighting},
    step::Step,
    text::{Text, causes},
    token::{Verification, VerifiedToken},
};

/// A good token whose presenter may present it, and what is known of the request.
#[derive(Clone)]
pub(crate) struct Admission {
    token: VerifiedToken,
    scheme: Scheme,
    constraint: SenderConstraint,
    transport: Transport,
    registration: Option<Arc<Registration>>,
    dpop_nonce: Option<HeaderValue>,
}

impl Admission {
    /// What the record says of a request that is refused after all.
    fn into_refused(self) -> Refused {
        Refused { token: self.token, workload: self.transport.workload() }
    }
}

impl Authenticator {
    /// Checks who presents the token: what it is bound to, the registry of
    /// applications, and that nothing about it was revoked.
    pub(super) fn prove(
        &self,
        token: Result<VerifiedToken, DenialReason>,
        credential: Credential<'_>,
        request: Option<PresentingRequest<'_>>,
        transport: Transport,
    ) -> Authentication {
        let scheme = credential.scheme();
        let presentation = Presentation { credential, transport: &transport, request };
        let token = match token {
            Ok(token) => token,
            Err(reason) => return Authentication::Done(Err(self.refusal(reason, scheme))),
        };
        let prove = || {
            let confirmation = token.facts().confirmation.as_ref();
            let proved = proof::check(confirmation, presentation, self.0.dpop.as_ref(), &**self.clock())?;
            let registration = self.check_presenter(&token, &transport, proved.constraint)?;
            self.check_revocation(&token, &transport)?;
            Ok((proved, registration))
        };
        let (proved, registration) = match prove() {
            Ok(proved) => proved,
            Err(reason) => {
                let refused = Refused { token, workload: transport.workload() };
                return Authentication::Done(Err(self.refusal(reason, scheme).of(refused)));
            }
        };
        let (constraint, dpop_nonce) = (proved.constraint, proved.dpop_nonce);
        let admission = Admission { token, scheme, constraint, transport, registration, dpop_nonce };
        // After all else, so that nobody can burn the identifier of another's
        // proof (RFC 9449 section 11.1).
        match proved.single_use.map(SingleUse::remember) {
            None => Authentication::Done(Ok(Some(self.admit(admission)))),
            Some(Step::Ready(answer)) => {
                let admitted = self.sighted(answer, admission).map(|admission| self.admit(admission));
                Authentication::Done(admitted.map(Some))
            }
            Some(Step::Wait(answer)) => Authentication::Pending(Pending::Replay { answer, admission }),
        }
    }

    fn check_presenter(
        &self,
        token: &VerifiedToken,
        transport: &Transport,
        constraint: SenderConstraint,
    ) -> Result<Option<Arc<Registration>>, DenialReason> {
        let Some(applications) = &self.0.applications else { return Ok(None) };
        let facts = token.facts();
        let sender = SenderFacts {
            clock: &**self.clock(),
            workload: transport.as_workload(),
            sender_constrained: constraint != SenderConstraint::None,
        };
        applications.admit(&facts.registration, &facts.parties(), &sender).map(Some)
    }

    fn check_revocation(&self, token: &VerifiedToken, transport: &Transport) -> Result<(), DenialReason> {
        let Some(revocations) = &self.0.revocations else { return Ok(()) };
        let query = revocation_query(token, self.clock().now(), self.0.leeway);
        let query = query.presented_by(transport.as_workload()).passed_on_by(transport.hop());
        revocations.check(&query).into_result()
    }

    /// Has the authority of the context ended since the request was judged: by its
    /// token's time, its certificate, the registry or a revocation? A request may
    /// have waited for long between two layers.
    pub(crate) fn has_ended(&self, delegation: &DelegationContext) -> bool {
        let now = self.clock().now();
        if now >= delegation.expires_at().saturating_add(self.0.leeway) {
            return true;
        }
        let token = delegation.token();
        let transport = match &self.0.client_identity {
            None => Transport::NotConsidered,
            Some(_) => Transport::of(delegation.workload().cloned(), None).at(now),
        };
        let judged = proof::check_certificate(token.facts().confirmation.as_ref(), &transport)
            .and_then(|()| self.check_presenter(token, &transport, delegation.sender_constraint()))
            .and_then(|_| self.check_revocation(token, &transport));
        judged.is_err()
    }

    /// Makes the context after the store was waited for, unless the proof was used
    /// before. What was good before the wait is judged again: the token and its key,
    /// the registry, and what was revoked.
    pub(super) fn admit_after_wait(
        &self,
        answer: Result<Sighting, ReplayStoreError>,
        admission: Admission,
        credential: Credential<'_>,
    ) -> Result<DelegationContext, Rejection> {
        let mut admission = self.sighted(answer, admission)?;
        let Admission { scheme, constraint, .. } = admission;
        admission.transport = admission.transport.at(self.clock().now());
        let judged = match self.0.verifier.verify(credential) {
            Verification::Done(token) => token.map(|token| admission.token = token),
            // The proof is used up, so the client asks again with another one.
            Verification::NeedsKey(..) => Err(DenialReason::KeysUnavailable),
        };
        let judged = judged.and_then(|()| {
            let Admission { token, transport, .. } = &admission;
            proof::check_certificate(token.facts().confirmation.as_ref(), transport)?;
            let registration = self.check_presenter(token, transport, constraint)?;
            self.check_revocation(token, transport)?;
            Ok(registration)
        });
        match judged {
            Ok(registration) => Ok(self.admit(Admission { registration, ..admission })),
            Err(reason) => Err(self.refusal(reason, scheme).of(admission.into_refused())),
        }
    }

    /// The admission, unless the proof was used before.
    fn sighted(
        &self,
        answer: Result<Sighting, ReplayStoreError>,
        admission: Admission,
    ) -> Result<Admission, Rejection> {
        let reason = match answer {
            Ok(Sighting::First) => return Ok(admission),
            Ok(Sighting::Again) => DenialReason::DpopProofReplayed,
            // A client can cause this by itself.
            Err(error) if error.kind() == ReplayStoreErrorKind::ShareExhausted => {
                tracing::debug!(error = %Text::account(&error.to_string()), "a DPoP proof is not remembered");
                DenialReason::ReplayShareExhausted
            }
            Err(error) => {
                tracing::warn!(
                    error = %Text::account(&error.to_string()), cause = %Text::account(&causes(&error)),
                    "a DPoP proof cannot be remembered"
                );
                match error.kind() {
                    ReplayStoreErrorKind::Full => DenialReason::ReplayStoreFull,
                    ReplayStoreErrorKind::ShareExhausted => DenialReason::ReplayShareExhausted,
                    ReplayStoreErrorKind::ClockSetBack => DenialReason::ClockSetBack,
                    ReplayStoreErrorKind::Unavailable => DenialReason::ReplayStoreUnavailable,
                }
            }
        };
        Err(self.refusal(reason, admission.scheme).of(admission.into_refused()))
    }

    fn admit(&self, admission: Admission) -> DelegationContext {
        let Admission { token, scheme, constraint, transport, registration, dpop_nonce } = admission;
        let record = RequestRecord::new(self.0.space.clone(), Some(scheme));
        let at = self.clock().now();
        if let Some(registration) = &registration {
            registration.mark_seen(at);
        }
        let circumstances = Circumstances { at, leeway: self.0.leeway, risk: self.0.risk.clone() };
        DelegationContext::assertion(
            token,
            constraint,
            transport.workload(),
            registration,
            dpop_nonce,
            circumstances,
            record,
        )
    }
}
