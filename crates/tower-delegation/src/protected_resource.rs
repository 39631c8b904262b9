//! [`ProtectedResource`]: what this service tells clients about itself (RFC 9728).
//!
//! 1. The document is made of the configuration in force: its issuers, the scopes
//!    of its routes, the ways in which it takes tokens. It cannot say what the
//!    service does not do. Each member, and when it is left out:
//!
//!    | member | says | left out |
//!    |---|---|---|
//!    | `authorization_servers` | each configured issuer, and those named by [`add_authorization_server`](ProtectedResource::add_authorization_server) | an issuer whose identifier is no URL that clients find metadata by; a named one while no resolver knows it |
//!    | `scopes_supported` | the scopes of the routes and those named | where there is a registry: a scope that no registered application may ever use |
//!    | `bearer_methods_supported` | `header` | never |
//!    | `tls_client_certificate_bound_access_tokens` | that client certificates come from TLS or from a proxy | where the only workload identities are a source's, which may prove no certificate |
//!    | `dpop_signing_alg_values_supported` | the algorithms of proofs | where none of the URLs of [`Dpop`](crate::proof::Dpop) is at the host of the resource: proofs for it are refused |
//!    | `dpop_bound_access_tokens_required` | | always: it is for each route's rule to demand |
//!
//! 2. The resource is given once and told as it was given, to the character:
//!    clients compare it with the URL that they asked for (RFC 9728 section 3.3).
//! 3. Every challenge names the document's URL, also those without an error
//!    (RFC 9728 section 5.1). The 401 to a request without credentials names the scopes
//!    of its route, and those of the document where the route is not known or names
//!    none; lists longer than 4 KiB are left to the document, and so is
//!    `offline_access`.
//! 4. The document is public: no token, any origin, and any cache may keep it.
//! 5. A resource that is not configured has none: 404, which repeats nothing of the request.
//!
//! # Deployment caveat
//!
//! The document lies at the root of the host, also for a resource with a path:
//! `https://api.example.com/orders` has it at
//! `https://api.example.com/.well-known/oauth-protected-resource/orders`. Where a
//! proxy hands this service only `/orders`, it must hand on that path, too.
//!
//! # Example
//!
//! ```
//! use tower_delegation::{ConfigError, DelegationLayer, TrustedIssuer, requires_scope};
//! use tower_delegation::routing::{GuardedApp, GuardedRouter, get};
//! use tower_delegation::protected_resource::ProtectedResource;
//!
//! #[requires_scope("orders:read")]
//! async fn list_orders() {}
//!
//! fn app() -> Result<GuardedApp, ConfigError> {
//!     let guarded = GuardedRouter::new().route("/orders", get(list_orders));
//!     let resource = ProtectedResource::new("https://api.example.com")?.add_scopes_of(guarded.inventory());
//!     let issuer = TrustedIssuer::discover("https://idp.example.com")?.add_audience("https://api.example.com");
//!     let delegation = DelegationLayer::builder().add_issuer(issuer).protected_resource(resource).build()?;
//!     let metadata = delegation.resource_metadata();
//!     // Its routes are not behind the layer: they need no token.
//!     Ok(guarded.behind(delegation)?.resource_metadata(metadata))
//! }
//! # assert!(app().is_ok());
//! ```

mod scopes;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, CONTENT_TYPE,
    },
};
use serde::Serialize;
use url::Url;

use crate::{
    application::Applications,
    error::{ConfigError, Mistakes, all},
    issuer::Issuers,
    routes::RouteInventory,
    scope::Scope,
    web_url::check_protected,
};

pub(crate) use self::scopes::ResourceScopes;

/// The path under which the documents of a host's resources lie (RFC 9728 section 3).
pub const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

const PURPOSE: &str = "the identifier of a protected resource";

/// The service as its clients know it, and what they may want to know of it.
#[derive(Clone, Debug)]
#[must_use]
pub struct ProtectedResource {
    resource: String,
    metadata_url: Url,
    /// By the issuer of their tokens, where clients find the metadata.
    authorization_servers: BTreeMap<String, String>,
    scopes: BTreeSet<String>,
    tables: Vec<crate::routes::RouteTable>,
    name: Option<String>,
    documentation: Option<String>,
    policy: Option<String>,
    terms: Option<String>,
}

