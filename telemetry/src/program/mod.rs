//! A program around its work: the process made ready, arguments and logs, a runtime, and an exit code; for one that
//! serves until it is told to stop, signals, telemetry and a drain as well.

mod service;
mod site;

use std::future::Future;
use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use tracing::Level;

pub use service::Service;
pub use site::SiteArgs;

use crate::error::TelemetryError;
use crate::logging::LogArgs;

/// Makes the process ready and reads its arguments: called before anything else.
///
/// Where they cannot be read, or help is asked for, the process ends.
pub fn arguments<A: Parser>() -> A {
    services::allocator::bound();
    services::descriptors::raise();
    A::parse()
}

/// Does the work of the program `name`, and says what it fails with: in the log, or beside it where a filter leaves
/// errors out.
pub fn run(name: &str, logs: &LogArgs, work: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    match on_runtime(logs.start("info"), work) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(name, &format!("{error:#}"), true),
    }
}

/// Does the work once logging has started, on an async runtime of its own.
///
/// # Errors
/// Those of either, or when the system gives no threads.
pub fn on_runtime<T>(
    logging: Result<(), TelemetryError>,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    logging?;
    let runtime = tokio::runtime::Runtime::new().context("start async runtime")?;
    let ended = runtime.block_on(work);
    // Whatever still blocks a thread has had its time to drain.
    runtime.shutdown_background();
    ended
}

/// Says what the program `name` fails with: in the log where that `is_logged` and no filter leaves errors out, else on
/// standard error.
pub fn fail(name: &str, words: &str, is_logged: bool) -> ExitCode {
    if is_logged && tracing::event_enabled!(Level::ERROR) {
        tracing::error!("{words}");
    } else {
        // Nobody is left to tell when standard error is gone too.
        writeln!(io::stderr(), "{name}: {words}").ok();
    }
    ExitCode::FAILURE
}
