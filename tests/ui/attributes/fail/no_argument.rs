use tower_delegation::{requires, requires_audience, requires_scope};

#[requires_scope]
async fn no_scope() {}

#[requires_scope()]
async fn still_no_scope() {}

#[requires_audience]
async fn no_audience() {}

#[requires()]
async fn nothing() {}

fn main() {}
