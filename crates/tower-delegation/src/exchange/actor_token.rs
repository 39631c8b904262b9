//! [`ActorToken`]: the proof of this service in the exchange itself.

use std::{sync::Arc, time::Duration};

use moka::future::Cache;

use super::{
    answer::Answer,
    authentication::{Form, read},
    error::{Failure, Party},
    server::{Means, Server},
    wire::{ACCESS_TOKEN, JWT},
};
use crate::{clock::Timestamp, material::Material, reason::DenialReason};

/// How long a token is used whose life the server does not tell.
const UNTOLD_LIFETIME: Duration = Duration::from_secs(60);

/// How long one is used at most.
const MAX_LIFETIME: Duration = Duration::from_secs(3600);

/// The token of this service, for servers that take the acting party from an `actor_token` and
/// not from the client that asks (RFC 8693 section 2.1).
#[derive(Clone, Debug)]
pub struct ActorToken(Source);

#[derive(Clone, Debug)]
enum Source {
    ClientCredentials,
    /// Read anew for each request, and its type.
    Given(Material, Box<str>),
}

impl ActorToken {
    /// An access token that this service gets for itself at the same server (RFC 6749 section
    /// 4.4). It is kept until the downstream's [margin](super::Downstream::margin) before its end,
    /// for one hour at most, and asked for once at a time. No scope is asked for.
    #[must_use]
    pub fn client_credentials() -> Self {
        Self(Source::ClientCredentials)
    }

    /// A JWT-SVID of this workload, whose audience is the server's issuer identifier. An agent
    /// keeps the file current; it is read anew for each request.
    #[must_use]
    pub fn jwt_svid(svid: impl Into<Material>) -> Self {
        Self(Source::Given(svid.into(), JWT.into()))
    }

    /// Any token, with its type (RFC 8693 section 3), such as
    /// `urn:ietf:params:oauth:token-type:access_token`. A file is read anew for each request.
    #[must_use]
    pub fn given(token: impl Into<Material>, token_type: &str) -> Self {
        Self(Source::Given(token.into(), token_type.into()))
    }

    /// Whether its type can be sent.
    pub(super) fn is_complete(&self) -> bool {
        match &self.0 {
            Source::ClientCredentials => true,
            Source::Given(_, token_type) => !token_type.trim().is_empty(),
        }
    }

    pub(super) fn build(self, margin: Duration) -> ActorTokens {
        ActorTokens { source: self.0, margin, kept: Cache::builder().max_capacity(1).build() }
    }
}

/// The same, with what is kept.
#[derive(Debug)]
pub(super) struct ActorTokens {
    source: Source,
    margin: Duration,
    kept: Cache<(), Result<Kept, Arc<Failure>>>,
}

#[derive(Clone, Debug)]
struct Kept {
    token: SecretText,
    until: Timestamp,
}

/// A token that `Debug` does not show.
#[derive(Clone)]
struct SecretText(Arc<str>);

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretText(..)")
    }
}

impl ActorTokens {
    /// A token that is good now, and its type.
    pub(super) async fn token(
        &self,
        server: &Server,
        means: Means<'_>,
    ) -> Result<(Arc<str>, &str), Arc<Failure>> {
        match &self.source {
            Source::Given(token, token_type) => {
                let token = read(token).await.map_err(Arc::new)?;
                Ok((token.into(), token_type))
            }
            Source::ClientCredentials => {
                let now = means.clock.now();
                let is_over = |kept: &Result<Kept, _>| kept.as_ref().map_or(true, |kept| kept.until <= now);
                let kept = self.kept.entry(()).or_insert_with_if(self.fetch(server, means), is_over).await;
                Ok((kept.into_value()?.token.0, ACCESS_TOKEN))
            }
        }
    }

    /// Forgets what is kept: the server has refused a request that carried it.
    pub(super) async fn forget(&self) {
        self.kept.invalidate(&()).await;
    }

    async fn fetch(&self, server: &Server, means: Means<'_>) -> Result<Kept, Arc<Failure>> {
        let form: Form<'_> = vec![("grant_type", "client_credentials".into())];
        let answer = server.request(&form, means, Party::Service).await?;
        check(&answer).map_err(|reason| Arc::new(Failure::violation(reason)))?;
        let life = answer.expires_in.unwrap_or(UNTOLD_LIFETIME).min(MAX_LIFETIME);
        let until = means.clock.now().saturating_add(life.saturating_sub(self.margin));
        Ok(Kept { token: SecretText(Arc::from(answer.token)), until })
    }
}

/// Is it an access token, and that alone?
fn check(answer: &Answer) -> Result<(), DenialReason> {
    if answer.has_refresh_token {
        return Err(DenialReason::ExchangeRefreshToken);
    }
    // Of either kind: it is not presented, so it needs no proof.
    let is_access_token =
        ["Bearer", "DPoP"].into_iter().any(|kind| answer.token_type.eq_ignore_ascii_case(kind));
    if is_access_token { Ok(()) } else { Err(DenialReason::ExchangeTypeMismatch) }
}
