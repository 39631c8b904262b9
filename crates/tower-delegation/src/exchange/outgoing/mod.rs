//! Calls to a downstream, each with a token for its caller: through reqwest, and through any
//! tower service that takes `http` requests, as hyper's and tonic's clients are.
//!
//! 1. A call goes to the [`Downstream`](super::Downstream)'s own origin. A path is one beneath the
//!    downstream's URL; one that can be read in two ways (dot segments, empty segments,
//!    backslashes, encoded slashes) is refused, and so are a URL in its place and one of another
//!    origin. Nothing is exchanged for a call that is refused.
//! 2. Each call names its caller. Without one there is no call.
//! 3. The token that goes with it comes from the [`Exchange`](super::Exchange), or there is no
//!    call: the caller's own token is never a fallback.
//! 4. `Authorization` and `DPoP` of the request are replaced or removed, and so are
//!    `Proxy-Authorization` and a `Host` that is not the downstream's. Nothing else is taken from or added to a
//!    request but the trace of the caller's request, `traceparent` and `tracestate`, where the call
//!    names none.
//! 5. Redirects are not followed: they are answers like others, and no token goes elsewhere.
//! 6. An answer of the downstream is the downstream's, whatever its status. Where there is none,
//!    [`CallError`] says why, and is a [`Rejection`](crate::rejection::Rejection) to answer with.

#[cfg(feature = "reqwest")]
mod client;
mod error;
mod layer;
#[cfg(feature = "reqwest")]
mod request;
mod target;

#[cfg(feature = "reqwest")]
pub use self::{
    client::DownstreamClient,
    request::{DelegatedRequest, DownstreamRequest, PassThroughRequest},
};
pub use self::{
    error::{CallError, CallErrorKind},
    layer::{OnBehalfOf, OnBehalfOfExt, OnBehalfOfFuture, OnBehalfOfLayer},
};
