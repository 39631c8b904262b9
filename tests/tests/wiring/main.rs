//! How a service is put together: what its routes demand, and who serves them.
#![expect(clippy::unwrap_used, reason = "tests")]

mod challenges;
mod served;
