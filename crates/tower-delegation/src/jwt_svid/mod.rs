//! JWT-SVIDs: the identity of a workload as a signed text in a header field, for
//! callers that TLS does not reach through to.
//!
//! A JWT-SVID says which workload sent the request and nothing else: it is never
//! an access token, and an access token is never a JWT-SVID.
//!
//! 1. The header field has a name that the configuration gives, and none that has
//!    [a meaning of its own](crate::credential#header-fields-that-speak-for-a-client). It is removed from every request. Absent: the workload is
//!    not known. There twice, empty, or no JWT-SVID: the request is refused with 403
//!    and `jwt_svid_refused`, without a challenge: nothing is said of its access token.
//! 2. The header is `alg`, `kid` and `typ` and nothing else; `alg` is one of RS,
//!    ES and PS with 256 to 512, `kid` is there, `typ` is absent, `JWT` or `JOSE`
//!    (JWT-SVID section 2).
//! 3. `sub` is the SPIFFE ID of a workload. The key is one of the bundle of that
//!    ID's own trust domain, of `use: jwt-svid`; no other domain's key counts.
//! 4. `aud` is there and names this service; `exp` is there and lies ahead; `nbf`
//!    and `iat` do not (JWT-SVID section 3).
//! 5. `client_id`, `scope`, `act` or `cnf`: refused. They make a token one that
//!    says what its holder may do, or that a thief cannot use it; neither
//!    would be checked here.
//! 6. What verified is remembered, within bounds, while the bundle that it was
//!    verified by is in force. Time is judged on every request.
//!
//! # Deployment caveat
//!
//! A JWT-SVID is a bearer text: a party that reads it can pass for the workload
//! until it expires. Keep it short-lived and the connection encrypted, name one service
//! in `aud`, and prefer [X.509](crate::credential#the-certificate) where TLS
//! reaches through. It holds no token that is bound to a certificate.
//!
//! # Example
//!
//! ```
//! use tower_delegation::{
//!     ClientIdentity, DelegationLayer, TrustedIssuer,
//!     jwt_svid::{JwtBundles, JwtSvidSource},
//! };
//!
//! /// `bundle` comes from the Workload API, a federation endpoint or a file.
//! fn layer(issuer: TrustedIssuer, bundle: &str) -> Result<DelegationLayer, tower_delegation::ConfigError> {
//!     let bundles = JwtBundles::new();
//!     bundles.set("example.org", bundle)?; // again, whenever there is a new one
//!     let svids = JwtSvidSource::new("x-jwt-svid", bundles).add_audience("https://orders.example.com");
//!     DelegationLayer::builder().add_issuer(issuer).client_identity(ClientIdentity::from_source(svids)).build()
//! }
//! # let issuer = TrustedIssuer::discover("https://idp.example.com")?.add_audience("https://orders.example.com");
//! # layer(issuer, r#"{"keys": [], "spiffe_sequence": 1}"#)?;
//! # Ok::<(), tower_delegation::ConfigError>(())
//! ```

mod bundles;
mod source;
mod svid;

pub use self::{bundles::JwtBundles, source::JwtSvidSource};
