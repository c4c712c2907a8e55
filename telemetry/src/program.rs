//! A program around its work: logs started, a runtime, and an exit code.

use std::future::Future;
use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use tracing::Level;

use crate::logging::LogArgs;

/// Does the work of the program `name`, and says what it fails with: in the log, or beside it where a filter leaves
/// errors out.
pub fn run(name: &str, logs: &LogArgs, work: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    let failed = match logs.start("info") {
        Ok(()) => on_runtime(work).err(),
        Err(error) => Some(error.into()),
    };
    let Some(error) = failed else { return ExitCode::SUCCESS };
    if tracing::event_enabled!(Level::ERROR) {
        tracing::error!("{error:#}");
    } else {
        // Nobody is left to tell when standard error is gone too.
        writeln!(io::stderr(), "{name}: {error:#}").ok();
    }
    ExitCode::FAILURE
}

fn on_runtime(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("start async runtime")?;
    let ended = runtime.block_on(work);
    // Whatever still blocks a thread has had its time to drain.
    runtime.shutdown_background();
    ended
}
