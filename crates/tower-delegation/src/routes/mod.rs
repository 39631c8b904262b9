//! The routes of a service, each with its rule: [`RouteInventory`] lists them for
//! those who review, document and test them, [`ApplicationInventory`] says which
//! registered application could use which, and [`RouteTable`] holds rules that are
//! kept apart from the routes.

mod inventory;
mod reach;
#[cfg(feature = "axum")]
mod scopes;
mod table;

#[cfg(feature = "axum")]
pub(crate) use self::scopes::RouteScopes;
#[cfg(feature = "axum")]
pub(crate) use self::table::ChosenRoute;
#[cfg(feature = "http-client")]
pub(crate) use self::table::is_unambiguous;
pub(crate) use self::table::{Access, Found, Parameters, Rows, RowsCheck};
pub use self::{
    inventory::{RouteInventory, RouteRule, RuledRoute},
    reach::{ApplicationInventory, ApplicationReach, Reach},
    table::{RouteTable, RouteTableBuilder},
};
