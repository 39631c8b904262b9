//! [`AuditStatus`]: how a sink is doing.

/// What became of the events of one sink, at one moment.
///
/// Once nothing is under way any more, every request is counted in exactly one
/// of [`recorded`](Self::recorded), [`dropped`](Self::dropped) and
/// [`refused`](Self::refused).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditStatus {
    /// The name that [`Audit::named`](super::Audit::named) gave it.
    pub name: String,
    /// Events that the sink has recorded.
    pub recorded: u64,
    /// Events that are lost: the queue was full, the sink failed, or it was
    /// still failing five seconds after the layer was dropped. Under
    /// [`Overflow::Block`](super::Overflow::Block) only the last, and those of public
    /// routes where nothing has asked who the caller is: they wait for no place.
    pub dropped: u64,
    /// Requests that ended without a place for their event under
    /// [`Overflow::Block`](super::Overflow::Block): refused, or given up by their clients while they
    /// waited. None was served.
    pub refused: u64,
    /// How often the sink has failed, repeated attempts included.
    pub failures: u64,
    /// Did the latest attempt fail?
    pub is_failing: bool,
    /// Places that are taken.
    pub queued: usize,
    /// Places in all. 0 for a sink without a queue.
    pub max_entries: usize,
    /// Are requests refused now because this sink fails and its queue is full?
    pub is_stuck: bool,
}
