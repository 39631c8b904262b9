use tower_delegation::requires;

#[requires(max_token_age = "5m", max_token_lifetime = 0, max_actors = 2u8)]
async fn numbers() {}

#[requires(risk_below("device", 101), risk_below("device"))]
async fn levels() {}

#[requires(claim_equals("plan"), claim_matches_header("plan", "x plan"), purpose = "care")]
async fn pairs() {}

#[requires(claim_one_of("plan", "gold"), claim_one_of("plan", any("gold")), any_actor_of("https://idp", "agent"))]
async fn choices_of_pairs() {}

#[requires(claim_equals(["act", "sub"], "agent"), claim_equals(["realm", ""], "a"))]
async fn claims_in_claims() {}

#[requires(acr = "a b", any_role("admin"), scopes_within())]
async fn texts() {}

fn main() {}
