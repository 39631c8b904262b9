//! The client's certificate comes from a proxy that ends its TLS connection: it
//! is believed from that proxy, and from nobody else.
//!
//! `behind` runs nginx, haproxy and Envoy. `cargo xtask test` installs them;
//! without them, `cargo test` says so and passes.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests, which say what they left out"
)]

mod behind;
mod guide;
mod site;
mod spoofed;
mod traps;
mod trust;
mod vectors;
