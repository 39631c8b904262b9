use super::*;
use crate::replay::ReplayStoreErrorKind::{self, ClockSetBack, Full, ShareExhausted};

const START: i64 = 1_800_000_000;

/// A machine with both clocks.
#[derive(Clone, Copy)]
struct Machine {
    /// Seconds of the monotonic clock.
    up: u64,
    /// How far the wall clock was set ahead.
    ahead: i64,
}

impl Machine {
    fn up(up: u64) -> Self {
        Self { up, ahead: 0 }
    }

    fn wall(self, seconds: i64) -> Timestamp {
        let up = i64::try_from(self.up).unwrap();
        Timestamp::from_unix_seconds(START + up + self.ahead + seconds)
    }

    fn remember(
        self,
        store: &InMemoryReplayStore,
        (signer, number): (u8, u32),
        lifetime: u64,
    ) -> Result<Sighting, ReplayStoreErrorKind> {
        let expires_at = self.wall(i64::try_from(lifetime).unwrap());
        self.remember_until(store, (signer, number), lifetime, expires_at)
    }

    fn remember_until(
        self,
        store: &InMemoryReplayStore,
        (signer, number): (u8, u32),
        lifetime: u64,
        expires_at: Timestamp,
    ) -> Result<Sighting, ReplayStoreErrorKind> {
        let mut hash = [signer; 32];
        hash[..4].copy_from_slice(&number.to_be_bytes());
        let [now, lifetime] = [self.up, lifetime].map(Duration::from_secs);
        match store.remember(UsedProof::new(ReplayKey::new(hash), [signer; 32], now, lifetime, expires_at)) {
            Step::Ready(answer) => answer.map_err(|error| error.kind()),
            Step::Wait(_) => panic!("the answer is at hand"),
        }
    }
}

fn remember(
    store: &InMemoryReplayStore,
    number: u32,
    up: u64,
    until: u64,
) -> Result<Sighting, ReplayStoreErrorKind> {
    Machine::up(up).remember(store, (1, number), until - up)
}

/// A store without shares.
fn store(entries: usize) -> InMemoryReplayStore {
    InMemoryReplayStore::new().max_entries(entries).max_entries_per_key(entries)
}

#[test]
fn a_proof_is_remembered_until_it_expires_and_not_longer() {
    let store = InMemoryReplayStore::new();
    assert_eq!(remember(&store, 1, 0, 60), Ok(Sighting::First));
    for now in [0, 1, 30, 59] {
        assert_eq!(remember(&store, 1, now, now + 60), Ok(Sighting::Again), "{now}");
    }
    assert_eq!(remember(&store, 1, 60, 120), Ok(Sighting::First));
    assert_eq!(remember(&store, 2, 60, 120), Ok(Sighting::First));
    assert_eq!(store.len(), 2);
}

#[test]
fn a_full_store_refuses_and_forgets_nothing() {
    let store = store(100);
    for number in 0..100 {
        assert_eq!(remember(&store, number, 0, 60), Ok(Sighting::First));
    }
    for number in 100..200 {
        let refused = Machine::up(1).remember(&store, (2, number), 60);
        assert_eq!(refused, Err(Full), "{number}");
    }
    for number in 0..100 {
        assert_eq!(remember(&store, number, 59, 119), Ok(Sighting::Again), "{number}");
    }
    assert_eq!(store.len(), 100);
    for number in 100..200 {
        assert_eq!(remember(&store, number, 60, 120), Ok(Sighting::First), "{number}");
    }
    assert_eq!(store.len(), 100);
}

