//! Logs: events as text or as JSON lines, for all programs alike.

use std::io::{self, IsTerminal as _};

use clap::{Args, ValueEnum};
use tracing::{Dispatch, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::error::TelemetryError;

/// What is logged, and how.
#[derive(Clone, Debug, Default, Args)]
pub struct LogArgs {
    /// Which events are logged to standard error, as `warn` or `warn,receive_video=debug`
    #[arg(
        long,
        global = true,
        value_name = "FILTER",
        env = "MILLRACE_LOG",
        hide_env_values = true
    )]
    log: Option<String>,

    /// How events are logged: text, or json, one object a line
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        env = "MILLRACE_LOG_FORMAT",
        hide_env_values = true,
        hide_possible_values = true,
        default_value = "text"
    )]
    log_format: LogFormat,
}

/// The form of a logged event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// A JSON object: `timestamp`, `level`, `target`, the event's fields, and `span` with the trace's id where the
    /// event belongs to one.
    Json,
}

impl LogArgs {
    /// The form of logged events.
    pub fn format(&self) -> LogFormat {
        self.log_format
    }

    /// Starts logging to standard error, by the user's filter or `default`.
    ///
    /// # Errors
    /// When the filter cannot be read.
    ///
    /// # Panics
    /// When the process logs already.
    pub fn start(&self, default: &str) -> Result<(), TelemetryError> {
        self.start_on(default, io::stderr().is_terminal(), io::stderr)
    }

    /// Starts logging to a writer, coloured where it is a terminal.
    ///
    /// # Errors
    /// When the filter cannot be read.
    ///
    /// # Panics
    /// When the process logs already.
    pub fn start_on(
        &self,
        default: &str,
        is_terminal: bool,
        writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static,
    ) -> Result<(), TelemetryError> {
        self.dispatch(default, is_terminal, writer)?.init();
        Ok(())
    }

    fn dispatch(
        &self,
        default: &str,
        is_terminal: bool,
        writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static,
    ) -> Result<Dispatch, TelemetryError> {
        let filter = self.filter(default)?;
        // Told on standard error, that it is closed would be a panic.
        let logs = tracing_subscriber::fmt().log_internal_errors(false);
        let logs = logs.with_env_filter(filter).with_writer(writer);
        let secretive = filter_fn(keeps_secrets);
        Ok(match self.log_format {
            LogFormat::Text => logs.with_ansi(is_terminal).finish().with(secretive).into(),
            LogFormat::Json => {
                let logs = logs.json().flatten_event(true).with_span_list(false);
                logs.finish().with(secretive).into()
            }
        })
    }

    fn filter(&self, default: &str) -> Result<EnvFilter, TelemetryError> {
        // Where there is no machine's metadata to ask for a region, the SDK says so at length, three times.
        let quiet = || format!("{default},aws_config=error");
        let filter = self.log.clone().unwrap_or_else(quiet);
        let refuse = |cause| TelemetryError::Filter { filter: filter.clone(), cause };
        EnvFilter::builder().parse(&filter).map_err(refuse)
    }
}

/// Leaves out, whatever filter is given, what the RTSP client says: it repeats URLs, and some cameras want their
/// password in them.
fn keeps_secrets(event: &Metadata<'_>) -> bool {
    event.target() != "retina" && !event.target().starts_with("retina::")
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_rtsp_client_is_not_heard_whatever_filter_is_given() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        for (log, log_format) in [
            (None, LogFormat::Text),
            (Some("trace,retina::client::parse=trace".to_owned()), LogFormat::Json),
        ] {
            let args = LogArgs { log, log_format };
            let file = Arc::new(File::create(&path).unwrap());
            let logs = args.dispatch("info", false, file).unwrap();
            tracing::dispatcher::with_default(&logs, || {
                tracing::warn!(target: "retina::client::parse", "rtsp://h/?password=hunter2");
                tracing::warn!(target: "retina", "rtsp://h/?password=hunter2");
                tracing::warn!("camera gate is away");
            });
            let told = fs::read_to_string(&path).unwrap();
            assert!(told.contains("camera gate") && !told.contains("hunter2"), "{told}");
        }
    }

    #[test]
    fn a_filter_that_is_none_is_named() {
        let args = LogArgs { log: Some("a=b=c".to_owned()), ..LogArgs::default() };
        let words = args.filter("info").unwrap_err().to_string();
        assert!(
            words.starts_with("read log filter \"a=b=c\", wanted one like \"info\""),
            "{words}"
        );
        assert!(LogArgs::default().filter("info").is_ok());
    }
}
