//! [`RevocationSink`]: where revocations are written to.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use serde::Serialize;

use super::{error::RevocationError, record::Revocation, target::RevocationTarget, unix_time};
use crate::clock::Timestamp;

/// The most revocations in one answer of [`RevocationSink::list`].
pub const MAX_PAGE: usize = 1000;

/// The future that a [`RevocationSink`] returns.
pub type RevocationFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, RevocationError>> + Send + 'a>>;

/// Takes revocations in: the write side of a
/// [`RevocationStore`](super::RevocationStore).
///
/// Called by [`revocation_routes`](crate::routing::revocation_routes), once for each
/// order, and by everything else that knows of revocations. An implementation
/// asks [`Revocation::check`] first. `Ok` says that the revocation is in force for every
/// request that starts from then on, in this process; where the sink is elsewhere,
/// the implementation's documentation says when it is in others. An error of the
/// kind [`Unavailable`](super::RevocationErrorKind::Unavailable) leaves open whether
/// it is in force, any other says that it is not.
///
/// A sink that is elsewhere has its own time-out. `check_revocations` of the
/// testing crate is the contract as tests.
///
/// [`InMemoryRevocations`](super::InMemoryRevocations) is an implementation. This
/// one also keeps a journal of what has come into force:
///
/// ```
/// use std::sync::Mutex;
/// use tower_delegation::revocation::{
///     InMemoryRevocations, Revocation, RevocationFuture, RevocationList, RevocationPage, RevocationSink,
///     RevocationTarget,
/// };
///
/// #[derive(Debug)]
/// struct Noted {
///     store: InMemoryRevocations,
///     journal: Mutex<Vec<String>>,
/// }
///
/// impl RevocationSink for Noted {
///     fn revoke(&self, revocation: Revocation) -> RevocationFuture<'_, ()> {
///         Box::pin(async move {
///             // How it is displayed is harmless in a line of text, whatever its identifier.
///             let note = revocation.target().to_string();
///             RevocationSink::revoke(&self.store, revocation).await?;
///             // Not before: what the store refuses is not in force.
///             self.journal.lock().unwrap().push(note);
///             Ok(())
///         })
///     }
///
///     fn lift(&self, target: RevocationTarget) -> RevocationFuture<'_, bool> {
///         RevocationSink::lift(&self.store, target)
///     }
///
///     fn list(&self, page: RevocationPage) -> RevocationFuture<'_, RevocationList> {
///         RevocationSink::list(&self.store, page)
///     }
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # use tower_delegation::clock::Timestamp;
/// # let issuer = "https://idp.example.com";
/// # let sink = Noted { store: InMemoryRevocations::new(), journal: Mutex::default() };
/// # let passed = Revocation::subject(issuer, "alice").until(Timestamp::from_unix_seconds(1_600_000_000));
/// # for refused in [Revocation::subject(issuer, ""), Revocation::client("", "x"), passed] {
/// #     assert!(RevocationSink::revoke(&sink, refused).await.is_err());
/// # }
/// # assert!(sink.journal.lock().unwrap().is_empty());
/// # let forged = Revocation::subject(issuer, "x\nsubject \"admin\" is revoked\u{202e}");
/// # assert!(RevocationSink::revoke(&sink, forged).await.is_ok());
/// # let journal = sink.journal.lock().unwrap();
/// # assert!(journal.len() == 1 && journal[0].chars().all(|c| !c.is_control() && c != '\u{202e}'), "{journal:?}");
/// # }
/// ```
pub trait RevocationSink: fmt::Debug + Send + Sync + 'static {
    /// Takes a revocation in. One of the same target is joined with it: both
    /// limits are then the later one.
    fn revoke(&self, revocation: Revocation) -> RevocationFuture<'_, ()>;

    /// Takes the revocation of `target` back; `false` if there is none.
    fn lift(&self, target: RevocationTarget) -> RevocationFuture<'_, bool>;

    /// The revocations that are in force, a page at a time.
    fn list(&self, page: RevocationPage) -> RevocationFuture<'_, RevocationList>;
}

impl<T: RevocationSink + ?Sized> RevocationSink for Arc<T> {
    fn revoke(&self, revocation: Revocation) -> RevocationFuture<'_, ()> {
        (**self).revoke(revocation)
    }

    fn lift(&self, target: RevocationTarget) -> RevocationFuture<'_, bool> {
        (**self).lift(target)
    }

    fn list(&self, page: RevocationPage) -> RevocationFuture<'_, RevocationList> {
        (**self).list(page)
    }
}

/// Which part of the list is asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RevocationPage {
    /// The place to go on from: [`RevocationList::next`] of the page before.
    pub after: Option<String>,
    /// How many at most.
    pub limit: usize,
}

impl RevocationPage {
    /// The first page, of at most `limit` revocations, [`MAX_PAGE`] at most.
    #[must_use]
    pub fn first(limit: usize) -> Self {
        Self { after: None, limit: limit.clamp(1, MAX_PAGE) }
    }

    /// The page that goes on from `place`.
    #[must_use]
    pub fn after(mut self, place: impl Into<String>) -> Self {
        self.after = Some(place.into());
        self
    }
}

/// One page of revocations, the oldest first.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct RevocationList {
    /// The revocations.
    pub revocations: Vec<Revocation>,
    /// Where the next page begins; `None`: this is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// In addition, every token that was issued up to this time is refused.
    #[serde(with = "unix_time", skip_serializing_if = "Option::is_none")]
    pub everything_issued_before: Option<Timestamp>,
}

impl RevocationList {
    /// A page of these, after which the list goes on at `next`.
    #[must_use]
    pub fn new(revocations: Vec<Revocation>, next: Option<String>) -> Self {
        Self { revocations, next, everything_issued_before: None }
    }
}
