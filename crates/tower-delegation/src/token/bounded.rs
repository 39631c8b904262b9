//! What a token grants, as far as its issuer may grant it.

use std::sync::Arc;

use serde_json::value::RawValue;

use crate::{
    issuer::{GrantKind, Grants},
    json::{each_entry, find, string},
    privileges::{GroupSet, PermissionSet, RoleSet},
    reason::Malformed,
    scope::ScopeSet,
};

/// How many of a token's excessive grants are kept for the record.
const MAX_RECORDED: usize = 32;

/// The most that a token's issuer may grant, and what the token says beyond it.
#[derive(Default)]
pub(crate) struct Bounded {
    grants: Option<Arc<Grants>>,
    /// The scopes that are left, where some were cut.
    scopes: Option<ScopeSet>,
    /// Does the token name roles that were cut?
    pub(crate) has_cut_roles: bool,
    pub(crate) has_cut_permissions: bool,
    pub(crate) has_cut_groups: bool,
    /// The first names beyond the bound.
    excess: Box<[(GrantKind, Box<str>)]>,
}

/// What a token grants, as it says.
pub(super) struct Claimed<'f> {
    pub(super) scopes: &'f ScopeSet,
    pub(super) roles: &'f mut Result<RoleSet, Malformed>,
    pub(super) permissions: &'f mut Result<PermissionSet, Malformed>,
    pub(super) groups: &'f mut Result<Option<GroupSet>, Malformed>,
    /// The claim `authorization_details`.
    pub(super) details: Option<&'f RawValue>,
}

impl Bounded {
    /// Cuts what the issuer may not grant. The scopes and the details stay as the token
    /// has them: their readers look at the bound.
    pub(super) fn cut(grants: Option<&Arc<Grants>>, claimed: Claimed<'_>) -> Self {
        let Some(grants) = grants else { return Self::default() };
        let Claimed { scopes, roles, permissions, groups, details } = claimed;
        let mut bounded = Self { grants: Some(grants.clone()), ..Self::default() };
        let mut excess = Excess(Vec::new());
        excess.note(grants, GrantKind::Scope, scopes.iter());
        if let Ok(roles) = roles {
            excess.note(grants, GrantKind::Role, roles.iter());
            bounded.has_cut_roles = replace(roles, roles.cut(|role| grants.allow(GrantKind::Role, role)));
        }
        if let Ok(permissions) = permissions {
            excess.note(grants, GrantKind::Permission, permissions.iter());
            bounded.has_cut_permissions =
                replace(permissions, permissions.cut(|one| grants.allow(GrantKind::Permission, one)));
        }
        if let Ok(Some(groups)) = groups {
            excess.note(grants, GrantKind::Group, groups.iter());
            bounded.has_cut_groups =
                replace(groups, groups.cut(|group| grants.allow(GrantKind::Group, group)));
        }
        if let Some(details) = details {
            each_entry(details, |detail| {
                let kind = find(detail.get(), "type").and_then(string);
                excess.note(grants, GrantKind::AuthorizationDetail, kind.as_deref());
            });
        }
        bounded.scopes = scopes.cut(|scope| grants.allow(GrantKind::Scope, scope));
        bounded.excess = excess.0.into();
        bounded
    }

    /// Whether tokens of the issuer may grant this.
    pub(crate) fn allows(&self, kind: GrantKind, name: &str) -> bool {
        self.grants.as_ref().is_none_or(|grants| grants.allow(kind, name))
    }

    /// The token's scopes, where some of them were cut.
    pub(super) fn cut_scopes(&self) -> Option<&ScopeSet> {
        self.scopes.as_ref()
    }

    /// What the token says beyond the bound.
    pub(crate) fn excess(&self) -> impl ExactSizeIterator<Item = (GrantKind, &str)> {
        self.excess.iter().map(|(kind, name)| (*kind, &**name))
    }
}

/// What is beyond the bound, as far as it is kept.
struct Excess(Vec<(GrantKind, Box<str>)>);

impl Excess {
    fn note<'n>(&mut self, grants: &Grants, kind: GrantKind, names: impl IntoIterator<Item = &'n str>) {
        let beyond = names.into_iter().filter(|name| !grants.allow(kind, name));
        let room = MAX_RECORDED.saturating_sub(self.0.len());
        self.0.extend(beyond.take(room).map(|name| (kind, name.into())));
    }
}

/// Whether anything was cut.
fn replace<T>(whole: &mut T, cut: Option<T>) -> bool {
    cut.map(|cut| *whole = cut).is_some()
}
