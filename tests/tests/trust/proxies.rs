//! What a trusted proxy says of its client, and what its client made it say.
