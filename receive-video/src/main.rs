//! The receiver as a program of its own: cameras and files in, frame batches in the queues out.
//!
//! Exit codes: 0 when it ended as told or all files were read, 1 after a failure, 2 for a command line that cannot
//! be read, 130 after a second signal.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::ensure;
use clap::Parser;
use receive_video::{Retention, StatusBoard};
use services::StreamId;
use services::descriptors::Roles;
use telemetry::logging::LogArgs;
use telemetry::program::{self, Service, SiteArgs};

/// Receives cameras and files, and puts the frames that models ask for into their queues.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    site: SiteArgs,
    /// Receives this stream only; may be given more than once
    #[arg(long = "stream", value_name = "ID")]
    streams: Vec<StreamId>,
    #[command(flatten)]
    logs: LogArgs,
}

fn main() -> ExitCode {
    let arguments: Arguments = program::arguments();
    program::run("receive-video", &arguments.logs, receive(&arguments))
}

async fn receive(arguments: &Arguments) -> anyhow::Result<()> {
    let mut config = arguments.site.load()?;
    config.choose_streams(&arguments.streams)?;
    ensure!(!config.streams.is_empty(), "no stream is defined");
    let service = Service::begin("receive-video", &config, Roles::RECEIVER)?.on_signals()?;
    let backend = backend::open(&config).await?;
    let retention = Retention::of(&backend, config.streams.keys());
    let board = StatusBoard::default();
    let parts: Vec<Arc<dyn telemetry::Part>> =
        vec![Arc::new(board.clone()), Arc::new(retention.clone())];
    let receiving = receive_video::run(&config, &backend.ports, board.clone(), service.shutdown());
    let ended = service.run(&backend.ports, parts, retention.beside(receiving)).await;
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
    ended
}
