//! [`DownstreamToken`]: a token that may be sent to one downstream.

use std::{fmt, sync::Arc};

use http::{
    HeaderMap, HeaderValue, Method, Request,
    header::{AUTHORIZATION, HOST, PROXY_AUTHORIZATION},
};
use url::{Origin, Url};

use super::{
    dpop::{DPOP, DpopKey},
    error::Failure,
};
use crate::{clock::Timestamp, scope::ScopeSet, token::VerifiedToken};

/// What was brought back from an exchange, and checked.
pub(super) struct Issued {
    /// `Authorization`, marked as sensitive.
    pub(super) authorization: HeaderValue,
    pub(super) origin: Origin,
    pub(super) scopes: ScopeSet,
    /// Until when it is used.
    pub(super) until: Timestamp,
    /// Whose token it was exchanged for.
    pub(super) caller: VerifiedToken,
    /// The token itself, where it is read.
    pub(super) token: Option<VerifiedToken>,
    /// What it is bound to.
    pub(super) key: Option<BoundKey>,
    pub(super) certificate: Option<[u8; 32]>,
}

/// The key that a token is bound to.
pub(super) struct BoundKey {
    pub(super) key: Arc<DpopKey>,
    /// The hash of the token (RFC 9449 section 4.2).
    pub(super) token_hash: Box<str>,
}

/// A token for one downstream, good now. It is never handed out: it is put on requests to the
/// downstream's own origin.
///
/// Ask for one each time, by [`Exchange::on_behalf_of`](super::Exchange::on_behalf_of): what is
/// kept is judged again, and a revoked caller gets none.
#[derive(Clone)]
pub struct DownstreamToken(pub(super) Arc<Issued>);

impl DownstreamToken {
    /// Puts the token on a request, in place of whatever its `Authorization` holds: by scheme
    /// `DPoP` where it is [bound to a key](super::Downstream::dpop_bound), with a new proof for the
    /// method and the URI that the request has now, so do this last, and for each request anew.
    /// Any other `DPoP` and `Proxy-Authorization` are removed, and so is a `Host` that is not the
    /// downstream's.
    ///
    /// # Errors
    /// [`AuthorizeError`] unless the request goes to the scheme, host and port of the downstream,
    /// without user information. The request is left as it is.
    pub fn authorize<B>(&self, request: &mut Request<B>) -> Result<(), AuthorizeError> {
        let target = Url::parse(&request.uri().to_string()).map_err(|_| AuthorizeError::WRONG_ORIGIN)?;
        let method = request.method().clone();
        self.put_on(&method, &target, request.headers_mut())
    }

    /// The same for a request to `url` by `method`, with these header fields.
    pub(super) fn put_on(
        &self,
        method: &Method,
        url: &Url,
        headers: &mut HeaderMap,
    ) -> Result<(), AuthorizeError> {
        if url.origin() != self.0.origin || !url.username().is_empty() || url.password().is_some() {
            return Err(AuthorizeError::WRONG_ORIGIN);
        }
        let proof = self.0.key.as_ref().map(|BoundKey { key, token_hash }| {
            let proof = key.proof(method, url, key.nonce(), Some(token_hash));
            proof.map_err(|failure| AuthorizeError(Problem::Proof(failure)))
        });
        match proof.transpose()? {
            Some(proof) => drop(headers.insert(DPOP, proof)),
            None => drop(headers.remove(DPOP)),
        }
        // Behind one address there may be several hosts, and the token is for one of them.
        if !headers.get_all(HOST).iter().all(|host| is_host_of(host, url)) {
            headers.remove(HOST);
        }
        headers.remove(PROXY_AUTHORIZATION);
        headers.insert(AUTHORIZATION, self.0.authorization.clone());
        Ok(())
    }

    /// Whether each request has a proof of its own.
    #[cfg(feature = "reqwest")]
    pub(super) fn is_bound_to_key(&self) -> bool {
        self.0.key.is_some()
    }

    /// Keeps the nonce that an answer of the downstream gives for the next proofs (`DPoP-Nonce`,
    /// RFC 9449 section 8.2). Returns whether there is one: a 401 that demands a nonce
    /// (`use_dpop_nonce`) can then be answered by one more request, authorized anew. Does nothing
    /// for a token that is not bound to a key.
    #[must_use = "a request that was refused for the lack of a nonce can be sent again"]
    pub fn learn_nonce(&self, answer: &HeaderMap) -> bool {
        self.0.key.as_ref().is_some_and(|bound| bound.key.nonce().learn(answer))
    }

    /// The scopes that it has, as far as is known: those of the token where it is
    /// [read](super::Downstream::reads), else those of the answer.
    #[must_use]
    pub fn scopes(&self) -> &ScopeSet {
        &self.0.scopes
    }

    /// Until when it is used: the earliest of its own end, the caller's token's, and the
    /// downstream's [longest life](super::Downstream::max_token_lifetime).
    #[must_use]
    pub fn used_until(&self) -> Timestamp {
        self.0.until
    }
}

/// Whether a `Host` names the authority of the URL.
fn is_host_of(field: &HeaderValue, url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        None => field.as_bytes().eq_ignore_ascii_case(host.as_bytes()),
        Some(port) => field.as_bytes().eq_ignore_ascii_case(format!("{host}:{port}").as_bytes()),
    }
}

impl fmt::Debug for DownstreamToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DownstreamToken")
            .field("scopes", &self.0.scopes)
            .field("used_until", &self.0.until)
            .finish_non_exhaustive()
    }
}

/// A token was not put on a request.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct AuthorizeError(Problem);

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("the request does not go to the origin of the downstream that the token is for")]
    WrongOrigin,
    #[error("there is no proof for the request")]
    Proof(#[source] Failure),
}

impl AuthorizeError {
    const WRONG_ORIGIN: Self = Self(Problem::WrongOrigin);

    /// Whether the token would have left for another origin than its downstream's.
    #[must_use]
    pub fn is_wrong_origin(&self) -> bool {
        matches!(self.0, Problem::WrongOrigin)
    }
}
