//! [`AuthorizationDetail`]: what one object of `authorization_details` must
//! grant (RFC 9396).

use serde_json::value::RawValue;

use super::{
    check::{Evidence, Failure, Outcome},
    say::Said,
};
use crate::{
    context::PathParameters,
    json::{each_entry, each_member, string},
    reason::DenialReason,
    token::AUTHORIZATION_DETAILS,
};

/// What one object of the claim `authorization_details` must grant, all of it
/// (RFC 9396 section 2.2). Members of two objects are never added up.
///
/// 1. `type` is exactly this one. A type that nobody demands grants nothing.
/// 2. Each action, location, datatype and privilege named here is in the
///    object's list of that name; the identifier is the object's.
/// 3. A list or an identifier that the object has and that is not named here
///    limits the object to something that nobody has checked: such an object
///    grants nothing.
/// 4. An object with a member of the wrong JSON type grants nothing
///    (RFC 9396 section 2.2). Members beyond these are the handler's to judge.
/// 5. A type that is beyond what the token's issuer [may grant](crate::TrustedIssuer::may_grant),
///    or beyond the [ceiling](crate::application) of the client's application or the
///    presenter's, grants nothing.
/// 6. A claim that is no array of objects with a `type` each is a denial,
///    whatever else stands in it.
///
/// ```
/// use tower_delegation::requirement::{AuthorizationDetail, Requirement};
///
/// let payment = AuthorizationDetail::of_type("payment_initiation")
///     .action("initiate")
///     .location("https://bank.example.com/payments");
/// let requirement = Requirement::named("pay").authorization_detail(payment);
/// # assert!(requirement.checked().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a detail does nothing until a requirement demands it"]
pub struct AuthorizationDetail {
    kind: Box<str>,
    actions: Vec<Box<str>>,
    locations: Vec<Box<str>>,
    datatypes: Vec<Box<str>>,
    privileges: Vec<Box<str>>,
    identifier: Option<Identifier>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Identifier {
    Text(Box<str>),
    PathParameter(Box<str>),
}

impl AuthorizationDetail {
    /// An object of this type.
    pub fn of_type(kind: &str) -> Self {
        Self {
            kind: kind.into(),
            actions: Vec::new(),
            locations: Vec::new(),
            datatypes: Vec::new(),
            privileges: Vec::new(),
            identifier: None,
        }
    }

    /// With this action, in addition to those already named.
    pub fn action(mut self, action: &str) -> Self {
        self.actions.push(action.into());
        self
    }

    /// For this location, in addition to those already named: usually this service's
    /// own identifier (RFC 9396 section 9).
    pub fn location(mut self, location: &str) -> Self {
        self.locations.push(location.into());
        self
    }

    /// For this kind of data, in addition to those already named.
    pub fn datatype(mut self, datatype: &str) -> Self {
        self.datatypes.push(datatype.into());
        self
    }

    /// With this privilege, in addition to those already named.
    pub fn privilege(mut self, privilege: &str) -> Self {
        self.privileges.push(privilege.into());
        self
    }

    /// For this very resource.
    pub fn identifier(mut self, identifier: &str) -> Self {
        self.identifier = Some(Identifier::Text(identifier.into()));
        self
    }

    /// For the resource that this parameter of the request's path names.
    pub fn identifier_matches_path(mut self, parameter: &str) -> Self {
        self.identifier = Some(Identifier::PathParameter(parameter.into()));
        self
    }

    pub(crate) fn kind(&self) -> &str {
        &self.kind
    }

    /// The parameter of the path that it looks at.
    pub(crate) fn parameter(&self) -> Option<&str> {
        match &self.identifier {
            Some(Identifier::PathParameter(name)) => Some(name),
            Some(Identifier::Text(_)) | None => None,
        }
    }

    pub(super) fn reads_path(&self) -> bool {
        matches!(self.identifier, Some(Identifier::PathParameter(_)))
    }

    pub(super) fn mistake(&self) -> Option<&'static str> {
        let lists = [&self.actions, &self.locations, &self.datatypes, &self.privileges];
        let identifier = match &self.identifier {
            Some(Identifier::Text(text) | Identifier::PathParameter(text)) => text.is_empty(),
            None => false,
        };
        let has_empty = self.kind.is_empty() || lists.into_iter().flatten().any(|text| text.is_empty());
        (has_empty || identifier)
            .then_some("an authorization detail with an empty type or member is demanded")
    }