impl ProtectedResource {
    /// The service with this identifier: the `https` URL that clients ask
    /// tokens for (RFC 8707 section 2), usually an audience of every issuer.
    /// Plain `http` is for this very machine only.
    ///
    /// # Errors
    /// [`ConfigError::InvalidUrl`] for a URL that is not `https`, has a fragment
    /// or credentials, or is not written as clients will write it.
    pub fn new(resource: &str) -> Result<Self, ConfigError> {
        Ok(Self {
            resource: resource.to_owned(),
            metadata_url: metadata_url(resource)?,
            authorization_servers: BTreeMap::new(),
            scopes: BTreeSet::new(),
            tables: Vec::new(),
            name: None,
            documentation: None,
            policy: None,
            terms: None,
        })
    }

    /// Names every scope that a rule of these routes names.
    pub fn add_scopes_of(mut self, routes: &RouteInventory) -> Self {
        self.scopes.extend(routes.scopes().into_iter().map(str::to_owned));
        self
    }

    /// Names every scope that a row of this table names, as it is at that time.
    pub fn add_scopes_of_table(mut self, table: &crate::routes::RouteTable) -> Self {
        self.tables.push(table.clone());
        self
    }

    /// Names one more scope.
    pub fn add_scope(mut self, scope: &str) -> Self {
        self.scopes.insert(scope.to_owned());
        self
    }

    /// Names one more issuer, in addition to those that are configured: one of a
    /// [resolver's](crate::issuer::IssuerResolver), which is listed while the resolver
    /// knows it.
    pub fn add_authorization_server(self, issuer: &str) -> Self {
        self.add_authorization_server_of(issuer, issuer)
    }

    /// Names the authorization server of a trusted issuer whose tokens have another
    /// identifier in `iss` than the one by which clients find its metadata, as those of
    /// AD FS do. It takes the place of the issuer's own identifier.
    pub fn add_authorization_server_of(mut self, issuer: &str, authorization_server: &str) -> Self {
        self.authorization_servers.insert(issuer.to_owned(), authorization_server.to_owned());
        self
    }

    /// What people call the service.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// A page for developers.
    pub fn documentation(mut self, url: &str) -> Self {
        self.documentation = Some(url.to_owned());
        self
    }

    /// A page about how clients may use the data.
    pub fn policy(mut self, url: &str) -> Self {
        self.policy = Some(url.to_owned());
        self
    }

    /// A page with the terms of service.
    pub fn terms_of_service(mut self, url: &str) -> Self {
        self.terms = Some(url.to_owned());
        self
    }

    /// The identifier, as it was given.
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// Where the document lies: the well-known path between host and path
    /// (RFC 9728 section 3.1).
    ///
    /// ```
    /// use tower_delegation::protected_resource::ProtectedResource;
    ///
    /// let resource = ProtectedResource::new("https://api.example.com/orders")?;
    /// assert_eq!(
    ///     resource.metadata_url(),
    ///     "https://api.example.com/.well-known/oauth-protected-resource/orders"
    /// );
    /// # Ok::<(), tower_delegation::ConfigError>(())
    /// ```
    #[must_use]
    pub fn metadata_url(&self) -> &str {
        self.metadata_url.as_str()
    }

    /// Every scope of the routes, the tables and those named, as far as a token can ever
    /// have it here: without those that no registered application may ever use.
    fn usable_scopes(&self, applications: Option<&Applications>) -> BTreeSet<String> {
        let scopes = self.scopes.iter().cloned();
        let tables: Vec<_> = self.tables.iter().map(crate::routes::RouteTable::inventory).collect();
        let scopes = scopes.chain(tables.iter().flat_map(RouteInventory::scopes).map(str::to_owned));
        let may_be_used = |scope: &String| {
            applications.is_none_or(|known| known.iter().any(|application| application.may_ever_use(scope)))
        };
        scopes.filter(may_be_used).collect()
    }

    /// Whether everything in it can be said, by a service that accepts tokens of the
    /// issuers that `may_trust` names.
    pub(crate) fn check(&self, may_trust: impl Fn(&str) -> bool) -> Result<(), ConfigError> {
        let mut mistakes = Mistakes::default();
        mistakes.take(all(self.scopes.iter().map(|scope| Scope::new(scope))));
        for (issuer, server) in &self.authorization_servers {
            let is_trusted = may_trust(issuer);
            if !is_trusted {
                mistakes.add(ConfigError::UntrustedAuthorizationServer { issuer: issuer.clone() });
            }
            // A server that is the issuer itself is wrong in one way, not in two.
            if !has_metadata(server) && (is_trusted || issuer != server) {
                mistakes.add(ConfigError::InvalidUrl {
                    url: server.clone(),
                    purpose: "an authorization server of the protected resource",
                    problem: "clients find no metadata by it: give an `https` URL without query and fragment",
                });
            }
        }
        for page in [&self.documentation, &self.policy, &self.terms].into_iter().flatten() {
            let is_page = Url::parse(page).is_ok_and(|url| matches!(url.scheme(), "https" | "http"));
            if !is_page {
                mistakes.add(ConfigError::InvalidUrl {
                    url: page.clone(),
                    purpose: "a page about the protected resource",
                    problem: "it is no absolute URL: start it with `https://`",
                });
            }
        }
        mistakes.into_result()
    }
}

