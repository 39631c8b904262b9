//! What the process is told from outside. Both functions listen from the moment
//! they are called: a signal that comes before anybody waits is not lost.

use std::{future::Future, io};

use crate::Files;

/// Completes when the process is asked to end: SIGTERM, or Control-C.
///
/// # Errors
/// The operating system lets nobody listen.
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

/// Reads the files again on each SIGHUP.
///
/// # Errors
/// The operating system lets nobody listen.
#[cfg(unix)]
pub fn reload_on_hangup(files: Files) -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        while hangup.recv().await.is_some() {
            let files = files.clone();
            match tokio::task::spawn_blocking(move || files.reload()).await {
                Ok(Ok(())) => tracing::info!("files were read again"),
                Ok(Err(error)) => tracing::error!("{error:#}"),
                Err(error) => tracing::error!("files were not read again: {error}"),
            }
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

/// Does nothing: there is no SIGHUP here.
///
/// # Errors
/// Never.
#[cfg(not(unix))]
pub fn reload_on_hangup(_: Files) -> io::Result<impl Future<Output = ()>> {
    Ok(std::future::pending())
}
