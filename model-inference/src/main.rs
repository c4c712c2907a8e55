//! `model-inference`: the workers alone, beside receivers that share the data folder.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use clap::Parser;
use model_inference::StatusBoard;
use services::ModelName;
use services::config::{Config, Overrides, find_file, load_without_streams};
use services::descriptors::{self, Roles};
use services::stop::DRAIN;
use telemetry::Telemetry;
use telemetry::logging::LogArgs;
use telemetry::stop::{drain_on_signal, drained};
use tokio_util::sync::CancellationToken;

/// Asks models about the frames that receivers stored, and delivers the answers as rows.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The configuration file; `millrace.toml` when there is one
    #[arg(short, long, value_name = "FILE", env = "MILLRACE_CONFIG")]
    config: Option<PathBuf>,
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
    services::descriptors::raise();
    let arguments = Arguments::parse();
    telemetry::program::run("model-inference", &arguments.logs, work(&arguments))
}

fn configuration(arguments: &Arguments) -> anyhow::Result<Config> {
    let mut overrides = Overrides::default();
    if let Some(data) = &arguments.data {
        overrides.set_path("--data", &["data"], data);
    }
    if let Some(worker) = &arguments.worker {
        overrides.set("--worker", &["infer", "worker"], worker);
    }
    let file = find_file(arguments.config.as_deref());
    let mut config = load_without_streams(file.as_deref(), &overrides)?;
    if let Some(name) = arguments.models.iter().find(|name| !config.models.contains_key(name)) {
        bail!("model \"{name}\" is not defined");
    }
    if !arguments.models.is_empty() {
        config.keep_models(|name| arguments.models.contains(name));
    }
    ensure!(!config.models.is_empty(), "no model is defined");
    Ok(config)
}

async fn work(arguments: &Arguments) -> anyhow::Result<()> {
    let config = configuration(arguments)?;
    let shutdown = CancellationToken::new();
    drain_on_signal(shutdown.clone()).context("listen for signals")?;
    descriptors::check(&config, Roles { receiver: false, workers: true })?;
    let backend = backend::open(&config).await?;
    let board = StatusBoard::new();
    let parts: Vec<Arc<dyn telemetry::Part>> = vec![Arc::new(board.clone())];
    let (ports, draining) = (&backend.ports, shutdown.clone());
    let telemetry =
        Telemetry::start("model-inference", &config.telemetry, ports, parts, draining).await?;
    let inferring = model_inference::run(&config, &backend.ports, board, shutdown.clone());
    let working = async {
        match &backend.filer {
            Some(filer) => filer.beside(inferring).await,
            None => inferring.await,
        }
    };
    let ended = drained("the workers", working, &shutdown, DRAIN).await;
    telemetry.finish().await;
    ended?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(text: &str) -> anyhow::Result<Config> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("millrace.toml");
        std::fs::write(&file, text).unwrap();
        configuration(&Arguments::parse_from([
            "model-inference".as_ref(),
            "--config".as_ref(),
            file.as_os_str(),
        ]))
    }

    #[test]
    fn workers_need_no_password_of_a_camera_and_mind_every_other_mistake() {
        let text = "[streams.gate]\nurl = \"rtsp://h/\"\npassword = \"${NOT_SET_HERE}\"\n\
                    [models.m]\nalgorithm = \"circles\"\n";
        assert_eq!(configured(text).unwrap().models.len(), 1);
        let error = configured(&format!("{text}[infer]\nprefetch = 0\n")).unwrap_err();
        assert!(error.to_string().contains("wanted 1 to 64"), "{error}");
    }
}
