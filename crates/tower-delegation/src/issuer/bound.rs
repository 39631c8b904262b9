//! [`Grants`]: the most that the tokens of an issuer may grant.

use crate::{error::ConfigError, scope::Scope};

/// The most that the tokens of an issuer may grant here: scopes, roles,
/// permissions, groups and types of authorization details (RFC 9396), each by its
/// exact name.
///
/// What a token says beyond that is cut: no requirement sees it, whatever the
/// token's client may use. The token itself is not refused, because providers put
/// what they grant at several services into one token. The audit event lists what
/// was cut ([`AuditEvent::beyond_issuer`](crate::audit::AuditEvent::beyond_issuer)).
///
/// Claims that are read by name ([`claim`](crate::context::DelegationContext::claim),
/// demands on claims) are not cut: they are what the token says.
///
/// ```
/// use tower_delegation::{ConfigError, DelegationLayer, TrustedIssuer, issuer::Grants};
///
/// fn layer(ours: TrustedIssuer, partner: TrustedIssuer) -> Result<DelegationLayer, ConfigError> {
///     DelegationLayer::builder()
///         .add_issuer(ours.may_grant(Grants::all()))
///         .add_issuer(partner.may_grant(Grants::none().add_scopes(["orders:read"]).add_roles(["partner-clerk"])))
///         .build()
/// }
/// # let issuer = |url| TrustedIssuer::discover(url).unwrap().add_audience("https://orders.example.com");
/// # layer(issuer("https://idp.example.com"), issuer("https://idp.partner.example"))?;
/// # Ok::<(), ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a bound does nothing until an issuer is given it"]
pub struct Grants {
    scopes: Bound,
    roles: Bound,
    permissions: Bound,
    groups: Bound,
    authorization_details: Bound,
}

/// The names of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Bound {
    All,
    Only(Vec<Box<str>>),
}

/// What a token grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GrantKind {
    /// A scope.
    Scope,
    /// A role.
    Role,
    /// A permission.
    Permission,
    /// A group.
    Group,
    /// An authorization detail, by its type.
    AuthorizationDetail,
}

impl GrantKind {
    /// The kind in lower case, as audit events carry it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scope => "scope",
            Self::Role => "role",
            Self::Permission => "permission",
            Self::Group => "group",
            Self::AuthorizationDetail => "authorization_detail",
        }
    }
}

impl Grants {
    /// Nothing, unless it is added.
    pub fn none() -> Self {
        Self::of(&Bound::Only(Vec::new()))
    }

    /// Everything, without a bound: for an issuer of one's own.
    pub fn all() -> Self {
        Self::of(&Bound::All)
    }

    fn of(bound: &Bound) -> Self {
        Self {
            scopes: bound.clone(),
            roles: bound.clone(),
            permissions: bound.clone(),
            groups: bound.clone(),
            authorization_details: bound.clone(),
        }
    }

    /// Adds scopes.
    pub fn add_scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes.add(scopes);
        self
    }

    /// Adds roles.
    pub fn add_roles<S: Into<String>>(mut self, roles: impl IntoIterator<Item = S>) -> Self {
        self.roles.add(roles);
        self
    }

    /// Adds permissions.
    pub fn add_permissions<S: Into<String>>(mut self, permissions: impl IntoIterator<Item = S>) -> Self {
        self.permissions.add(permissions);
        self
    }

    /// Adds groups.
    pub fn add_groups<S: Into<String>>(mut self, groups: impl IntoIterator<Item = S>) -> Self {
        self.groups.add(groups);
        self
    }

    /// Adds types of authorization details (RFC 9396 section 2).
    pub fn add_authorization_detail_types<S: Into<String>>(
        mut self,
        types: impl IntoIterator<Item = S>,
    ) -> Self {
        self.authorization_details.add(types);
        self
    }

    /// Allows every scope.
    pub fn all_scopes(mut self) -> Self {
        self.scopes = Bound::All;
        self
    }

    /// Allows every role.
    pub fn all_roles(mut self) -> Self {
        self.roles = Bound::All;
        self
    }

    /// Allows every permission.
    pub fn all_permissions(mut self) -> Self {
        self.permissions = Bound::All;
        self
    }

    /// Allows every group.
    pub fn all_groups(mut self) -> Self {
        self.groups = Bound::All;
        self
    }

    /// Allows authorization details of every type.
    pub fn all_authorization_detail_types(mut self) -> Self {
        self.authorization_details = Bound::All;
        self
    }

    /// Whether this name of this kind is within the bound.
    pub(crate) fn allow(&self, kind: GrantKind, name: &str) -> bool {
        match self.bound(kind) {
            Bound::All => true,
            Bound::Only(names) => names.iter().any(|known| **known == *name),
        }
    }

    fn bound(&self, kind: GrantKind) -> &Bound {
        match kind {
            GrantKind::Scope => &self.scopes,
            GrantKind::Role => &self.roles,
            GrantKind::Permission => &self.permissions,
            GrantKind::Group => &self.groups,
            GrantKind::AuthorizationDetail => &self.authorization_details,
        }
    }

    /// A name that no token could grant is a mistake.
    pub(super) fn check(&self, issuer: &str) -> Result<(), ConfigError> {
        if let Bound::Only(scopes) = &self.scopes {
            scopes.iter().try_for_each(|scope| Scope::new(scope).map(drop))?;
        }
        for kind in [GrantKind::Role, GrantKind::Permission, GrantKind::Group, GrantKind::AuthorizationDetail]
        {
            if self.allow(kind, "") && *self.bound(kind) != Bound::All {
                return Err(ConfigError::InvalidGrant { issuer: issuer.to_owned(), kind: kind.as_str() });
            }
        }
        Ok(())
    }
}

impl Bound {
    fn add<S: Into<String>>(&mut self, names: impl IntoIterator<Item = S>) {
        if let Self::Only(known) = self {
            known.extend(names.into_iter().map(|name| name.into().into_boxed_str()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_exact_and_by_kind() {
        let some = Grants::none().add_scopes(["a", "b"]).add_roles(["clerk"]).all_groups();
        let rows = [
            ("a scope", GrantKind::Scope, "a", true),
            ("a part of one", GrantKind::Scope, "", false),
            ("another case", GrantKind::Scope, "A", false),
            ("a role that is a scope", GrantKind::Role, "a", false),
            ("a role", GrantKind::Role, "clerk", true),
            ("more than a role", GrantKind::Role, "clerk2", false),
            ("any group", GrantKind::Group, "x", true),
            ("a permission", GrantKind::Permission, "clerk", false),
            ("a detail", GrantKind::AuthorizationDetail, "clerk", false),
        ];
        for (name, kind, value, expected) in rows {
            assert_eq!(some.allow(kind, value), expected, "{name}");
            assert!(Grants::all().allow(kind, value), "{name}");
            assert!(!Grants::none().allow(kind, value), "{name}");
        }
        let more = Grants::all().add_roles(["clerk"]);
        assert!(more.allow(GrantKind::Role, "admin"), "there is nothing to add");
    }
}
