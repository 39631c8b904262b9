//! Signals to the process.

use std::{future::Future, io};

/// Completes when the process is asked to end: SIGTERM, or Control-C. Listens from the moment
/// it is called.
///
/// # Errors
/// The operating system does not let the process listen.
#[cfg(unix)]
pub fn shutdown_requested() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Completes at Control-C.
///
/// # Errors
/// Never.
#[cfg(not(unix))]
pub fn shutdown_requested() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
