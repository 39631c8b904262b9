use tower_delegation::requires;

#[requires(scopes = "a", rol = "admin", "b", delegated = true, scope("a"), verified_e_mail, nam = "a")]
async fn list_orders() {}

#[requires(on_behalf_of_a_user, max_tokn_age = 300, any_clients("a", "b"))]
async fn close_to_a_key() {}

#[requires(subject_kind = "user", presenter_kind = agents, subject_kind)]
async fn kinds() {}

#[requires(time_window = "09:00-17:00", not(delegated), any_of(delegated))]
async fn what_is_written_as_a_type() {}

fn main() {}
