//! What every [`RevocationStore`] and [`RevocationSink`] must do, as tests.

use std::{sync::Arc, time::Duration};

use tower_delegation::{
    clock::{Clock as _, SystemClock, Timestamp},
    credential::WorkloadIdentity,
    names::IssuerUrl,
    revocation::{
        Revocation, RevocationErrorKind as Kind, RevocationKey, RevocationKind, RevocationPage,
        RevocationQuery, RevocationSink, RevocationStore, RevocationTarget as Target, Standing,
    },
    spiffe::SpiffeId,
};

use crate::keys::unique;

/// How many callers revoke at the same time.
const CALLERS: usize = 50;

const SECOND: Duration = Duration::from_secs(1);

/// Checks a [`RevocationStore`] that is a [`RevocationSink`] against the contract
/// of both traits: the same tests for every implementation. Issuers are random, so
/// a store with other revocations will do; it needs room for 200 more, and serves no
/// layer, which would not trust those issuers.
///
/// `store` may be a pair of a sink and a store that reads from it. What the sink has
/// answered must be in force when the store is asked.
///
/// # Panics
/// If the store does not keep to the contract.
///
/// ```
/// # #[tokio::main] async fn main() {
/// use tower_delegation::revocation::InMemoryRevocations;
/// use tower_delegation_testing::check_revocations;
///
/// check_revocations(InMemoryRevocations::new()).await;
/// # }
/// ```
pub async fn check_revocations<S: RevocationSink + RevocationStore>(store: S) {
    let contract = Contract {
        store: Arc::new(store),
        issuer: format!("https://{}.example.com", unique()).into(),
        now: SystemClock::new().now(),
    };
    contract.what_is_named_is_refused_until_it_is_lifted().await;
    contract.limits_hold().await;
    contract.two_of_one_target_are_joined().await;
    contract.bad_input_is_an_error_and_changes_nothing().await;
    contract.the_list_has_what_is_in_force().await;
    contract.what_is_answered_is_in_force_for_all().await;
    contract.no_change_is_under_an_old_number().await;
}

struct Contract<S> {
    store: Arc<S>,
    issuer: IssuerUrl,
    now: Timestamp,
}

impl<S: RevocationSink + RevocationStore> Contract<S> {
    /// One target of each kind that a token can have.
    fn targets(&self) -> [Target; 5] {
        let issuer = || self.issuer.clone();
        [
            Target::Token(issuer(), unique().into()),
            Target::Subject(issuer(), unique().into()),
            Target::Session(issuer(), unique().into()),
            Target::Client(issuer(), unique().into()),
            Target::Actor(issuer(), unique().into()),
        ]
    }

    fn subject(&self) -> Target {
        Target::Subject(self.issuer.clone(), unique().into())
    }

    /// A token that was issued now, with `target` among other things that no one revokes.
    fn standing(&self, target: &Target) -> Standing {
        self.standing_at(target, self.now, self.now, Duration::ZERO)
    }

    fn standing_at(
        &self,
        target: &Target,
        issued_at: impl Into<Option<Timestamp>>,
        now: Timestamp,
        leeway: Duration,
    ) -> Standing {
        let others = self.targets();
        let mut keys: Vec<_> = others.iter().map(RevocationKey::of).collect();
        keys.insert(3, RevocationKey::of(target));
        self.store.check(&RevocationQuery::new(&keys, issued_at, now).with_leeway(leeway))
    }

    #[expect(clippy::panic, reason = "a suite of tests, which says so")]
    async fn revoke(&self, revocation: Revocation) {
        let target = revocation.target().clone();
        if let Err(error) = self.store.revoke(revocation).await {
            panic!("{target} is not taken in: {error}");
        }
    }

    async fn what_is_named_is_refused_until_it_is_lifted(&self) {
        for target in self.targets() {
            assert_eq!(self.standing(&target), Standing::Good, "{target}, before");
            self.revoke(Revocation::new(target.clone())).await;
            let kind = RevocationKey::of(&target).kind();
            assert_eq!(self.standing(&target), Standing::Revoked(kind), "{target}");
            let later = self.now.saturating_add(Duration::from_secs(400 * 24 * 60 * 60));
            let standing = self.standing_at(&target, later, later, Duration::ZERO);
            assert_eq!(standing, Standing::Revoked(kind), "{target}, after more than a year");
            assert!(matches!(self.store.lift(target.clone()).await, Ok(true)), "{target} is lifted");
            assert_eq!(self.standing(&target), Standing::Good, "{target}, lifted");
            assert!(matches!(self.store.lift(target.clone()).await, Ok(false)), "{target} is lifted once");
        }
        let [token, subject, ..] = self.targets();
        self.revoke(Revocation::new(token.clone())).await;
        let same_name = Target::Subject(self.issuer.clone(), (*token.id()).into());
        assert_eq!(self.standing(&same_name), Standing::Good, "another kind of the same name");
        let elsewhere = Target::Subject("https://elsewhere.example.com".into(), (*subject.id()).into());
        self.revoke(Revocation::new(subject)).await;
        assert_eq!(self.standing(&elsewhere), Standing::Good, "the same name of another issuer");
        self.workloads_are_refused().await;
    }

