//! [`DownstreamToken`]: a token that may be sent to one downstream.

use std::{fmt, sync::Arc};

use http::{HeaderValue, Request, header::AUTHORIZATION};
use url::{Origin, Url};

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
}

/// A token for one downstream, good now. It is never handed out: it is put on requests to the
/// downstream's own origin.
///
/// Ask for one each time, by [`Exchange::on_behalf_of`](super::Exchange::on_behalf_of): what is
/// kept is judged again, and a revoked caller gets none.
#[derive(Clone)]
pub struct DownstreamToken(pub(super) Arc<Issued>);

impl DownstreamToken {
    /// Puts the token on a request, in place of whatever its `Authorization` holds.
    ///
    /// # Errors
    /// [`WrongOrigin`] unless the request goes to the scheme, host and port of the downstream.
    /// The request is left as it is.
    pub fn authorize<B>(&self, request: &mut Request<B>) -> Result<(), WrongOrigin> {
        let target = Url::parse(&request.uri().to_string()).map_err(|_| WrongOrigin(()))?;
        if target.origin() != self.0.origin {
            return Err(WrongOrigin(()));
        }
        request.headers_mut().insert(AUTHORIZATION, self.0.authorization.clone());
        Ok(())
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

impl fmt::Debug for DownstreamToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DownstreamToken")
            .field("scopes", &self.0.scopes)
            .field("used_until", &self.0.until)
            .finish_non_exhaustive()
    }
}

/// A token would have left for another origin than its downstream's.
#[derive(Debug, thiserror::Error)]
#[error("the request does not go to the origin of the downstream that the token is for")]
pub struct WrongOrigin(());
