//! How far authentication came, and what it waits for.

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Extensions, HeaderMap, Method, Request, Uri, request::Parts, uri::PathAndQuery};

use super::{Authenticator, admission::Admission};
#[cfg(feature = "axum")]
use crate::context::is_rest_of;
use crate::{
    context::{DelegationContext, Passage},
    credential::PeerInfo,
    issuer::IssuerPolicy,
    jwks::PendingKey,
    proof::{PresentingRequest, Transport},
    rejection::Rejection,
    replay::{ReplayStoreError, Sighting},
    step::Wait,
};

/// The parts of a request's head that authentication looks at.
#[derive(Clone, Copy)]
pub(crate) struct Head<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    #[cfg_attr(not(feature = "axum"), expect(dead_code, reason = "read for axum's extensions only"))]
    pub(crate) extensions: &'a Extensions,
}

impl<'a> Head<'a> {
    pub(crate) fn of<B>(request: &'a Request<B>) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            extensions: request.extensions(),
        }
    }

    pub(super) fn of_parts(parts: &'a Parts) -> Self {
        let Parts { method, uri, headers, extensions, .. } = parts;
        Self { method, uri, headers, extensions }
    }

    /// The target that the client sent: routers that are nested, and layers inside
    /// of them, see a shorter one.
    fn client_uri(self) -> &'a Uri {
        #[cfg(feature = "axum")]
        if let Some(axum::extract::OriginalUri(uri)) = self.extensions.get() {
            return uri;
        }
        self.uri
    }

    fn client_path(self) -> &'a str {
        self.client_uri().path()
    }

    pub(super) fn client_target(self) -> Option<&'a PathAndQuery> {
        self.client_uri().path_and_query()
    }

    /// Is this the head that was judged?
    pub(crate) fn was_judged(self, passage: &Passage) -> bool {
        self.is_received() && passage.judged(self.method, self.client_target(), self.headers)
    }

    /// Is the target what is left of the one that the client sent?
    fn is_received(self) -> bool {
        #[cfg(feature = "axum")]
        return is_rest_of(self.extensions, self.client_uri(), self.uri);
        #[cfg(not(feature = "axum"))]
        true
    }

    pub(super) fn presenting(self) -> PresentingRequest<'a> {
        PresentingRequest { method: self.method, path: self.client_path(), headers: self.headers }
    }
}

/// What the listener put into the request's extensions.
pub(crate) fn peer_info(extensions: &Extensions) -> Option<&PeerInfo> {
    #[cfg(feature = "axum")]
    if let Some(axum::extract::ConnectInfo(peer)) = extensions.get() {
        return Some(peer);
    }
    extensions.get()
}

/// How far authentication came without waiting.
pub(crate) enum Authentication {
    /// To the end: a context, or no credentials, or a refusal.
    Done(Result<Option<DelegationContext>, Rejection>),
    /// To something that has to be waited for.
    Pending(Pending),
}

/// What authentication waits for, and what it goes on with.
pub(crate) enum Pending {
    /// The issuer's keys.
    Key { key: PendingKey, policy: Arc<IssuerPolicy>, transport: Transport },
    /// The store of used proofs.
    Replay { answer: Wait<Result<Sighting, ReplayStoreError>>, admission: Admission },
}

impl Pending {
    /// Waits, and goes on with the same head.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        authenticator: &Authenticator,
        head: Head<'_>,
    ) -> Poll<Authentication> {
        Poll::Ready(match self {
            Self::Key { key, policy, transport } => {
                let key = ready!(key.as_mut().poll(cx));
                let transport = transport.clone().at(authenticator.clock().now());
                authenticator.resume(head, transport, key, policy)
            }
            Self::Replay { answer, admission } => {
                let answer = ready!(answer.as_mut().poll(cx));
                Authentication::Done(authenticator.resume_once(head, answer, admission.clone()))
            }
        })
    }
}
