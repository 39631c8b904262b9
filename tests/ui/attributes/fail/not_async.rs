use tower_delegation::requires_scope;

#[requires_scope("orders:read")]
#[tower_delegation::requires_audience("https://orders.example.com")]
fn list_orders() {}

fn main() {
    list_orders();
}
