use tower_delegation::requires_scope;

struct Orders;

impl Orders {
    #[requires_scope("orders:read")]
    async fn list(&self) {}

    #[requires_scope("orders:read")]
    async fn into_list(self: Box<Self>) {}
}

trait List {
    #[requires_scope("orders:read")]
    async fn list();
}

fn main() {}
