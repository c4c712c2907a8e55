//! Logs: events to standard error, without disturbing the status lines there.

use std::io::{self, Write};

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::screen::Screen;

/// Starts logging by a filter: the user's, or `default`.
pub(crate) fn start(filter: Option<&str>, default: &str, screen: &Screen) -> anyhow::Result<()> {
    let filter = filter.unwrap_or(default);
    let filter = EnvFilter::builder().parse(filter).with_context(|| {
        format!("read log filter {filter:?}, wanted one like \"info\" or \"warn,table=debug\"")
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(screen.is_terminal())
        .with_writer(AboveStatus(screen.clone()))
        .init();
    Ok(())
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
