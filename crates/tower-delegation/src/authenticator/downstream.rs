//! What an authenticator does for those who call other services on behalf of its callers.

use std::sync::{Arc, Weak, atomic::Ordering};

use super::Authenticator;
#[cfg(feature = "http-client")]
use crate::{
    clock::Timestamp,
    context::DelegationContext,
    http_client::HttpClient,
    issuer::{BuildContext, Issuers, TrustedIssuer},
    revocation::{RevocationTarget, Standing, TargetMismatch},
    token::{TokenCache, VerifiedToken, Verifier},
};
use http::HeaderMap;

use crate::{
    context::HeldToken, credential::Credential, error::ConfigError, revocation::RevocationListener,
    trace::CarriedTrace,
};

impl Authenticator {
    /// Has a listener called whenever something is revoked.
    pub(crate) fn subscribe(&self, listener: Weak<dyn RevocationListener>) -> Result<(), ConfigError> {
        let Some(revocations) = &self.0.judge.revocations else { return Ok(()) };
        revocations
            .subscribe(listener)
            .map_err(|error| ConfigError::UnmatchedRevocation { problem: error.to_string() })
    }

    /// The text of a token, where it may be exchanged later.
    pub(super) fn held(&self, credential: Credential<'_>) -> Option<HeldToken> {
        if !self.0.keeps_credentials.load(Ordering::Relaxed) {
            return None;
        }
        credential.token().ok().map(HeldToken::new)
    }
}

impl Authenticator {
    /// The trace that goes on with calls to downstreams, where such calls may be made.
    pub(super) fn carried_trace(&self, headers: &HeaderMap) -> Option<Arc<CarriedTrace>> {
        if !self.0.keeps_credentials.load(Ordering::Relaxed) {
            return None;
        }
        CarriedTrace::of(headers)
    }
}

#[cfg(feature = "http-client")]
impl Authenticator {
    /// Was this context made by this authenticator?
    pub(crate) fn has_made(&self, delegation: &DelegationContext) -> bool {
        Arc::ptr_eq(&self.0.judge, &delegation.circumstances().judge)
    }

    /// Keeps the text of each token with its context from now on.
    pub(crate) fn keep_credentials(&self) {
        self.0.keeps_credentials.store(true, Ordering::Relaxed);
    }

    /// The client that fetches keys, where one is configured.
    pub(crate) fn http_client(&self) -> Option<&HttpClient> {
        self.0.http_client.as_ref()
    }

    /// What verifies the tokens of one issuer by the clock and the limits of this authenticator,
    /// and by nothing else of it: what it accepts opens nothing here.
    pub(crate) fn reader(&self, terms: TrustedIssuer) -> Result<Arc<Verifier>, ConfigError> {
        let verifier = &self.0.verifier;
        let mut context = BuildContext::new(Arc::clone(verifier.clock()));
        if let Some(http_client) = &self.0.http_client {
            context = context.with_http_client(http_client.clone());
        }
        let policy = terms.build(&mut context)?;
        let policies = [(policy.issuer().clone(), Arc::new(policy))];
        let issuers = Arc::new(Issuers::new(policies.into_iter().collect(), Vec::new(), context));
        let (clock, leeway) = (Arc::clone(verifier.clock()), self.0.judge.leeway);
        let max_actors = verifier.max_actors().saturating_add(1);
        // What is brought back is kept by the exchange, not here.
        Ok(Arc::new(Verifier::new(issuers, clock, leeway, max_actors, false, TokenCache::disabled())))
    }

    /// Why no request can be about `target`.
    pub(crate) fn mismatch(&self, target: &RevocationTarget) -> Option<TargetMismatch> {
        RevocationListener::mismatch(&*self.0, target)
    }

    /// Is anything about this token revoked?
    pub(crate) fn is_revoked(&self, token: &VerifiedToken, now: Timestamp) -> bool {
        let judge = &self.0.judge;
        judge.revocations.as_ref().is_some_and(|revocations| {
            matches!(revocations.check(&judge.revocation_query(token, now)), Standing::Revoked(_))
        })
    }
}
