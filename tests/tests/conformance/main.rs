//! Does the library do what the standards say? One module per RFC; the names of
//! the tests carry the requirement: `r7515_2_2` is RFC 7515, section 2, second line.
//!
//! Everything runs in process, through [`Authenticator`](tower_delegation::Authenticator),
//! [`KeySet`](tower_delegation::jwks::KeySet) and the layer. Only `rfc8414` opens
//! sockets that are asked anything, because discovery is what it tests.
//!
//! `vectors` runs the published test vectors (Wycheproof, the RFCs' examples and
//! others) from the folder that the environment variable `CONFORMANCE_VECTORS` names.
//!
//! # Not covered here
//!
//! Requirements that other binaries test, or that this version has nothing to test for:
//!
//! | requirement | why |
//! |---|---|
//! | 6750-3-5 | no challenge carries `error_uri` |
//! | 6750-5.2-1 | TLS ends before the layer: a deployment caveat of its documentation |
//! | 7638-* | thumbprints are in `vectors`, the binary `sender_constraint` and unit tests |
//! | 7518-3.5-1, salt lengths | no key of the testing crate signs with another salt: `vectors` has the cases |
//! | 7519-2-1 | a `StringOrURI` with a colon is not demanded to be a URI: providers break it |
//! | 7519-11.2-1 | only revocations store token identifiers, by issuer: the binary `revocation` |
//! | 8725-3.2-2, 8707-*, 9207-2.4-1 | for a client; the library is a resource server |
//! | 8725-3.10-2, addresses | nothing that a token names is ever fetched, so there is nothing to filter |
//! | 8725-3.13 | no password-based encryption: all encrypted tokens are refused |
//! | 9068-2.2.3.1-1, over HTTP | the module `profile` of the binary `trust` |
//! | 9068-3-1 | the optional scope prefix rule is for a later version |
//! | 9396-*, 9470-* | the binary `authorization` |
//! | 9728-*, MCP-* | the binary `metadata` |
//! | 8693-2.*, 8693-c* | the binary `token_exchange`; published cases are in `vectors` |
//! | 8414-tmpl-1 | a template is no issuer identifier; `TenantIssuers` is in the binary `providers` |
//! | JWKS-* | the binary `jwks` |

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of a test binary are tests too"
)]

mod jwk;
mod rfc6750;
mod rfc7515;
mod rfc7517;
mod rfc7518;
mod rfc7519;
mod rfc8414;
mod rfc8693;
mod rfc8725;
mod rfc9068;
mod site;
mod vectors;
