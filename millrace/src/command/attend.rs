//! Stays beside a running Millrace: shows its status until it ends.

use millrace::Millrace;
use telemetry::stop::drain_on_signal;

use crate::screen::Screen;

/// Shows status lines until it ends by itself or by a signal.
///
/// # Errors
/// When a part of it failed that the others cannot do without.
pub(crate) async fn attend(mut millrace: Millrace, screen: &mut Screen) -> anyhow::Result<()> {
    drain_on_signal(millrace.shutdown())?;
    let result = loop {
        tokio::select! {
            biased;
            ended = millrace.ended() => break ended,
            () = tokio::time::sleep(screen.period()) => {}
        }
        let status = millrace.status();
        screen.show(&status);
    };
    let status = millrace.status();
    screen.finish(&status);
    result
}
