//! A gateway to copy: see the README.
//!
//! | module | what it holds |
//! |---|---|
//! | `settings` | the configuration |
//! | `routes` | what passes, each route with its rule |
//! | `upstream` | the service behind: the exchange, the request to it, its answer |
//! | `headers` | which header fields pass |
//! | `streams` | bodies on their way |
//! | `operations` | what the orchestrator asks |
//! | `service` | all of it put together |

mod headers;
mod operations;
mod routes;
mod service;
mod settings;
mod signals;
mod streams;
mod upstream;

pub use self::{service::Service, settings::Settings, signals::shutdown_requested};
