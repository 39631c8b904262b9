use tower_delegation::requires;

#[requires(delegated, not_delegated)]
async fn delegated_or_not() {}

#[requires(not_delegated, actor = "agent")]
async fn actor_without_delegation() {}

#[requires(on_behalf_of_user, subject_kind = service)]
async fn a_service_is_no_user() {}

fn main() {}
