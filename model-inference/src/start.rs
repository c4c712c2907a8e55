//! From a model's configuration to its worker, again after a panic.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use services::config::{Config, ModelConfig};
use services::retry::Backoff;
use services::{ModelName, Ports};
use tokio_util::sync::CancellationToken;

use crate::model::{Model, ModelError};
use crate::panic::words;
use crate::status::{ModelState, StatusBoard};
use crate::worker::Worker;

/// Waits before a model whose loading panicked is loaded again, the first and the longest.
const SHORTEST_REST: Duration = Duration::from_millis(500);
const LONGEST_REST: Duration = Duration::from_secs(60);
/// Times as long as loading took until the panic that it rests at least, so that no model costs more than a tenth of a
/// core while it cannot be loaded.
const REST_PER_TRY: u32 = 9;

/// Loads a model. Blocks.
pub type Load = fn(&ModelName, &ModelConfig) -> Result<Model, ModelError>;

/// Why there is no worker.
pub(crate) enum NotStarted {
    /// The model cannot be run as it is configured.
    Refused(String),
    /// Loading panicked.
    Panicked(Panicked),
}

/// A panic of loading.
pub(crate) struct Panicked {
    why: String,
    after: Duration,
}

/// What one model's worker is made of.
pub(crate) struct Start {
    pub(crate) load: Load,
    pub(crate) name: ModelName,
    pub(crate) model: ModelConfig,
    pub(crate) config: Config,
    pub(crate) ports: Ports,
    pub(crate) board: StatusBoard,
}

impl Start {
    /// Loads the model and makes its worker; why there is none is named on the board and in the log.
    pub(crate) async fn start(&self) -> Result<Worker, NotStarted> {
        self.board.update(&self.name, |model| model.state = ModelState::Loading);
        let started = match self.loaded().await {
            Ok(loaded) => {
                loaded.and_then(|model| self.worker(model)).map_err(|error| format!("{error:#}"))
            }
            Err(panicked) => {
                self.name_failure(&panicked.why, "loading again");
                return Err(NotStarted::Panicked(panicked));
            }
        };
        started.map_err(|why| {
            self.name_failure(&why, "model is left out");
            NotStarted::Refused(self.titled(&why))
        })
    }

    /// Starts it again after a panic, until there is a worker, none can be, or `shutdown`.
    ///
    /// # Errors
    /// Why there is no worker, with the model's name.
    pub(crate) async fn start_again(
        &self,
        mut last: Panicked,
        shutdown: &CancellationToken,
    ) -> Result<Worker, String> {
        let mut backoff = Backoff::new(SHORTEST_REST, LONGEST_REST);
        loop {
            let again = async {
                tokio::time::sleep(rest(backoff.wait(rand::random()), last.after)).await;
                self.start().await
            };
            let started = tokio::select! {
                biased;
                () = shutdown.cancelled() => return Err(self.titled(&last.why)),
                started = again => started,
            };
            match started {
                Ok(worker) => return Ok(worker),
                Err(NotStarted::Refused(why)) => return Err(why),
                Err(NotStarted::Panicked(panicked)) => last = panicked,
            }
        }
    }

    async fn loaded(&self) -> Result<anyhow::Result<Model>, Panicked> {
        let (load, name, model) = (self.load, self.name.clone(), self.model.clone());
        let begun = Instant::now();
        let loading = tokio::task::spawn_blocking(move || load(&name, &model)).await;
        let why = match loading.map_err(tokio::task::JoinError::try_into_panic) {
            Ok(loaded) => return Ok(loaded.map_err(Into::into)),
            Err(Ok(panic)) => format!("load model: it panicked: {}", words(panic.as_ref())),
            Err(Err(error)) => format!("load model: {error}"),
        };
        Err(Panicked { why, after: begun.elapsed() })
    }

    fn worker(&self, model: Model) -> anyhow::Result<Worker> {
        let Self { name, config, ports, board, .. } = self;
        let queue = ports
            .queues
            .get(name)
            .with_context(|| format!("start worker: model {name} has no queue"))?;
        board.update(name, |status| status.version.clone_from(&model.version));
        tracing::info!(model = %name, version = model.version, "model loaded");
        Ok(Worker::start(model, queue.clone(), config, ports, board)?)
    }

    fn name_failure(&self, why: &str, what_follows: &str) {
        tracing::error!(target: "model_inference::left_out", model = %self.name, error = why, "{what_follows}");
        self.board.update(&self.name, |model| model.state = ModelState::Failed(why.to_owned()));
    }

    fn titled(&self, why: &str) -> String {
        format!("model \"{}\": {why}", self.name)
    }
}

/// How long a model rests whose loading panicked after so long, at least for `wait`.
fn rest(wait: Duration, after: Duration) -> Duration {
    wait.max(after.saturating_mul(REST_PER_TRY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_takes_long_to_panic_costs_no_more_than_a_tenth_of_a_core() {
        let [quick, slow] = [Duration::from_millis(1), Duration::from_secs(60)];
        assert_eq!(rest(SHORTEST_REST, quick), SHORTEST_REST);
        assert_eq!(rest(SHORTEST_REST, slow), Duration::from_secs(540));
    }
}
