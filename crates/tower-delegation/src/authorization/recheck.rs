//! Whether a context that is kept is still good.

use crate::{context::DelegationContext, reason::DenialReason, rejection::Rejection};

impl DelegationContext {
    /// Whether a request with the same token would be let in now, and all that this context
    /// shows is still so: the workload, the names, kinds, tenants and environments of the
    /// applications, the scopes, roles, permissions and groups, and the authorization details
    /// that count. For code that keeps a context beyond the request, such
    /// as a stream, a socket or a job.
    ///
    /// Synchronous and local: it waits for nothing and fetches nothing. Where nothing has
    /// moved since the last time, it reads the clock and compares numbers.
    /// [`authorize`](Self::authorize) and [`permits`](Self::permits) do the same first, and
    /// then go by what the context would show now: code that acts by a requirement calls
    /// those, each time.
    ///
    /// It leaves no mark in the audit event of the request.
    ///
    /// # Errors
    /// The [`Rejection`] to answer or to end with. Its
    /// [reason](Rejection::reason) says what has ended: the token's time, the trust in its
    /// issuer, its key, the registration of an application, the certificate that it is
    /// bound to, by a revocation, or
    /// [`ContextOutdated`](DenialReason::ContextOutdated) where the token is good and the
    /// context shows more than is so by now. It is of the kind
    /// [`Unavailable`](crate::reason::RejectionKind::Unavailable) where keys or revocations
    /// are too old to tell.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_delegation::{DelegationContext, DenialReason};
    ///
    /// /// Sends ticks for as long as the caller may have them.
    /// async fn ticks(delegation: DelegationContext, send: impl AsyncFn() -> bool) -> Option<DenialReason> {
    ///     while send().await {
    ///         if let Err(over) = delegation.recheck() {
    ///             return Some(over.reason());
    ///         }
    ///     }
    ///     None
    /// }
    /// ```
    pub fn recheck(&self) -> Result<(), Rejection> {
        let reason = match self.is_outdated() {
            Ok(false) => return Ok(()),
            Ok(true) => DenialReason::ContextOutdated,
            Err(reason) => reason,
        };
        Err(self.rejection(reason))
    }
}
