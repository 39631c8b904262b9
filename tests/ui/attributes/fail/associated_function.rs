use tower_delegation::requires_scope;

struct Orders;

impl Orders {
    #[requires_scope("orders:read")]
    async fn list() {}
}

fn main() {}