    #[expect(clippy::panic, reason = "a suite of tests, which says so")]
    async fn workloads_are_refused(&self) {
        let workload = |name: &str| match SpiffeId::new(&format!("spiffe://example.org/{name}")) {
            Ok(id) => id,
            Err(error) => panic!("a SPIFFE ID: {error}"),
        };
        let (revoked, other) = (workload(&unique()), workload(&unique()));
        self.revoke(Revocation::workload(revoked.clone())).await;
        for (name, id, expected) in [
            ("the workload", revoked, Standing::Revoked(RevocationKind::Workload)),
            ("another workload", other, Standing::Good),
        ] {
            let workload = WorkloadIdentity::of_spiffe_id(id);
            let query = RevocationQuery::new(&[], self.now, self.now).presented_by(Some(&workload));
            assert_eq!(self.store.check(&query), expected, "{name}");
        }
    }

    /// What was judged good is looked up again only where the number has moved.
    async fn no_change_is_under_an_old_number(&self) {
        let number = || self.store.generation();
        for revocation in
            [Revocation::new(self.subject()), Revocation::new(self.subject()).issued_before(self.now)]
        {
            let target = revocation.target().clone();
            let before = number();
            assert_eq!(self.standing(&target), Standing::Good, "{target}");
            self.revoke(revocation.clone()).await;
            let revoked = number();
            assert!(before.is_none() || before != revoked, "{target} is revoked under the number of before");
            // A second one of the same target widens the first.
            self.revoke(Revocation::new(target.clone())).await;
            assert!(before.is_none() || number() != revoked, "{target} is joined under the number of before");
            let revoked = number();
            assert!(matches!(self.store.lift(target.clone()).await, Ok(true)), "{target} is lifted");
            assert!(before.is_none() || number() != revoked, "{target} is lifted under the number of before");
        }
    }

    async fn limits_hold(&self) {
        let (at, leeway) = (self.now, Duration::from_secs(30));
        let target = self.subject();
        self.revoke(Revocation::new(target.clone()).issued_before(at)).await;
        let second = Timestamp::from_unix_seconds(at.unix_seconds());
        for (name, issued_at, leeway, is_refused) in [
            ("before", Some(at.saturating_sub(SECOND)), Duration::ZERO, true),
            ("at that time", Some(at), Duration::ZERO, true),
            ("in that second", Some(second), Duration::ZERO, true),
            ("afterwards", Some(second.saturating_add(SECOND)), Duration::ZERO, false),
            ("ahead by the leeway", Some(second.saturating_add(leeway)), leeway, true),
            ("beyond the leeway", Some(second.saturating_add(leeway + SECOND)), leeway, false),
            ("not said when", None, Duration::ZERO, true),
        ] {
            let standing = self.standing_at(&target, issued_at, at, leeway);
            assert_eq!(standing != Standing::Good, is_refused, "issued {name}");
        }
        let target = self.subject();
        let end = at.saturating_add(Duration::from_secs(60));
        self.revoke(Revocation::new(target.clone()).until(end)).await;
        for (name, now, leeway, is_refused) in [
            ("before its end", end.saturating_sub(SECOND), Duration::ZERO, true),
            ("at its end", end, Duration::ZERO, false),
            ("within the leeway", end.saturating_add(leeway - SECOND), leeway, true),
            ("after the leeway", end.saturating_add(leeway), leeway, false),
        ] {
            let standing = self.standing_at(&target, at, now, leeway);
            assert_eq!(standing != Standing::Good, is_refused, "{name}");
        }
    }

