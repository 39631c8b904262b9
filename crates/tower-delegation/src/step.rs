//! [`Step`]: an answer that is at hand, or has to be waited for.

use std::{fmt, future::Future, pin::Pin};

/// An answer that is at hand, or has to be waited for.
///
/// What answers from memory returns [`Ready`](Self::Ready): the request then goes on
/// at once, without an allocation and without being polled again.
///
/// ```
/// use tower_delegation::step::Step;
///
/// /// Answers from memory where it can.
/// fn balance(known: Option<u64>) -> Step<u64> {
///     match known {
///         Some(balance) => Step::Ready(balance),
///         None => Step::wait(async { 42 }), // asks a server
///     }
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// assert_eq!(balance(Some(7)).answer().await, 7);
/// assert_eq!(balance(None).answer().await, 42);
/// # }
/// ```
#[must_use]
#[expect(clippy::exhaustive_enums, reason = "there is no third case")]
pub enum Step<T> {
    /// At hand.
    Ready(T),
    /// Still on its way.
    Wait(Wait<T>),
}

/// The future of an answer that has to be waited for.
pub type Wait<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<T> Step<T> {
    /// The answer of this future.
    pub fn wait(answer: impl Future<Output = T> + Send + 'static) -> Self {
        Self::Wait(Box::pin(answer))
    }

    /// The answer, changed by `change` as soon as it is there.
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U + Send + 'static) -> Step<U>
    where
        T: 'static,
    {
        match self {
            Self::Ready(answer) => Step::Ready(change(answer)),
            Self::Wait(answer) => Step::wait(async move { change(answer.await) }),
        }
    }

    /// Waits for the answer, if it is not at hand.
    pub async fn answer(self) -> T {
        match self {
            Self::Ready(answer) => answer,
            Self::Wait(answer) => answer.await,
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Step<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(answer) => f.debug_tuple("Ready").field(answer).finish(),
            Self::Wait(_) => f.debug_tuple("Wait").finish_non_exhaustive(),
        }
    }
}
