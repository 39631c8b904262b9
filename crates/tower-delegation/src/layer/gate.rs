//! [`Gate`]: decides whether a request goes in, and what it carries then.

use http::{HeaderValue, Request};

use super::{
    arrival::Judged,
    observer::{Caller, Observer},
    undecided::{UndecidedResponses, Watch},
};
use crate::{
    audit::Trail,
    authenticator::{Authentication, Authenticator, Head, Pending, peer_info},
    context::{DelegationContext, RequestRecord},
    reason::DenialReason,
    rejection::Rejection,
};

/// Decides whether a request goes in.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    pub(super) authenticator: Authenticator,
    pub(super) anonymous: AnonymousRequests,
    pub(super) undecided: UndecidedResponses,
    pub(super) inner_authenticators: InnerAuthenticators,
    pub(super) trail: Trail,
}

/// How far a request comes without waiting.
pub(super) enum Entry {
    /// To the service.
    Open(Admitted),
    Refused(Rejection),
    /// To something that authentication has to wait for.
    Pending(Pending),
}

/// A request goes in.
pub(super) struct Admitted {
    /// A nonce for the response. Boxed, because it is rare and travels with the
    /// future of every request.
    pub(super) dpop_nonce: Option<Box<HeaderValue>>,
    pub(super) watch: Watch,
}

impl Gate {
    /// Authenticates as far as is possible without waiting.
    pub(super) fn enter<B>(&self, request: &mut Request<B>, observer: &mut Observer) -> Entry {
        let peer = peer_info(request.extensions()).cloned();
        let authentication = match self.authenticator.identify(request.headers_mut(), peer.as_ref()) {
            Ok(transport) => self.authenticator.begin(Head::of(request), transport),
            Err(reason) => Authentication::Done(Err(self.authenticator.rejection(reason, None))),
        };
        match authentication {
            Authentication::Done(result) => match self.admit(result, request, observer) {
                Ok(admitted) => Entry::Open(admitted),
                Err(rejection) => Entry::Refused(rejection),
            },
            Authentication::Pending(pending) => Entry::Pending(pending),
        }
    }

    /// Puts what is known about the caller into the request's extensions, or
    /// says why the request is refused.
    pub(super) fn admit<B>(
        &self,
        authenticated: Result<Option<DelegationContext>, Rejection>,
        request: &mut Request<B>,
        observer: &mut Observer,
    ) -> Result<Admitted, Rejection> {
        let mut rejection = match (authenticated, self.anonymous) {
            (Ok(Some(delegation)), _) => {
                observer.identify(|| Caller::Known(delegation.clone()));
                self.mark(delegation.record(), request);
                let dpop_nonce = delegation.dpop_nonce().cloned().map(Box::new);
                let watch = self.watch(request, Caller::Known(delegation.clone()));
                request.extensions_mut().insert(delegation);
                return Ok(Admitted { dpop_nonce, watch: watch.until_the_end() });
            }
            (Ok(None), AnonymousRequests::Allowed) => {
                let anonymous = self.authenticator.anonymous();
                observer.identify(|| Caller::Anonymous(anonymous.clone()));
                self.mark(anonymous.record(), request);
                let watch = self.watch(request, Caller::Anonymous(anonymous.clone()));
                request.extensions_mut().insert(anonymous);
                return Ok(Admitted { dpop_nonce: None, watch: watch.until_the_end() });
            }
            (Ok(None), AnonymousRequests::Refused) => {
                self.authenticator.rejection(DenialReason::CredentialsMissing, None)
            }
            (Err(rejection), _) => rejection,
        };
        if let Some(refused) = rejection.take_refused() {
            observer.identify(|| Caller::Refused(refused));
        }
        observer.refused(rejection.reason(), rejection.status());
        Err(rejection)
    }

    pub(super) fn refuse(&self, reason: DenialReason, observer: &mut Observer) -> Rejection {
        let rejection = self.authenticator.rejection(reason, None);
        observer.refused(reason, rejection.status());
        rejection
    }

    /// Lets a request pass that an outer layer of the same authenticator has admitted,
    /// with the context that it has. What this layer demands beyond that still counts.
    pub(super) fn pass<B>(&self, caller: Judged, request: &mut Request<B>) -> Result<Admitted, Rejection> {
        let caller = match caller {
            Judged::Known(delegation) => {
                request.extensions_mut().insert(delegation.clone());
                Caller::Known(delegation)
            }
            Judged::Anonymous(anonymous) if self.anonymous == AnonymousRequests::Refused => {
                return Err(Rejection::missing_credentials(None, anonymous.record()));
            }
            Judged::Anonymous(anonymous) => {
                request.extensions_mut().insert(anonymous.clone());
                Caller::Anonymous(anonymous)
            }
        };
        Ok(Admitted { dpop_nonce: None, watch: self.watch(request, caller) })
    }

    /// Writes down what this layer has judged, for layers further inside.
    fn mark<B>(&self, record: &RequestRecord, request: &Request<B>) {
        let passage = self.authenticator.passage(Head::of(request), record.scheme());
        record.admit(passage.allow_inner(self.inner_authenticators == InnerAuthenticators::Allowed));
    }

    fn watch<B>(&self, request: &Request<B>, caller: Caller) -> Watch {
        Watch::over(request, caller, self.undecided)
    }
}

/// What happens to a request without credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnonymousRequests {
    Refused,
    Allowed,
}

/// Whether another authenticator further inside is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InnerAuthenticators {
    Reported,
    Allowed,
}
