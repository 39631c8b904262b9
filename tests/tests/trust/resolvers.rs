//! What a resolver says now holds for tokens that were seen before, too.
