//! Millrace in this process: configuration in; receiver, workers and filer running until they are told to stop,
//! or until finite sources have ended and all their rows are delivered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use model_inference::status::{ModelState, StreamCounts};
use services::config::Config;
use services::descriptors::Roles;
use services::stop::DRAIN;
use services::{DataFolder, ModelName, OpenBackend, Ports};
use telemetry::program::Service;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::pace::{Boards, ModelPace, Watch};
use crate::status::{self, StreamStatus};
use crate::supervise;

/// Time between two looks at the queues when the sources have ended: at first, and at most. Looks are calls that
/// cost, where the queues are elsewhere.
const FIRST_LOOK: Duration = Duration::from_millis(100);
const LONGEST_LOOK: Duration = Duration::from_secs(1);

/// Millrace running in this process.
#[derive(Debug)]
pub struct Millrace {
    running: JoinHandle<anyhow::Result<()>>,
    shutdown: CancellationToken,
    receiving: CancellationToken,
    telemetry_address: Option<SocketAddr>,
    view: View,
    watch: Watch,
}

/// What can be seen of a running Millrace.
#[derive(Clone, Debug)]
struct View {
    config: Arc<Config>,
    backend: OpenBackend,
    received: receive_video::StatusBoard,
    retention: receive_video::Retention,
    inferred: model_inference::status::StatusBoard,
}

impl Millrace {
    /// Starts everything that the configuration names, in this process.
    ///
    /// # Errors
    /// When the configuration breaks a rule, or the data folder cannot be used; what is wrong with a single
    /// stream or model is said in its status, and stops no other.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        Self::start_in(config, Roles::ALL).await
    }

    /// Starts it in these roles; other processes have the others over the same data folder.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_in(config: Config, roles: Roles) -> anyhow::Result<Self> {
        config.check()?;
        let service = Service::begin("millrace", &config, roles)?;
        let config = Arc::new(config);
        let backend = backend::open(&config).await?;
        let view = View {
            retention: receive_video::Retention::of(&backend, config.streams.keys()),
            config,
            backend,
            received: receive_video::StatusBoard::default(),
            inferred: model_inference::status::StatusBoard::default(),
        };
        let shutdown = service.shutdown();
        let receiving = shutdown.child_token();
        let telemetry = service.telemetry(&view.backend.ports, view.parts()).await?;
        let telemetry_address = telemetry.address();
        let work = run(view.clone(), roles, shutdown.clone(), receiving.clone());
        let running = tokio::spawn(async move {
            let ended = work.await;
            telemetry.finish().await;
            ended
        });
        let boards = Boards {
            received: roles.receiver.then(|| view.received.clone()),
            inferred: roles.workers.then(|| view.inferred.clone()),
        };
        let watch = Watch::start(&view.config, view.backend.ports.queues.clone(), boards);
        Ok(Self { running, shutdown, receiving, telemetry_address, view, watch })
    }

    /// Where the rows and pictures lie.
    pub fn folder(&self) -> &DataFolder {
        &self.view.backend.folder
    }

    /// The ports, for subscribing to results.
    pub fn ports(&self) -> &Ports {
        &self.view.backend.ports
    }

    /// Where health and metrics are served.
    pub fn telemetry_address(&self) -> Option<SocketAddr> {
        self.telemetry_address
    }

    /// A token that ends everything when it is cancelled: what is being worked on is finished, what waits in
    /// spools and queues stays there.
    pub fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// A token that ends the receiver alone when it is cancelled; the rest ends when all is answered.
    pub fn receiving(&self) -> CancellationToken {
        self.receiving.clone()
    }

    /// What every stream does at the moment.
    pub fn status(&self) -> Vec<StreamStatus> {
        status::combine(&self.view.received.snapshot(), &self.view.inferred.snapshot())
    }

    /// How each model keeps up with its streams, as it was seen last: a second ago, ten where queues are elsewhere.
    pub fn models(&self) -> Vec<ModelPace> {
        self.watch.paces()
    }

    /// Waits for the end: told so by the token, or because finite sources have ended and all is delivered.
    ///
    /// # Errors
    /// The first error of a part.
    ///
    /// # Cancel safety
    /// Waiting may be given up and taken up again.
    pub async fn ended(&mut self) -> anyhow::Result<()> {
        match (&mut self.running).await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => Err(error).context("run"),
            },
        }
    }

    /// Drains and ends everything.
    ///
    /// # Errors
    /// As [`ended`](Self::ended), or when something did not drain in time.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        self.ended().await
    }
}

async fn run(
    view: View,
    roles: Roles,
    shutdown: CancellationToken,
    receiving: CancellationToken,
) -> anyhow::Result<()> {
    let mut running = supervise::Parts::default();
    if roles.receiver {
        let (view, shutdown) = (view.clone(), shutdown.clone());
        running.spawn("receive video", async move {
            let View { config, backend, received, retention, .. } = &view;
            let receive =
                receive_video::run(config, &backend.ports, received.clone(), receiving.clone());
            let ended = retention.beside(receive).await;
            // What was taken is answered even when a stream failed.
            let answered = match roles.workers {
                false => Ok(()),
                true if receiving.is_cancelled() => {
                    // Told to end: what is not answered by then stays in the queue.
                    timeout(DRAIN, view.answered(&shutdown)).await.unwrap_or(Ok(()))
                }
                true => view.answered(&shutdown).await,
            };
            ended.and(answered)
        });
    }
    if roles.workers {
        let stop = shutdown.clone();
        running.spawn("run models", async move {
            let View { config, backend, inferred, .. } = &view;
            let working = model_inference::run(config, &backend.ports, inferred.clone(), stop);
            match &backend.filer {
                Some(filer) => filer.beside(working).await,
                None => working.await,
            }
        });
    }
    running.supervise(&shutdown, DRAIN).await
}

