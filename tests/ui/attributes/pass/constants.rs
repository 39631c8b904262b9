//! A constant wherever a literal may stand, found as in the function.
#![deny(warnings)]

use tower_delegation::routing::{GuardedRouter, get};
use tower_delegation::context::{ApplicationKind, SubjectKind};
use tower_delegation::{requires, requires_audience, requires_scope};

pub mod scopes {
    pub const READ: &str = "orders:read";
    pub const PROFILE: &str = "profile";

    pub mod deeper {
        use tower_delegation::requires_scope;

        #[requires_scope(super::READ, crate::scopes::PROFILE)]
        pub async fn handler() {}
    }
}

const AUDIENCE: &str = "https://orders.example.com";
const MAX_AGE: u64 = 300;
const MAX_ACTORS: usize = 2;
const LEVEL: u8 = 70;
const KIND: SubjectKind = SubjectKind::User;
const READER: &str = "a reader";

struct Names;

impl Names {
    const PLAN: &str = "plan";
}

#[requires_scope(scopes::READ, any(self::scopes::PROFILE, "email"), name = READER)]
#[requires_audience(AUDIENCE)]
async fn texts() {}

#[requires(
    scope = scopes::READ,
    any_role("clerk", scopes::PROFILE),
    scopes_within(scopes::READ),
    max_token_age = MAX_AGE,
    max_actors = MAX_ACTORS,
    risk_below("device", LEVEL),
    subject_kind = KIND,
    presenter_kind = ApplicationKind::Agent,
    claim_equals(Names::PLAN, "gold"),
    claim_equals(["realm", Names::PLAN], "gold"),
    claim_one_of(Names::PLAN, any("gold", "silver")),
)]
async fn others() {}

#[requires(scope = scopes::READ)]
async fn generic<T: Send + 'static>(_: axum::extract::Path<T>) {}

fn main() {
    const INSIDE: &str = "orders:inside";

    #[requires_scope(INSIDE)]
    async fn inside_a_function() {}

    let router = GuardedRouter::<()>::new()
        .route("/1", get(texts))
        .route("/2", get(others))
        .route("/4", get(scopes::deeper::handler))
        .route("/5", get(inside_a_function));
    let said = router.inventory().to_string();
    for scope in [scopes::READ, scopes::PROFILE, INSIDE, READER] {
        assert!(said.contains(scope), "{said}");
    }
    let _ = generic::<u8>;
}
