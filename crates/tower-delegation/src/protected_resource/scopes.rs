//! [`ResourceScopes`]: the scopes of the resource, for challenges that know of no route.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwapOption;

use super::ProtectedResource;
use crate::{application::Applications, routes::Rows};

/// Longer lists are left to the document: header fields of responses are small.
const MAX_BYTES: usize = 4 * 1024;

/// Clients ask for it by themselves: no resource needs it (MCP authorization, scopes).
const OFFLINE_ACCESS: &str = "offline_access";

/// The scopes that the document names, as one text. They are put together anew only
/// when the registry or a table was replaced: anyone can ask without credentials.
pub(crate) struct ResourceScopes {
    resource: ProtectedResource,
    applications: Option<Applications>,
    known: ArcSwapOption<Known>,
}

struct Known {
    registry: Option<u64>,
    tables: Vec<Arc<Rows>>,
    scope: Arc<str>,
}

impl ResourceScopes {
    pub(crate) fn new(resource: ProtectedResource, applications: Option<Applications>) -> Self {
        Self { resource, applications, known: ArcSwapOption::empty() }
    }

    /// Separated by spaces, in the order of the alphabet; empty where there are none.
    pub(crate) fn scope(&self) -> Arc<str> {
        if let Some(known) = &*self.known.load()
            && self.is_current(known)
        {
            return known.scope.clone();
        }
        let registry = self.applications.as_ref().map(Applications::generation);
        let tables = self.resource.tables.iter().map(|table| Arc::clone(&table.current())).collect();
        let scopes = self.resource.usable_scopes(self.applications.as_ref());
        let scopes: Vec<String> = scopes.into_iter().filter(|scope| scope != OFFLINE_ACCESS).collect();
        let scope = Some(scopes.join(" ")).filter(|list| list.len() <= MAX_BYTES).unwrap_or_default();
        let scope = Arc::<str>::from(scope);
        self.known.store(Some(Arc::new(Known { registry, tables, scope: scope.clone() })));
        scope
    }

    fn is_current(&self, known: &Known) -> bool {
        let mut tables = self.resource.tables.iter().zip(&known.tables);
        tables.all(|(table, rows)| Arc::ptr_eq(&table.current(), rows))
            && known.registry == self.applications.as_ref().map(Applications::generation)
    }
}

impl fmt::Debug for ResourceScopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceScopes").field("resource", &self.resource).finish_non_exhaustive()
    }
}
