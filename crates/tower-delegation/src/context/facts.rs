//! [`RequestFacts`]: what a requirement may look at beside the context.

use std::fmt;

use http::{HeaderMap, Method, Uri};

/// The facts of a request that a requirement may look at beside the context.
///
/// What is not known stays out: a check that needs it then denies.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct RequestFacts<'a> {
    /// The method.
    pub method: Option<&'a Method>,
    /// The target as the client sent it.
    pub uri: Option<&'a Uri>,
    /// The header fields.
    pub headers: Option<&'a HeaderMap>,
    /// The template of the route that matched, such as `/orders/{id}`.
    pub route: Option<&'a str>,
    /// The parameters of the path, percent-decoded.
    pub path_parameters: Option<&'a dyn PathParameters>,
}

/// The parameters that a router found in a request's path.
///
/// Implemented for axum's `RawPathParams` and for lists of names and values.
/// Asked once for each demand that compares a parameter. An implementation
/// answers with the percent-decoded text, and with `None` where the name
/// occurs more than once: which of the two a handler reads is not known here.
pub trait PathParameters: fmt::Debug {
    /// The value of the one parameter of this name.
    fn get(&self, name: &str) -> Option<&str>;
}

impl<K, V> PathParameters for Vec<(K, V)>
where
    K: AsRef<str> + fmt::Debug,
    V: AsRef<str> + fmt::Debug,
{
    fn get(&self, name: &str) -> Option<&str> {
        only(self.iter().map(|(key, value)| (key.as_ref(), value.as_ref())), name)
    }
}

impl<K, V, const N: usize> PathParameters for [(K, V); N]
where
    K: AsRef<str> + fmt::Debug,
    V: AsRef<str> + fmt::Debug,
{
    fn get(&self, name: &str) -> Option<&str> {
        only(self.iter().map(|(key, value)| (key.as_ref(), value.as_ref())), name)
    }
}

#[cfg(feature = "axum")]
impl PathParameters for axum::extract::RawPathParams {
    fn get(&self, name: &str) -> Option<&str> {
        only(self.iter(), name)
    }
}

fn only<'p>(parameters: impl Iterator<Item = (&'p str, &'p str)>, name: &str) -> Option<&'p str> {
    let mut named = parameters.filter(|(key, _)| *key == name);
    let (_, value) = named.next()?;
    named.next().is_none().then_some(value)
}

impl<'a> RequestFacts<'a> {
    /// No request at hand: inside a job, a resolver, a tool.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// The facts in a request's head. The route's template and the parameters
    /// of the path are the framework's to know: set [`route`](Self::route) and
    /// [`path_parameters`](Self::path_parameters) where it does.
    #[must_use]
    pub fn of<B>(request: &'a http::Request<B>) -> Self {
        Self {
            method: Some(request.method()),
            uri: Some(request.uri()),
            headers: Some(request.headers()),
            route: None,
            path_parameters: None,
        }
    }

    /// The facts in a request's head that has been split off.
    #[must_use]
    pub fn of_parts(parts: &'a http::request::Parts) -> Self {
        Self {
            method: Some(&parts.method),
            uri: Some(&parts.uri),
            headers: Some(&parts.headers),
            route: None,
            path_parameters: None,
        }
    }

    /// The same facts, and the parameters of the path.
    ///
    /// ```
    /// use tower_delegation::RequestFacts;
    ///
    /// let parameters = [("account_id", "alice")];
    /// let facts = RequestFacts::none().with_path_parameters(&parameters);
    /// # assert!(facts.path_parameters.is_some());
    /// ```
    #[must_use]
    pub fn with_path_parameters(self, path_parameters: &'a dyn PathParameters) -> Self {
        Self { path_parameters: Some(path_parameters), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_occurs_twice_has_no_value() {
        let parameters = [("id", "1"), ("tenant", "acme"), ("tenant", "acme")];
        assert_eq!(PathParameters::get(&parameters, "id"), Some("1"));
        assert_eq!(PathParameters::get(&parameters, "tenant"), None);
        assert_eq!(PathParameters::get(&parameters, "ID"), None);
        assert_eq!(PathParameters::get(&parameters.to_vec(), "id"), Some("1"));
    }
}
