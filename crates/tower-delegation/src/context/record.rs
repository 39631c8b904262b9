//! [`RequestRecord`]: what was evaluated and decided about one request.

use std::{
    borrow::Cow,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use super::passage::Passage;
use crate::{
    credential::{ProtectionSpace, Scheme},
    reason::DenialReason,
    revocation::RevocationChange,
    trace::CarriedTrace,
};

/// The most evaluations that are kept of one request. What is decided counts all
/// the same.
const MAX_EVALUATIONS: usize = 256;

/// How many of these may be answers to questions: decisions come after them, and
/// have room left.
const MAX_QUESTIONS: usize = MAX_EVALUATIONS / 2;

/// An enforced requirement allowed the request, or its route is public.
const DECIDED: u8 = 1;
/// A row of a route table did.
const DECIDED_BY_ROW: u8 = 1 << 1;
/// An enforced requirement denied the request.
const DENIED: u8 = 1 << 2;
/// The response is there, or no longer awaited.
const ENDED: u8 = 1 << 3;
/// A layer admitted the request.
const ADMITTED: u8 = 1 << 4;
/// That layer is built for other authenticators further inside.
const ALLOWS_INNER: u8 = 1 << 5;

/// The record of one request: every requirement that was evaluated on its way.
///
/// The layer reads it when the response head is there, for its last net and for
/// the audit event.
pub(crate) struct RequestRecord {
    space: Arc<ProtectionSpace>,
    /// How the token was presented, where there was one.
    scheme: Option<Scheme>,
    standing: AtomicU8,
    evaluations: Mutex<Evaluations>,
    /// `None` for code that has no request, but calls the authenticator with a token.
    passage: Option<Passage>,
    /// What the request asks a sink of revocations for.
    change: OnceLock<Box<RevocationChange>>,
    /// The trace that goes on with calls, where calls may be made.
    trace: OnceLock<Arc<CarriedTrace>>,
    /// The record that a layer reads, where that was made before it was known who asks.
    former: OnceLock<Anonymous>,
}

/// The evaluations of one request, in order.
#[derive(Debug, Default)]
pub(crate) struct Evaluations {
    pub(crate) kept: Vec<Evaluation>,
    /// How many were not kept, because there were too many.
    pub(crate) omitted: u32,
}

/// One requirement, evaluated.
#[derive(Clone, Debug)]
pub(crate) struct Evaluation {
    pub(crate) requirement: Cow<'static, str>,
    /// `None`: every demand holds.
    pub(crate) denial: Option<DenialReason>,
    pub(crate) effect: Effect,
    pub(crate) basis: Basis,
    /// The scopes that the requirement demands, as its challenge names them.
    pub(crate) scopes: Option<Arc<str>>,
    /// What would help the client against an enforced denial.
    pub(crate) needs: Option<Box<Needs>>,
}

/// What the outcome of an evaluation does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It decides about the request.
    Enforced,
    /// It is recorded, and the request goes on.
    Shadowed,
    /// An explicit exception lets the request go on, for this reason.
    Excepted(Cow<'static, str>),
}

/// Why a requirement was evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Basis {
    /// To decide: by an attribute, an extractor, a layer, a call.
    Rule,
    /// To decide, as the row of a route table.
    Row,
    /// Only to know what would be allowed.
    Question,
}

/// What a client may ask its authorization server for, to be let in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// Space-delimited (RFC 6750 section 3).
    pub(crate) scope: String,
    /// Space-delimited, in order of preference (RFC 9470 section 3).
    pub(crate) acr_values: String,
    pub(crate) max_age: Option<Duration>,
    /// A claims request, in base64, as Entra takes it.
    pub(crate) claims: String,
}

impl Needs {
    /// What several rules need that all have to allow, as far as scopes say it.
    pub(crate) fn of_all(needs: impl IntoIterator<Item = Option<Box<Self>>>) -> Option<Box<Self>> {
        needs.into_iter().flatten().reduce(|mut all, more| {
            all.add_scopes(&more.scope);
            all
        })
    }

    /// Adds scopes, each once.
    fn add_scopes(&mut self, scopes: &str) {
        for scope in scopes.split(' ') {
            if !self.scope.split(' ').any(|known| known == scope) {
                self.scope.extend([if self.scope.is_empty() { "" } else { " " }, scope]);
            }
        }
    }
}

impl Evaluation {
    /// The denial that ended the request.
    pub(crate) fn refusal(&self) -> Option<DenialReason> {
        self.denial.filter(|_| self.decides())
    }

    /// Is it a decision about the request? Not what is on trial, what an exception
    /// overrides, and what was only asked.
    fn decides(&self) -> bool {
        self.effect == Effect::Enforced && self.basis != Basis::Question
    }

