//! Demands on what the token grants beside scopes: roles, permissions, groups
//! and authorization details.

use super::{
    Requirement,
    describe::Description,
    details::{self, AuthorizationDetail},
    evaluate::{Evidence, Failure, Outcome},
};
use crate::{
    application::{Application, Ceiling},
    reason::DenialReason,
};

#[derive(Clone, Debug, Default)]
pub(super) struct Grants {
    roles: Names,
    permissions: Names,
    groups: Names,
    details: Vec<AuthorizationDetail>,
}

/// All of some names, and one of each choice.
#[derive(Clone, Debug, Default)]
struct Names {
    all: Vec<Box<str>>,
    any: Vec<Vec<Box<str>>>,
}

impl Requirement {
    /// Demands this role, beside those demanded before, as the issuer's
    /// [`ClaimMapping`](crate::issuer::ClaimMapping) reads roles.
    #[must_use]
    pub fn role(mut self, role: &str) -> Self {
        let read = self.grants.roles.add(role);
        self.note(read)
    }

    /// Demands at least one of these roles.
    #[must_use]
    pub fn any_role<'n>(mut self, roles: impl IntoIterator<Item = &'n str>) -> Self {
        let read = self.grants.roles.add_choice(roles);
        self.note(read)
    }

    /// Demands this permission, beside those demanded before, as the issuer's
    /// mapping reads permissions.
    #[must_use]
    pub fn permission(mut self, permission: &str) -> Self {
        let read = self.grants.permissions.add(permission);
        self.note(read)
    }

    /// Demands at least one of these permissions.
    #[must_use]
    pub fn any_permission<'n>(mut self, permissions: impl IntoIterator<Item = &'n str>) -> Self {
        let read = self.grants.permissions.add_choice(permissions);
        self.note(read)
    }

    /// Demands a subject in this group, beside those demanded before. Groups
    /// that are not known ([`groups`](crate::context::DelegationContext::groups)
    /// is `None`) are a denial.
    #[must_use]
    pub fn group(mut self, group: &str) -> Self {
        let read = self.grants.groups.add(group);
        self.note(read)
    }

    /// Demands a subject in at least one of these groups.
    #[must_use]
    pub fn any_group<'n>(mut self, groups: impl IntoIterator<Item = &'n str>) -> Self {
        let read = self.grants.groups.add_choice(groups);
        self.note(read)
    }

    /// Demands that one object of the claim `authorization_details` grants all
    /// of this (RFC 9396 section 2), beside what was demanded before, which
    /// another object may grant. Scopes are a grant of their own: what is
    /// demanded of both must be met by both.
    #[must_use]
    pub fn authorization_detail(mut self, detail: AuthorizationDetail) -> Self {
        let mistake = detail.mistake();
        self.reads_path |= detail.reads_path();
        self.grants.details.push(detail);
        self.note(mistake.map_or(Ok(()), Err))
    }

    fn note(mut self, read: Result<(), &'static str>) -> Self {
        if let Err(problem) = read {
            self.add_problem(problem);
        }
        self
    }
}

impl Names {
    fn add(&mut self, name: &str) -> Result<(), &'static str> {
        self.all.push(name.into());
        if name.is_empty() { Err("a role, permission or group without a name is demanded") } else { Ok(()) }
    }

    fn add_choice<'n>(&mut self, names: impl IntoIterator<Item = &'n str>) -> Result<(), &'static str> {
        let choice: Vec<Box<str>> = names.into_iter().map(Box::from).collect();
        let is_sound = !choice.is_empty() && choice.iter().all(|name| !name.is_empty());
        self.any.push(choice);
        if is_sound { Ok(()) } else { Err("one of no roles, permissions or groups is demanded") }
    }

    fn is_empty(&self) -> bool {
        self.all.is_empty() && self.any.is_empty()
    }

    /// `is_all`: are these all that the token names, and is that any at all? If not,
    /// the mapping may read none, or a ceiling has cut some, so nothing is certain.
    fn check(&self, has: impl Fn(&str) -> bool, is_all: bool, reason: DenialReason) -> Outcome {
        let held = self.all.iter().all(|name| has(name))
            && self.any.iter().all(|choice| choice.iter().any(|name| has(name)));
        if held { Ok(()) } else { Err(Failure { reason, is_certain: is_all }) }
    }
}

impl Names {
    fn is_within(&self, ceiling: &Ceiling) -> bool {
        self.all.iter().all(|name| ceiling.permits(name))
            && self.any.iter().all(|choice| choice.iter().any(|name| ceiling.permits(name)))
    }
}

impl Grants {
    /// What no token of this application could ever grant, if there is something.
    pub(super) fn hindrance(&self, application: &Application) -> Option<DenialReason> {
        let may_use =
            |detail: &AuthorizationDetail| application.authorization_detail_types().permits(detail.kind());
        [
            (self.roles.is_within(application.roles()), DenialReason::RoleMissing),
            (self.permissions.is_within(application.permissions()), DenialReason::PermissionMissing),
            (self.groups.is_within(application.groups()), DenialReason::GroupMissing),
            (self.details.iter().all(may_use), DenialReason::AuthorizationDetailMissing),
        ]
        .into_iter()
        .find_map(|(is_within, reason)| (!is_within).then_some(reason))
    }

    pub(super) fn check(&self, evidence: &Evidence<'_>) -> Outcome {
        let delegation = evidence.delegation;
        if !self.roles.is_empty() {
            let held = delegation.roles()?;
            let is_all = !held.is_empty() && !delegation.has_cut_roles();
            self.roles.check(|name| held.contains(name), is_all, DenialReason::RoleMissing)?;
        }
        if !self.permissions.is_empty() {
            let held = delegation.permissions()?;
            let is_all = !held.is_empty() && !delegation.has_cut_permissions();
            self.permissions.check(|name| held.contains(name), is_all, DenialReason::PermissionMissing)?;
        }
        if !self.groups.is_empty() {
            let held = delegation.groups()?.ok_or(Failure::unknown(DenialReason::GroupsUnknown))?;
            let is_all = !delegation.has_cut_groups();
            self.groups.check(|name| held.contains(name), is_all, DenialReason::GroupMissing)?;
        }
        details::check(&self.details, evidence)
    }

    pub(super) fn describe<'r>(&'r self, to: &mut Description<'r>) {
        to.texts("role", &self.roles.all);
        to.choices("any_role", &self.roles.any);
        to.texts("permission", &self.permissions.all);
        to.choices("any_permission", &self.permissions.any);
        to.texts("group", &self.groups.all);
        to.choices("any_group", &self.groups.any);
        to.several("authorization_detail", self.details.iter().map(AuthorizationDetail::describe));
    }
}
