//! Keys by way of the issuer's metadata (RFC 8414, OpenID Connect Discovery).
//!
//! 1. Every well-known place is tried until one has the issuer's metadata, and the
//!    key set that it names is there. That place is kept, and asked first the next time.
//! 2. Metadata is current for as long as its `Cache-Control` says, one hour at
//!    most. It is read again when that is over, when a key set could not be
//!    fetched, and whenever the keys are fetched because a token's key is missed:
//!    the set may have moved.
//! 3. While no place has metadata, the key set of the last good one is used for
//!    24 hours: a gateway that fails does not cut off keys that are there.

mod document;
mod failures;
mod places;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use url::Url;

use self::places::MAX_PLACES;
pub(super) use self::places::MetadataUrls;
pub use self::places::metadata_urls;
use self::{
    document::Metadata,
    failures::{Failure, Failures, Rank},
};
use crate::{
    clock::{Clock, Moment},
    http_client::{DocumentKind, FetchErrorKind, Fetched, Fetcher, MAX_TIMEOUT},
    jwks::{
        FETCH_LIMIT, FetchReason, FetchedKeys, JwksUrl, KeyFetch, KeyRequest, KeySource, KeySourceError,
        KeySourceErrorKind,
    },
    names::IssuerUrl,
    text::{Text, causes},
};

/// The longest time for which metadata is current, and the time where it says none.
const MAX_LIFETIME: Duration = Duration::from_secs(3600);

/// How long metadata is used that cannot be read again.
const MAX_STALE: Duration = Duration::from_secs(24 * 3600);

// Where every place hangs, there is time left for the key set that was named last.
const _: () = assert!(MAX_TIMEOUT.as_secs() * (MAX_PLACES + 1) <= FETCH_LIMIT.as_secs());

/// A key source that learns the key set's URL from the issuer's metadata.
#[derive(Debug)]
pub(super) struct Discovery {
    issuer: IssuerUrl,
    metadata_urls: MetadataUrls,
    fetcher: Fetcher,
    clock: Arc<dyn Clock>,
    known: Mutex<Option<Known>>,
}

#[derive(Clone, Debug)]
struct Known {
    jwks_uri: Url,
    /// The number of the place that has the metadata.
    place: usize,
    read_at: Moment,
    /// Zero once a key set could not be fetched.
    lifetime: Duration,
    /// The `ETag` that this URL sent last.
    etag: Option<String>,
}

impl Known {
    /// Whether the metadata need not be read again before this fetch.
    fn serves(&self, reason: FetchReason, now: Moment) -> bool {
        reason == FetchReason::Due && self.read_at.elapsed(now) < self.lifetime
    }
}

impl Discovery {
    pub(super) fn new(
        issuer: IssuerUrl,
        metadata_urls: MetadataUrls,
        fetcher: Fetcher,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { issuer, metadata_urls, fetcher, clock, known: Mutex::new(None) }
    }

    /// Fetches the key set whose place was found earlier.
    async fn fetch_known(
        &self,
        mut known: Known,
        request: KeyRequest<'_>,
    ) -> Result<FetchedKeys, KeySourceError> {
        // An `ETag` from another URL means nothing at this one.
        let etag = request.etag.filter(|etag| known.etag.as_deref() == Some(*etag));
        let source = JwksUrl::from_checked(known.jwks_uri.clone(), self.fetcher.clone());
        let fetched = source.fetch(KeyRequest { etag, ..request }).await;
        match &fetched {
            Ok(fetched) => known.etag = fetched.etag.clone().or(etag.map(str::to_owned)),
            // The key set may have moved: the metadata is read again next time.
            Err(_) => known.lifetime = Duration::ZERO,
        }
        *self.lock() = Some(known);
        fetched
    }

