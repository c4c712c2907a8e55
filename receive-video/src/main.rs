//! The receiver as a program of its own: cameras and files in, frame batches in the queues out.
//!
//! Exit codes: 0 when it ended as told or all files were read, 1 after a failure, 2 for a command line that cannot
//! be read, 130 after a second signal.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use clap::Parser;
use receive_video::{Retention, StatusBoard};
use services::StreamId;
use services::config::{Config, Overrides, find_file, load};
use services::descriptors::{self, Roles};
use services::stop::DRAIN;
use telemetry::Telemetry;
use telemetry::logging::LogArgs;
use telemetry::stop::{drain_on_signal, drained};
use tokio_util::sync::CancellationToken;

/// Receives cameras and files, and puts the frames that models ask for into their queues.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The configuration file; `millrace.toml` when there is one
    #[arg(short, long, value_name = "FILE", env = "MILLRACE_CONFIG")]
    config: Option<PathBuf>,
    /// The data folder, instead of the configured one
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Receives this stream only; may be given more than once
    #[arg(long = "stream", value_name = "ID")]
    streams: Vec<StreamId>,
    #[command(flatten)]
    logs: LogArgs,
}

fn main() -> ExitCode {
    services::allocator::bound();
    services::descriptors::raise();
    let arguments = Arguments::parse();
    telemetry::program::run("receive-video", &arguments.logs, receive(&arguments))
}

async fn receive(arguments: &Arguments) -> anyhow::Result<()> {
    let config = configuration(arguments)?;
    let shutdown = CancellationToken::new();
    drain_on_signal(shutdown.clone()).context("listen for signals")?;
    descriptors::check(&config, Roles { receiver: true, workers: false })?;
    let backend = backend::open(&config).await?;
    let (ports, retention) = (&backend.ports, Retention::of(&backend));
    let board = StatusBoard::default();
    let parts: Vec<Arc<dyn telemetry::Part>> =
        vec![Arc::new(board.clone()), Arc::new(retention.clone())];
    let draining = shutdown.clone();
    let telemetry =
        Telemetry::start("receive-video", &config.telemetry, ports, parts, draining).await?;
    let receiving = receive_video::run(&config, ports, board.clone(), shutdown.clone());
    let receiving = retention.beside(receiving);
    let received = drained("the receiver", receiving, &shutdown, DRAIN).await;
    for (stream, status) in board.snapshot() {
        tracing::info!(
            %stream,
            received = status.received,
            taken = status.taken,
            shipped = status.shipped,
            spooled = status.spooled,
            shed = status.shed,
            "ended"
        );
    }
    telemetry.finish().await;
    received?
}

fn configuration(arguments: &Arguments) -> anyhow::Result<Config> {
    let mut overrides = Overrides::default();
    if let Some(data) = &arguments.data {
        overrides.set_path("--data", &["data"], data);
    }
    let file = find_file(arguments.config.as_deref());
    let mut config = load(file.as_deref(), &overrides)?;
    let chosen: BTreeSet<&StreamId> = arguments.streams.iter().collect();
    for id in &chosen {
        ensure!(config.streams.contains_key(id), "stream \"{id}\" is not defined");
    }
    config.streams.retain(|id, _| chosen.is_empty() || chosen.contains(id));
    ensure!(!config.streams.is_empty(), "no stream is defined");
    Ok(config)
}
