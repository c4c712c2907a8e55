//! Results on their way to the reply queues of other processes: many to a call, by a task of their own, so that no
//! publisher waits for a link. What finds no room is dropped and counted; so is what SQS does not take.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_sqs::Client;
use services::queue::{MAX_BATCH_ENTRIES, MAX_MESSAGE_BYTES};
use services::{ErrorKind, PortError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::task::AbortOnDropHandle;

use crate::sqs::{Calls, Parcel};

/// Most results on their way.
const MAX_RESULTS: usize = 1_024;
/// Most bytes of them.
const MAX_BYTES: usize = 16 << 20;

/// The way out of this process.
#[derive(Debug)]
pub(super) struct Outbox {
    results: mpsc::Sender<Outgoing>,
    room: Arc<Semaphore>,
    lost: Arc<AtomicU64>,
    _sending: AbortOnDropHandle<()>,
}

/// A result as the message that it will be.
#[derive(Debug)]
struct Outgoing {
    url: String,
    body: String,
    _room: OwnedSemaphorePermit,
}

impl Outgoing {
    fn parcel(&self) -> Parcel<'_> {
        let (group, deduplication) = Default::default();
        Parcel { body: &self.body, group, deduplication, attributes: HashMap::new() }
    }
}

impl Outbox {
    /// Opens the way and begins to send.
    pub(super) fn open(client: Client) -> Self {
        let (results, queue) = mpsc::channel(MAX_RESULTS);
        let lost = Arc::new(AtomicU64::new(0));
        let sending = AbortOnDropHandle::new(tokio::spawn(send(client, queue, Arc::clone(&lost))));
        Self { results, room: Arc::new(Semaphore::new(MAX_BYTES)), lost, _sending: sending }
    }

    /// Puts a message on its way to the queue at `url`.
    ///
    /// # Errors
    /// [`ErrorKind::Full`] when it has to be dropped.
    pub(super) fn put(&self, url: &str, body: String) -> Result<(), PortError> {
        let bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(bytes).ok();
        let sent = room.and_then(|room| {
            self.results.try_send(Outgoing { url: url.to_owned(), body, _room: room }).ok()
        });
        sent.ok_or_else(|| {
            self.lost.fetch_add(1, Ordering::Relaxed);
            let cause = "too many are on their way already, it is dropped";
            PortError::because(ErrorKind::Full, "publish result", cause)
        })
    }

    /// How many results were dropped or not taken.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

async fn send(client: Client, mut queue: mpsc::Receiver<Outgoing>, lost: Arc<AtomicU64>) {
    let mut page = Vec::new();
    while queue.recv_many(&mut page, MAX_BATCH_ENTRIES).await > 0 {
        for batch in batches(std::mem::take(&mut page)) {
            let failed = send_batch(&client, &batch).await;
            lost.fetch_add(failed, Ordering::Relaxed);
        }
    }
}

/// Results in as many batches as calls take them: each of one queue, and within the limits of a call.
fn batches(mut results: Vec<Outgoing>) -> Vec<Vec<Outgoing>> {
    results.sort_by(|a, b| a.url.cmp(&b.url));
    let mut batches: Vec<Vec<Outgoing>> = Vec::new();
    let mut bytes = 0;
    for result in results {
        bytes += result.body.len();
        match batches.last_mut() {
            Some(batch) if batch[0].url == result.url && bytes <= MAX_MESSAGE_BYTES => {
                batch.push(result);
            }
            _ => {
                bytes = result.body.len();
                batches.push(vec![result]);
            }
        }
    }
    batches
}

/// Sends a batch; gives the number of results that were not taken.
async fn send_batch(client: &Client, batch: &[Outgoing]) -> u64 {
    let [first, ..] = batch else { return 0 };
    let queue = Calls::of_url(client.clone(), &first.url);
    let note = |error: &PortError| tracing::debug!(%error, "results are not published");
    match queue.send(batch.iter().map(Outgoing::parcel).collect()).await {
        Ok(outcomes) => {
            let failures = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
            failures.inspect(|error| note(error)).count() as u64
        }
        Err(error) => {
            note(&error);
            batch.len() as u64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_takes_results_of_one_queue_and_a_mebibyte_of_them() {
        let room = Arc::new(Semaphore::new(1));
        let outgoing = |url: &str, bytes: usize| {
            let room = Arc::clone(&room).try_acquire_many_owned(0).unwrap();
            Outgoing { url: url.to_owned(), body: "x".repeat(bytes), _room: room }
        };
        let half = MAX_MESSAGE_BYTES / 2;
        let results =
            vec![outgoing("a", half), outgoing("b", 1), outgoing("a", half), outgoing("a", 1)];
        let packed = batches(results);
        let sizes: Vec<Vec<usize>> =
            packed.iter().map(|batch| batch.iter().map(|one| one.body.len()).collect()).collect();
        assert_eq!(sizes, [vec![half, half], vec![1], vec![1]]);
    }
}
