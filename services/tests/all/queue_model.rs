//! The embedded queue against a list in memory: whatever is done to both, they answer alike.

use std::time::Duration;

use proptest::prelude::*;
use services::queue::{
    DeadLetters as _, MAX_BATCH_ENTRIES, Queue as _, QueueOptions, Receipt, SqliteQueue,
};
use services::{CaptureTime, Clock, ErrorKind, MadeUpClock};

const MAX_RECEIVES: u32 = 3;

/// What is done. A `usize` chooses among the receipts or letters seen so far.
#[derive(Clone, Debug)]
enum Step {
    Send(usize),
    Receive { max: usize, lease: u64 },
    Extend { receipt: usize, lease: u64 },
    Acknowledge(usize),
    Release { receipt: usize, reason: Option<String> },
    Bury(usize),
    Replay(usize),
    Pass(u64),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let (receipt, lease) = (0_usize..64, 1_u64..6);
    prop_oneof![
        2 => (1..=MAX_BATCH_ENTRIES).prop_map(Step::Send),
        6 => (1..=MAX_BATCH_ENTRIES, lease.clone())
            .prop_map(|(max, lease)| Step::Receive { max, lease }),
        2 => (receipt.clone(), lease.clone())
            .prop_map(|(receipt, lease)| Step::Extend { receipt, lease }),
        3 => receipt.clone().prop_map(Step::Acknowledge),
        3 => (receipt.clone(), prop::option::of("[a-c]"))
            .prop_map(|(receipt, reason)| Step::Release { receipt, reason }),
        1 => receipt.clone().prop_map(Step::Bury),
        1 => receipt.prop_map(Step::Replay),
        3 => lease.prop_map(Step::Pass),
        1 => Just(Step::Reopen),
    ]
}

#[derive(Clone, Debug, PartialEq)]
struct Message {
    body: String,
    receives: u32,
    /// In seconds of the model's time.
    lease_end: Option<u64>,
    reason: Option<String>,
}

/// The receipts given so far, each with the message and the count of receives that it proves.
type Receipts = Vec<(Receipt, String, u32)>;

#[derive(Default)]
struct Model {
    now: u64,
    sent: usize,
    messages: Vec<Message>,
    dead: Vec<(String, String, u32)>,
    receipts: Receipts,
}

impl Model {
    fn send(&mut self, count: usize) -> Vec<String> {
        let bodies: Vec<_> = (self.sent..self.sent + count).map(|n| format!("body {n}")).collect();
        self.sent += count;
        bodies.iter().for_each(|body| self.add(body.clone()));
        bodies
    }

    fn add(&mut self, body: String) {
        self.messages.push(Message { body, receives: 0, lease_end: None, reason: None });
    }

    /// The bodies and counts of what a receive gives.
    fn receive(&mut self, max: usize, lease: u64) -> Vec<(String, u32)> {
        let (now, mut given) = (self.now, Vec::new());
        let mut kept = Vec::new();
        for mut message in std::mem::take(&mut self.messages) {
            let is_ready = message.lease_end.is_none_or(|end| end <= now);
            if !is_ready || given.len() == max {
                kept.push(message);
            } else if message.receives == MAX_RECEIVES {
                let untold = format!("received {MAX_RECEIVES} times, never acknowledged");
                let reason = message.reason.unwrap_or(untold);
                self.dead.push((message.body, reason, message.receives));
            } else {
                message.receives += 1;
                message.lease_end = Some(now + lease);
                given.push((message.body.clone(), message.receives));
                kept.push(message);
            }
        }
        self.messages = kept;
        given
    }

    /// The place of the message that a receipt is the latest proof of, and was not released.
    fn leased(&self, receipt: usize) -> Option<usize> {
        let (_, body, receives) = &self.receipts[receipt];
        let is_meant = |message: &Message| {
            message.body == *body && message.receives == *receives && message.lease_end.is_some()
        };
        self.messages.iter().position(|message| *receives > 0 && is_meant(message))
    }
}

struct Pair {
    model: Model,
    queue: SqliteQueue,
    clock: MadeUpClock,
    folder: tempfile::TempDir,
}

