//! [`Overflow`]: requests wait, or events are lost.

/// What happens when events come faster than a sink takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// No request is served without a place for its event. It takes the place
    /// before it is looked at, and waits for one where the queue is full. If
    /// none becomes free in [time](super::Audit::patience), the answer is 503, with
    /// the reason `audit_unavailable`. Events whose place is taken are kept
    /// until the sink takes them; a sink that fails is asked again and again.
    ///
    /// The [most entries](super::Audit::max_entries) are then also the most requests that are
    /// under way at one time.
    Block,
    /// Requests never wait. An event that finds the queue full, or that the
    /// sink fails to record, is dropped and [counted](super::AuditStatus::dropped).
    DropAndCount,
}
