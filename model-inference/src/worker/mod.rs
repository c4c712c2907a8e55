//! One model's worker: messages in, each brought to its end by a task of its own. So many are taken as can start soon
//! ([`intake`]); those whose rows are being delivered come on top, up to a bound of their own.
//!
//! A message is acknowledged after the delivery stream accepted all of its rows and never before; one whose lease
//! is lost is left to its new owner. At shutdown nothing new is taken, what has not got to the model yet is given
//! back, and what has has [`services::stop::WORK`] to end; what has not ended by then is given back too.

mod answerer;
mod batch;
mod decoders;
mod intake;
mod lease;
mod message;
mod pool;
mod threads;
mod until;

use std::convert::Infallible;
use std::future;
use std::io;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use services::config::{Config, InferConfig};
use services::queue::Received;
use services::retry::Backoff;
use services::stop::POLL;
use services::{Clock, Ports, WorkQueue};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::model::Model;
use crate::panic::words;
use crate::status::{ModelState, ModelStatus, StatusBoard};
use answerer::Answerer;
use batch::{BatchWorker, WorkBounds};
use intake::Intake;
use lease::Leases;
use message::MessageTask;

/// Waits before a worker that panicked is run again, the first and the longest.
const SHORTEST_REST: Duration = Duration::from_millis(500);
const LONGEST_REST: Duration = Duration::from_secs(60);

/// The worker of one model.
#[derive(Debug)]
pub struct Worker {
    batches: Arc<BatchWorker>,
    queue: WorkQueue,
    infer: InferConfig,
    intake: Arc<Intake>,
    leases: Arc<Leases>,
}

impl Worker {
    /// Makes a worker for a loaded model and starts the model's threads.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        model: Model,
        queue: WorkQueue,
        config: &Config,
        ports: &Ports,
        board: &StatusBoard,
    ) -> io::Result<Self> {
        Self::start_by(Clock::system(), model, queue, config, ports, board)
    }

    /// As [`start`](Self::start), by a clock that tells when answers are given, and when they are wanted no more.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_by(
        clock: Clock,
        model: Model,
        queue: WorkQueue,
        config: &Config,
        ports: &Ports,
        board: &StatusBoard,
    ) -> io::Result<Self> {
        let model = Arc::new(model);
        let is_fifo = config.aws.fifo.contains(&model.name);
        let infer = config.infer.clone();
        let instances = instances(&infer);
        let batches = BatchWorker {
            answerer: Answerer::start(&model, instances, infer.max_pixels)?,
            bounds: WorkBounds::default(),
            model,
            ports: ports.clone(),
            board: board.clone(),
            clock,
            max_receives: config.queue.max_receives,
            is_fifo,
            worker: infer.worker.clone().unwrap_or_else(default_name),
        };
        let intake = Intake::new(instances, instances + infer.prefetch);
        let leases = Leases::new(infer.lease.duration());
        Ok(Self { batches: Arc::new(batches), queue, infer, intake, leases })
    }

    /// Works until `shutdown`; what is in work may end until `drain` later, and is given back then.
    ///
    /// # Panics
    /// When something in here does. What was leased comes back when its lease runs out, and the worker can be run
    /// again.
    pub async fn run(&self, shutdown: CancellationToken, drain: Duration) {
        let (stop_leases, hurry) = (CancellationToken::new(), CancellationToken::new());
        let mut keeping = AbortOnDropHandle::new(tokio::spawn({
            let (leases, queue) = (Arc::clone(&self.leases), Arc::clone(&self.queue.queue));
            let stop = stop_leases.clone();
            async move { leases.keep(queue.as_ref(), stop).await }
        }));
        self.update(|model| model.state = ModelState::Ready);
        let mut tasks = JoinSet::new();
        let working = async {
            self.take_in(&mut tasks, &shutdown, &hurry).await;
            join(&mut tasks).await;
        };
        let hurrying = async {
            shutdown.cancelled().await;
            tokio::time::sleep(drain).await;
            hurry.cancel();
            future::pending::<Infallible>().await
        };
        tokio::select! {
            biased;
            // Before it is told to stop it ends by a panic alone.
            kept = &mut keeping => resume(kept),
            () = working => {}
            never = hurrying => match never {},
        }
        stop_leases.cancel();
        resume(keeping.await);
        self.update(|model| model.state = ModelState::Stopped);
    }

    /// As [`run`](Self::run), again after each panic: it is named on the board until the wait for the next try ends.
    pub async fn run_again(&self, shutdown: CancellationToken, drain: Duration) {
        let mut backoff = Backoff::new(SHORTEST_REST, LONGEST_REST);
        loop {
            let run = AssertUnwindSafe(self.run(shutdown.clone(), drain)).catch_unwind();
            let Err(panic) = run.await else { return };
            let why = format!("run worker: it panicked: {}", words(panic.as_ref()));
            tracing::error!(model = %self.batches.model.name, error = why, "starting again");
            self.update(|model| model.state = ModelState::Failed(why));
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = backoff.pause() => {}
            }
        }
    }

    /// Takes messages and starts a task for each, until `shutdown`.
    async fn take_in(
        &self,
        tasks: &mut JoinSet<()>,
        shutdown: &CancellationToken,
        hurry: &CancellationToken,
    ) {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            let room = tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                room = self.room() => room,
            };
            // Not dropped at shutdown, unless it hangs: a message leased by a dropped call is idle for a whole lease.
            let lease = self.infer.lease.duration();
            let wait = self.infer.wait.duration().min(POLL);
            let receiving = self.queue.queue.receive(room, lease, wait);
            let received = tokio::select! {
                biased;
                received = receiving => received,
                () = hurry.cancelled() => return,
            };
            match received {
                Ok(received) => {
                    if !backoff.is_fresh() {
                        self.batches.clear_trouble();
                    }
                    backoff.reset();
                    self.begin(tasks, received, shutdown, hurry);
                }
                Err(error) => {
                    self.batches.trouble(&error);
                    tokio::select! {
                        biased;
                        () = shutdown.cancelled() => return,
                        () = backoff.pause() => {}
                    }
                }
            }
            while tasks.try_join_next().is_some() {}
        }
    }

    /// Waits until messages can start soon, and for a queue that extends leases; gives how many.
    async fn room(&self) -> usize {
        let room = self.intake.room().await;
        self.leases.extended().await;
        room
    }

    fn begin(
        &self,
        tasks: &mut JoinSet<()>,
        received: Vec<Received>,
        shutdown: &CancellationToken,
        hurry: &CancellationToken,
    ) {
        let since = Instant::now();
        for message in received {
            let lease = self.leases.hold(message.receipt.clone(), since);
            let task = MessageTask {
                batches: Arc::clone(&self.batches),
                queue: self.queue.clone(),
                message,
                lease,
                shutdown: shutdown.clone(),
                hurry: hurry.clone(),
            };
            tasks.spawn(task.run(self.intake.enter()));
        }
    }

    fn update(&self, change: impl FnOnce(&mut ModelStatus)) {
        self.batches.board.update(&self.batches.model.name, change);
    }
}

/// Takes a panic up again.
fn resume(ended: Result<(), JoinError>) {
    if let Err(Ok(panic)) = ended.map_err(JoinError::try_into_panic) {
        resume_unwind(panic);
    }
}

async fn join(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a batch's task panicked, its message comes again");
        }
    }
}

fn instances(infer: &InferConfig) -> usize {
    match infer.instances {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        instances => instances,
    }
}

/// Host name and process id.
fn default_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname");
    let host = host.map_or_else(|_| "worker".to_owned(), |host| host.trim().to_owned());
    format!("{host}-{}", std::process::id())
}
