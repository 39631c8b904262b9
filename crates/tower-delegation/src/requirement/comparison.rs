//! Demands that compare what the token says with a value, with the path or
//! with a header field of the request.

use std::borrow::Cow;

use http::HeaderName;
use serde_json::value::RawValue;

use super::{
    Requirement,
    describe::{Description, Said},
    evaluate::{Evidence, Failure, Outcome, ensure},
};
use crate::{
    credential::configured_header, error::ConfigError, issuer::ClaimPath, json::string, reason::DenialReason,
};

#[derive(Clone, Debug, Default)]
pub(super) struct Comparisons {
    all: Vec<Comparison>,
    purpose: Option<(ClaimPath, Vec<Box<str>>)>,
}

#[derive(Clone, Debug)]
struct Comparison {
    fact: Fact,
    with: With,
}

/// What the token says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fact {
    Subject,
    Tenant,
    Claim(ClaimPath),
}

/// What it must be equal to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum With {
    OneOf(Vec<Box<str>>),
    PathParameter(Box<str>),
    Header(HeaderName),
}

impl Requirement {
    /// Demands that a claim is this text: a string equal to it, or a number or
    /// a boolean whose JSON text it is. Nothing is normalised. A claim that is
    /// absent, `null`, an array or an object is a denial.
    ///
    /// This and the other demands on claims read the JSON of the token's
    /// payload on each request, and only where they stand: under a microsecond
    /// for each claim of a token of usual size.
    #[must_use]
    pub fn claim_equals(self, claim: impl Into<ClaimPath>, value: &str) -> Self {
        self.claim_one_of(claim, [value])
    }

    /// Demands that a claim is one of these texts, as in
    /// [`claim_equals`](Self::claim_equals).
    #[must_use]
    pub fn claim_one_of<'v>(
        self,
        claim: impl Into<ClaimPath>,
        values: impl IntoIterator<Item = &'v str>,
    ) -> Self {
        let values = values.into_iter().map(Box::from).collect();
        self.compare(Fact::Claim(claim.into()), With::OneOf(values))
    }

    /// Demands that a claim is the text of this parameter of the path,
    /// percent-decoded. A parameter that is not known is a denial: see
    /// [`RequestFacts::path_parameters`](crate::context::RequestFacts::path_parameters).
    #[must_use]
    pub fn claim_matches_path(self, claim: impl Into<ClaimPath>, parameter: &str) -> Self {
        self.compare(Fact::Claim(claim.into()), With::PathParameter(parameter.into()))
    }

    /// Demands that a claim is the text of this header field, which occurs
    /// exactly once. The field is the client's word; the token confirms it. A field
    /// with [a meaning of its own](crate::credential#header-fields-that-speak-for-a-client)
    /// is a mistake.
    #[must_use]
    pub fn claim_matches_header(self, claim: impl Into<ClaimPath>, header: &str) -> Self {
        self.compare_with_header(Fact::Claim(claim.into()), header)
    }

    /// Demands that the token's tenant is the text of this parameter of the path.
    #[must_use]
    pub fn tenant_matches_path(self, parameter: &str) -> Self {
        self.compare(Fact::Tenant, With::PathParameter(parameter.into()))
    }

    /// Demands that the token's tenant is the text of this header field, which
    /// occurs exactly once, as [`claim_matches_header`](Self::claim_matches_header) does.
    #[must_use]
    pub fn tenant_matches_header(self, header: &str) -> Self {
        self.compare_with_header(Fact::Tenant, header)
    }

    /// Demands that the subject's identifier is the text of this parameter of
    /// the path: users reach what is their own. The identifier counts at its
    /// issuer only: where several are trusted, demand the
    /// [`issuer`](Self::issuer) too.
    #[must_use]
    pub fn subject_matches_path(self, parameter: &str) -> Self {
        self.compare(Fact::Subject, With::PathParameter(parameter.into()))
    }

    /// Demands that the token was issued for this purpose, or for another one
    /// demanded here: that this claim is exactly that string.
    #[must_use]
    pub fn purpose(mut self, claim: impl Into<ClaimPath>, purpose: &str) -> Self {
        let claim = claim.into();
        if !claim.is_sound() || purpose.is_empty() {
            self.add_problem("a purpose, or the claim that names it, is empty");
        }
        let (known, purposes) = self.comparisons.purpose.get_or_insert_with(|| (claim.clone(), Vec::new()));
        purposes.push(purpose.into());
        if *known != claim {
            self.add_problem("the purpose is demanded of two claims: use `claim_equals` for one of them");
        }
        self
    }

    fn compare_with_header(mut self, fact: Fact, header: &str) -> Self {
        match configured_header(header, "a claim") {
            Ok(header) => self.compare(fact, With::Header(header)),
            Err(ConfigError::InvalidHeader { problem, .. }) => {
                self.add_problem(problem);
                self
            }
            Err(_) => {
                self.add_problem("what is compared with is no name of a header field");
                self
            }
        }
    }

    fn compare(mut self, fact: Fact, with: With) -> Self {
        let is_named = match &with {
            With::OneOf(values) => !values.is_empty() && values.iter().all(|value| !value.is_empty()),
            With::PathParameter(name) => !name.is_empty(),
            With::Header(_) => true,
        };
        let is_sound = if let Fact::Claim(path) = &fact { path.is_sound() } else { true };
        if !(is_named && is_sound) {
            self.add_problem("a claim without a name, or nothing to compare it with, is demanded");
        }
        self.reads_path |= matches!(with, With::PathParameter(_));
        self.comparisons.all.push(Comparison { fact, with });
        self.settle()
    }
}

