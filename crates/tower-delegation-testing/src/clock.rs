//! A clock that moves only when a test moves it.

use std::{fmt, sync::Arc, time::Duration};

use tokio::sync::watch;
use tower_delegation::clock::{Clock, ClockId, Sleep, SystemClock, Timestamp};

/// A [`Clock`] moved by hand. Clones share one time.
///
/// Nothing here touches tokio's timer, so sockets keep working: a test that
/// talks HTTP must not use `tokio::time::pause`.
///
/// ```
/// use std::time::Duration;
/// use tower_delegation::clock::{Clock, Timestamp};
/// use tower_delegation_testing::TestClock;
///
/// let clock = TestClock::at(Timestamp::from_unix_seconds(1_800_000_000));
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now(), Timestamp::from_unix_seconds(1_800_000_060));
/// ```
#[derive(Clone)]
pub struct TestClock {
    shared: Arc<Shared>,
}

struct Shared {
    id: ClockId,
    reading: watch::Sender<Reading>,
    sleepers: watch::Sender<usize>,
}

#[derive(Clone, Copy)]
struct Reading {
    now: Timestamp,
    monotonic: Duration,
}

impl TestClock {
    /// A clock that stands at the present time, rounded down to the second so
    /// that the edges of a token's lifetime are exact.
    #[must_use]
    pub fn new() -> Self {
        Self::at(Timestamp::from_unix_seconds(SystemClock::new().now().unix_seconds()))
    }

    /// A clock that stands at `now`; its monotonic reading starts at zero.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        let reading = Reading { now, monotonic: Duration::ZERO };
        let shared = Shared {
            id: ClockId::unique(),
            reading: watch::Sender::new(reading),
            sleepers: watch::Sender::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Lets `duration` pass: moves both readings ahead and wakes the tasks
    /// that sleep until a moment that has now come.
    pub fn advance(&self, duration: Duration) {
        self.shared.reading.send_modify(|reading| {
            reading.now = reading.now.saturating_add(duration);
            reading.monotonic = reading.monotonic.saturating_add(duration);
        });
    }

    /// Sets the time of day, forwards or back, as an administrator or NTP does.
    /// The monotonic reading stays, so no task wakes.
    pub fn set(&self, now: Timestamp) {
        self.shared.reading.send_modify(|reading| reading.now = now);
    }

    /// How many `sleep_until` futures are waiting. One counts from its first
    /// poll until it completes or is dropped.
    #[must_use]
    pub fn sleepers(&self) -> usize {
        *self.shared.sleepers.borrow()
    }

    /// Waits until at least `count` futures sleep on this clock. A background
    /// task computes its deadline before it sleeps: await this before
    /// [`advance`](Self::advance), and the advance cannot come too early.
    pub async fn wait_for_sleepers(&self, count: usize) {
        let mut sleepers = self.shared.sleepers.subscribe();
        // Never an error: `self` keeps the sender alive.
        let _ = sleepers.wait_for(|sleeping| *sleeping >= count).await;
    }
}

impl Default for TestClock {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TestClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reading { now, monotonic } = *self.shared.reading.borrow();
        f.debug_struct("TestClock").field("now", &now).field("monotonic", &monotonic).finish()
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        self.shared.reading.borrow().now
    }

    fn monotonic(&self) -> Duration {
        self.shared.reading.borrow().monotonic
    }

    fn id(&self) -> Option<ClockId> {
        Some(self.shared.id)
    }

    fn sleep_until(&self, deadline: Duration) -> Sleep {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            if shared.reading.borrow().monotonic >= deadline {
                return;
            }
            let mut reading = shared.reading.subscribe();
            let _asleep = Asleep::new(&shared.sleepers);
            // Never an error: `shared` keeps the sender alive.
            let _ = reading.wait_for(|reading| reading.monotonic >= deadline).await;
        })
    }
}

/// Counts one sleeper while it lives.
struct Asleep<'a>(&'a watch::Sender<usize>);

impl<'a> Asleep<'a> {
    fn new(sleepers: &'a watch::Sender<usize>) -> Self {
        sleepers.send_modify(|sleeping| *sleeping += 1);
        Self(sleepers)
    }
}

impl Drop for Asleep<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|sleeping| *sleeping -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn clones_share_one_time() {
        let clock = TestClock::at(Timestamp::from_unix_seconds(1000));
        let other = clock.clone();
        clock.advance(MINUTE);
        assert_eq!(other.now(), Timestamp::from_unix_seconds(1060));
        assert_eq!(other.monotonic(), MINUTE);
        assert_eq!(other.id(), clock.id());
        assert_ne!(TestClock::new().id(), clock.id());
    }

    #[test]
    fn setting_the_time_of_day_leaves_the_monotonic_reading() {
        let clock = TestClock::at(Timestamp::from_unix_seconds(1000));
        clock.advance(MINUTE);
        clock.set(Timestamp::from_unix_seconds(5));
        assert_eq!(clock.now(), Timestamp::from_unix_seconds(5));
        assert_eq!(clock.monotonic(), MINUTE);
    }

    #[tokio::test]
    async fn sleepers_wake_at_their_deadline_and_not_before() {
        let clock = TestClock::new();
        let early = tokio::spawn(clock.sleep_until(MINUTE));
        let late = tokio::spawn(clock.sleep_until(2 * MINUTE));
        clock.wait_for_sleepers(2).await;

        clock.advance(MINUTE);
        early.await.unwrap();
        assert!(!late.is_finished());
        assert_eq!(clock.sleepers(), 1);

        clock.advance(MINUTE);
        late.await.unwrap();
        assert_eq!(clock.sleepers(), 0);
    }

    #[tokio::test]
    async fn a_deadline_that_has_passed_completes_at_once() {
        let clock = TestClock::new();
        clock.advance(MINUTE);
        clock.sleep_until(MINUTE).await;
    }

    #[tokio::test]
    async fn a_dropped_sleeper_is_no_longer_counted() {
        let clock = TestClock::new();
        let task = tokio::spawn(clock.sleep_until(MINUTE));
        clock.wait_for_sleepers(1).await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(clock.sleepers(), 0);
    }
}
