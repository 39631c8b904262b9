//! No route without a rule: guarded routers, route tables, the last net, and
//! the inventories that come of them.
#![expect(clippy::unwrap_used, reason = "tests")]

mod applications;
mod documents;
mod guarded;
mod in_code;
mod table;
mod undecided;

use integration_tests::World;
