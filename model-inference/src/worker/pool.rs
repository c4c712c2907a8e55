//! The model's own threads: one instance on each.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use media::RgbImage;
use services::CaptureTime;
use tokio::sync::oneshot;

use super::intake::RunTicket;
use super::threads::{Threads, ThreadsEnded};
use super::until::Until;
use crate::model::{Algorithm, Detection, Model, ModelError};
use crate::panic::words;

/// Threads that run a model. They end when the pool is dropped, after the run they are in.
#[derive(Debug)]
pub(crate) struct Pool(Threads<RunJob>);

#[derive(Debug)]
struct RunJob {
    pictures: Vec<RgbImage>,
    run: RunTicket,
    until: Until,
    reply: oneshot::Sender<Option<Ran>>,
}

/// A run that ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) found: Result<Vec<Detection>, ModelError>,
    /// When it ended.
    pub(crate) at: CaptureTime,
    /// How long it took, from its begin on its thread.
    pub(crate) took: Duration,
}

impl Pool {
    /// Starts `instances` threads.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(model: &Arc<Model>, instances: usize) -> io::Result<Self> {
        let name = model.name.to_string();
        let model = Arc::clone(model);
        let server = move || {
            let (model, mut instance) = (Arc::clone(&model), None);
            move |job| serve(job, &model, &mut instance)
        };
        Ok(Self(Threads::start(&name, instances, server)?))
    }

    /// Runs the model on the pictures of one window, if the answer is still wanted when its turn comes.
    ///
    /// # Errors
    /// When the threads have ended; what the run found has the errors of the run, a panic's too.
    ///
    /// # Cancel safety
    /// A run that nobody waits for any more is not begun.
    pub(crate) async fn run(
        &self,
        pictures: Vec<RgbImage>,
        run: RunTicket,
        until: Until,
    ) -> Result<Option<Ran>, ModelError> {
        let ended = |ThreadsEnded| ModelError::Run("the model's threads have ended".into());
        let (reply, answer) = oneshot::channel();
        let job = RunJob { pictures, run, until, reply };
        self.0.give(job).await.map_err(ended)?;
        answer.await.map_err(|_| ended(ThreadsEnded))
    }
}

fn serve(job: RunJob, model: &Model, instance: &mut Option<Box<dyn Algorithm>>) {
    let RunJob { pictures, mut run, until, reply } = job;
    if reply.is_closed() {
        return;
    }
    if until.is_past() {
        drop(run);
        let _ = reply.send(None);
        return;
    }
    run.begin();
    tracing::debug!(model = %model.name, "a run begins");
    let began = Instant::now();
    let found = run_once(model, instance, &pictures);
    let (at, took) = (until.now(), began.elapsed());
    drop(run);
    // Whoever asked may have gone away meanwhile.
    let _ = reply.send(Some(Ran { found, at, took }));
}

/// Runs the instance, made first where there is none. One whose run failed or panicked is not used again: its
/// state may be that of the middle of a run.
fn run_once(
    model: &Model,
    instance: &mut Option<Box<dyn Algorithm>>,
    pictures: &[RgbImage],
) -> Result<Vec<Detection>, ModelError> {
    let taken = instance.take();
    let run = || {
        let mut taken = match taken {
            Some(taken) => taken,
            None => model.instance()?,
        };
        let found = taken.run(pictures)?;
        *instance = Some(taken);
        Ok(found)
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        Err(ModelError::Run(format!("it panicked: {}", words(panic.as_ref()))))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use services::ModelName;

    use super::*;
    use crate::worker::intake::Intake;

    /// Panics on its third run, and says by `class_id` how many runs it had.
    struct Fragile(u32);

    impl Algorithm for Fragile {
        fn run(&mut self, _: &[RgbImage]) -> Result<Vec<Detection>, ModelError> {
            self.0 += 1;
            assert!(self.0 < 3, "run {} is too many", self.0);
            let label = "run".to_owned();
            Ok(vec![Detection { class_id: self.0, label, score: 1.0, region: None, extra: None }])
        }
    }

    async fn run(pool: &Pool) -> Result<Vec<Detection>, ModelError> {
        let run = Intake::new(1, 1).enter().run();
        pool.run(vec![], run, Until::ever()).await.unwrap().unwrap().found
    }

    #[tokio::test]
    async fn a_panic_while_an_instance_is_made_costs_one_run_and_no_thread() {
        let made = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&made);
        let make = move || {
            assert_ne!(counter.fetch_add(1, Ordering::SeqCst), 1, "no memory for it");
            Ok(Box::new(Fragile(0)) as Box<dyn Algorithm>)
        };
        let model = Model::new(ModelName::new("fragile").unwrap(), "1", make).unwrap();
        let pool = Pool::start(&Arc::new(model), 1).unwrap();
        let error = run(&pool).await.unwrap_err().to_string();
        assert!(
            error.starts_with("run model: it panicked: ") && error.contains("no memory for it")
        );
        assert_eq!(run(&pool).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_panic_costs_one_run_and_a_fresh_instance_goes_on() {
        let made = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&made);
        let name = ModelName::new("fragile").unwrap();
        let make = move || {
            counter.fetch_add(1, Ordering::SeqCst);
            Ok(Box::new(Fragile(0)) as Box<dyn Algorithm>)
        };
        let model = Arc::new(Model::new(name, "1", make).unwrap());
        let pool = Pool::start(&model, 1).unwrap();
        let mut runs = Vec::new();
        for _ in 0..4 {
            runs.push(run(&pool).await.map(|found| found[0].class_id).map_err(|e| e.to_string()));
        }
        let panicked = Err("run model: it panicked: run 3 is too many".to_owned());
        assert_eq!(runs, [Ok(1), Ok(2), panicked, Ok(1)]);
        assert_eq!(made.load(Ordering::SeqCst), 3, "one to see that it works, two for the thread");
    }
}
