//! Time as the library sees it: one trait, so that tests move it by hand.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A point in time: milliseconds since 1970-01-01T00:00:00Z, leap seconds
/// ignored, as a `NumericDate` counts (RFC 7519 section 2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The point `seconds` after the epoch. Saturates at the ends of the range.
    #[must_use]
    pub const fn from_unix_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// The point `millis` milliseconds after the epoch.
    #[must_use]
    pub const fn from_unix_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Whole seconds since the epoch, rounded down.
    #[must_use]
    pub const fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn unix_millis(self) -> i64 {
        self.0
    }

    /// This point moved ahead by `duration`. Saturates at the end of the range.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// This point moved back by `duration`. Saturates at the start of the range.
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }

    /// The time from `earlier` to this point; zero if `earlier` is later.
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        u64::try_from(self.0.saturating_sub(earlier.0)).map_or(Duration::ZERO, Duration::from_millis)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timestamp({}.{:03})", self.unix_seconds(), self.0.rem_euclid(1000))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// How far clocks may differ where nothing else is set.
pub const DEFAULT_LEEWAY: Duration = Duration::from_secs(30);

/// The most leeway for clocks that differ: what a layer can be given, and what a
/// store of revocations reckons with.
pub const MAX_LEEWAY: Duration = Duration::from_secs(300);

/// The future that [`Clock::sleep_until`] returns.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where the library takes the time from.
///
/// Called once or twice per request; every lifetime that the library decides
/// (token expiry, key freshness, back-off) is decided against this clock. The
/// default is [`SystemClock`]. Tests use `TestClock` of
/// `tower-delegation-testing`, which moves only when it is told to.
///
/// The two readings are independent: [`now`](Clock::now) may jump when the
/// machine's clock is set, [`monotonic`](Clock::monotonic) never goes back.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The time of day.
    fn now(&self) -> Timestamp;

    /// Time since an arbitrary fixed point; never goes back.
    fn monotonic(&self) -> Duration;

    /// Completes when [`monotonic`](Clock::monotonic) reaches `deadline`.
    fn sleep_until(&self, deadline: Duration) -> Sleep;

    /// Which clock this is: equal identities promise that the readings can be
    /// compared, those of [`monotonic`](Clock::monotonic) included. Layers with one
    /// clock share what must be known once in a process, such as the DPoP proofs that
    /// were used. Default `None`: comparable with no other clock. A clock whose clones
    /// share one time makes a [`ClockId::unique`] once and returns it from all of them.
    fn id(&self) -> Option<ClockId> {
        None
    }
}

/// One moment on both clocks.
///
/// The wall clock goes on while the machine sleeps, the monotonic one may not;
/// the wall clock may be set back, the monotonic one not. Ages that matter for
/// security are the larger of the two.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) wall: Timestamp,
    pub(crate) monotonic: Duration,
}

impl Moment {
    pub(crate) fn of(clock: &dyn Clock) -> Self {
        Self { wall: clock.now(), monotonic: clock.monotonic() }
    }

    /// The time from this moment to `now`, by the clock that counted more.
    pub(crate) fn elapsed(self, now: Self) -> Duration {
        now.wall.saturating_since(self.wall).max(now.monotonic.saturating_sub(self.monotonic))
    }

    /// This moment moved ahead by `duration`.
    pub(crate) fn saturating_add(self, duration: Duration) -> Self {
        Self { wall: self.wall.saturating_add(duration), monotonic: self.monotonic.saturating_add(duration) }
    }
}

/// The identity of a [`Clock`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClockId(u64);

impl ClockId {
    /// That of the machine's clock.
    const SYSTEM: Self = Self(0);

    /// An identity that no other clock of this process has.
    #[must_use]
    pub fn unique() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// The machine's clock. All of them in a process are one clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    origin: Instant,
}

/// When the first clock of the process was made.
static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

impl SystemClock {
    /// The machine's clock. Its monotonic reading starts at zero when the process
    /// makes the first one.
    #[must_use]
    pub fn new() -> Self {
        Self { origin: *ORIGIN }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
    fn now(&self) -> Timestamp {
        let since = |time: SystemTime| time.duration_since(UNIX_EPOCH);
        // A machine set before 1970 reads as the epoch: every token is then not yet valid.
        Timestamp(since(SystemTime::now()).map_or(0, millis))
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }

    fn sleep_until(&self, deadline: Duration) -> Sleep {
        let remaining = deadline.saturating_sub(self.monotonic());
        Box::pin(tokio::time::sleep(remaining))
    }

    fn id(&self) -> Option<ClockId> {
        Some(ClockId::SYSTEM)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        let end = Timestamp::from_unix_seconds(i64::MAX);
        assert_eq!(end.saturating_add(Duration::MAX), Timestamp(i64::MAX));
        let start = Timestamp::from_unix_seconds(i64::MIN);
        assert_eq!(start.saturating_sub(Duration::MAX), Timestamp(i64::MIN));
        assert_eq!(start.saturating_since(end), Duration::ZERO);
    }

    #[test]
    fn the_machines_clock_is_one_and_others_are_others() {
        let (one, other) = (SystemClock::new(), SystemClock::new());
        assert_eq!(one.id(), other.id());
        assert!(one.monotonic() <= other.monotonic());
        let unique = ClockId::unique();
        assert!(Some(unique) != one.id() && unique != ClockId::unique());
    }

    #[test]
    fn the_machine_is_past_2020() {
        assert!(SystemClock::new().now() > Timestamp::from_unix_seconds(1_577_836_800));
    }
}
