//! Frame batches in, rows out.
//!
//! A worker leases a message, gets its object, decodes each run's pictures, asks the model, and delivers the rows;
//! the message is acknowledged only after the delivery stream accepted every row of it. Files read in that order:
//! `receive`, `preprocess`, `model`, `engine`, `postprocess`, `publish`, `rows`, `deliver`; `worker` puts them together.

mod deliver;
mod engine;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod model;
mod panic;
pub mod postprocess;
pub mod preprocess;
mod publish;
mod receive;
mod report;
mod rows;
mod start;
pub mod status;
pub mod worker;

use anyhow::{Context, ensure};
use services::Ports;
use services::config::Config;
use services::stop::WORK;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub use start::Load;
use start::{NotStarted, Start};
pub use status::StatusBoard;

/// Runs a worker for every model of the configuration until `shutdown`, then drains.
///
/// A model that cannot be loaded is named on the board and in the log; one whose loading or worker panics is tried again
/// besides; the others run.
///
/// # Errors
/// When models were left out: at the end, which comes at once where not a single one can be run.
pub async fn run(
    config: &Config,
    ports: &Ports,
    board: StatusBoard,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    run_loaded_by(model::load, config, ports, board, shutdown).await
}

/// Does as [`run`] with models that `load` gives.
///
/// # Errors
/// As [`run`].
pub async fn run_loaded_by(
    load: Load,
    config: &Config,
    ports: &Ports,
    board: StatusBoard,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut workers = JoinSet::new();
    for (name, model) in &config.models {
        let start = Start {
            load,
            name: name.clone(),
            model: model.clone(),
            config: config.clone(),
            ports: ports.clone(),
            board: board.clone(),
        };
        let started = tokio::select! {
            biased;
            // The thread that loads the model is left to itself: nothing of it outlives the process.
            () = shutdown.cancelled() => break,
            started = start.start() => started,
        };
        let shutdown = shutdown.clone();
        workers.spawn(async move {
            let worker = match started {
                Ok(worker) => worker,
                Err(NotStarted::Refused(why)) => return Err(why),
                Err(NotStarted::Panicked(panic)) => start.start_again(panic, &shutdown).await?,
            };
            worker.run_again(shutdown, WORK).await;
            Ok(())
        });
    }
    let _protecting = protect_task(board);
    let mut failures = Vec::new();
    while let Some(ended) = workers.join_next().await {
        failures.extend(ended.context("run worker")?.err());
    }
    failures.sort();
    ensure!(failures.is_empty(), "{}", failures.join("; "));
    Ok(())
}

/// On ECS, keeps this task from being chosen at scale-in while it has messages in work, until it is dropped.
fn protect_task(board: StatusBoard) -> AbortOnDropHandle<()> {
    let is_busy = move || board.snapshot().values().any(|model| model.in_flight > 0);
    AbortOnDropHandle::new(tokio::spawn(backend::protect_task(is_busy)))
}
