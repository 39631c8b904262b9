//! What an operator watches of the verified-token cache, through the `metrics` facade.

use metrics::{counter, describe_counter};

const TOKENS: &str = "tower_delegation_tokens_total";

pub(super) fn describe() {
    describe_counter!(TOKENS, "Access tokens that verified, by whether they were held from before");
}

/// A token was held, and is good still.
pub(super) fn cached() {
    counter!(TOKENS, "outcome" => "cached").increment(1);
}

/// A token's signature was checked, and is good.
pub(super) fn verified() {
    counter!(TOKENS, "outcome" => "verified").increment(1);
}
