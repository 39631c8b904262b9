use tower_delegation::requires;

#[requires(delegated, not_delegated)]
async fn delegated_or_not() {}

#[requires(not_delegated, actor = "agent")]
async fn actor_without_delegation() {}

#[requires(on_behalf_of_user, subject_kind = service)]
async fn a_service_is_no_user() {}

#[requires(on_behalf_of_user, not_on_behalf_of_user)]
async fn for_a_user_or_not() {}

#[requires(actor = "agent", deny_actor = "agent")]
async fn demanded_and_denied() {}

#[requires(max_actors = 0, delegated)]
async fn no_one_may_act() {}

#[requires(scopes_within("a"), scope = "b", any_scope("c", "d"))]
async fn beyond_the_bound() {}

#[requires(claim_equals("plan", "gold"), claim_equals("plan", "silver"))]
async fn two_values() {}

#[requires(shadow)]
async fn a_trial_of_nothing() {}

const WEB: &str = "web";

#[requires(client = WEB, client = "app", any_role(WEB, WEB), deny_actor = WEB, actor = web)]
async fn what_no_value_of_a_constant_mends() {}

fn main() {}
