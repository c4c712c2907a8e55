//! Looks at the queues and boards of a process from time to time, and keeps what was seen.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use services::config::Config;
use services::queue::Depth;
use services::{Clock, ModelName, WorkQueue};
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::ModelPace;
use super::keeper::{Keeper, Look};

/// Time between two looks, where the depths of queues are exact; and where they are not, and cost a call.
const LOOK: Duration = Duration::from_secs(1);
const COSTLY_LOOK: Duration = Duration::from_secs(10);
/// Longest wait for a queue.
const PATIENCE: Duration = Duration::from_secs(2);

type Paces = Arc<Mutex<Vec<ModelPace>>>;

/// The boards of the parts that run in a process.
#[derive(Debug)]
pub(crate) struct Boards {
    pub(crate) received: Option<receive_video::StatusBoard>,
    pub(crate) inferred: Option<model_inference::status::StatusBoard>,
}

/// What is seen of all models; looking ends with it.
#[derive(Debug)]
pub(crate) struct Watch {
    paces: Paces,
    _looking: AbortOnDropHandle<()>,
}

impl Watch {
    /// Starts to look.
    pub(crate) fn start(
        config: &Config,
        queues: BTreeMap<ModelName, WorkQueue>,
        boards: Boards,
    ) -> Self {
        let keeper = |(model, queue): (&ModelName, &WorkQueue)| {
            let keeper = Keeper::new(model.clone(), queue.backlog.lag(), is_timely(config, model));
            (model.clone(), keeper)
        };
        let keepers = queues.iter().map(keeper).collect();
        let paces = Paces::default();
        let looking = tokio::spawn(look_again(keepers, queues, boards, Arc::clone(&paces)));
        Self { paces, _looking: AbortOnDropHandle::new(looking) }
    }

    /// What was seen last, by model.
    pub(crate) fn paces(&self) -> Vec<ModelPace> {
        self.paces.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn look_again(
    mut keepers: BTreeMap<ModelName, Keeper>,
    queues: BTreeMap<ModelName, WorkQueue>,
    boards: Boards,
    paces: Paces,
) {
    let is_exact = queues.values().all(|queue| queue.backlog.lag().is_zero());
    loop {
        let mut depths = BTreeMap::new();
        for (model, queue) in &queues {
            depths.insert(model, depth(queue).await);
        }
        let seen = boards.look(&mut keepers, &depths);
        *paces.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        sleep(if is_exact { LOOK } else { COSTLY_LOOK }).await;
    }
}

impl Boards {
    fn look(
        &self,
        keepers: &mut BTreeMap<ModelName, Keeper>,
        depths: &BTreeMap<&ModelName, Option<Depth>>,
    ) -> Vec<ModelPace> {
        let received = self.received.as_ref().map(receive_video::StatusBoard::snapshot);
        let inferred = self.inferred.as_ref().map(model_inference::status::StatusBoard::snapshot);
        let (at, now) = (Instant::now(), Clock::system().now());
        let look = |(model, keeper): (&ModelName, &mut Keeper)| {
            let taken = received.as_ref().map(|streams| {
                let accounts = streams.values().filter_map(|stream| stream.accounts.get(model));
                accounts.map(|account| account.taken).sum()
            });
            let depth = depths.get(model).copied().flatten();
            let none = model_inference::status::ModelStatus::default();
            let workers = inferred.as_ref().map(|models| models.get(model).unwrap_or(&none));
            let was_behind = keeper.is_behind();
            let pace = keeper.look(&Look { at, now, depth, taken, workers });
            if keeper.runs() && pace.is_behind != was_behind {
                tell(&pace);
            }
            pace
        };
        keepers.iter_mut().map(look).collect()
    }
}

/// Logs that a model is behind from now on, or is no longer.
fn tell(pace: &ModelPace) {
    let model = &pace.model;
    if pace.is_behind {
        tracing::warn!(model, figures = pace.figures(), "model is slower than its streams");
    } else {
        tracing::info!(model, "model keeps up with its streams again");
    }
}

/// What a queue holds; one that does not answer is told of by others.
async fn depth(queue: &WorkQueue) -> Option<Depth> {
    timeout(PATIENCE, queue.backlog.depth()).await.ok()?.ok()
}

/// Whether frames of any of the model's streams come when their time has come. A worker whose configuration has no
/// streams is not told.
fn is_timely(config: &Config, model: &ModelName) -> bool {
    let mut of_model = config
        .streams
        .values()
        .filter(|stream| stream.models.as_ref().is_none_or(|models| models.contains(model)))
        .peekable();
    of_model.peek().is_none() || of_model.any(|stream| stream.is_timely())
}
