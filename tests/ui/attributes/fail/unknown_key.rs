use tower_delegation::requires;

#[requires(scopes = "a", roles = "admin", "b", delegated = true, scope("a"))]
async fn list_orders() {}

#[requires(subject_kind = "user", subject_kind = agent, subject_kind)]
async fn kinds() {}

fn main() {}
