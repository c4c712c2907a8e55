//! The command line: what may be said, and nothing of what is done about it.

use std::path::PathBuf;

use anyhow::ensure;
use clap::{Args, Parser, Subcommand};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SpanRelativeTo, Timestamp};
use services::config::Span;
use services::{CaptureTime, ModelName, StreamId};
use table::TimeRange;
use table::print::Format;
use telemetry::logging::LogArgs;
use telemetry::program::SiteArgs;

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed; for audit: the loss equation does not close
  2    wrong command line
  3    answered, but for rows of the table that cannot be read; they are named
  130  ended by a second signal, without draining";

/// Cameras in, answers out: samples video, runs ONNX models on the frames, and keeps what they find in a table
/// for SQL.
#[derive(Debug, Parser)]
#[command(name = "millrace", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) logs: LogArgs,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show everything at work, without camera, model or configuration of one's own
    Demo(DemoArgs),
    /// Run everything that the configuration names, in this process, until Ctrl-C
    Up(SiteArgs),
    /// Ask a model about a video file, and print what it found
    Run(RunArgs),
    /// Write a commented configuration to start from
    Init(InitArgs),
    /// Check the configuration
    Validate(ValidateArgs),
    /// Say what a camera or file sends
    Probe(ProbeArgs),
    /// Ask the table a question in SQL, also beside running processes
    Query(QueryArgs),
    /// Prove from what is on disk that every frame is accounted for
    Audit(AuditArgs),
    /// Bring the table's list and its files together again, after one of them was lost, damaged or put back
    Repair(SiteArgs),
    /// Look at messages that could not be answered, and send them again
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// Say what a month on AWS costs, item by item
    Cost(CostArgs),
    /// Run the receiver alone; workers run elsewhere, over the same data folder
    Receive(ReceiveArgs),
    /// Run the workers alone; a receiver runs elsewhere, over the same data folder
    Infer(InferArgs),
}

/// What time a question is about.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct RangeArgs {
    /// From this moment on: `2026-11-21`, `2026-11-21T09:30` (UTC), `2026-11-21T09:30:00+01:00`, or how long ago, `2h`
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<CaptureTime>,

    /// Before this moment
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<CaptureTime>,
}

impl RangeArgs {
    /// The range.
    ///
    /// # Errors
    /// When it ends before it begins.
    pub(crate) fn range(&self) -> anyhow::Result<TimeRange> {
        let &Self { since, until } = self;
        if let (Some(since), Some(until)) = (since, until) {
            ensure!(since < until, "--since {since} is not before --until {until}");
        }
        Ok(TimeRange { since, until })
    }
}

fn moment(text: &str) -> Result<CaptureTime, String> {
    moment_at(text, Timestamp::now()).ok_or_else(|| {
        "expected a time such as 2026-11-21, 2026-11-21T09:30 or 2026-11-21T09:30:00+01:00, or how long ago, such as \
         2h or 7d"
            .to_owned()
    })
}

