//! `model-inference`: the workers alone, beside receivers that share the data folder.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::ensure;
use clap::Parser;
use model_inference::StatusBoard;
use services::ModelName;
use services::config::Config;
use services::descriptors::Roles;
use telemetry::logging::LogArgs;
use telemetry::program::{self, Service, SiteArgs};

/// Asks models about the frames that receivers stored, and delivers the answers as rows.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    site: SiteArgs,
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
    let arguments: Arguments = program::arguments();
    program::run("model-inference", &arguments.logs, work(&arguments))
}

fn configuration(arguments: &Arguments) -> anyhow::Result<Config> {
    let mut config = arguments.site.load_for_worker(arguments.worker.as_deref())?;
    config.choose_models(&arguments.models)?;
    ensure!(!config.models.is_empty(), "no model is defined");
    Ok(config)
}

async fn work(arguments: &Arguments) -> anyhow::Result<()> {
    let config = configuration(arguments)?;
    let service = Service::begin("model-inference", &config, Roles::WORKERS)?.on_signals()?;
    let backend = backend::open(&config).await?;
    let board = StatusBoard::new();
    let parts: Vec<Arc<dyn telemetry::Part>> = vec![Arc::new(board.clone())];
    let inferring = model_inference::run(&config, &backend.ports, board, service.shutdown());
    let working = async {
        match &backend.filer {
            Some(filer) => filer.beside(inferring).await,
            None => inferring.await,
        }
    };
    service.run(&backend.ports, parts, working).await
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
