use tower_delegation::{requires, requires_scope};

struct Orders;

impl Orders {
    #[requires_scope("orders:read")]
    async fn list<T>(_: T) {}

    #[requires(scope = Self::READ)]
    async fn read() {}
}

impl Orders {
    const READ: &str = "orders:read";
}

fn main() {}
