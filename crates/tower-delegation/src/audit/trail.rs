//! [`Trail`]: the sinks of one layer.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

#[cfg(feature = "http-client")]
use http::Method;
use tokio::sync::oneshot;

#[cfg(feature = "http-client")]
use super::ExchangeRecord;
use super::{
    Audit, AuditEvent, AuditStatus, SinkError, TokenHashKey, TracingSink,
    channel::{Channel, Message, Place, Queue, Route},
    metrics,
};
#[cfg(feature = "http-client")]
use crate::{clock::Timestamp, context::DelegationContext, reason::DenialReason};
use crate::{
    clock::{Clock, Moment},
    error::ConfigError,
    text::Text,
};

/// How often a guard that is dropped looks whether everything is written.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// The sinks of one layer. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Trail(Arc<Inner>);

struct Inner {
    channels: Box<[Channel]>,
    /// How long a request waits for its places.
    patience: Duration,
    blocks: bool,
    clock: Arc<dyn Clock>,
    key: Option<TokenHashKey>,
}

/// The places that a request holds, in the order of the sinks that it waits for.
#[derive(Default)]
pub(crate) struct Places(Vec<Place>);

/// No place became free in time: a sink does not keep up, or is dead.
pub(crate) struct NoPlace;

/// The future that [`Trail::reserve`] returns.
pub(crate) type PendingPlaces = Pin<Box<dyn Future<Output = Result<Places, NoPlace>> + Send>>;

impl Trail {
    /// Starts the threads of the sinks, which were [checked](Audit::check).
    pub(crate) fn new(
        audits: Vec<Audit>,
        key: Option<TokenHashKey>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        metrics::describe();
        let blocking = || audits.iter().filter(|audit| audit.blocks());
        let patience = blocking().map(|audit| audit.patience).min().unwrap_or_default();
        let blocks = blocking().next().is_some();
        if audits.is_empty() {
            let channels = Box::new([Channel::inline("tracing".into(), Arc::new(TracingSink))]);
            return Ok(Self(Arc::new(Inner { channels, patience, blocks, clock, key: None })));
        }
        let channels = audits.into_iter().map(Audit::start).collect::<Result<_, _>>()?;
        let key = key.or_else(TokenHashKey::random);
        Ok(Self(Arc::new(Inner { channels, patience, blocks, clock, key })))
    }

    /// Does any sink want events?
    pub(crate) fn is_enabled(&self) -> bool {
        self.0.channels.iter().any(|channel| channel.sink().is_enabled())
    }

    /// This moment, by the clock that the events' times come from.
    pub(crate) fn now(&self) -> Moment {
        Moment::of(&*self.0.clock)
    }

    /// The key for the hashes of tokens; `None` where no sink shows them.
    pub(crate) fn token_hash_key(&self) -> Option<&TokenHashKey> {
        self.0.key.as_ref()
    }

    /// Must a request hold places before it is served?
    pub(crate) fn blocks(&self) -> bool {
        self.0.blocks
    }

    /// Takes a place in every queue that requests wait for; where one is full,
    /// the future waits.
    pub(crate) fn reserve(&self) -> Result<Places, PendingPlaces> {
        let mut places = Vec::new();
        for queue in self.0.channels.iter().filter_map(Channel::blocking) {
            match queue.sender.clone().try_reserve_owned() {
                Ok(place) => places.push(place),
                Err(_full) => return Err(Box::pin(self.clone().wait(places))),
            }
        }
        Ok(Places(places))
    }

    /// Waits for the places that are missing, holding those that are there:
    /// every request asks the queues in the same order, so none waits in a circle.
    async fn wait(self, mut places: Vec<Place>) -> Result<Places, NoPlace> {
        let clock = &self.0.clock;
        let too_late = clock.sleep_until(clock.monotonic().saturating_add(self.0.patience));
        let held = places.len();
        let all = async {
            for queue in self.0.channels.iter().filter_map(Channel::blocking).skip(held) {
                places.push(queue.sender.clone().reserve_owned().await.or(Err(NoPlace))?);
            }
            Ok(Places(places))
        };
        tokio::select! {
            biased;
            all = all => all,
            () = too_late => Err(NoPlace),
        }
    }

    /// Puts an event on its way to every sink. Never waits.
    pub(crate) fn record(&self, event: AuditEvent, places: Places, decided_in: Option<Duration>) {
        metrics::request(event.decision(), event.reason(), decided_in);
        self.put(event, places);
    }

    fn put(&self, event: AuditEvent, places: Places) {
        let event = Arc::new(event);
        let mut places = places.0.into_iter();
        for channel in &self.0.channels {
            let place = channel.blocking().and_then(|_| places.next());
            channel.record(&event, place);
        }
    }