    pub(super) fn say(&self) -> Said<'_> {
        let mut members = vec![("type", Said::text(&self.kind))];
        for (name, list) in [
            ("actions", &self.actions),
            ("locations", &self.locations),
            ("datatypes", &self.datatypes),
            ("privileges", &self.privileges),
        ] {
            if !list.is_empty() {
                members.push((name, Said::list(list)));
            }
        }
        members.extend(self.identifier.as_ref().map(|identifier| match identifier {
            Identifier::Text(text) => ("identifier", Said::text(text)),
            Identifier::PathParameter(name) => ("identifier_matches_path", Said::text(name)),
        }));
        Said::Members(members)
    }

    /// Does one object of the claim grant all of it?
    pub(super) fn check(&self, evidence: &Evidence<'_>) -> Outcome {
        let claim = evidence.delegation.raw_claim([AUTHORIZATION_DETAILS]);
        let claim = claim.ok_or(Failure::unknown(DenialReason::AuthorizationDetailMissing))?;
        let is_usable = evidence.delegation.may_ever_use_detail(&self.kind);
        let (mut is_granted, mut is_certain, mut is_sound) = (false, true, true);
        let is_array = each_entry(claim, |entry| match Object::read(entry) {
            Some(object) => match self.is_granted_by(&object, evidence.facts.path_parameters) {
                // Granted, and cut: nothing is certain, for those that exclude it.
                Some(true) if !is_usable => is_certain = false,
                Some(grants) => is_granted |= grants,
                None => is_certain = false,
            },
            None => is_sound = false,
        });
        if !(is_array && is_sound) {
            return Err(Failure::unknown(DenialReason::AuthorizationDetailsMalformed));
        }
        if is_granted {
            return Ok(());
        }
        Err(Failure { reason: DenialReason::AuthorizationDetailMissing, is_certain })
    }

    /// Does this one object grant all of it? `None`: it may, and what it says of
    /// that cannot be read, or the parameter of the path is not known.
    fn is_granted_by(&self, object: &Object<'_>, path: Option<&dyn PathParameters>) -> Option<bool> {
        if object.kind.and_then(string).is_none_or(|kind| *kind != *self.kind) {
            return Some(false);
        }
        let parts = [
            self.names(object.identifier, path),
            covers(object.actions, &self.actions),
            covers(object.locations, &self.locations),
            covers(object.datatypes, &self.datatypes),
            covers(object.privileges, &self.privileges),
        ];
        if parts.contains(&Some(false)) {
            Some(false)
        } else {
            parts.iter().all(Option::is_some).then_some(true)
        }
    }

    /// Is the identifier there exactly where one is demanded, and that one?
    fn names(&self, identifier: Option<&RawValue>, path: Option<&dyn PathParameters>) -> Option<bool> {
        let Some(identifier) = identifier else { return Some(self.identifier.is_none()) };
        let identifier = string(identifier)?;
        match &self.identifier {
            None => Some(false),
            Some(Identifier::Text(demanded)) => Some(**demanded == *identifier),
            Some(Identifier::PathParameter(name)) => {
                let value = path?.get(name)?;
                Some(!value.is_empty() && *value == *identifier)
            }
        }
    }
}

/// One object of the claim, as it stands there.
#[derive(Default)]
struct Object<'a> {
    kind: Option<&'a RawValue>,
    actions: Option<&'a RawValue>,
    locations: Option<&'a RawValue>,
    datatypes: Option<&'a RawValue>,
    privileges: Option<&'a RawValue>,
    identifier: Option<&'a RawValue>,
}

impl<'a> Object<'a> {
    /// `None`: no object, or one without a `type` that is a string.
    fn read(entry: &'a RawValue) -> Option<Self> {
        let mut object = Self::default();
        let is_object = each_member(entry.get(), |name, value| {
            let slot = match name {
                "type" => &mut object.kind,
                "actions" => &mut object.actions,
                "locations" => &mut object.locations,
                "datatypes" => &mut object.datatypes,
                "privileges" => &mut object.privileges,
                "identifier" => &mut object.identifier,
                _ => return,
            };
            *slot = Some(value);
        });
        (is_object && object.kind.and_then(string).is_some()).then_some(object)
    }
}

/// Is the list there exactly where something is demanded, and all that is demanded in
/// it? `None`: it is no array of strings.
fn covers(list: Option<&RawValue>, demanded: &[Box<str>]) -> Option<bool> {
    let Some(list) = list else { return Some(demanded.is_empty()) };
    let mut are_strings = true;
    let is_array = each_entry(list, |entry| are_strings &= string(entry).is_some());
    let contains = |wanted: &str| {
        let mut found = false;
        each_entry(list, |entry| found |= string(entry).is_some_and(|text| *text == *wanted));
        found
    };
    let covers = || !demanded.is_empty() && demanded.iter().all(|wanted| contains(wanted));
    (is_array && are_strings).then(covers)
}
