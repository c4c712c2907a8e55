//! Several workers on one queue: they share the work, and respect each other's leases.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use async_trait::async_trait;
use services::queue::{Outcome, Queue, Receipt, Received};
use services::{ErrorKind, PortError, Seq};

use super::support::{Site, eventually, jpeg_of, model_name, model_of, one_thing};

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_answer_each_frame_once() {
    let site = Site::new();
    let jpeg = jpeg_of(64, 32);
    site.store(jpeg.clone()).await;
    let template = site.batch(&[jpeg]);
    for seq in 0..60 {
        let mut batch = template.clone();
        batch.frames[0].seq = Seq(seq);
        site.send(batch.to_json()).await;
    }
    let (first, second) = (site.start(one_thing()), site.start(one_thing()));
    site.done().await;
    let mut answers = BTreeMap::<u64, u32>::new();
    for row in site.rows() {
        *answers.entry(row.seq.0).or_default() += 1;
    }
    assert_eq!(answers, (0..60).map(|seq| (seq, 1)).collect());
    first.stop().await;
    second.stop().await;
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
    let (release, held) = mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let worker = site.start(model_of(move |_| {
        // Blocks until the other end is gone, and never again.
        let _ = held.lock().unwrap().recv();
        Ok(vec![])
    }));
    eventually("the loss is counted", async || site.status().lost_leases > 0).await;
    drop(release);
    site.done().await;
    worker.stop().await;
    assert_eq!(faithless.wrongly_acknowledged.load(Ordering::SeqCst), 0);
}