impl Pair {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = MadeUpClock::at(CaptureTime(0));
        let queue = open(&folder, clock.clock());
        Self { model: Model::default(), queue, clock, folder }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Send(count) => {
                let bodies = self.model.send(count);
                assert_eq!(self.queue.send(&bodies).await.unwrap().len(), count);
            }
            Step::Receive { max, lease } => self.receive(max, lease).await,
            Step::Pass(seconds) => {
                self.model.now += seconds;
                self.clock.advance(Duration::from_secs(seconds));
            }
            Step::Reopen => self.queue = open(&self.folder, self.clock.clock()),
            Step::Replay(letter) => self.replay(letter).await,
            _ if self.model.receipts.is_empty() => {}
            Step::Extend { receipt, lease } => {
                let (receipt, place) = self.pick(receipt);
                if let Some(place) = place {
                    self.model.messages[place].lease_end = Some(self.model.now + lease);
                }
                let result = self.queue.extend(&[receipt], Duration::from_secs(lease)).await;
                agree(result.unwrap().remove(0), place);
            }
            Step::Acknowledge(receipt) => {
                let (receipt, place) = self.pick(receipt);
                if let Some(place) = place {
                    self.model.messages.remove(place);
                }
                agree(self.queue.acknowledge(&[receipt]).await.unwrap().remove(0), place);
            }
            Step::Release { receipt, reason } => {
                let (receipt, place) = self.pick(receipt);
                if let Some(place) = place {
                    let message = &mut self.model.messages[place];
                    message.lease_end = None;
                    message.reason = reason.clone().or(message.reason.take());
                }
                let result = self.queue.release(&[(receipt, reason)]).await;
                agree(result.unwrap().remove(0), place);
            }
            Step::Bury(receipt) => {
                let (receipt, place) = self.pick(receipt);
                if let Some(place) = place {
                    let message = self.model.messages.remove(place);
                    self.model.dead.push((message.body, "buried".to_owned(), message.receives));
                }
                agree(self.queue.bury(&receipt, "buried").await, place);
            }
        }
    }

    async fn receive(&mut self, max: usize, lease: u64) {
        let expected = self.model.receive(max, lease);
        let received = self.queue.receive(max, Duration::from_secs(lease), Duration::ZERO).await;
        let mut given = Vec::new();
        for got in received.unwrap() {
            given.push((got.body.clone(), got.receives));
            self.model.receipts.push((got.receipt, got.body, got.receives));
        }
        assert_eq!(given, expected);
    }

    async fn replay(&mut self, letter: usize) {
        let letters = self.queue.list(None, usize::MAX).await.unwrap();
        if letters.is_empty() {
            return;
        }
        let place = letter % letters.len();
        let letter = [letters[place].id.clone()];
        self.queue.replay(&letter).await.unwrap().remove(0).unwrap();
        let (body, _, _) = self.model.dead.remove(place);
        // A receipt of the message's first life is of another message than this one.
        self.model
            .receipts
            .iter_mut()
            .filter(|known| known.1 == body)
            .for_each(|known| known.2 = 0);
        self.model.add(body);
    }

    fn pick(&self, receipt: usize) -> (Receipt, Option<usize>) {
        let receipt = receipt % self.model.receipts.len();
        (self.model.receipts[receipt].0.clone(), self.model.leased(receipt))
    }

    async fn compare(&self) {
        let letters = self.queue.list(None, usize::MAX).await.unwrap();
        let dead: Vec<_> = letters
            .into_iter()
            .map(|letter| (letter.body, letter.reason, letter.receives))
            .collect();
        assert_eq!(dead, self.model.dead);
        let counts = self.queue.counts().await.unwrap();
        let is_leased = |m: &&Message| m.lease_end.is_some_and(|end| end > self.model.now);
        let leased = self.model.messages.iter().filter(is_leased).count() as u64;
        let ready = self.model.messages.len() as u64 - leased;
        let bytes = self.model.messages.iter().map(|message| &message.body);
        let bytes = bytes.chain(self.model.dead.iter().map(|letter| &letter.0)).map(String::len);
        assert_eq!((counts.ready, counts.leased, counts.dead), (ready, leased, dead.len() as u64));
        assert_eq!(counts.bytes, bytes.sum::<usize>() as u64);
    }
}

fn open(folder: &tempfile::TempDir, clock: Clock) -> SqliteQueue {
    let options = QueueOptions { max_receives: MAX_RECEIVES, ..QueueOptions::default() };
    SqliteQueue::open(folder.path().join("shapes.sqlite"), options, clock).unwrap()
}

fn agree(outcome: Result<(), services::PortError>, place: Option<usize>) {
    let kind = outcome.err().map(|error| error.kind());
    assert_eq!(kind, place.is_none().then_some(ErrorKind::NotFound));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_queue_answers_as_the_model_does(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut pair = Pair::new();
            for step in steps {
                pair.step(step).await;
                pair.compare().await;
            }
        });
    }
}