#[test]
fn a_key_fills_its_share_and_no_more() {
    for (name, store, share) in [
        ("a tenth", InMemoryReplayStore::new().max_entries(1_000), 100),
        ("set", InMemoryReplayStore::new().max_entries(1_000).max_entries_per_key(7), 7),
        ("set first", InMemoryReplayStore::new().max_entries_per_key(7).max_entries(1_000), 7),
        ("at least one", InMemoryReplayStore::new().max_entries_per_key(0), 1),
        ("no less than eight of a small store", InMemoryReplayStore::new().max_entries(20), 8),
    ] {
        for number in 0..share {
            assert_eq!(remember(&store, number, 0, 60), Ok(Sighting::First), "{name}");
        }
        for up in [0, 1, 30, 59] {
            assert_eq!(remember(&store, share, up, up + 60), Err(ShareExhausted), "{name} {up}");
            let other = u8::try_from(up).unwrap() + 2;
            let other = Machine::up(up).remember(&store, (other, 1), 60);
            assert_eq!(other, Ok(Sighting::First), "{name} {up}: another key goes on");
        }
        for number in 0..share {
            assert_eq!(remember(&store, number, 59, 119), Ok(Sighting::Again), "{name}");
        }
        for number in share..2 * share {
            assert_eq!(remember(&store, number, 60, 120), Ok(Sighting::First), "{name}: what has expired");
        }
        assert_eq!(remember(&store, 0, 61, 121), Err(ShareExhausted), "{name}");
    }
}

#[test]
fn the_count_of_a_key_is_that_of_its_live_proofs() {
    let store = InMemoryReplayStore::new().max_entries_per_key(10);
    for round in 0..100 {
        for number in 0..10 {
            assert_eq!(remember(&store, number, round * 60, round * 60 + 60), Ok(Sighting::First));
        }
        assert_eq!(remember(&store, 10, round * 60, round * 60 + 60), Err(ShareExhausted), "{round}");
    }
    assert!(store.is_over(Duration::from_secs(6_000)));
    assert!(store.shards.iter().all(|shard| lock(shard).per_key.is_empty()));
}

#[test]
fn what_has_expired_makes_room_by_itself() {
    let store = InMemoryReplayStore::new();
    for second in 0..1_000 {
        for number in 0..10 {
            let number = u32::try_from(second).unwrap() * 10 + number;
            let signer = u8::try_from(number % 200).unwrap();
            let machine = Machine::up(second);
            assert_eq!(machine.remember(&store, (signer, number), 60), Ok(Sighting::First));
        }
    }
    // 600 are live; a shard is looked through every five seconds when it is used.
    assert!(store.len() < 1_500, "{}", store.len());
}

#[test]
fn a_wall_clock_that_is_set_forgets_nothing_and_revives_nothing() {
    let store = InMemoryReplayStore::new();
    let used = Machine::up(0);
    let expires_at = used.wall(71);
    assert_eq!(used.remember_until(&store, (1, 1), 71, expires_at), Ok(Sighting::First));
    // Ahead by an hour, and much is used and swept there.
    for number in 2..50 {
        let ahead = Machine { up: u64::from(number), ahead: 3_600 };
        assert_eq!(ahead.remember(&store, (1, number), 71), Ok(Sighting::First));
    }
    let back = Machine::up(60);
    assert_eq!(back.remember_until(&store, (1, 1), 11, expires_at), Ok(Sighting::Again));
    // By the monotonic clock it is over, by a wall clock that is set back it is not.
    let revived = Machine { up: 100, ahead: -60 };
    assert_eq!(revived.remember_until(&store, (1, 1), 31, expires_at), Ok(Sighting::Again));
    // The sweep forgets it: then it is not known whether it was used.
    assert_eq!(Machine { up: 106, ahead: 0 }.remember(&store, (1, 60), 71), Ok(Sighting::First));
    let revived = Machine { up: 107, ahead: -60 };
    assert_eq!(revived.remember_until(&store, (1, 1), 24, expires_at), Err(ClockSetBack));
    // What no forgotten proof can have been goes on.
    for (name, number, up, ahead) in
        [("set back by an hour", 101, 107, -3_600), ("set right", 102, 107, 0), ("later", 103, 200, 0)]
    {
        let proof = Machine { up, ahead }.remember(&store, (1, number), 71);
        assert_eq!(proof, Ok(Sighting::First), "{name}");
    }
}

#[test]
fn nothing_fits_into_no_room() {
    let store = InMemoryReplayStore::new().max_entries(0);
    assert_eq!(remember(&store, 1, 0, 60), Err(Full));
    assert!(store.is_empty());
}

#[test]
fn the_bounds_are_shown() {
    let shown = format!("{:?}", InMemoryReplayStore::new().max_entries(100));
    assert_eq!(shown, "InMemoryReplayStore { len: 0, max_entries: 100, max_entries_per_key: 10, .. }");
}