/// Whether clients can look for an authorization server's metadata by this identifier
/// (RFC 8414 section 2).
fn has_metadata(issuer: &str) -> bool {
    Url::parse(issuer).is_ok_and(|url| {
        check_protected(&url).is_ok() && url.has_host() && url.query().is_none() && url.fragment().is_none()
    })
}

/// A document lies where nothing but the identifier decides.
fn metadata_url(resource: &str) -> Result<Url, ConfigError> {
    let invalid = |problem| ConfigError::InvalidUrl { url: resource.to_owned(), purpose: PURPOSE, problem };
    let url =
        Url::parse(resource).map_err(|_| invalid("it is no absolute URL: write `https://` and the host"))?;
    if !url.has_host() {
        return Err(invalid("it has no host"));
    }
    check_protected(&url).map_err(invalid)?;
    if url.fragment().is_some() {
        return Err(invalid("it has a fragment: leave out what follows `#`"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("it holds credentials: leave them out"));
    }
    // Clients compare by code points: what a client's library would write
    // otherwise (upper case, a default port, dot segments) never matches.
    let slash_after_host = url.path() == "/";
    let written = |with_slash: bool| {
        let path = if slash_after_host && !with_slash { "" } else { url.path() };
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}{path}{query}", url.origin().ascii_serialization())
    };
    if resource != written(true) && resource != written(false) {
        return Err(invalid(
            "it is not written as clients write it: scheme and host in lower case, no default port, no dot segments",
        ));
    }
    let path = if slash_after_host { "" } else { url.path() };
    let mut metadata_url = url.clone();
    metadata_url.set_path(&format!("{WELL_KNOWN}{path}"));
    Ok(metadata_url)
}

/// What the configuration adds to what is said of the resource.
#[derive(Clone, Debug)]
pub(crate) struct Capabilities {
    pub(crate) issuers: Arc<Issuers>,
    pub(crate) applications: Option<Applications>,
    pub(crate) takes_certificate_bound_tokens: bool,
    /// Separated by spaces.
    pub(crate) dpop_algorithms: Option<String>,
}

/// The document of a service, as its configuration is now: see
/// [`DelegationLayer::resource_metadata`](crate::layer::DelegationLayer::resource_metadata).
#[derive(Clone, Debug)]
pub struct ResourceMetadata {
    resource: ProtectedResource,
    capabilities: Capabilities,
}

/// RFC 9728 section 2. Members without a value are left out (section 3.2).
#[derive(Serialize)]
struct Document<'a> {
    resource: &'a str,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    authorization_servers: BTreeSet<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    scopes_supported: BTreeSet<String>,
    bearer_methods_supported: [&'static str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_documentation: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_policy_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_tos_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_client_certificate_bound_access_tokens: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dpop_signing_alg_values_supported: Option<Vec<&'a str>>,
}

impl ResourceMetadata {
    pub(crate) fn new(resource: ProtectedResource, capabilities: Capabilities) -> Self {
        Self { resource, capabilities }
    }

    /// What was configured.
    pub fn resource(&self) -> &ProtectedResource {
        &self.resource
    }

    /// The document.
    #[must_use]
    pub fn to_json(&self) -> String {
        let resource = &self.resource;
        let document = Document {
            resource: &resource.resource,
            authorization_servers: self.authorization_servers(),
            scopes_supported: resource.usable_scopes(self.capabilities.applications.as_ref()),
            bearer_methods_supported: ["header"],
            resource_name: resource.name.as_deref().filter(|name| !name.is_empty()),
            resource_documentation: resource.documentation.as_deref(),
            resource_policy_uri: resource.policy.as_deref(),
            resource_tos_uri: resource.terms.as_deref(),
            tls_client_certificate_bound_access_tokens: self
                .capabilities
                .takes_certificate_bound_tokens
                .then_some(true),
            dpop_signing_alg_values_supported: self
                .capabilities
                .dpop_algorithms
                .as_deref()
                .map(|algorithms| algorithms.split(' ').collect()),
        };
        // Text and booleans under text keys: there is nothing that could fail.
        serde_json::to_string(&document).unwrap_or_default()
    }

