//! The end of a process: the first signal drains, the second one ends, and a drain has a bound.

use std::future::Future;
use std::io;
use std::process;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Exit code after a second signal, as shells have it for Ctrl-C.
const INTERRUPTED: i32 = 130;
/// Signals this close are one: some senders signal a process and its group.
const SAME_SIGNAL: Duration = Duration::from_millis(500);

/// A process that was told to end and did not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("drain: {what} did not end within {bound:?}")]
pub struct NotDrained {
    what: &'static str,
    bound: Duration,
}

/// Cancels `drain` at the first SIGINT or SIGTERM, and ends the process at the second.
///
/// # Errors
/// When the system does not let signals be listened for.
pub fn drain_on_signal(drain: CancellationToken) -> io::Result<()> {
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut terminations = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        either(&mut interrupts, &mut terminations).await;
        drain.cancel();
        tracing::info!("draining; a second signal ends at once");
        let echoes = async {
            loop {
                either(&mut interrupts, &mut terminations).await;
            }
        };
        let _ = timeout(SAME_SIGNAL, echoes).await;
        either(&mut interrupts, &mut terminations).await;
        process::exit(INTERRUPTED);
    });
    Ok(())
}

/// Waits for the work `what`, however long it takes; once `drain` is cancelled, no longer than `bound`.
///
/// # Errors
/// When the bound is over: the work is dropped.
pub async fn drained<T>(
    what: &'static str,
    work: impl Future<Output = T>,
    drain: &CancellationToken,
    bound: Duration,
) -> Result<T, NotDrained> {
    let over = async {
        drain.cancelled().await;
        tokio::time::sleep(bound).await;
    };
    tokio::select! {
        biased;
        done = work => Ok(done),
        () = over => Err(NotDrained { what, bound }),
    }
}

async fn either(interrupts: &mut Signal, terminations: &mut Signal) {
    tokio::select! {
        _ = interrupts.recv() => {}
        _ = terminations.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_does_not_drain_is_named() {
        let drain = CancellationToken::new();
        let done = drained("the worker", async { 7 }, &drain, Duration::ZERO).await;
        assert_eq!(done, Ok(7));
        drain.cancel();
        let stuck = std::future::pending::<()>();
        let error = drained("the worker", stuck, &drain, Duration::from_millis(1)).await;
        let expected = "drain: the worker did not end within 1ms";
        assert_eq!(error.unwrap_err().to_string(), expected);
    }
}
