use tower_delegation::requires;

#[requires(max_token_age = "5m", max_token_lifetime = 0, max_actors = 2u8)]
async fn numbers() {}

#[requires(risk_below("device", 101), risk_below("device"))]
async fn levels() {}

#[requires(claim_equals("plan"), claim_matches_header("plan", "x plan"), purpose = "care")]
async fn pairs() {}

#[requires(acr = "a b", any_role("admin"), scopes_within())]
async fn texts() {}

fn main() {}
