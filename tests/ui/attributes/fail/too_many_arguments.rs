use tower_delegation::requires_scope;

#[requires_scope("orders:read")]
#[rustfmt::skip]
async fn sixteen(
    _1: u8, _2: u8, _3: u8, _4: u8, _5: u8, _6: u8, _7: u8, _8: u8,
    _9: u8, _10: u8, _11: u8, _12: u8, _13: u8, _14: u8, _15: u8, _16: String,
) {
}

#[requires_scope("orders:read")]
#[tower_delegation::requires_audience("https://orders.example.com")]
#[rustfmt::skip]
async fn sixteen_too(
    _1: u8, _2: u8, _3: u8, _4: u8, _5: u8, _6: u8, _7: u8, _8: u8,
    _9: u8, _10: u8, _11: u8, _12: u8, _13: u8, _14: u8, _15: u8, _16: String,
) {
}

fn main() {}
