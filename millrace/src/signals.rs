//! Ctrl-C and SIGTERM: the first one drains, the second one ends.

use std::process;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Exit code after a second signal, as shells have it for Ctrl-C.
const INTERRUPTED: i32 = 130;
/// Signals this close are one: some senders signal a process and its group.
const SAME_SIGNAL: Duration = Duration::from_millis(500);

/// Cancels `drain` at the first signal, and ends the process at the second.
pub(crate) fn listen(drain: CancellationToken) -> anyhow::Result<()> {
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut terminations = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        either(&mut interrupts, &mut terminations).await;
        tracing::info!("draining; a second signal ends at once");
        drain.cancel();
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

async fn either(interrupts: &mut Signal, terminations: &mut Signal) {
    tokio::select! {
        _ = interrupts.recv() => {}
        _ = terminations.recv() => {}
    }
}
