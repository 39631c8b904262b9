use tower_delegation::{requires, requires_scope};

#[requires_scope("")]
async fn empty() {}

#[requires_scope("orders:read profile", "a\"b", "a\\b", "a\tb", "größe")]
async fn not_scope_tokens() {}

#[requires(scope = "", any_scope("a b", "c"))]
async fn by_name() {}

#[requires_scope(orders)]
async fn no_quotes() {}

#[requires_scope(all("a", "b"))]
async fn no_such_choice() {}

#[requires_scope(scope = "a")]
async fn no_key_here() {}

fn main() {}
