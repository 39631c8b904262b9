use tower_delegation::{requires, requires_scope};

#[requires(name = "refund")]
async fn nothing_demanded() {}

#[requires_scope("orders:read", name = "")]
async fn empty() {}

#[requires(name = "a", name = "b", delegated)]
async fn two_names() {}

#[requires(name("a"), delegated)]
async fn another_form() {}

fn main() {}
