//! The orders API, a service to copy: see the README.
//!
//! | module | what it holds |
//! |---|---|
//! | `settings` | the configuration |
//! | `orders` | the domain, which knows nothing of tokens |
//! | `api` | the routes, each with its rule |
//! | `operations` | what the orchestrator asks |
//! | `files` | what can be read again |
//! | `service` | all of it put together |

mod api;
mod files;
mod operations;
mod orders;
mod service;
mod settings;
mod signals;

pub use self::{
    files::Files,
    service::Service,
    settings::Settings,
    signals::{reload_on_hangup, shutdown_requested},
};
