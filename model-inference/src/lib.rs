//! Frame batches in, rows out.
//!
//! A worker leases a message, gets its object, decodes each run's pictures, asks the model, and delivers the rows;
//! the message is acknowledged only after the delivery stream accepted every row of it. Files read in that order:
//! `receive`, `preprocess`, `model`, `postprocess`, `rows`, `deliver`; `worker` puts them together.

mod backoff;
mod deliver;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod model;
mod panic;
pub mod postprocess;
pub mod preprocess;
mod receive;
mod report;
mod rows;
pub mod status;
pub mod worker;

use anyhow::{Context, ensure};
use services::aws::TaskProtection;
use services::config::{Config, ModelConfig};
use services::{ModelName, Ports};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use model::{Model, ModelError};
use status::ModelState;
pub use status::StatusBoard;
use worker::{DRAIN, Worker};

/// Runs a worker for every model of the configuration until `shutdown`, then drains.
///
/// A model that cannot be loaded, or whose worker panics, is named on the board and in the log; the others run.
///
/// # Errors
/// When models were left out: at the end, which comes at once where not a single one can be run.
pub async fn run(
    config: &Config,
    ports: &Ports,
    board: StatusBoard,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut workers = JoinSet::new();
    let mut failures = Vec::new();
    for (name, model_config) in &config.models {
        let started = tokio::select! {
            biased;
            // The thread that loads the model is left to itself: nothing of it outlives the process.
            () = shutdown.cancelled() => break,
            started = start(name, model_config, config, ports, &board) => started,
        };
        match started {
            Ok(worker) => {
                let shutdown = shutdown.clone();
                workers.spawn(async move { worker.run_again(shutdown, DRAIN).await });
            }
            Err(error) => {
                let words = format!("{error:#}");
                tracing::error!(target: "model_inference::left_out", model = %name, error = words, "model is left out");
                board.update(name, |model| model.state = ModelState::Failed(words.clone()));
                failures.push(format!("model \"{name}\": {words}"));
            }
        }
    }
    let _protecting = protect_task(board);
    while let Some(ended) = workers.join_next().await {
        ended.context("run worker")?;
    }
    ensure!(failures.is_empty(), "{}", failures.join("; "));
    Ok(())
}

/// On ECS, keeps this task from being chosen at scale-in while it has messages in work, until it is dropped.
fn protect_task(board: StatusBoard) -> Option<AbortOnDropHandle<()>> {
    let agent = TaskProtection::from_environment()?;
    let is_busy = move || board.snapshot().values().any(|model| model.in_flight > 0);
    let keeping = async move { agent.keep(is_busy).await };
    Some(AbortOnDropHandle::new(tokio::spawn(keeping)))
}

async fn start(
    name: &ModelName,
    model_config: &ModelConfig,
    config: &Config,
    ports: &Ports,
    board: &StatusBoard,
) -> anyhow::Result<Worker> {
    board.update(name, |model| model.state = ModelState::Loading);
    let queue = ports
        .queues
        .get(name)
        .with_context(|| format!("start worker: model {name} has no queue"))?;
    let model = load_blocking(name.clone(), model_config.clone()).await?;
    board.update(name, |status| status.version.clone_from(&model.version));
    tracing::info!(model = %name, version = model.version, "model loaded");
    Ok(Worker::start(model, queue.clone(), config, ports, board)?)
}

async fn load_blocking(name: ModelName, config: ModelConfig) -> Result<Model, ModelError> {
    let loading = tokio::task::spawn_blocking(move || model::load(&name, &config)).await;
    loading.unwrap_or_else(|error| Err(ModelError::Unknown(format!("loading panicked: {error}"))))
}
