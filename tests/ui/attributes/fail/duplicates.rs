use tower_delegation::{requires, requires_audience, requires_scope};

#[requires_scope("a", "b", "a")]
async fn scopes() {}

#[requires_scope(any("a", "b", "a"), any("c", "d"), any("d", "c"))]
async fn choices() {}

#[requires_audience(any("a", "a"))]
async fn audiences() {}

#[requires(delegated, delegated, client = "web", client = r"web", subject_kind = user, subject_kind = user)]
async fn by_name() {}

fn main() {}
