//! Who is at the other end of the connection? Over real TLS sockets, through
//! `tower-delegation-rustls`, in both ways to serve: its own loop and axum's.
//!
//! | module | question |
//! |---|---|
//! | `handshake` | who gets in, and what of them arrives at a handler |
//! | `jwt_svid` | who the caller is by a signed text in a header field |
//! | `reload` | what becomes of peers when trust is replaced, or time passes |
//! | `serving` | silent, slow, many and large: what the listener bears |
//! | `svid` | when a certificate names a workload |
//! | `vectors` | the same by published cases, from the folder that `CONFORMANCE_VECTORS` names |

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of a test binary are tests too"
)]

mod handshake;
mod jwt_svid;
mod reload;
mod serving;
mod site;
mod svid;
mod vectors;
