//! [`Namespace`]: within which issuers one name means one party.

use std::{fmt, sync::Arc};

use crate::names::IssuerUrl;

/// The issuers that use one set of names: what one of them calls `alice`, the
/// others call `alice`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Namespace {
    /// That of one issuer, which names no other.
    Issuer(IssuerUrl),
    /// That of all issuers of a resolver which name no other, by the resolver's number.
    Resolver(usize),
    /// One that issuers name.
    Named(Arc<str>),
}

/// As errors name it.
impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Issuer(issuer) => write!(f, "issuer {:?}", issuer.as_str()),
            Self::Resolver(number) => write!(f, "issuer resolver {number}"),
            Self::Named(name) => write!(f, "namespace {name:?}"),
        }
    }
}
