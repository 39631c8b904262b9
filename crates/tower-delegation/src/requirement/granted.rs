//! What an object of `authorization_details` grants (RFC 9396).

use serde_json::value::RawValue;

use super::{
    check::{Failure, Outcome},
    detail::{AuthorizationDetail, Identifier},
    evidence::Evidence,
};
use crate::{
    context::PathParameters,
    json::{each_entry, each_member, string},
    reason::DenialReason,
    token::AUTHORIZATION_DETAILS,
};

impl AuthorizationDetail {
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

/// One object of the claim, as it is there.
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
