//! Who a token's subject is taken for: each provider's tokens against every mapping.
