//! [`KnownRoutes`]: what a layer knows of the routes that it is around.

use http::Request;

use crate::context::Needs;
#[cfg(feature = "axum")]
use crate::routes::RouteScopes;

/// What is known of the routes behind the layer; nothing on a plain router.
#[derive(Clone, Debug, Default)]
pub(super) struct KnownRoutes {
    /// Every route is public.
    are_public: bool,
    #[cfg(feature = "axum")]
    scopes: Option<std::sync::Arc<RouteScopes>>,
    tables: std::sync::Arc<[crate::routes::RouteTable]>,
}

impl KnownRoutes {
    /// The routes that these tables are about.
    pub(super) fn of_tables(tables: Vec<crate::routes::RouteTable>) -> Self {
        Self { tables: tables.into(), ..Self::default() }
    }

    /// The same where every route has a rule in the code.
    #[cfg(feature = "axum")]
    pub(super) fn ruled(self, scopes: RouteScopes) -> Self {
        Self { scopes: Some(std::sync::Arc::new(scopes)), ..self }
    }

    /// The same where every route is public.
    #[cfg(feature = "axum")]
    pub(super) fn public(self) -> Self {
        Self { are_public: true, ..self }
    }

    /// Is it a request that any caller may make?
    pub(super) fn is_public<B>(&self, request: &Request<B>) -> bool {
        if !self.tables.is_empty() {
            let (extensions, uri, method) = (request.extensions(), request.uri(), request.method());
            let mut tables = self.tables.iter();
            // Where there are rules in the code too, one of them may be another.
            return tables.all(|table| crate::authorization::is_public(table, extensions, uri, method))
                || self.are_public;
        }
        self.are_public
    }

    /// The scopes that the route of a request needs: by its rule in the code, and by its
    /// row in each table.
    pub(super) fn needs<B>(&self, request: &Request<B>) -> Option<Box<Needs>> {
        let of_code = self.needs_of_code(request);
        let (extensions, uri, method) = (request.extensions(), request.uri(), request.method());
        let tables = self.tables.iter();
        let of_tables = tables.map(|table| crate::authorization::needs(table, extensions, uri, method));
        Needs::of_all(std::iter::once(of_code).chain(of_tables))
    }

    #[cfg(feature = "axum")]
    fn needs_of_code<B>(&self, request: &Request<B>) -> Option<Box<Needs>> {
        // The layer is around each route: the path is the one by which that was found.
        self.scopes.as_ref()?.needs(request.uri().path(), request.method())
    }

    #[cfg(not(feature = "axum"))]
    #[expect(clippy::unused_self, reason = "axum knows the route")]
    fn needs_of_code<B>(&self, _: &Request<B>) -> Option<Box<Needs>> {
        None
    }
}