impl View {
    /// What tells how it is.
    fn parts(&self) -> Vec<Arc<dyn telemetry::Part>> {
        let Self { received, retention, inferred, .. } = self.clone();
        vec![Arc::new(received), Arc::new(retention), Arc::new(inferred)]
    }

    /// Waits until every queue is empty: a message leaves it when its rows are delivered.
    async fn answered(&self, shutdown: &CancellationToken) -> anyhow::Result<()> {
        let (mut look, mut emptiness) = (FIRST_LOOK, Emptiness::default());
        loop {
            let waiting = self.waiting().await?;
            if emptiness.is_certain(Instant::now(), waiting.is_empty(), self.all_here(), self.lag())
            {
                return Ok(());
            }
            let failed = self.failed(&waiting);
            if !failed.is_empty() && failed.len() == waiting.len() {
                return cannot_answer(failed);
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return cannot_answer(failed),
                () = sleep(look) => look = (look * 3 / 2).min(LONGEST_LOOK),
            }
        }
    }

    /// Tells whether this process itself answered every frame that it took, as far as counts can tell: an answer that
    /// was given twice, or to a frame of an earlier process, must not stand for one that is still due.
    fn all_here(&self) -> bool {
        let (received, inferred) = (self.received.snapshot(), self.inferred.snapshot());
        let answered_once =
            inferred.values().all(|model| model.retried == 0 && model.lost_leases == 0);
        answered_once
            && received.iter().all(|(id, stream)| {
                let counts = inferred.values().filter_map(|model| model.streams.get(id));
                let answered: u64 = counts.map(StreamCounts::ended).sum();
                stream.taken == stream.shed + answered
            })
    }

    /// How old the depth of a queue may be, at most.
    fn lag(&self) -> Duration {
        let queues = self.backend.ports.queues.values();
        queues.map(|queue| queue.backlog.lag()).max().unwrap_or_default()
    }

    /// The models whose queues are not empty. A queue that cannot be asked is told of when all others are empty.
    async fn waiting(&self) -> anyhow::Result<Vec<ModelName>> {
        let (mut waiting, mut unknown) = (Vec::new(), None);
        for (model, queue) in &self.backend.ports.queues {
            match queue.backlog.depth().await {
                Ok(depth) if depth.is_empty() => {}
                Ok(_) => waiting.push(model.clone()),
                Err(error) => _ = unknown.get_or_insert(error),
            }
        }
        match unknown {
            Some(error) if waiting.is_empty() => Err(error.into()),
            _ => Ok(waiting),
        }
    }

    /// Those of the models that are waited for which cannot answer, each with the reason.
    fn failed(&self, waiting: &[ModelName]) -> Vec<(ModelName, String)> {
        let states = self.inferred.snapshot();
        let why = |model: &ModelName| match &states.get(model)?.state {
            ModelState::Failed(why) => Some((model.clone(), why.clone())),
            _ => None,
        };
        waiting.iter().filter_map(why).collect()
    }
}

/// The error of the first model that cannot answer, if there is one.
fn cannot_answer(failed: Vec<(ModelName, String)>) -> anyhow::Result<()> {
    match failed.into_iter().next() {
        Some((model, why)) => anyhow::bail!("model \"{model}\" cannot answer: {why}"),
        None => Ok(()),
    }
}

/// Decides when queues that say that they are empty are.
#[derive(Debug, Default)]
struct Emptiness {
    since: Option<Instant>,
}

impl Emptiness {
    /// Takes a look: certain are queues that said so for as long as they may `lag`, or of which all frames are known
    /// to be answered.
    fn is_certain(&mut self, now: Instant, is_empty: bool, all_here: bool, lag: Duration) -> bool {
        if !is_empty {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        all_here || now.saturating_duration_since(since) >= lag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_whose_depth_lags_is_empty_when_it_said_so_for_long_enough() {
        let (start, minute) = (Instant::now(), Duration::from_secs(60));
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut emptiness = Emptiness::default();
        assert!(!emptiness.is_certain(after(0), true, false, minute));
        assert!(!emptiness.is_certain(after(50), false, false, minute));
        assert!(!emptiness.is_certain(after(55), true, false, minute));
        assert!(!emptiness.is_certain(after(114), true, false, minute));
        assert!(emptiness.is_certain(after(115), true, false, minute));
    }

    #[test]
    fn one_look_is_enough_when_the_depth_is_exact_or_all_answers_are_known() {
        let now = Instant::now();
        assert!(Emptiness::default().is_certain(now, true, false, Duration::ZERO));
        assert!(Emptiness::default().is_certain(now, true, true, Duration::from_secs(60)));
        assert!(!Emptiness::default().is_certain(now, false, true, Duration::ZERO));
    }
}
