//! [`Evidence`]: what a demand is held against.

use crate::context::{DelegationContext, RequestFacts};

/// What a demand is held against.
#[derive(Clone, Copy)]
pub(crate) struct Evidence<'e> {
    pub(super) delegation: &'e DelegationContext,
    pub(super) facts: &'e RequestFacts<'e>,
    /// Inside `not`, where it matters whether a failure is certain.
    pub(super) is_excluding: bool,
}

impl<'e> Evidence<'e> {
    pub(crate) fn new(delegation: &'e DelegationContext, facts: &'e RequestFacts<'e>) -> Self {
        Self { delegation, facts, is_excluding: false }
    }
}
