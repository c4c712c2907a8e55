//! `model-inference`: the workers alone, beside receivers that share the data folder.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Parser;
use model_inference::StatusBoard;
use services::config::{Config, Overrides, load};
use services::{ModelName, OpenBackend};
use telemetry::Telemetry;
use telemetry::logging::LogArgs;
use telemetry::stop::{DRAIN, drain_on_signal, drained};
use tokio_util::sync::CancellationToken;

/// Asks models about the frames that receivers stored, and delivers the answers as rows.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The configuration file
    #[arg(short, long, default_value = "millrace.toml", env = "MILLRACE_CONFIG")]
    config: PathBuf,
    /// The data folder, instead of the configuration's
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Run these models only
    #[arg(long = "model", value_name = "NAME", num_args = 1..)]
    models: Vec<ModelName>,
    /// This worker's name in rows
    #[arg(long, value_name = "NAME")]
    worker: Option<String>,
    #[command(flatten)]
    logs: LogArgs,
}

fn main() -> ExitCode {
    services::allocator::bound();
    let arguments = Arguments::parse();
    telemetry::program::run("model-inference", &arguments.logs, work(&arguments))
}

fn configuration(arguments: &Arguments) -> anyhow::Result<Config> {
    let mut overrides = Overrides::default();
    if let Some(data) = &arguments.data {
        overrides.set("--data", &["data"], data.display().to_string());
    }
    if let Some(worker) = &arguments.worker {
        overrides.set("--worker", &["infer", "worker"], worker);
    }
    let mut config = load(Some(&arguments.config), &overrides)?;
    if let Some(name) = arguments.models.iter().find(|name| !config.models.contains_key(name)) {
        bail!("choose models: {:?} is not in {:?}", name.as_str(), arguments.config);
    }
    if !arguments.models.is_empty() {
        config.models.retain(|name, _| arguments.models.contains(name));
    }
    if config.models.is_empty() {
        bail!("start workers: {:?} has no models", arguments.config);
    }
    Ok(config)
}

async fn work(arguments: &Arguments) -> anyhow::Result<()> {
    let config = configuration(arguments)?;
    let shutdown = CancellationToken::new();
    drain_on_signal(shutdown.clone()).context("listen for signals")?;
    let backend = services::open(&config).await?;
    let board = StatusBoard::new();
    let parts: Vec<Arc<dyn telemetry::Part>> = vec![Arc::new(board.clone())];
    let (ports, draining) = (&backend.ports, shutdown.clone());
    let telemetry =
        Telemetry::start("model-inference", &config.telemetry, ports, parts, draining).await?;
    let working = infer_and_file(&config, &backend, board, shutdown.clone());
    let ended = drained("the workers", working, &shutdown, DRAIN).await;
    telemetry.finish().await;
    ended?
}

async fn infer_and_file(
    config: &Config,
    backend: &OpenBackend,
    board: StatusBoard,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let stop_filing = CancellationToken::new();
    let filing = backend.filer.clone().map(|filer| {
        let stop = stop_filing.clone();
        tokio::spawn(async move { filer.run(stop).await })
    });
    let result = model_inference::run(config, &backend.ports, board, shutdown).await;
    stop_filing.cancel();
    if let Some(filing) = filing {
        filing.await.context("file rows")?;
    }
    result
}
