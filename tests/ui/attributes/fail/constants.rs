use tower_delegation::{requires, requires_scope};

mod scopes {
    pub const READ: &str = "orders:read";

    mod private {
        pub const ADMIN: &str = "orders:admin";
    }
}

#[requires_scope(scopes::READ, scopes::WRITE)]
async fn no_such_constant() {}

#[requires(scope = scopes::private::ADMIN, client = CLIENT)]
async fn out_of_sight() {}

fn main() {}