    fn standing(&self) -> u8 {
        match (self.decides(), self.denial, self.basis) {
            (false, ..) => 0,
            (true, Some(_), _) => DENIED,
            (true, None, Basis::Row) => DECIDED | DECIDED_BY_ROW,
            (true, None, Basis::Rule | Basis::Question) => DECIDED,
        }
    }

    /// Is it the answer to the same question?
    fn repeats(&self, known: &Self) -> bool {
        self.basis == Basis::Question
            && known.basis == Basis::Question
            && (&self.requirement, self.denial, &self.effect)
                == (&known.requirement, known.denial, &known.effect)
    }
}

impl RequestRecord {
    pub(crate) fn new(space: Arc<ProtectionSpace>, scheme: Option<Scheme>, passage: Option<Passage>) -> Self {
        Self {
            space,
            scheme,
            standing: AtomicU8::new(0),
            evaluations: Mutex::default(),
            passage,
            change: OnceLock::new(),
            trace: OnceLock::new(),
            former: OnceLock::new(),
        }
    }

    /// From here on, whatever is evaluated and decided is entered in `former`, and the
    /// request ends when it ends there.
    pub(crate) fn continues(&self, former: &Anonymous) {
        // One caller continues it, once.
        let _ = self.former.set(former.clone());
    }

    /// Where decisions are entered.
    fn book(&self) -> &Self {
        self.former.get().map_or(self, |former| former.record().book())
    }

    /// What challenges say of the service.
    pub(crate) fn space(&self) -> &Arc<ProtectionSpace> {
        &self.space
    }

    /// The scheme that the request's token came by.
    pub(crate) fn scheme(&self) -> Option<Scheme> {
        self.scheme
    }

    pub(crate) fn add(&self, evaluation: Evaluation) {
        let mut evaluations = self.evaluations();
        let standing = evaluation.standing();
        let is_first_denial = standing == DENIED && !self.has(DENIED);
        self.book().standing.fetch_or(standing, Ordering::Release);
        if evaluations.kept.iter().any(|known| evaluation.repeats(known)) {
            return;
        }
        let limit = match evaluation.basis {
            Basis::Question => MAX_QUESTIONS,
            _ => MAX_EVALUATIONS,
        };
        if evaluations.kept.len() < limit || is_first_denial {
            evaluations.kept.push(evaluation);
        } else {
            evaluations.omitted = evaluations.omitted.saturating_add(1);
        }
    }

    /// Records what the request asks a sink of revocations for; the first counts.
    #[cfg(feature = "axum")]
    pub(crate) fn set_change(&self, change: RevocationChange) {
        // One handler sets it, once.
        let _ = self.change.set(Box::new(change));
    }

    pub(crate) fn change(&self) -> Option<&RevocationChange> {
        self.change.get().map(|change| &**change)
    }

    /// Keeps the trace that goes on with calls; the first counts.
    pub(crate) fn set_trace(&self, trace: Arc<CarriedTrace>) {
        // Each context is made with one, once.
        let _ = self.trace.set(trace);
    }

    pub(crate) fn trace(&self) -> Option<&Arc<CarriedTrace>> {
        self.trace.get()
    }

    /// Records that the request went to a public route, for this reason.
    pub(crate) fn add_public(&self, reason: &str, basis: Basis) {
        self.add(Evaluation {
            requirement: format!("public ({reason})").into(),
            denial: None,
            effect: Effect::Enforced,
            basis,
            scopes: None,
            needs: None,
        });
    }

    /// Records that no rule was found for the request.
    pub(crate) fn add_unruled(&self, reason: DenialReason) {
        self.add(Evaluation {
            requirement: "route_table".into(),
            denial: Some(reason),
            effect: Effect::Enforced,
            basis: Basis::Row,
            scopes: None,
            needs: None,
        });
    }

    /// Has an enforced requirement allowed the request so far, or is its route public?
    pub(crate) fn has_decision(&self) -> bool {
        self.has(DECIDED)
    }

    /// Has a row of a route table allowed the request so far, and nothing denied it?
    #[cfg(feature = "axum")]
    pub(crate) fn is_allowed_by_row(&self) -> bool {
        self.has(DECIDED_BY_ROW) && !self.has(DENIED)
    }

    /// The first enforced denial so far, and what would help the client.
    pub(crate) fn refusal(&self) -> Option<(DenialReason, Option<Box<Needs>>)> {
        if !self.has(DENIED) {
            return None;
        }
        let evaluations = self.evaluations();
        evaluations.kept.iter().find_map(|one| Some((one.refusal()?, one.needs.clone())))
    }

    /// What was judged of the request.
    pub(crate) fn passage(&self) -> Option<&Passage> {
        self.passage.as_ref()
    }

    /// A layer admits the request.
    pub(crate) fn admit(&self, allows_inner: bool) {
        let standing = if allows_inner { ADMITTED | ALLOWS_INNER } else { ADMITTED };
        self.book().standing.fetch_or(standing, Ordering::Release);
    }

