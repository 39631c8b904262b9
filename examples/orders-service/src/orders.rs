//! The domain: orders of customers, in memory. It knows nothing of tokens; a
//! real service has its database here.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

/// Whose order it is. A subject is unique within its issuer only: neither is
/// enough without the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Customer {
    pub(crate) issuer: String,
    pub(crate) subject: String,
}

/// What a customer asks for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewOrder {
    item: String,
    cents: u32,
}

/// An order.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Order {
    pub(crate) id: u32,
    pub(crate) customer: Customer,
    pub(crate) item: String,
    pub(crate) cents: u32,
    pub(crate) state: State,
}

/// What has become of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    Placed,
    Refunded,
}

/// Why something cannot be done with an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OrderError {
    /// Also where it is another customer's: nobody learns which orders exist.
    Unknown,
    AlreadyRefunded,
}

/// Every order. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Orders(Arc<Mutex<BTreeMap<u32, Order>>>);

impl Orders {
    pub(crate) fn place(&self, customer: Customer, new: NewOrder) -> Order {
        let mut orders = self.lock();
        let id = orders.last_key_value().map_or(1, |(last, _)| last + 1);
        let order = Order { id, customer, item: new.item, cents: new.cents, state: State::Placed };
        orders.insert(id, order.clone());
        order
    }

    pub(crate) fn of(&self, customer: &Customer) -> Vec<Order> {
        self.lock().values().filter(|order| order.customer == *customer).cloned().collect()
    }

    pub(crate) fn find(&self, customer: &Customer, id: u32) -> Result<Order, OrderError> {
        let orders = self.lock();
        let order = orders.get(&id).filter(|order| order.customer == *customer);
        order.cloned().ok_or(OrderError::Unknown)
    }

    pub(crate) fn refund(&self, customer: &Customer, id: u32) -> Result<Order, OrderError> {
        let mut orders = self.lock();
        let order = orders.get_mut(&id).filter(|order| order.customer == *customer);
        let order = order.ok_or(OrderError::Unknown)?;
        if order.state == State::Refunded {
            return Err(OrderError::AlreadyRefunded);
        }
        order.state = State::Refunded;
        Ok(order.clone())
    }

    pub(crate) fn all(&self) -> Vec<Order> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, Order>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
