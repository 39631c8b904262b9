//! [`Passage`]: what was judged of a request that a layer let pass.

use http::Method;

use crate::{credential::Scheme, text_hash::TextHash};

/// The parts of a request's head that an authenticator judged.
///
/// What makes two requests the same is all that authentication goes by, and no
/// less: an inner layer of the same authenticator lets a request pass only if
/// every part is what it was. Whatever carries a context over to another request
/// (cloned extensions, a batch, a queue) is thereby judged anew.
///
/// Texts are held as hashes of 128 bits under a secret that the authenticator made for
/// itself, the same that stand for tokens in its cache. No hash leaves the process, so
/// no sender can search for two texts of one hash, and no credential is kept.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Passage {
    /// Its number.
    pub(crate) authenticator: u64,
    pub(crate) method: Method,
    /// The target as the client sent it, also behind nested routers.
    pub(crate) target: TextHash,
    /// How the token was presented, where there was one.
    pub(crate) scheme: Option<Scheme>,
    /// The token, or else the whole field.
    pub(crate) authorization: Option<TextHash>,
    /// Only where the token came with one that was judged.
    pub(crate) proof: Option<TextHash>,
}
