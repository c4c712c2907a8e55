//! Logs: events to standard error, without disturbing the status lines there.

use std::io::{self, Write};

use telemetry::TelemetryError;
use telemetry::logging::LogArgs;
use tracing_subscriber::fmt::MakeWriter;

use crate::screen::Screen;

/// Starts logging by the user's filter, or `default`.
pub(crate) fn start(logs: &LogArgs, default: &str, screen: &Screen) -> Result<(), TelemetryError> {
    logs.start_on(default, screen.is_terminal(), AboveStatus(screen.clone()))
}

/// Writes to standard error, above the status lines.
struct AboveStatus(Screen);

impl Write for AboveStatus {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write_all(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for AboveStatus {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self(self.0.clone())
    }
}
