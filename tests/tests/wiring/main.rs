//! How a service is put together: what its routes demand, what its configuration can
//! supply, and who serves them.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod challenges;
mod mistakes;
mod names;
mod public;
mod qualified;
mod served;
mod settings;
mod unsatisfiable;
