//! Stays beside a running Millrace: shows its status until it ends.

use millrace::Millrace;
use telemetry::stop::drain_on_signal;

use crate::screen::Screen;

/// Shows status lines until it ends by itself or by a signal, and leaves the last ones there.
///
/// # Errors
/// When a part of it failed that the others cannot do without.
pub(crate) async fn attend(mut millrace: Millrace, screen: &mut Screen) -> anyhow::Result<()> {
    let result = watch(&mut millrace, screen).await;
    screen.finish(&millrace.status(), &millrace.models());
    result
}

/// Shows status lines until it ends by itself or by a signal.
///
/// # Errors
/// As [`attend`].
pub(crate) async fn watch(millrace: &mut Millrace, screen: &mut Screen) -> anyhow::Result<()> {
    drain_on_signal(millrace.shutdown())?;
    loop {
        tokio::select! {
            biased;
            ended = millrace.ended() => return ended,
            () = tokio::time::sleep(screen.period()) => {}
        }
        screen.show(&millrace.status(), &millrace.models());
    }
}