fn moment_at(text: &str, now: Timestamp) -> Option<CaptureTime> {
    let in_utc = || Some(text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp());
    let ago = || {
        let span: jiff::Span = text.parse().ok()?;
        let long = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
        (!long.is_negative()).then(|| now.checked_sub(long).ok()).flatten()
    };
    let time = text.parse::<Timestamp>().ok().or_else(in_utc).or_else(ago)?;
    Some(CaptureTime(time.as_microsecond()))
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// End after so many seconds; with success only if rows came and nothing was lost
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: Option<u64>,

    /// Data folder; a new one under `data` otherwise
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The video: an MP4 or `.h264` file
    pub(crate) video: PathBuf,

    /// The model: an ONNX file, as `yolo export model=yolo11n.pt format=onnx` writes it, or an algorithm (`circles`)
    #[arg(long, value_name = "PATH")]
    pub(crate) model: String,

    /// The model's manifest, when it does not lie beside it
    #[arg(long, value_name = "PATH")]
    pub(crate) manifest: Option<PathBuf>,

    /// The period of runs, on the video's time line; key frames alone are asked about otherwise, one a second
    #[arg(long, value_name = "DURATION")]
    pub(crate) every: Option<String>,

    /// The question; what was seen how often otherwise
    #[arg(long, value_name = "SQL")]
    pub(crate) sql: Option<String>,

    /// How the answer is printed: table, csv, json or jsonl
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: Format,

    /// Data folder; a new one under `data` otherwise
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The file to write; one that exists is left alone
    #[arg(default_value = "millrace.toml")]
    pub(crate) path: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    #[command(flatten)]
    pub(crate) site: SiteArgs,

    /// Print the JSON Schema of the configuration file instead
    #[arg(long)]
    pub(crate) schema: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ProbeArgs {
    /// A URL (rtsp://…, scene:), a video file, or the id of a stream of the configuration, which keeps its password out
    /// of the list of processes
    pub(crate) source: String,

    #[command(flatten)]
    pub(crate) site: SiteArgs,
}

#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    /// The question, or `-` to read it from standard input; tables: detections, detections_unique, frames
    #[arg(required_unless_present = "named", conflicts_with = "named")]
    pub(crate) sql: Option<String>,

    /// Ask one of the named queries; without a name, list them
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "")]
    pub(crate) named: Option<String>,

    #[command(flatten)]
    pub(crate) range: RangeArgs,

    /// How the answer is printed: table, vertical (for wide rows, a value on each line), csv, json or jsonl. On a
    /// terminal, the first two go through `PAGER` (`less` when it is not set; none when it is empty)
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: Format,

    /// The longest that the answer may be worked on
    #[arg(long, value_name = "DURATION", default_value = "10min")]
    pub(crate) timeout: Span,

    #[command(flatten)]
    pub(crate) site: SiteArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// Print one equation per epoch, rather than their sum per stream and model
    #[arg(long)]
    pub(crate) epochs: bool,

    /// Print all equations as JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) range: RangeArgs,

    #[command(flatten)]
    pub(crate) site: SiteArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CostArgs {
    /// Take frames, sizes and rates from the rows of a running system instead of the configuration
    #[arg(long)]
    pub(crate) measured: bool,

    #[command(flatten)]
    pub(crate) range: RangeArgs,

    /// Bytes of an encoded frame [default: 60000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) frame_bytes: Option<u32>,

    /// Rows of a frame; one in which nothing is found has one too [default: 2]
    #[arg(long, value_name = "N", value_parser = rows_per_frame)]
    pub(crate) rows_per_frame: Option<f64>,

    /// Days that frames are kept [default: 7]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub(crate) retention_days: Option<u32>,

    /// Questions to the table, each reading the rows of a day [default: 24]
    #[arg(long, value_name = "N")]
    pub(crate) queries_per_day: Option<u32>,

    /// Worker processes for each model [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) workers: Option<u32>,

    /// Print the estimate as JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) site: SiteArgs,
}

fn rows_per_frame(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rows) if (1.0..=1e6).contains(&rows) => Ok(rows),
        _ => Err("expected a number from 1 to 1000000".to_owned()),
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadLettersCommand {
    /// List dead letters: id, model, reason, when, receives, frames
    List {
        #[command(flatten)]
        site: SiteArgs,
    },
    /// Print a dead letter's message
    Show {
        /// The id, as `list` prints it
        id: String,
        #[command(flatten)]
        site: SiteArgs,
    },
    /// Send dead letters to their queue again, with all their tries before them
    Replay {
        /// The id, as `list` prints it
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        id: Option<String>,
        /// Replay all of them
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        site: SiteArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ReceiveArgs {
    /// Receive these streams alone
    #[arg(long = "stream", value_name = "ID")]
    pub(crate) streams: Vec<StreamId>,

    #[command(flatten)]
    pub(crate) site: SiteArgs,
}

#[derive(Debug, Args)]
pub(crate) struct InferArgs {
    /// Work for these models alone
    #[arg(long = "model", value_name = "NAME")]
    pub(crate) models: Vec<ModelName>,

    /// The worker's name in rows
    #[arg(long, value_name = "NAME")]
    pub(crate) worker: Option<String>,

    #[command(flatten)]
    pub(crate) site: SiteArgs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_told_by_its_date_or_by_how_long_ago_it_was() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let at = |text| moment_at(text, now).map(|time| time.to_string());
        for (text, time) in [
            ("2026-11-20", "2026-11-20T00:00:00.000000Z"),
            ("2026-11-20T09:30", "2026-11-20T09:30:00.000000Z"),
            ("2026-11-20 09:30:01.5", "2026-11-20T09:30:01.500000Z"),
            ("2026-11-20T09:30:00+01:00", "2026-11-20T08:30:00.000000Z"),
            ("2h", "2026-11-21T10:00:00.000000Z"),
            ("90 min", "2026-11-21T10:30:00.000000Z"),
            ("7d", "2026-11-14T12:00:00.000000Z"),
        ] {
            assert_eq!(at(text).as_deref(), Some(time), "{text}");
        }
        for text in ["", "2026", "yesterday", "-2h", "12:00", "2026-13-01"] {
            assert_eq!(at(text), None, "{text}");
        }
    }

    #[test]
    fn a_range_that_ends_before_it_begins_is_refused() {
        let range = |since, until| RangeArgs {
            since: Some(CaptureTime(since)),
            until: Some(CaptureTime(until)),
        };
        assert!(range(1, 2).range().is_ok());
        let error = range(2_000_000, 1_000_000).range().unwrap_err().to_string();
        assert!(error.contains("1970-01-01T00:00:02.000000Z is not before"), "{error}");
    }
}
