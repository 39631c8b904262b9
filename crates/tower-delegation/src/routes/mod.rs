//! The routes of a service, each with its rule: [`RouteInventory`] lists them for
//! those who review, document and test them, [`ApplicationInventory`] says which
//! registered application could use which, and `RouteTable` (feature `toml`)
//! holds rules that are kept apart from the code.

mod inventory;
mod reach;
#[cfg(feature = "axum")]
mod scopes;
#[cfg(feature = "toml")]
mod table;

#[cfg(feature = "axum")]
pub(crate) use self::scopes::RouteScopes;
#[cfg(all(feature = "toml", feature = "axum"))]
pub(crate) use self::table::ChosenRoute;
#[cfg(feature = "toml")]
pub(crate) use self::table::{Access, Found, Parameters, Rows, RowsCheck};
#[cfg(feature = "toml")]
pub use self::table::{RouteTable, TableRow};
pub use self::{
    inventory::{RouteInventory, RouteRule, RuledRoute},
    reach::{ApplicationInventory, ApplicationReach, Reach},
};
