//! [`RequestHead`]: where a request's context is found.

use http::{Extensions, Request, request::Parts};

use super::delegation::DelegationContext;

/// What carries the extensions of a request, for
/// [`DelegationContext::of`].
///
/// Sealed: implemented for [`Parts`], [`Request`] and [`Extensions`], and for no
/// type of another crate.
pub trait RequestHead: sealed::Head {}

impl RequestHead for Parts {}
impl<B> RequestHead for Request<B> {}
impl RequestHead for Extensions {}

impl DelegationContext {
    /// The context of a request that the layer let through: of its
    /// [`Parts`](http::request::Parts), of the whole [`Request`](http::Request), or
    /// of its [`Extensions`](http::Extensions).
    ///
    /// `None` if the request carried no credentials and the layer allows that, and
    /// also where there is no layer: treat it as a caller of whom nothing is known.
    /// The extractor of the feature `axum` tells the two apart, and answers 401 or 500.
    ///
    /// # Example
    /// ```
    /// use http::request::Parts;
    /// use tower_delegation::DelegationContext;
    ///
    /// fn log_name(parts: &Parts) -> &str {
    ///     DelegationContext::of(parts).map_or("anonymous", |delegation| delegation.subject().id().as_str())
    /// }
    /// ```
    #[must_use]
    pub fn of(request: &impl RequestHead) -> Option<&Self> {
        request.extensions_of().get()
    }
}

mod sealed {
    use super::{Extensions, Parts, Request};

    #[expect(unnameable_types, reason = "sealed")]
    pub trait Head {
        fn extensions_of(&self) -> &Extensions;
    }

    impl Head for Parts {
        fn extensions_of(&self) -> &Extensions {
            &self.extensions
        }
    }

    impl<B> Head for Request<B> {
        fn extensions_of(&self) -> &Extensions {
            self.extensions()
        }
    }

    impl Head for Extensions {
        fn extensions_of(&self) -> &Extensions {
            self
        }
    }
}
