//! When store or queue are away: frames wait in the spool, and go out when they are back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use services::queue::{Outcome, Queue, Receipt, Received};
use services::{ErrorKind, ModelName, PortError, WorkQueue};

use crate::site::Site;

/// A queue that is away until it is told otherwise.
#[derive(Debug)]
struct Away {
    inner: Arc<dyn Queue>,
    away: Arc<AtomicBool>,
    panics: bool,
}

#[async_trait]
impl Queue for Away {
    async fn send(&self, bodies: &[String]) -> Result<Vec<Outcome>, PortError> {
        if self.away.load(Ordering::SeqCst) {
            assert!(!self.panics, "a bug in the queue");
            let words = "nobody answers";
            return Err(PortError::because(ErrorKind::Unavailable, "send to queue", words));
        }
        self.inner.send(bodies).await
    }

    async fn receive(
        &self,
        max: usize,
        lease: Duration,
        wait: Duration,
    ) -> Result<Vec<Received>, PortError> {
        self.inner.receive(max, lease, wait).await
    }

    async fn extend(&self, all: &[Receipt], lease: Duration) -> Result<Vec<Outcome>, PortError> {
        self.inner.extend(all, lease).await
    }

    async fn acknowledge(&self, receipts: &[Receipt]) -> Result<Vec<Outcome>, PortError> {
        self.inner.acknowledge(receipts).await
    }

    async fn release(
        &self,
        releases: &[(Receipt, Option<String>)],
    ) -> Result<Vec<Outcome>, PortError> {
        self.inner.release(releases).await
    }
}

fn ports_with_away_queue(site: &Site, away: &Arc<AtomicBool>) -> services::Ports {
    ports_with_queue(site, away, false)
}

fn ports_with_queue(site: &Site, away: &Arc<AtomicBool>, panics: bool) -> services::Ports {
    let mut ports = site.embedded.ports.clone();
    let queue = &ports.queues[&ModelName::new("eye").unwrap()];
    let wrapped = Away { inner: Arc::clone(&queue.queue), away: Arc::clone(away), panics };
    let (dead, backlog) = (Arc::clone(&queue.dead), Arc::clone(&queue.backlog));
    let queue = WorkQueue { queue: Arc::new(wrapped), dead, backlog };
    ports.queues.insert(ModelName::new("eye").unwrap(), queue);
    ports
}

fn scene(policy: &str, spool: &str) -> Site {
    Site::new(&format!(
        "[receive]\nspool_bytes = \"{spool}\"\n\
         [streams.clip]\nurl = \"scene:?width=320&height=180&seconds=8\"\npolicy = \"{policy}\"\n\
         [models.eye]\nalgorithm = \"circles\"\n\
         sample = {{ every = \"40ms\", pick = \"exact\", max_frames = 5 }}"
    ))
}

#[tokio::test]
async fn frames_wait_for_a_queue_that_is_away_and_none_is_lost() {
    let site = scene("block", "100 MiB");
    let away = Arc::new(AtomicBool::new(true));
    let running = site.start_with(ports_with_away_queue(&site, &away));
    let status = running.until("clip", "spooled", |status| status.spooled == 40).await;
    assert!(status.away.unwrap().contains("send to queue: nobody answers"));
    assert!(site.batches("eye").await.is_empty());
    away.store(false, Ordering::SeqCst);
    running.ended().await.unwrap();
    assert_eq!(site.frames("eye").await.len(), 200);
    assert!(site.audit("clip").pending.is_empty());
}

#[tokio::test]
async fn shipping_that_panics_is_told_and_tried_again() {
    let site = scene("block", "100 MiB");
    let away = Arc::new(AtomicBool::new(true));
    let running = site.start_with(ports_with_queue(&site, &away, true));
    let status = running.until("clip", "word of it", |status| status.away.is_some()).await;
    let told = status.away.unwrap();
    assert!(told.contains("shipping panicked: a bug in the queue"), "{told}");
    away.store(false, Ordering::SeqCst);
    running.ended().await.unwrap();
    assert_eq!(site.frames("eye").await.len(), 200);
}

#[tokio::test]
async fn a_file_waits_when_the_spool_is_full() {
    let site = scene("block", "1 MiB");
    let away = Arc::new(AtomicBool::new(true));
    let running = site.start_with(ports_with_away_queue(&site, &away));
    let full = |status: &receive_video::StreamStatus| {
        status.away.as_ref().is_some_and(|away| away.contains("the spool is full"))
    };
    running.until("clip", "full", full).await;
    away.store(false, Ordering::SeqCst);
    running.ended().await.unwrap();
    assert_eq!(site.frames("eye").await.len(), 200);
    assert_eq!(site.account("clip").account.shed_total(), 0);
}

#[tokio::test]
async fn what_is_dropped_is_counted() {
    let site = scene("drop-oldest", "1 MiB");
    let away = Arc::new(AtomicBool::new(true));
    let running = site.start_with(ports_with_away_queue(&site, &away));
    running.until("clip", "all taken", |status| status.taken == 200).await;
    away.store(false, Ordering::SeqCst);
    running.ended().await.unwrap();
    let shed = site.account("clip").account.shed["spool-full"];
    assert!(shed > 0);
    assert_eq!(site.frames("eye").await.len() as u64, 200 - shed);
}

#[tokio::test]
async fn a_restart_ships_what_was_left_first() {
    let site = scene("block", "100 MiB");
    let away = Arc::new(AtomicBool::new(true));
    let running = site.start_with(ports_with_away_queue(&site, &away));
    running.until("clip", "spooled", |status| status.spooled == 40).await;
    running.abort().await;
    while let Err(error) = site.run().await {
        assert!(error.to_string().contains("already received"), "{error:#}");
    }
    let frames = site.frames("eye").await;
    let epochs = site.audit("clip").accounts;
    assert_eq!((frames.len(), epochs.len()), (400, 2));
    assert!(frames[..200].iter().all(|frame| frame.epoch == epochs[0].epoch.0));
}