    /// Did a layer admit the request? Otherwise the context was made for code that
    /// called the authenticator.
    pub(crate) fn is_admitted(&self) -> bool {
        self.has(ADMITTED)
    }

    /// Was that layer built for other authenticators further inside?
    pub(crate) fn allows_inner(&self) -> bool {
        self.has(ALLOWS_INNER)
    }

    /// The layer that admitted the request has its response, or was given up.
    pub(crate) fn end(&self) {
        self.book().standing.fetch_or(ENDED, Ordering::Release);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.has(ENDED)
    }

    fn has(&self, standing: u8) -> bool {
        self.book().standing.load(Ordering::Acquire) & standing == standing
    }

    fn evaluations(&self) -> MutexGuard<'_, Evaluations> {
        self.book().evaluations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what was evaluated so far: the request has ended.
    pub(crate) fn take(&self) -> Evaluations {
        std::mem::take(&mut *self.evaluations())
    }
}

/// Marks a request without credentials, so that "the layer ran and found none" and
/// "no layer ran" are two things.
#[derive(Clone)]
pub(crate) struct Anonymous(Arc<RequestRecord>);

impl Anonymous {
    pub(crate) fn new(space: Arc<ProtectionSpace>, passage: Option<Passage>) -> Self {
        Self(Arc::new(RequestRecord::new(space, None, passage)))
    }

    pub(crate) fn record(&self) -> &RequestRecord {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> RequestRecord {
        RequestRecord::new(Arc::new(ProtectionSpace::new("api", None)), None, None)
    }

    fn evaluation(name: &str, denial: Option<DenialReason>, effect: Effect, basis: Basis) -> Evaluation {
        Evaluation { requirement: name.to_owned().into(), denial, effect, basis, scopes: None, needs: None }
    }

    #[test]
    fn only_what_is_enforced_decides() {
        use Basis::{Question, Row, Rule};
        let denial = Some(DenialReason::ScopeMissing);
        let excepted = || Effect::Excepted("late".into());
        for (name, denial, effect, basis, [decided, by_row, denied]) in [
            ("a shadowed allow", None, Effect::Shadowed, Rule, [false; 3]),
            ("a shadowed denial", denial, Effect::Shadowed, Rule, [false; 3]),
            ("a shadowed row", None, Effect::Shadowed, Row, [false; 3]),
            ("an excepted allow", None, excepted(), Rule, [false; 3]),
            ("an excepted row", denial, excepted(), Row, [false; 3]),
            ("asked, and it holds", None, Effect::Enforced, Question, [false; 3]),
            ("asked, and it does not", denial, Effect::Enforced, Question, [false; 3]),
            ("a denial", denial, Effect::Enforced, Rule, [false, false, true]),
            ("a row's denial", denial, Effect::Enforced, Row, [false, false, true]),
            ("an allow", None, Effect::Enforced, Rule, [true, false, false]),
            ("a row's allow", None, Effect::Enforced, Row, [true, true, false]),
        ] {
            let record = record();
            record.add(evaluation("r", denial, effect, basis));
            assert_eq!(record.has_decision(), decided, "{name}");
            assert_eq!(record.has(DECIDED_BY_ROW), by_row, "{name}");
            assert_eq!(record.refusal().is_some(), denied, "{name}");
        }
    }

    #[test]
    fn a_record_is_bounded_and_loses_no_decision() {
        let record = record();
        for at in 0..2 * MAX_EVALUATIONS {
            record.add(evaluation("item", None, Effect::Enforced, Basis::Question));
            record.add(evaluation(&format!("item {at}"), None, Effect::Enforced, Basis::Question));
        }
        assert!(!record.has_decision());
        assert_eq!(record.evaluations().kept.len(), MAX_QUESTIONS);
        for at in 0..2 * MAX_EVALUATIONS {
            record.add(evaluation(&format!("rule {at}"), None, Effect::Enforced, Basis::Rule));
        }
        assert!(record.has_decision());
        let denial = Some(DenialReason::ScopeMissing);
        record.add(evaluation("late", denial, Effect::Enforced, Basis::Rule));
        record.add(evaluation("later", denial, Effect::Enforced, Basis::Rule));
        assert_eq!(record.refusal().unwrap().0, DenialReason::ScopeMissing);
        let evaluations = record.take();
        assert_eq!(evaluations.kept.len(), MAX_EVALUATIONS + 1);
        // One question was asked each time, and is kept once.
        assert_eq!(evaluations.kept.iter().filter(|one| one.requirement == "item").count(), 1);
        assert!(evaluations.kept.iter().any(|one| one.requirement == "rule 0"));
        assert_eq!(evaluations.omitted as usize, 3 * MAX_EVALUATIONS + 2);
    }
}
