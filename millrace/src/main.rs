//! The one binary: command line in, exit code out. Answers go to standard output, logs to standard error.

mod cli;
mod command;
mod logging;
mod pager;
mod screen;

use std::error::Error;
use std::io;
use std::process::ExitCode;

use table::QueryError;
use table::print::PrintError;
use telemetry::logging::LogFormat;
use telemetry::program;

use crate::cli::Cli;
use crate::screen::Screen;

fn main() -> ExitCode {
    let cli: Cli = program::arguments();
    let (format, is_service) = (cli.logs.format(), cli.command.is_service());
    match run(cli) {
        Ok(code) => code,
        Err(error) if !is_service && is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => program::fail("millrace", &message(&error), format == LogFormat::Json),
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let screen = Screen::new(cli.logs.format() == LogFormat::Text);
    let logging = logging::start(&cli.logs, cli.command.default_log(), &screen);
    program::on_runtime(logging, command::run(cli.command, screen))
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
