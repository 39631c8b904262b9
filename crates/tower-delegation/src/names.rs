//! Newtypes for the identifiers that the standards name: an issuer is never
//! mistaken for an audience, nor a client for a subject.
//!
//! Every one compares by code point. Nothing is normalised: `https://idp` and
//! `https://idp/` are two issuers (RFC 9068 section 4, RFC 8414 section 3.3).

use std::{borrow::Borrow, fmt, sync::Arc};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The identifier as it stands in the token or the configuration.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(value: &str) -> Self {
                Self(value.into())
            }
        }

        impl From<String> for $name {
            fn from(value: String) -> Self {
                Self(value.into())
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                *self.0 == *other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                *self.0 == **other
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

name! {
    /// The issuer identifier of an authorization server: `iss` (RFC 8414 section 2).
    IssuerUrl
}
name! {
    /// One identifier of a resource server: an entry of `aud` (RFC 7519 section 4.1.3).
    Audience
}
name! {
    /// The OAuth application that a token was issued to: `client_id` (RFC 9068 section 2.2).
    ClientId
}
name! {
    /// The identifier of a subject or an actor: `sub`, meaningful only together
    /// with its issuer (RFC 7519 section 4.1.2, RFC 8725 section 3.8).
    SubjectId
}
name! {
    /// The identifier of one token: `jti` (RFC 7519 section 4.1.7).
    TokenId
}
name! {
    /// The customer of a provider that a token belongs to: `tid`, `org_id`,
    /// whatever the provider calls it. Meaningful only together with the issuer.
    TenantId
}
name! {
    /// The log-in that a token comes from: `sid` (OpenID Connect Back-Channel
    /// Logout section 2.1).
    SessionId
}

/// What a subject is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SubjectKind {
    /// A person.
    User,
    /// An application, an agent or a workload that acts for itself (RFC 9068
    /// section 2.2: `sub` names the client).
    Service,
    /// The token does not tell. Never counts as a user.
    Unknown,
}

impl SubjectKind {
    /// The kind in lower case, as audit events carry it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Service => "service",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers_compare_by_code_point() {
        let issuer = IssuerUrl::from("https://idp.example.com");
        assert_eq!(issuer, "https://idp.example.com");
        for other in [
            "https://idp.example.com/",
            "https://IDP.example.com",
            "https://idp.example.com:443",
            "https://idp.example.com.evil.example",
        ] {
            assert_ne!(issuer, *other, "{other}");
        }
    }
}
