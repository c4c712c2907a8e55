//! Several workers on one queue: they share the work, and respect each other's leases.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use services::queue::{Outcome, Queue, Receipt, Received};
use services::{ErrorKind, PortError};

use super::support::{LEASE, Site, eventually, jpeg_of, model_name, model_of, one_thing, stuck};

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_answer_each_frame_once() {
    let site = Site::new();
    site.submit_each(0..60).await;
    let (first, second) = (site.start(one_thing()), site.start(one_thing()));
    site.done().await;
    let mut answers = BTreeMap::<u64, u32>::new();
    for row in site.rows() {
        *answers.entry(row.stamp.seq.0).or_default() += 1;
    }
    assert_eq!(answers, (0..60).map(|seq| (seq, 1)).collect());
    first.stop().await;
    second.stop().await;
}

/// Runs of two workers, the one of which makes ten while the other makes one.
#[derive(Debug, Default)]
struct Race {
    runs: Mutex<Runs>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Runs {
    fast: u32,
    slow: u32,
    /// No message is left to be taken.
    is_over: bool,
}

impl Race {
    fn change(&self, change: impl FnOnce(&mut Runs)) {
        change(&mut self.runs.lock().unwrap());
        self.changed.notify_all();
    }

    fn run_slowly(&self) {
        let mut runs = self.runs.lock().unwrap();
        runs.slow += 1;
        let end = runs.fast + 10;
        drop(self.changed.wait_while(runs, |runs| runs.fast < end && !runs.is_over).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_worker_ten_times_slower_the_fast_one_answers_nine_times_as_many() {
    const RUN: Duration = Duration::from_millis(20);
    let mut site = Site::new();
    site.config.infer.prefetch = 64;
    site.submit_each(0..500).await;
    let race = Arc::new(Race::default());
    let (slowly, quickly) = (Arc::clone(&race), Arc::clone(&race));
    let slow = site.start(model_of(move |_| {
        slowly.run_slowly();
        Ok(vec![])
    }));
    let fast = site.start(model_of(move |_| {
        std::thread::sleep(RUN);
        quickly.change(|runs| runs.fast += 1);
        Ok(vec![])
    }));
    let backlog = &site.ports.queues[&model_name()].backlog;
    eventually("all is taken", async || backlog.depth().await.unwrap().ready == 0).await;
    race.change(|runs| runs.is_over = true);
    site.done().await;
    let (fast_runs, slow_runs) = {
        let runs = race.runs.lock().unwrap();
        (runs.fast, runs.slow)
    };
    assert_eq!(fast_runs + slow_runs, 500);
    assert!(fast_runs >= 9 * slow_runs, "{fast_runs} and {slow_runs}");
    fast.stop().await;
    slow.stop().await;
}

/// A queue that has given a message's lease to somebody else whenever it is to be extended.
#[derive(Debug)]
struct Faithless {
    queue: Arc<dyn Queue>,
    lost: Mutex<HashSet<Receipt>>,
    /// Acknowledgements by those whose lease was lost.
    wrongly_acknowledged: AtomicU32,
}

#[async_trait]
impl Queue for Faithless {
    async fn send(&self, bodies: &[String]) -> Result<Vec<Outcome>, PortError> {
        self.queue.send(bodies).await
    }

    async fn receive(
        &self,
        max: usize,
        lease: Duration,
        wait: Duration,
    ) -> Result<Vec<Received>, PortError> {
        self.queue.receive(max, lease, wait).await
    }

    async fn extend(&self, receipts: &[Receipt], _: Duration) -> Result<Vec<Outcome>, PortError> {
        self.lost.lock().unwrap().extend(receipts.iter().cloned());
        let gone = || {
            Err(PortError::because(ErrorKind::NotFound, "extend lease", "it is somebody else's"))
        };
        Ok(receipts.iter().map(|_| gone()).collect())
    }

    async fn acknowledge(&self, receipts: &[Receipt]) -> Result<Vec<Outcome>, PortError> {
        if receipts.iter().any(|receipt| self.lost.lock().unwrap().contains(receipt)) {
            self.wrongly_acknowledged.fetch_add(1, Ordering::SeqCst);
        }
        self.queue.acknowledge(receipts).await
    }

    async fn release(
        &self,
        releases: &[(Receipt, Option<String>)],
    ) -> Result<Vec<Outcome>, PortError> {
        self.queue.release(releases).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_lease_ends_the_work_and_its_owner_acknowledges_nothing() {
    let mut site = Site::new();
    let queue = Arc::clone(&site.ports.queues[&model_name()].queue);
    let faithless = Arc::new(Faithless {
        queue,
        lost: Mutex::default(),
        wrongly_acknowledged: AtomicU32::new(0),
    });
    site.ports.queues.get_mut(&model_name()).unwrap().queue =
        Arc::clone(&faithless) as Arc<dyn Queue>;
    site.submit(&[jpeg_of(64, 32)]).await;
    let (model, _runs, release) = stuck();
    let worker = site.start(model);
    eventually("the loss is counted", async || site.status().lost_leases > 0).await;
    drop(release);
    site.done().await;
    worker.stop().await;
    assert_eq!(faithless.wrongly_acknowledged.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_away_for_longer_than_a_lease_costs_no_try() {
    let (site, fickle, clock) = Site::fickle();
    let backlog = &site.ports.queues[&model_name()].backlog;
    site.submit_each(0..1).await;
    let (model, runs, release) = stuck();
    let worker = site.start(model);
    eventually("the model runs", async || runs.load(Ordering::SeqCst) == 1).await;
    fickle.leave().await;
    eventually("the lease is asked for", async || fickle.refused() > 0).await;
    clock.advance(LEASE);
    assert_eq!(backlog.depth().await.unwrap().ready, 1, "the lease has run out");
    fickle.come_back().await;
    eventually("the lease is held again", async || backlog.depth().await.unwrap().leased == 1)
        .await;
    drop(release);
    site.done().await;
    worker.stop().await;
    let counts = (runs.load(Ordering::SeqCst), site.status().lost_leases, site.rows().len());
    assert_eq!(counts, (1, 0, 1));
}
