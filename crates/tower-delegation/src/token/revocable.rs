//! [`Revocable`]: what a revocation of any part of a token is found by.

use std::borrow::Cow;

use crate::{
    clock::Timestamp,
    revocation::{RevocationKey, RevocationKind},
};

/// Worked out once, when the token is verified.
#[derive(Default)]
pub(crate) struct Revocable {
    pub(crate) keys: Box<[RevocationKey]>,
    /// `iat`, a fraction rounded down: a token that was issued in the very second of
    /// a revocation counts as issued before it. `None` if the token does not say.
    pub(crate) issued_at: Option<Timestamp>,
}

/// An identifier, and what it is one of.
pub(super) type Identifier<'a> = (RevocationKind, Cow<'a, str>);
