//! The one binary: command line in, exit code out. Answers go to standard output, logs to standard error.

mod cli;
mod command;
mod logging;
mod pager;
mod screen;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser as _;
use table::QueryError;
use table::print::PrintError;
use telemetry::logging::LogFormat;
use tracing::Level;

use crate::cli::Cli;
use crate::screen::Screen;

fn main() -> ExitCode {
    services::allocator::bound();
    services::descriptors::raise();
    let cli = Cli::parse();
    let (format, is_service) = (cli.logs.format(), cli.command.is_service());
    match run(cli) {
        Ok(code) => code,
        Err(error) if !is_service && is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) if format == LogFormat::Json && tracing::event_enabled!(Level::ERROR) => {
            tracing::error!("{}", message(&error));
            ExitCode::FAILURE
        }
        Err(error) => {
            // Nobody is left to tell when standard error is gone too.
            writeln!(io::stderr(), "millrace: {}", message(&error)).ok();
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let screen = Screen::new(cli.logs.format() == LogFormat::Text);
    logging::start(&cli.logs, cli.command.default_log(), &screen)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let code = runtime.block_on(command::run(cli.command, screen));
    // Whatever still blocks a thread has had its time to drain.
    runtime.shutdown_background();
    code
}

/// The error and its causes, once each: some errors say their cause themselves, as those of queries do in other words.
fn message(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let words = cause.to_string();
        if text.is_empty() {
            text = words;
        } else if !text.contains(without_code(&words)) {
            text = format!("{text}: {words}");
        }
        if cause.is::<QueryError>() || cause.is::<PrintError>() {
            break;
        }
    }
    text
}

/// What SQLite says, without its number for it: `Error code 26: file is not a database`.
fn without_code(words: &str) -> &str {
    let coded = words.strip_prefix("Error code ").and_then(|rest| rest.split_once(": "));
    coded.map_or(words, |(_, words)| words)
}

/// Tells whether the reader of standard output went away (`… | head`), which is no failure.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let closed = |cause: &(dyn Error + 'static)| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    };
    error.chain().any(closed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn a_cause_is_said_once() {
        let error =
            Err::<(), _>(anyhow::anyhow!("no space left")).context("write x: no space left");
        assert_eq!(
            message(&error.context("stream \"gate\"").unwrap_err()),
            "stream \"gate\": write x: no space left"
        );
        let coded = anyhow::anyhow!("Error code 26: file is not a database");
        let error = Err::<(), _>(coded).context("open x: file is not a database").unwrap_err();
        assert_eq!(message(&error), "open x: file is not a database");
    }
}