impl Comparisons {
    pub(super) fn check(&self, evidence: &Evidence<'_>) -> Outcome {
        for comparison in &self.all {
            comparison.check(evidence)?;
        }
        let Some((claim, purposes)) = &self.purpose else { return Ok(()) };
        let stated = evidence.delegation.raw_claim(claim.segments()).and_then(string);
        let stated = stated.ok_or(Failure::unknown(DenialReason::PurposeNotAllowed))?;
        ensure(purposes.iter().any(|purpose| **purpose == *stated), DenialReason::PurposeNotAllowed)
    }

    pub(super) fn contradiction(&self) -> Option<&'static str> {
        let contradicts = |one: &Comparison, other: &Comparison| match (&one.with, &other.with) {
            (With::OneOf(some), With::OneOf(others)) => {
                one.fact == other.fact && !some.iter().any(|value| others.contains(value))
            }
            _ => false,
        };
        let mut rest = self.all.iter();
        while let Some(one) = rest.next() {
            if rest.as_slice().iter().any(|other| contradicts(one, other)) {
                return Some("one claim is demanded to be two values at once");
            }
        }
        None
    }

    pub(super) fn describe<'r>(&'r self, to: &mut Description<'r>) {
        for (key, wanted) in [
            ("claim_one_of", Kind::OneOf),
            ("claim_matches_path", Kind::Path),
            ("claim_matches_header", Kind::Header),
        ] {
            to.several(
                key,
                self.all.iter().filter(|one| one.kind() == wanted).filter_map(Comparison::of_claim),
            );
        }
        for (key, fact, wanted) in [
            ("tenant_matches_path", Fact::Tenant, Kind::Path),
            ("tenant_matches_header", Fact::Tenant, Kind::Header),
            ("subject_matches_path", Fact::Subject, Kind::Path),
        ] {
            let such = self.all.iter().filter(|one| one.fact == fact && one.kind() == wanted);
            to.texts(key, such.filter_map(|one| one.with.name()));
        }
        if let Some((claim, purposes)) = &self.purpose {
            let members = vec![("claim", Said::path(claim)), ("one_of", Said::texts(purposes))];
            to.several("purpose", [Said::Members(members)]);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    OneOf,
    Path,
    Header,
}

impl With {
    fn name(&self) -> Option<&str> {
        match self {
            Self::OneOf(_) => None,
            Self::PathParameter(name) => Some(name),
            Self::Header(name) => Some(name.as_str()),
        }
    }
}

impl Comparison {
    fn check(&self, evidence: &Evidence<'_>) -> Outcome {
        let delegation = evidence.delegation;
        let reason = match &self.with {
            With::OneOf(_) => DenialReason::ClaimNotAllowed,
            With::PathParameter(_) => DenialReason::PathParameterMismatch,
            With::Header(_) => DenialReason::HeaderMismatch,
        };
        let stated = match &self.fact {
            Fact::Subject => Some(Cow::Borrowed(delegation.subject().id().as_str())),
            Fact::Tenant => delegation.tenant()?.map(|tenant| Cow::Borrowed(tenant.as_str())),
            Fact::Claim(path) => delegation.raw_claim(path.segments()).and_then(text),
        };
        // Two empty texts are no agreement: nothing was said.
        let stated = stated.filter(|text| !text.is_empty()).ok_or(Failure::unknown(reason))?;
        match &self.with {
            With::OneOf(values) => ensure(values.iter().any(|value| **value == *stated), reason),
            With::PathParameter(name) => {
                let value = evidence.facts.path_parameters.and_then(|parameters| parameters.get(name));
                ensure(*value.ok_or(Failure::unknown(reason))? == *stated, reason)
            }
            With::Header(name) => {
                let mut values = evidence.facts.headers.into_iter().flat_map(|headers| headers.get_all(name));
                let (Some(value), None) = (values.next(), values.next()) else {
                    return Err(Failure::unknown(reason));
                };
                ensure(value.as_bytes() == stated.as_bytes(), reason)
            }
        }
    }

    fn kind(&self) -> Kind {
        match self.with {
            With::OneOf(_) => Kind::OneOf,
            With::PathParameter(_) => Kind::Path,
            With::Header(_) => Kind::Header,
        }
    }

    fn of_claim(&self) -> Option<Said<'_>> {
        let Fact::Claim(path) = &self.fact else { return None };
        let with = match &self.with {
            With::OneOf(values) => ("one_of", Said::texts(values)),
            With::PathParameter(name) => ("parameter", Said::text(name)),
            With::Header(name) => ("header", Said::text(name)),
        };
        Some(Said::Members(vec![("claim", Said::path(path)), with]))
    }
}

/// A claim as text: a string's text, the JSON of a number or a boolean.
fn text(claim: &RawValue) -> Option<Cow<'_, str>> {
    match claim.get().as_bytes().first()? {
        b'"' => string(claim),
        b't' | b'f' | b'-' | b'0'..=b'9' => Some(Cow::Borrowed(claim.get())),
        _ => None,
    }
}
