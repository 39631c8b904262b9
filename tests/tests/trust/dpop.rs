//! One client's DPoP proofs never cost another its own.
