//! `model-inference`: the workers alone, beside receivers that share the data folder.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Parser;
use model_inference::StatusBoard;
use services::config::{Config, Overrides, load};
use services::{ModelName, open_embedded};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

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
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_env("MILLRACE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(filter)
        .init();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = configuration(arguments)?;
    let runtime = tokio::runtime::Runtime::new().context("start async runtime")?;
    runtime.block_on(work(&config))
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

async fn work(config: &Config) -> anyhow::Result<()> {
    let embedded = open_embedded(&config.data, config.models.keys(), &config.embedded_options())?;
    let (shutdown, stop_filing) = (CancellationToken::new(), CancellationToken::new());
    listen(shutdown.clone())?;
    let filing = tokio::spawn({
        let (filer, stop) = (embedded.filer.clone(), stop_filing.clone());
        async move { filer.run(stop).await }
    });
    let result = model_inference::run(config, &embedded.ports, StatusBoard::new(), shutdown).await;
    stop_filing.cancel();
    filing.await.context("file rows")?;
    result
}

/// The first signal drains, the second one ends.
fn listen(shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut interrupts = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut terminations = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    tokio::spawn(async move {
        either(&mut interrupts, &mut terminations).await;
        tracing::info!("draining; a second signal ends at once");
        shutdown.cancel();
        either(&mut interrupts, &mut terminations).await;
        std::process::exit(130);
    });
    Ok(())
}

async fn either(first: &mut Signal, second: &mut Signal) {
    tokio::select! {
        _ = first.recv() => {}
        _ = second.recv() => {}
    }
}
