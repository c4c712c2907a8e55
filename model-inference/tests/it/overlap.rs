//! Fetching, running and delivering overlap: none waits for another kind's turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use services::{ErrorKind, PortError};

use super::support::{Site, eventually, jpeg_of, model_of, stuck};

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_one_message_go_side_by_side() {
    let mut site = Site::new();
    site.config.infer.instances = 3;
    site.submit(&vec![jpeg_of(64, 32); 3]).await;
    let (model, runs, release) = stuck();
    let worker = site.start(model);
    eventually("each instance runs", async || runs.load(Ordering::SeqCst) == 3).await;
    drop(release);
    site.done().await;
    assert_eq!(site.told(), ["0 none", "1 none", "2 none"]);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_wait_to_be_delivered_hold_up_no_run_and_are_bounded() {
    let site = Site::new();
    let is_away = Arc::new(AtomicBool::new(true));
    let gate = Arc::clone(&is_away);
    site.script(move |_, _| match gate.load(Ordering::SeqCst) {
        true => Err(PortError::because(ErrorKind::Unavailable, "deliver rows", "throttled")),
        false => Ok(()),
    });
    site.submit_each(0..40).await;
    let runs = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&runs);
    let worker = site.start(model_of(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        Ok(vec![])
    }));
    // Sixteen are being delivered, and two more were taken: for one instance, and one ahead.
    eventually("as many run as may wait", async || runs.load(Ordering::SeqCst) == 18).await;
    assert_eq!(site.status().in_flight, 18);
    is_away.store(false, Ordering::SeqCst);
    site.done().await;
    assert_eq!(site.rows().len(), 40);
    worker.stop().await;
}
