//! The receiver as a program of its own: cameras and files in, frame batches in the queues out.
//!
//! Exit codes: 0 when it ended as told or all files were read, 1 after a failure, 2 for a command line that cannot
//! be read, 130 after a second signal.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Parser;
use receive_video::StatusBoard;
use services::config::{Config, Overrides, load};
use services::{Ports, StreamId, open_embedded};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Exit code after a second signal, as shells have it for Ctrl-C.
const INTERRUPTED: i32 = 130;
/// Signals this close are one.
const SAME_SIGNAL: Duration = Duration::from_millis(500);

/// Receives cameras and files, and puts the frames that models ask for into their queues.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The configuration file
    #[arg(
        short,
        long,
        value_name = "FILE",
        default_value = "millrace.toml",
        env = "MILLRACE_CONFIG"
    )]
    config: PathBuf,
    /// The data folder, instead of the configured one
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Receives this stream only; may be given more than once
    #[arg(long = "stream", value_name = "ID")]
    streams: Vec<StreamId>,
    /// Which events are logged to standard error, as `warn` or `warn,receive_video=debug`
    #[arg(long, value_name = "FILTER", default_value = "info", env = "MILLRACE_LOG")]
    log: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    match receive(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn receive(arguments: Arguments) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&arguments.log);
    let usable = filter.as_ref().cloned().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(usable).with_writer(std::io::stderr).init();
    filter.with_context(|| format!("read log filter {:?}", arguments.log))?;
    let config = configuration(&arguments)?;
    let shutdown = CancellationToken::new();
    listen(shutdown.clone())?;
    let ports = open(&config).await?;
    let board = StatusBoard::default();
    let received = receive_video::run(&config, &ports, board.clone(), shutdown).await;
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
    received
}

fn configuration(arguments: &Arguments) -> anyhow::Result<Config> {
    let mut overrides = Overrides::default();
    if let Some(data) = &arguments.data {
        let data = data.to_str().context("--data: the path is not UTF-8")?;
        overrides.set("--data", &["data"], data);
    }
    let mut config = load(Some(&arguments.config), &overrides)?;
    let chosen: BTreeSet<&StreamId> = arguments.streams.iter().collect();
    for id in &chosen {
        ensure!(config.streams.contains_key(id), "stream \"{id}\" is not defined");
    }
    config.streams.retain(|id, _| chosen.is_empty() || chosen.contains(id));
    ensure!(!config.streams.is_empty(), "no stream is defined");
    Ok(config)
}

async fn open(config: &Config) -> anyhow::Result<Ports> {
    let (data, options) = (config.data.clone(), config.embedded_options());
    let models: Vec<_> = config.models.keys().cloned().collect();
    let opened = tokio::task::spawn_blocking(move || open_embedded(&data, &models, &options));
    Ok(opened.await?.context("open the data folder")?.ports)
}

/// The first signal drains, the second ends. What sends a signal to a process and to its group (as timeout(1) does)
/// means one.
fn listen(shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        let mut first = None;
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if *first.get_or_insert_with(Instant::now) + SAME_SIGNAL < Instant::now() {
                std::process::exit(INTERRUPTED);
            }
            if !shutdown.is_cancelled() {
                tracing::info!("draining; a second signal ends at once");
                shutdown.cancel();
            }
        }
    });
    Ok(())
}
