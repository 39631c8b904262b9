use tower_delegation::{requires, requires_scope};

#[requires_scope(any())]
async fn of_none() {}

#[requires_scope(any("a"))]
async fn of_one() {}

#[requires(any_scope("a"), any_scope = "b")]
async fn by_name() {}

#[requires_scope("a", any("a", "b"))]
async fn met_anyway() {}

#[requires(client = "web", client = "app", acr = "mfa", any_acr("phr", "mfa"))]
async fn which_of_the_two() {}

fn main() {}