    async fn two_of_one_target_are_joined(&self) {
        let end = self.now.saturating_add(Duration::from_secs(60));
        let past = self.now.saturating_sub(Duration::from_secs(60));
        let rows = [
            ("a limited one adds nothing", [None, Some(end)], [None, Some(past)]),
            ("nor does it before", [Some(end), None], [Some(past), None]),
        ];
        for (name, ends, limits) in rows {
            let target = self.subject();
            for (until, issued_before) in ends.into_iter().zip(limits) {
                let mut revocation = Revocation::new(target.clone());
                if let Some(until) = until {
                    revocation = revocation.until(until);
                }
                if let Some(time) = issued_before {
                    revocation = revocation.issued_before(time);
                }
                self.revoke(revocation).await;
            }
            let later = end.saturating_add(Duration::from_secs(3600));
            let standing = self.standing_at(&target, later, later, Duration::ZERO);
            assert_eq!(standing, Standing::Revoked(RevocationKind::Subject), "{name}");
        }
    }

    #[expect(clippy::panic, reason = "a suite of tests, which says so")]
    async fn bad_input_is_an_error_and_changes_nothing(&self) {
        let target = self.subject();
        let good = || Revocation::new(target.clone());
        let seconds = Timestamp::from_unix_seconds;
        let far = self.now.saturating_add(Duration::from_secs(3600));
        let rows = [
            ("an end that has passed", good().until(self.now.saturating_sub(SECOND)), Kind::UntilPassed),
            ("a duration as the end", good().until(seconds(3600)), Kind::NotATime),
            ("milliseconds as the end", good().until(seconds(far.unix_millis())), Kind::NotATime),
            ("a limit far ahead", good().issued_before(far), Kind::IssuedBeforeAhead),
            ("a duration as the limit", good().issued_before(seconds(3600)), Kind::NotATime),
            ("an empty identifier", Revocation::subject(self.issuer.clone(), ""), Kind::MatchesNothing),
            ("an empty issuer", Revocation::client("", "shop"), Kind::MatchesNothing),
            ("a long reason", good().reason("x".repeat(10_000)), Kind::TooLong),
            ("a long identifier", Revocation::token(self.issuer.clone(), "x".repeat(10_000)), Kind::TooLong),
        ];
        for (name, revocation, kind) in rows {
            match self.store.revoke(revocation).await {
                Ok(()) => panic!("{name} is taken in"),
                Err(error) => assert_eq!(error.kind(), kind, "{name}: {error}"),
            }
        }
        let long_ago = self.now.saturating_sub(Duration::from_secs(400 * 24 * 60 * 60));
        assert_eq!(self.standing_at(&target, long_ago, self.now, Duration::ZERO), Standing::Good);
    }

    #[expect(clippy::panic, reason = "a suite of tests, which says so")]
    async fn the_list_has_what_is_in_force(&self) {
        let end = self.now.saturating_add(Duration::from_secs(3600));
        let [token, subject, session, ..] = self.targets();
        let said = Revocation::new(subject).until(end).issued_before(self.now);
        let said = said.reason("stolen laptop").revoked_by("olga");
        self.revoke(Revocation::new(token.clone())).await;
        self.revoke(said.clone()).await;
        self.revoke(Revocation::new(session.clone())).await;
        assert!(matches!(self.store.lift(session.clone()).await, Ok(true)), "{session} is lifted");
        let mut page = RevocationPage::first(7);
        let mut listed = Vec::new();
        loop {
            let list = match self.store.list(page).await {
                Ok(list) => list,
                Err(error) => panic!("there is no list: {error}"),
            };
            assert!(list.revocations.len() <= 7, "a page has no more than it may");
            listed.extend(list.revocations);
            match list.next {
                Some(next) => page = RevocationPage::first(7).after(next),
                None => break,
            }
        }
        let count = |target: &Target| listed.iter().filter(|one| one.target() == target).count();
        assert_eq!((count(&token), count(said.target()), count(&session)), (1, 1, 0));
        let found = listed.iter().find(|one| one.target() == said.target());
        let words = |one: &Revocation| {
            (
                one.ends(),
                one.covers_issued_before(),
                one.why().map(str::to_owned),
                one.by().map(str::to_owned),
            )
        };
        assert_eq!(found.map(words), Some(words(&said)));
    }

    async fn what_is_answered_is_in_force_for_all(&self) {
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                let (target, store, now) = (self.subject(), self.store.clone(), self.now);
                tokio::spawn(async move {
                    let revoked = store.revoke(Revocation::new(target.clone())).await;
                    let keys = [RevocationKey::of(&target)];
                    (revoked.is_ok(), store.check(&RevocationQuery::new(&keys, now, now)))
                })
            })
            .collect();
        for caller in callers {
            let answer = caller.await.ok();
            assert_eq!(answer, Some((true, Standing::Revoked(RevocationKind::Subject))));
        }
    }
}
