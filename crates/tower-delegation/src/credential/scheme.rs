//! The authentication schemes, and what challenges say of a service.

use std::{fmt, sync::Arc};

/// How a request presents its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// RFC 6750.
    Bearer,
    /// RFC 9449 section 7.1.
    Dpop,
}

impl Scheme {
    /// The scheme's registered name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::Dpop => "DPoP",
        }
    }

    /// The scheme that a field names, in any case (RFC 9110 section 11.1).
    pub(super) fn from_name(name: &[u8]) -> Option<Self> {
        [Self::Bearer, Self::Dpop]
            .into_iter()
            .find(|scheme| name.eq_ignore_ascii_case(scheme.as_str().as_bytes()))
    }
}

/// What every challenge of a service says (RFC 9110 section 11.5): its realm, and
/// the schemes that it takes tokens by.
pub(crate) struct ProtectionSpace {
    realm: Box<str>,
    /// The algorithms of DPoP proofs, separated by spaces (RFC 9449 section 7.1),
    /// where the service takes proofs.
    dpop_algorithms: Option<Box<str>>,
    /// Where the service tells clients about itself (RFC 9728 section 5.1).
    resource_metadata: Option<Box<str>>,
    /// The scopes of the resource as they are now, separated by spaces.
    scopes: Option<Box<dyn Fn() -> Arc<str> + Send + Sync>>,
}

impl ProtectionSpace {
    /// A space that takes bearer tokens, and with these algorithms proofs too.
    pub(crate) fn new(realm: &str, dpop_algorithms: Option<String>) -> Self {
        Self {
            realm: realm.into(),
            dpop_algorithms: dpop_algorithms.map(Into::into),
            resource_metadata: None,
            scopes: None,
        }
    }

    /// The same with the URL of the service's metadata.
    pub(crate) fn with_resource_metadata(self, url: Option<&str>) -> Self {
        Self { resource_metadata: url.map(Into::into), ..self }
    }

    /// The same with what says which scopes the resource has now.
    pub(crate) fn with_scopes(self, scopes: Option<impl Fn() -> Arc<str> + Send + Sync + 'static>) -> Self {
        Self { scopes: scopes.map(|scopes| Box::new(scopes) as _), ..self }
    }

    /// The scopes of the resource, where there are some.
    pub(crate) fn scopes(&self) -> Option<Arc<str>> {
        self.scopes.as_ref().map(|scopes| scopes()).filter(|scopes| !scopes.is_empty())
    }

    /// The `resource_metadata` parameter of each challenge.
    pub(crate) fn resource_metadata(&self) -> Option<&str> {
        self.resource_metadata.as_deref()
    }

    pub(crate) fn realm(&self) -> &str {
        &self.realm
    }

    /// The schemes that are offered, in the order of their challenges.
    pub(crate) fn schemes(&self) -> impl Iterator<Item = Scheme> {
        let dpop = self.dpop_algorithms.is_some().then_some(Scheme::Dpop);
        [Scheme::Bearer].into_iter().chain(dpop)
    }

    /// Does the service take tokens by this scheme?
    pub(crate) fn offers(&self, scheme: Scheme) -> bool {
        self.schemes().any(|offered| offered == scheme)
    }

    /// The `algs` parameter of a scheme's challenge.
    pub(crate) fn algorithms(&self, scheme: Scheme) -> Option<&str> {
        match scheme {
            Scheme::Bearer => None,
            Scheme::Dpop => self.dpop_algorithms.as_deref(),
        }
    }
}

impl fmt::Debug for ProtectionSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProtectionSpace").field("realm", &self.realm).finish_non_exhaustive()
    }
}
