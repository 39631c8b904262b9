//! Who presents a token, and may they: from a verified token to the context.

use std::sync::Arc;

use http::HeaderValue;

use super::{Authentication, Authenticator, Pending, revocation_query};
use crate::{
    application::{Evidence, Registration},
    context::{Circumstances, DelegationContext, Refused, RequestRecord, SenderConstraint},
    credential::{Credential, Scheme, WorkloadIdentity},
    proof::{self, Presentation, PresentingRequest, SingleUse, Transport},
    reason::DenialReason,
    rejection::Rejection,
    replay::{Remembering, ReplayStoreError, ReplayStoreErrorKind, Sighting},
    text::{Text, causes},
    token::VerifiedToken,
};

/// A good token whose presenter may present it, and what is known of the request.
#[derive(Clone)]
pub(crate) struct Admission {
    token: VerifiedToken,
    scheme: Scheme,
    constraint: SenderConstraint,
    workload: Option<WorkloadIdentity>,
    registration: Option<Arc<Registration>>,
    dpop_nonce: Option<HeaderValue>,
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
        let workload = transport.workload();
        let admission = Admission { token, scheme, constraint, workload, registration, dpop_nonce };
        // After all else, so that nobody can burn the identifier of another's
        // proof (RFC 9449 section 11.1).
        match proved.single_use.map(SingleUse::remember) {
            None => Authentication::Done(Ok(Some(self.admit(admission)))),
            Some(Remembering::Ready(answer)) => {
                Authentication::Done(self.admit_once(answer, admission).map(Some))
            }
            Some(Remembering::Pending(answer)) => {
                Authentication::Pending(Pending::Replay { answer, admission })
            }
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
        let evidence = Evidence {
            clock: &**self.clock(),
            workload: transport.as_workload(),
            sender_constrained: constraint != SenderConstraint::None,
        };
        applications.admit(&facts.registration, &facts.presentation(), &evidence).map(Some)
    }

    fn check_revocation(&self, token: &VerifiedToken, transport: &Transport) -> Result<(), DenialReason> {
        let Some(revocations) = &self.0.revocations else { return Ok(()) };
        let query = revocation_query(token, self.clock().now(), self.0.leeway);
        let query = query.presented_by(transport.as_workload()).passed_on_by(transport.hop());
        revocations.check(&query).into_result()
    }

    /// Makes the context, unless the proof was used before.
    pub(super) fn admit_once(
        &self,
        answer: Result<Sighting, ReplayStoreError>,
        admission: Admission,
    ) -> Result<DelegationContext, Rejection> {
        let reason = match answer {
            Ok(Sighting::First) => return Ok(self.admit(admission)),
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
        let Admission { token, scheme, workload, .. } = admission;
        Err(self.refusal(reason, scheme).of(Refused { token, workload }))
    }

    fn admit(&self, admission: Admission) -> DelegationContext {
        let Admission { token, scheme, constraint, workload, registration, dpop_nonce } = admission;
        let record = RequestRecord::new(self.0.space.clone(), Some(scheme));
        let at = self.clock().now();
        if let Some(registration) = &registration {
            registration.mark_seen(at);
        }
        let circumstances = Circumstances { at, leeway: self.0.leeway, risk: self.0.risk.clone() };
        DelegationContext::assertion(
            token,
            constraint,
            workload,
            registration,
            dpop_nonce,
            circumstances,
            record,
        )
    }
}
