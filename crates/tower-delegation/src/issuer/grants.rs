//! Which claims a mapping takes scopes, roles, permissions and groups from.

use super::{
    ClaimMapping, ClaimPath, NameForm, ScopeForm,
    forms::{GROUPS, PERMISSIONS, ROLES, standard},
};

/// # Grants
impl ClaimMapping {
    /// The claim that lists the scopes. If `scope` and `scp` are both there,
    /// they must agree, read or not.
    pub fn scopes(mut self, path: impl Into<ClaimPath>, form: ScopeForm) -> Self {
        self.scopes = Vec::new();
        self.add_scopes(path, form)
    }

    /// One more claim that lists the scopes. All that are there must agree.
    pub fn add_scopes(mut self, path: impl Into<ClaimPath>, form: ScopeForm) -> Self {
        let path = self.claimed(path.into());
        self.scopes.push((path, form));
        self.rival_scopes = ["scope", "scp"]
            .into_iter()
            .filter(|name| !self.scopes.iter().any(|(path, _)| path.is(name)))
            .map(ClaimPath::from)
            .collect();
        self
    }

    /// Reads no scopes: the tokens grant none.
    pub fn without_scopes(mut self) -> Self {
        self.scopes = Vec::new();
        self.rival_scopes = Vec::new();
        self
    }

    /// A claim with an array of roles. For other forms, see
    /// [`add_roles_as`](Self::add_roles_as).
    pub fn add_roles(self, path: impl Into<ClaimPath>) -> Self {
        self.add_roles_as(path, NameForm::Array)
    }

    /// A claim that lists roles in this form. The default reading of a claim, as
    /// roles, permissions or groups, gives way to the one that is asked for here.
    ///
    /// ```
    /// use tower_delegation::issuer::{ClaimMapping, NameForm};
    ///
    /// // Zitadel: `"urn:zitadel:iam:org:project:roles": { "clerk": { "1": "org.test" } }`
    /// let zitadel = ClaimMapping::rfc9068()
    ///     .add_roles_as("urn:zitadel:iam:org:project:roles", NameForm::Members);
    /// ```
    pub fn add_roles_as(mut self, path: impl Into<ClaimPath>, form: NameForm) -> Self {
        let path = self.claimed(path.into());
        self.roles.push((path, form));
        self
    }

    /// Reads no roles: the tokens name none.
    pub fn without_roles(mut self) -> Self {
        self.roles = Vec::new();
        self
    }

    /// A claim with an array of permissions. For other forms, see
    /// [`add_permissions_as`](Self::add_permissions_as).
    pub fn add_permissions(self, path: impl Into<ClaimPath>) -> Self {
        self.add_permissions_as(path, NameForm::Array)
    }

    /// A claim that lists permissions in this form.
    pub fn add_permissions_as(mut self, path: impl Into<ClaimPath>, form: NameForm) -> Self {
        let path = self.claimed(path.into());
        self.permissions.push((path, form));
        self
    }

    /// Reads no permissions: the tokens name none.
    pub fn without_permissions(mut self) -> Self {
        self.permissions = Vec::new();
        self
    }

    /// A claim with an array of groups. For other forms, see
    /// [`add_groups_as`](Self::add_groups_as).
    pub fn add_groups(self, path: impl Into<ClaimPath>) -> Self {
        self.add_groups_as(path, NameForm::Array)
    }

    /// A claim that lists groups in this form.
    pub fn add_groups_as(mut self, path: impl Into<ClaimPath>, form: NameForm) -> Self {
        let path = self.claimed(path.into());
        self.groups.push((path, form));
        self
    }

    /// Reads no groups: they are not known.
    pub fn without_groups(mut self) -> Self {
        self.groups = Vec::new();
        self.groups_elsewhere = Vec::new();
        self
    }

    /// A claim whose presence says that the token does not list all groups:
    /// they are then not known.
    pub fn groups_elsewhere(mut self, path: impl Into<ClaimPath>) -> Self {
        self.groups_elsewhere.push(path.into());
        self
    }

    /// `path`, which the default does not read any more.
    fn claimed(&mut self, path: ClaimPath) -> ClaimPath {
        let sets =
            [(&mut self.roles, ROLES), (&mut self.permissions, PERMISSIONS), (&mut self.groups, GROUPS)];
        for (set, name) in sets {
            let default = standard(name);
            set.retain(|claim| claim.0 != path || !default.contains(claim));
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_gives_way_to_what_is_asked_for() {
        let new = ClaimMapping::rfc9068;
        for (name, mapping, [roles, permissions, groups]) in [
            ("the default", new(), ["roles:Values", "entitlements:Values", "groups:Values"]),
            (
                "in another form",
                new().add_roles("roles"),
                ["roles:Array", "entitlements:Values", "groups:Values"],
            ),
            (
                "as another set",
                new().add_roles("groups"),
                ["roles:Values groups:Array", "entitlements:Values", ""],
            ),
            (
                "as scopes",
                new().scopes("roles", ScopeForm::Array),
                ["", "entitlements:Values", "groups:Values"],
            ),
            (
                "one more",
                new().add_permissions("p"),
                ["roles:Values", "entitlements:Values p:Array", "groups:Values"],
            ),
            (
                "inside another claim",
                new().add_roles(["ext", "roles"]),
                ["roles:Values ext.roles:Array", "entitlements:Values", "groups:Values"],
            ),
            ("none", new().without_roles().without_permissions().without_groups(), [""; 3]),
        ] {
            let said = |set: &[(ClaimPath, NameForm)]| {
                set.iter().map(|(path, form)| format!("{path}:{form:?}")).collect::<Vec<_>>().join(" ")
            };
            assert_eq!(mapping.mistake(), None, "{name}");
            assert_eq!(said(&mapping.roles), roles, "{name}");
            assert_eq!(said(&mapping.permissions), permissions, "{name}");
            assert_eq!(said(&mapping.groups), groups, "{name}");
        }
    }

    #[test]
    fn both_names_of_the_scopes_are_watched() {
        assert!(ClaimMapping::rfc9068().rival_scopes.is_empty());
        let rivals = |mapping: ClaimMapping| mapping.rival_scopes;
        let mapping = ClaimMapping::rfc9068().scopes("scp", ScopeForm::Array);
        assert_eq!(rivals(mapping.clone()), [ClaimPath::from("scope")]);
        assert_eq!(rivals(mapping.add_scopes("scope", ScopeForm::String)), []);
    }
}