    /// Puts the event of an exchange on its way, with the caller whose token it is about.
    #[cfg(feature = "http-client")]
    pub(crate) fn record_exchange(
        &self,
        exchange: ExchangeRecord,
        caller: &DelegationContext,
        refusal: Option<DenialReason>,
        (now, took): (Timestamp, Duration),
        places: Places,
    ) {
        let event = AuditEvent {
            time: now,
            latency: took,
            method: Method::POST,
            route: None,
            status: None,
            delegation: Some(caller.clone()),
            refused: None,
            evaluations: Vec::new(),
            omitted: 0,
            refusal,
            client_address: None,
            trace: caller.record().trace().map(|trace| trace.context),
            token: None,
            exchange: Some(Box::new(exchange)),
        };
        self.put(event, places);
    }

    pub(crate) fn status(&self) -> Vec<AuditStatus> {
        self.0.channels.iter().map(AuditStatus::of).collect()
    }

    fn queues(&self) -> impl Iterator<Item = &Queue> {
        self.0.channels.iter().filter_map(|channel| match &channel.route {
            Route::Queued(queue) => Some(queue),
            Route::Inline(_) => None,
        })
    }

    /// Waits until everything that was on its way is written.
    pub(crate) async fn flush(&self, timeout: Duration) -> Result<(), FlushError> {
        let clock = &self.0.clock;
        let too_late = clock.sleep_until(clock.monotonic().saturating_add(timeout));
        let all = async {
            let mut answers = Vec::new();
            for queue in self.queues() {
                let (answer, answered) = oneshot::channel();
                queue.sender.send(Message::Flush(answer)).await.or(Err(FlushError::ended()))?;
                answers.push(answered);
            }
            for answer in answers {
                answer.await.or(Err(FlushError::ended()))?.map_err(FlushError::failed)?;
            }
            Ok(())
        };
        tokio::select! {
            biased;
            all = all => all,
            () = too_late => Err(FlushError::timed_out()),
        }
    }

    /// The same for those who cannot wait asynchronously.
    fn flush_blocking(&self, timeout: Duration) -> Result<(), FlushError> {
        let deadline = Instant::now() + timeout;
        let wait = || {
            if Instant::now() >= deadline {
                return Err(FlushError::timed_out());
            }
            thread::sleep(LOOK_AGAIN);
            Ok(())
        };
        for queue in self.queues() {
            let (answer, mut answered) = oneshot::channel();
            let place = loop {
                match queue.sender.try_reserve() {
                    Ok(place) => break place,
                    Err(_full) => wait()?,
                }
            };
            place.send(Message::Flush(answer));
            loop {
                match answered.try_recv() {
                    Ok(result) => break result.map_err(FlushError::failed)?,
                    Err(oneshot::error::TryRecvError::Empty) => wait()?,
                    Err(oneshot::error::TryRecvError::Closed) => return Err(FlushError::ended()),
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0.channels).finish()
    }
}

impl AuditStatus {
    fn of(channel: &Channel) -> Self {
        let account = &channel.account;
        let (queued, capacity, blocks) = match &channel.route {
            Route::Inline(_) => (0, 0, false),
            Route::Queued(queue) => {
                let capacity = queue.sender.max_capacity();
                (capacity - queue.sender.capacity(), capacity, channel.blocking().is_some())
            }
        };
        let is_failing = account.is_failing.load(Ordering::Relaxed);
        Self {
            name: channel.name.clone().into(),
            recorded: account.recorded.load(Ordering::Relaxed),
            dropped: account.dropped.load(Ordering::Relaxed),
            refused: account.refused.load(Ordering::Relaxed),
            failures: account.failures.load(Ordering::Relaxed),
            is_failing,
            queued,
            max_entries: capacity,
            is_stuck: blocks && is_failing && queued == capacity,
        }
    }
}

/// Waits, when it is dropped, until every audit event is written, for as long
/// as it was told.
///
/// Keep one in `main`, so that what is under way when the service stops is not
/// lost. The wait blocks the thread.
#[derive(Debug)]
#[must_use = "it waits when it is dropped: keep it until the service stops"]
pub struct AuditGuard {
    trail: Trail,
    timeout: Duration,
}

impl AuditGuard {
    pub(crate) fn new(trail: Trail, timeout: Duration) -> Self {
        Self { trail, timeout }
    }
}

impl Drop for AuditGuard {
    fn drop(&mut self) {
        if let Err(error) = self.trail.flush_blocking(self.timeout) {
            tracing::error!(error = %Text::account(&error.to_string()), "the audit trail is not complete");
        }
    }
}

/// Not every audit event is known to be written.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct FlushError {
    problem: &'static str,
    source: Option<SinkError>,
}

impl FlushError {
    fn timed_out() -> Self {
        Self { problem: "audit events are still unwritten when the time is over", source: None }
    }

    fn ended() -> Self {
        Self { problem: "the thread of an audit sink has ended", source: None }
    }

    fn failed(source: SinkError) -> Self {
        Self { problem: "an audit sink cannot write what it holds back", source: Some(source) }
    }
}