    /// Reads the metadata, and fetches the key set that it names. Where that is not
    /// there, another place may name one that is.
    async fn search(
        &self,
        former: Option<Known>,
        request: KeyRequest<'_>,
        now: Moment,
    ) -> Result<FetchedKeys, KeySourceError> {
        let mut failures = Failures::default();
        let mut without_keys: Option<(Known, KeySourceError)> = None;
        for (place, url) in self.metadata_urls.starting_with(former.as_ref().map(|former| former.place)) {
            let (jwks_uri, lifetime) = match self.read(url).await {
                Ok(found) => found,
                Err(failure) => {
                    failures.add(url.path(), failure);
                    continue;
                }
            };
            if without_keys.as_ref().is_some_and(|(known, _)| known.jwks_uri == jwks_uri) {
                continue;
            }
            let same = former.as_ref().filter(|former| former.jwks_uri == jwks_uri);
            let etag = same.and_then(|former| former.etag.clone());
            let known = Known { jwks_uri, place, read_at: now, lifetime, etag };
            match self.fetch_known(known.clone(), request).await {
                Ok(fetched) => return Ok(fetched),
                Err(error) => drop(without_keys.get_or_insert((known, error))),
            }
        }
        if let Some((known, error)) = without_keys {
            *self.lock() = Some(Known { lifetime: Duration::ZERO, ..known });
            return Err(error);
        }
        let error = KeySourceError::from(failures);
        match former.filter(|former| former.read_at.elapsed(now) <= MAX_STALE) {
            Some(former) => {
                tracing::warn!(
                    issuer = %Text::new(self.issuer.as_str()), error = %Text::account(&error.to_string()), cause = %Text::account(&causes(&error)),
                    "the issuer's metadata could not be read again: its last key set is used"
                );
                self.fetch_known(former, request).await
            }
            None => Err(error),
        }
    }

    /// Reads one place: the key set's URL, and for how long that is current.
    async fn read(&self, url: &Url) -> Result<(Url, Duration), Failure> {
        let (body, freshness) = match self.fetcher.get(url, DocumentKind::Metadata, None).await {
            Ok(Fetched::Document { body, freshness }) => (body, freshness),
            Ok(Fetched::NotModified(_)) => {
                return Err(Failure::new(Rank::Absent, KeySourceErrorKind::Refused.into()));
            }
            Err(error) => {
                let rank = match error.kind() {
                    FetchErrorKind::Status(400..=499)
                    | FetchErrorKind::ContentType
                    | FetchErrorKind::Redirect => Rank::Absent,
                    FetchErrorKind::Status(_)
                    | FetchErrorKind::InsecureUrl
                    | FetchErrorKind::Credential
                    | FetchErrorKind::Unreachable
                    | FetchErrorKind::Tls
                    | FetchErrorKind::Timeout
                    | FetchErrorKind::ContentEncoding
                    | FetchErrorKind::TooLarge => Rank::Failing,
                };
                return Err(Failure::new(rank, error.into()));
            }
        };
        let jwks_uri = self.jwks_uri(url, &Metadata::parse(&body)?)?;
        Ok((jwks_uri, freshness.max_age.unwrap_or(MAX_LIFETIME).min(MAX_LIFETIME)))
    }

    /// The key set's URL, if the metadata at `place` is this issuer's (RFC 8414 section
    /// 3.3: identical strings). Metadata of another issuer is not followed.
    fn jwks_uri(&self, place: &Url, metadata: &Metadata<'_>) -> Result<Url, Failure> {
        let (issuer, jwks_uri) = metadata.members()?;
        if self.issuer != *issuer {
            let problem = format!("it names {issuer:?}");
            let error = KeySourceError::new(KeySourceErrorKind::IssuerMismatch, problem);
            return Err(Failure::new(Rank::Foreign, error));
        }
        let url = Url::parse(jwks_uri).map_err(Failure::unusable)?;
        self.fetcher.check(&url).map_err(Failure::unusable)?;
        // What came by https does not lead out of it.
        if url.scheme() != "https" && place.scheme() == "https" {
            return Err(Failure::unusable("its jwks_uri is not https"));
        }
        Ok(url)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeySource for Discovery {
    fn fetch<'a>(&'a self, request: KeyRequest<'a>) -> KeyFetch<'a> {
        Box::pin(async move {
            let now = Moment::of(&*self.clock);
            let former = self.lock().clone();
            match former {
                Some(known) if known.serves(request.reason, now) => self.fetch_known(known, request).await,
                former => self.search(former, request, now).await,
            }
        })
    }
}

#[cfg(test)]
mod tests;
