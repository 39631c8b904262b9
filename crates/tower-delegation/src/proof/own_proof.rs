//! [`OwnProof`]: the proof that a request came with, used up once however often the
//! request is authenticated.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::future::{FutureExt as _, Shared};
use http::HeaderValue;

use super::dpop::ProofEnd;
use crate::{
    arrival::Arrival,
    reason::DenialReason,
    replay::{ChosenReplayStore, ReplayStoreError, ReplayStoreErrorKind, Sighting, UsedProof},
    step::{Step, Wait},
    text::{Text, causes},
};

/// The proof that a request came with, and what the stores of used proofs said of it.
///
/// A request may be authenticated more than once on its way: by a layer further inside
/// where middleware has changed its head or another authenticator is meant, by a handler
/// of a public route, again after a wait or a time-out. The proof is its own each time.
///
/// Travels in the extensions of the request. It counts for this very text, and until the
/// layer that first took the request in has its response: extensions that are carried over
/// to another request lend it nothing.
#[derive(Clone)]
pub(crate) struct OwnProof(Arc<Inner>);

struct Inner {
    text: HeaderValue,
    /// Does a layer wait for the response?
    is_owned: AtomicBool,
    has_ended: AtomicBool,
    /// One for each store: no more than the layers on the way have.
    verdicts: Mutex<Vec<(ChosenReplayStore, Spent)>>,
}

/// What a store says of a proof: good unless it was used before.
type Verdict = Result<(), DenialReason>;

#[derive(Clone)]
enum Spent {
    Known(Verdict),
    /// Goes on for the next who asks where the first has given up.
    Awaited(Shared<Wait<Verdict>>),
}

impl OwnProof {
    pub(crate) fn new(text: &HeaderValue) -> Self {
        Self(Arc::new(Inner {
            text: text.clone(),
            is_owned: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
            verdicts: Mutex::default(),
        }))
    }

    /// What is known of this proof, where it is the one that the request came with.
    pub(crate) fn of<'r>(arrival: Arrival<'r>, text: &[u8]) -> Option<&'r Self> {
        let own = arrival.left::<Self>()?;
        (own.0.text.as_bytes() == text && !own.0.has_ended.load(Ordering::Acquire)).then_some(own)
    }

    /// Whether the caller is the first that waits for the response. It then says when that
    /// is there.
    pub(crate) fn claim(&self) -> bool {
        !self.0.is_owned.swap(true, Ordering::AcqRel)
    }

    /// The request has ended.
    pub(crate) fn end(&self) {
        self.0.has_ended.store(true, Ordering::Release);
    }

    /// What `store` says, which is asked once.
    fn spend(&self, store: &ChosenReplayStore, used: UsedProof) -> Step<Verdict> {
        // No other request comes here, and a store that has to be waited for is waited for
        // outside.
        let mut verdicts = self.0.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        let known = verdicts.iter().find(|(known, _)| known.is(store));
        let spent = match known {
            Some((_, spent)) => spent.clone(),
            None => {
                let spent = match ask(store, used) {
                    Step::Ready(verdict) => Spent::Known(verdict),
                    Step::Wait(verdict) => Spent::Awaited(verdict.shared()),
                };
                verdicts.push((store.clone(), spent.clone()));
                spent
            }
        };
        match spent {
            Spent::Known(verdict) => Step::Ready(verdict),
            Spent::Awaited(verdict) => match verdict.peek() {
                Some(verdict) => Step::Ready(*verdict),
                None => Step::wait(verdict),
            },
        }
    }
}

impl fmt::Debug for OwnProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnProof").finish_non_exhaustive()
    }
}

/// A proof that is good, unless it was used before.
#[must_use]
pub(crate) struct SingleUse<'a> {
    pub(super) store: &'a ChosenReplayStore,
    pub(super) used: UsedProof,
    pub(super) end: ProofEnd,
    pub(super) own: Option<OwnProof>,
}

impl SingleUse<'_> {
    /// Uses the proof up. The last step, after every other check of the request's
    /// credentials.
    pub(crate) fn spend(&self) -> Step<Verdict> {
        match &self.own {
            Some(own) => own.spend(self.store, self.used),
            None => ask(self.store, self.used),
        }
    }

    /// Until when the proof is accepted.
    pub(crate) fn end(&self) -> ProofEnd {
        self.end
    }
}

fn ask(store: &ChosenReplayStore, used: UsedProof) -> Step<Verdict> {
    store.remember(used).map(sighted)
}

/// Was the proof used before? Logs an error that is not the client's.
fn sighted(answer: Result<Sighting, ReplayStoreError>) -> Verdict {
    let error = match answer {
        Ok(Sighting::First) => return Ok(()),
        Ok(Sighting::Again) => return Err(DenialReason::DpopProofReplayed),
        Err(error) => error,
    };
    if error.kind() == ReplayStoreErrorKind::ShareExhausted {
        // A client can cause this by itself.
        tracing::debug!(error = %Text::account(&error.to_string()), "a DPoP proof is not remembered");
    } else {
        tracing::warn!(
            error = %Text::account(&error.to_string()), cause = %Text::account(&causes(&error)),
            "a DPoP proof cannot be remembered"
        );
    }
    Err(match error.kind() {
        ReplayStoreErrorKind::Full => DenialReason::ReplayStoreFull,
        ReplayStoreErrorKind::ShareExhausted => DenialReason::ReplayShareExhausted,
        ReplayStoreErrorKind::ClockSetBack => DenialReason::ClockSetBack,
        ReplayStoreErrorKind::Unavailable => DenialReason::ReplayStoreUnavailable,
    })
}
