//! [`Channel`]: one sink, its queue if it has one, and what became of its events.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::sync::{
    mpsc::{
        self, OwnedPermit, Receiver, Sender,
        error::{TryRecvError, TrySendError},
    },
    oneshot,
};

use super::{
    AuditDecision, AuditEvent, AuditSink, Overflow, SinkError,
    metrics::{self, EventFate},
};
use crate::text::{Text, causes};

/// The pause after a sink's first failure. It doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The pause of a sink's thread between two looks at an empty queue. No request has to
/// notify it then: that would cost several times what the event does.
const POLL_PAUSE: Duration = Duration::from_millis(1);

/// How often it polls before it parks until notified.
const MAX_POLLS: u32 = 100;

/// The least places of a queue that can fill up during such a pause.
const MIN_CAPACITY_TO_POLL: usize = 1024;

/// How long a failing sink is given for what is left, once no one can send any more.
const LAST_CHANCE: Duration = Duration::from_secs(5);

/// How many events that are written wait to be freed by the threads that made
/// them. An allocator takes a lock for what another thread frees, and requests
/// then wait for it: that cost several times what the event does.
const MAX_SPENT: usize = 1024;

/// How many of them a request frees: more than it makes, so that they become fewer.
const FREED_AT_ONCE: usize = 2;

/// What travels to the thread of a sink.
pub(super) enum Message {
    Event(Arc<AuditEvent>),
    Flush(oneshot::Sender<Result<(), SinkError>>),
}

/// A place in a queue.
pub(super) type Place = OwnedPermit<Message>;

/// A sink as a layer uses it.
pub(super) struct Channel {
    pub(super) name: Box<str>,
    pub(super) route: Route,
    pub(super) account: Arc<Account>,
}

pub(super) enum Route {
    /// On the request's own thread.
    Inline(Arc<dyn AuditSink>),
    Queued(Queue),
}

pub(super) struct Queue {
    pub(super) sender: Sender<Message>,
    pub(super) overflow: Overflow,
    pub(super) sink: Arc<dyn AuditSink>,
    /// Events that are written.
    spent: crossbeam_channel::Receiver<Arc<AuditEvent>>,
}

/// What became of the events.
#[derive(Default)]
pub(super) struct Account {
    pub(super) recorded: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) is_failing: AtomicBool,
}

impl Account {
    fn add_recorded(&self) {
        self.recorded.fetch_add(1, Ordering::Relaxed);
        metrics::event(EventFate::Recorded);
    }

    fn add_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        metrics::event(EventFate::Dropped);
    }

    fn add_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        metrics::event(EventFate::Refused);
    }

    /// Tells the operator once that a sink fails, and once that it is well again.
    fn note(&self, name: &str, result: Result<(), SinkError>) -> bool {
        match result {
            Ok(()) => {
                if self.is_failing.swap(false, Ordering::Relaxed) {
                    tracing::info!(sink = %Text::new(name), "the audit sink records again");
                }
                true
            }
            Err(error) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                if !self.is_failing.swap(true, Ordering::Relaxed) {
                    tracing::error!(
                        sink = %Text::new(name), error = %Text::account(&error.to_string()),
                        cause = %Text::account(&causes(&error)), "the audit sink does not record"
                    );
                }
                false
            }
        }
    }
}

impl Channel {
    pub(super) fn inline(name: Box<str>, sink: Arc<dyn AuditSink>) -> Self {
        Self { name, route: Route::Inline(sink), account: Arc::default() }
    }

    /// Starts the sink's thread. It ends when the channel is dropped and the
    /// queue is empty.
    pub(super) fn queued(
        name: Box<str>,
        sink: Arc<dyn AuditSink>,
        overflow: Overflow,
        max_entries: usize,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel(max_entries);
        let (spend, spent) = crossbeam_channel::bounded(MAX_SPENT);
        let account = Arc::<Account>::default();
        let writer = Writer {
            name: name.clone(),
            sink: sink.clone(),
            overflow,
            account: account.clone(),
            receiver,
            spend,
        };
        thread::Builder::new().name("delegation-audit".to_owned()).spawn(move || writer.run())?;
        Ok(Self { name, route: Route::Queued(Queue { sender, overflow, sink, spent }), account })
    }

