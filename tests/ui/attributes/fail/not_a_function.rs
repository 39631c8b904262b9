use tower_delegation::{requires, requires_audience, requires_scope};

#[requires_scope("orders:read")]
struct Orders;

#[requires_audience("https://orders.example.com")]
pub mod orders {}

#[requires(delegated)]
const ORDERS: Orders = Orders;

fn main() {
    let _ = ORDERS;
}