    fn authorization_servers(&self) -> BTreeSet<String> {
        let (named, issuers) = (&self.resource.authorization_servers, &self.capabilities.issuers);
        let configured = issuers.configured().map(|policy| policy.issuer().as_str());
        let own = configured.filter(|issuer| !named.contains_key(*issuer) && has_metadata(issuer));
        let trusted = named.iter().filter(|(issuer, _)| issuers.get(issuer).is_some());
        own.map(str::to_owned).chain(trusted.map(|(_, server)| server.clone())).collect()
    }

    /// The answer to a request, if it asks for this document, by path and query.
    #[must_use]
    pub fn respond<B>(&self, request: &Request<B>) -> Option<Response<Bytes>> {
        let url = &self.resource.metadata_url;
        let is_mine = request.uri().path() == url.path() && request.uri().query() == url.query();
        is_mine.then(|| match *request.method() {
            Method::GET => self.document(true),
            Method::HEAD => self.document(false),
            Method::OPTIONS => preflight(),
            _ => {
                let mut response = answer(StatusCode::METHOD_NOT_ALLOWED, Bytes::new());
                response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
                response
            }
        })
    }

    fn document(&self, with_body: bool) -> Response<Bytes> {
        let json = if with_body { self.to_json().into() } else { Bytes::new() };
        let mut response = answer(StatusCode::OK, json);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
        headers.insert(NOSNIFF, HeaderValue::from_static("nosniff"));
        response
    }
}

const NOSNIFF: HeaderName = HeaderName::from_static("x-content-type-options");

/// What a browser asks before a request with a field of its own.
fn preflight() -> Response<Bytes> {
    let mut response = answer(StatusCode::NO_CONTENT, Bytes::new());
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD"));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600"));
    response
}

fn answer(status: StatusCode, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

impl fmt::Display for ResourceMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 9728-3.1-1.
    #[test]
    fn the_well_known_path_is_inserted() {
        for (resource, expected) in [
            ("https://h", "https://h/.well-known/oauth-protected-resource"),
            ("https://h/", "https://h/.well-known/oauth-protected-resource"),
            ("https://h/a/b", "https://h/.well-known/oauth-protected-resource/a/b"),
            ("https://h/a/", "https://h/.well-known/oauth-protected-resource/a/"),
            ("https://h:8443/a", "https://h:8443/.well-known/oauth-protected-resource/a"),
            ("https://h/a?t=1", "https://h/.well-known/oauth-protected-resource/a?t=1"),
            ("https://h?t=1", "https://h/.well-known/oauth-protected-resource?t=1"),
            ("https://h/?t=1", "https://h/.well-known/oauth-protected-resource?t=1"),
            ("http://localhost:1/a", "http://localhost:1/.well-known/oauth-protected-resource/a"),
            ("http://[::1]:1", "http://[::1]:1/.well-known/oauth-protected-resource"),
        ] {
            let found = ProtectedResource::new(resource).unwrap();
            assert_eq!(found.metadata_url(), expected, "{resource}");
            assert_eq!(found.resource(), resource);
        }
    }

    /// 9728-2-1, MCP-8.
    #[test]
    fn what_is_no_identifier_is_refused() {
        for (name, resource) in [
            ("nothing", ""),
            ("no URL", "orders"),
            ("a path", "/orders"),
            ("no host", "https://"),
            ("another scheme", "urn:example:orders"),
            ("plain http", "http://h"),
            ("plain http to a look-alike", "http://localhost.example.com"),
            ("a fragment", "https://h/a#b"),
            ("an empty fragment", "https://h/a#"),
            ("a user", "https://u@h"),
            ("a password", "https://u:p@h"),
            ("upper case", "https://H/a"),
            ("a scheme in upper case", "HTTPS://h/a"),
            ("the default port", "https://h:443/a"),
            ("dot segments", "https://h/a/../b"),
            ("a space", "https://h/a b"),
            ("a quote", "https://h/a\"b"),
            ("a backslash", "https://h\\a"),
            ("a line break", "https://h/a\nb"),
        ] {
            assert!(ProtectedResource::new(resource).is_err(), "{name}");
        }
    }
}
