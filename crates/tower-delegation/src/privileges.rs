//! What a token grants in addition to scopes. One type each, so that none is ever
//! taken for another.

macro_rules! set {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $name(Box<[Box<str>]>);

        impl $name {
            /// Is this very name in the set? No prefixes, no wildcards.
            #[must_use]
            pub fn contains(&self, name: &str) -> bool {
                self.iter().any(|member| member == name)
            }

            /// The names, in the token's order.
            pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
                self.0.iter().map(|name| &**name)
            }

            /// Is there none at all?
            #[must_use]
            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }

            pub(crate) fn from_names(names: Vec<Box<str>>) -> Self {
                Self(names.into())
            }

            /// The names that `keep` holds for. `None` if it holds for all.
            pub(crate) fn cut(&self, keep: impl Fn(&str) -> bool) -> Option<Self> {
                if self.iter().all(&keep) {
                    return None;
                }
                Some(Self(self.iter().filter(|name| keep(name)).map(Box::from).collect()))
            }
        }
    };
}

set! {
    /// The roles that a token names. A role of a user and the same role of an
    /// application are different privileges: look at the subject's kind too.
    RoleSet
}
set! {
    /// The permissions that a token names.
    PermissionSet
}
set! {
    /// The groups that a token names.
    GroupSet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn membership_is_exact() {
        let roles = RoleSet::from_names(vec!["admin".into(), "reader of all".into()]);
        assert!(roles.contains("admin") && roles.contains("reader of all"));
        for absent in ["Admin", "adm", "reader", "", "admin reader of all"] {
            assert!(!roles.contains(absent), "{absent:?}");
        }
        assert!(RoleSet::default().is_empty());
        assert_eq!(roles.cut(|_| true), None);
        assert_eq!(roles.cut(|name| name == "admin"), Some(RoleSet::from_names(vec!["admin".into()])));
        assert!(roles.cut(|_| false).unwrap().is_empty());
    }
}