    pub(super) fn sink(&self) -> &dyn AuditSink {
        match &self.route {
            Route::Inline(sink) => &**sink,
            Route::Queued(queue) => &*queue.sink,
        }
    }

    /// The queue, if requests wait for a place in it.
    pub(super) fn blocking(&self) -> Option<&Queue> {
        match &self.route {
            Route::Queued(queue) if queue.overflow == Overflow::Block => Some(queue),
            Route::Queued(_) | Route::Inline(_) => None,
        }
    }

    /// Puts an event on its way. Never waits.
    pub(super) fn record(&self, event: &Arc<AuditEvent>, place: Option<Place>) {
        if let Route::Queued(queue) = &self.route {
            queue.spent.try_iter().take(FREED_AT_ONCE).for_each(drop);
        }
        match (&self.route, place) {
            (Route::Inline(sink), _) => {
                if self.account.note(&self.name, attempt(&**sink, event)) {
                    self.account.add_recorded();
                } else {
                    self.account.add_dropped();
                }
            }
            (Route::Queued(_), Some(place)) => {
                place.send(Message::Event(event.clone()));
            }
            (Route::Queued(queue), None) => match queue.sender.try_send(Message::Event(event.clone())) {
                Ok(()) => {}
                Err(TrySendError::Full(_) | TrySendError::Closed(_)) => match queue.overflow {
                    // A request without a place was not served, unless its route is public.
                    Overflow::Block if event.decision() != AuditDecision::Allow => {
                        self.account.add_refused();
                    }
                    Overflow::Block | Overflow::DropAndCount => self.account.add_dropped(),
                },
            },
        }
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("sink", &self.sink()).finish_non_exhaustive()
    }
}

/// The thread of one sink.
struct Writer {
    name: Box<str>,
    sink: Arc<dyn AuditSink>,
    overflow: Overflow,
    account: Arc<Account>,
    receiver: Receiver<Message>,
    spend: crossbeam_channel::Sender<Arc<AuditEvent>>,
}

impl Writer {
    fn run(mut self) {
        while let Some(message) = self.next() {
            match message {
                Message::Event(event) => {
                    self.write(&event);
                    // Where too many wait already, it is freed here.
                    drop(self.spend.try_send(event));
                }
                // The caller may have given up.
                Message::Flush(answer) => drop(answer.send(guarded(|| self.sink.flush()))),
            }
        }
        self.account.note(&self.name, guarded(|| self.sink.flush()));
    }

    /// The next message; `None` when no one can send any more.
    fn next(&mut self) -> Option<Message> {
        let polls = if self.receiver.max_capacity() < MIN_CAPACITY_TO_POLL { 0 } else { MAX_POLLS };
        for _ in 0..polls {
            match self.receiver.try_recv() {
                Ok(message) => return Some(message),
                Err(TryRecvError::Empty) => thread::sleep(POLL_PAUSE),
                Err(TryRecvError::Disconnected) => return None,
            }
        }
        self.receiver.blocking_recv()
    }

    fn write(&self, event: &AuditEvent) {
        let mut pause = FIRST_PAUSE;
        let mut last_chance = None;
        while !self.account.note(&self.name, attempt(&*self.sink, event)) {
            let is_over = self.receiver.is_closed()
                && *last_chance.get_or_insert_with(|| Instant::now() + LAST_CHANCE) <= Instant::now();
            if self.overflow == Overflow::DropAndCount || is_over {
                return self.account.add_dropped();
            }
            thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        self.account.add_recorded();
    }
}

fn attempt(sink: &dyn AuditSink, event: &AuditEvent) -> Result<(), SinkError> {
    guarded(|| sink.record(event))
}

/// A sink that panics has failed; the thread and the request go on.
fn guarded(call: impl FnOnce() -> Result<(), SinkError>) -> Result<(), SinkError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err(SinkError::new("the sink panicked")))
}
