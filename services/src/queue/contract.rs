//! The clauses of the queue's contract, run against every adapter by [`queue_contract!`].
//!
//! [`queue_contract!`]: crate::queue_contract

use std::time::Duration;

use async_trait::async_trait;

use super::{DeadLetters, MAX_BATCH_ENTRIES, MAX_MESSAGE_BYTES, Outcome, Queue, Receipt, Received};
use crate::error::ErrorKind;

/// An empty queue under test, and its time.
#[async_trait]
pub trait Queued: Send + Sync {
    /// The queue.
    fn queue(&self) -> &dyn Queue;

    /// Its dead letters.
    fn dead(&self) -> &dyn DeadLetters;

    /// How often a message may be received; at least twice.
    fn max_receives(&self) -> u32;

    /// Lets time pass: a made-up clock is moved, a real one waited for.
    async fn pass(&self, time: Duration);
}

/// Makes one test of each clause. The argument is a closure that gives a [`Queued`]; after `async`, one that gives a
/// future of one, or of none where the queue cannot be had and the tests are skipped.
#[macro_export]
macro_rules! queue_contract {
    (async $make:expr) => {
        $crate::queue_contract!(@clauses $make;
            a_sent_message_is_received,
            a_leased_message_is_one_callers_alone,
            a_lease_that_ran_out_gives_the_message_back,
            an_extended_lease_holds,
            a_released_message_comes_back_at_once,
            a_released_lease_is_extended_no_more,
            an_acknowledged_message_never_comes_back,
            an_old_receipt_changes_nothing,
            each_entry_has_its_own_outcome,
            a_message_received_too_often_is_given_up_with_its_reason,
            a_buried_message_is_a_dead_letter,
            dead_letters_are_listed_in_pages,
            a_replayed_letter_starts_anew,
            a_letter_that_is_gone_holds_up_no_other_replay,
            a_receive_waits_for_the_first_message,
            what_is_over_a_limit_is_refused
        );
    };
    (@clauses $make:expr; $($clause:ident),+) => {
        $(#[tokio::test]
        async fn $clause() {
            if let Some(queued) = ($make)().await {
                $crate::queue::contract::$clause(&queued).await;
            }
        })+
    };
    ($make:expr) => {
        $crate::queue_contract!(async || std::future::ready(Some(($make)())));
    };
}

const LEASE: Duration = Duration::from_secs(4);
const HALF: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(5);

/// `Ok` of `send` means the message will be received, as it was sent.
pub async fn a_sent_message_is_received(queued: &dyn Queued) {
    send(queued, &["one", "two \"ü\"\n", "three"]).await;
    let mut bodies: Vec<_> = receive(queued).await.into_iter().map(|got| got.body).collect();
    bodies.sort();
    assert_eq!(bodies, ["one", "three", "two \"ü\"\n"]);
}

/// While a lease lasts nobody else receives the message.
pub async fn a_leased_message_is_one_callers_alone(queued: &dyn Queued) {
    send(queued, &["one", "two"]).await;
    let first = queued.queue().receive(1, LEASE, LONG).await.expect("the queue can be read");
    let second = receive(queued).await;
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_ne!(first[0].body, second[0].body);
    queued.pass(HALF).await;
    assert_eq!(receive(queued).await, []);
}

/// When a lease runs out the message can be received again, and says how often it was.
pub async fn a_lease_that_ran_out_gives_the_message_back(queued: &dyn Queued) {
    send(queued, &["one"]).await;
    let first = receive_one(queued).await;
    queued.pass(LONG).await;
    let second = receive_one(queued).await;
    assert_eq!((first.receives, second.receives), (1, 2));
    assert_ne!(first.receipt, second.receipt);
}

/// `extend` sets the lease to end so long from now.
pub async fn an_extended_lease_holds(queued: &dyn Queued) {
    send(queued, &["one"]).await;
    let got = receive_one(queued).await;
    for _ in 0..3 {
        queued.pass(HALF).await;
        let outcomes = queued.queue().extend(std::slice::from_ref(&got.receipt), LEASE).await;
        all_ok(outcomes);
    }
    queued.pass(HALF).await;
    assert_eq!(receive(queued).await, []);
    queued.pass(LONG).await;
    assert_eq!(receive_one(queued).await.receives, 2);
}

/// `release` ends the lease now.
pub async fn a_released_message_comes_back_at_once(queued: &dyn Queued) {
    send(queued, &["one"]).await;
    release(queued, receive_one(queued).await.receipt, None).await;
    assert_eq!(receive_one(queued).await.receives, 2);
}

/// `release` is the end of its receipt, too: an extension that comes after it leases nothing for nobody.
pub async fn a_released_lease_is_extended_no_more(queued: &dyn Queued) {
    send(queued, &["one"]).await;
    let receipt = receive_one(queued).await.receipt;
    release(queued, receipt.clone(), None).await;
    let extended = queued.queue().extend(std::slice::from_ref(&receipt), LONG * 9).await;
    assert_eq!(kinds(extended), [Some(ErrorKind::NotFound)]);
    assert_eq!(receive_one(queued).await.receives, 2);
}

/// `acknowledge` deletes the message.
pub async fn an_acknowledged_message_never_comes_back(queued: &dyn Queued) {
    send(queued, &["one"]).await;
    let got = receive_one(queued).await;
    all_ok(queued.queue().acknowledge(&[got.receipt]).await);
    queued.pass(LONG).await;
    assert_eq!(receive(queued).await, []);
}

/// After somebody else received the message, an old receipt is `NotFound` and changes nothing.
pub async fn an_old_receipt_changes_nothing(queued: &dyn Queued) {
    send(queued, &["one"]).await;
    let old = receive_one(queued).await.receipt;
    queued.pass(LONG).await;
    let latest = receive_one(queued).await.receipt;
    let olds = [old.clone()];
    assert_eq!(kinds(queued.queue().extend(&olds, LONG * 9).await), [Some(ErrorKind::NotFound)]);
    assert_eq!(kinds(queued.queue().acknowledge(&olds).await), [Some(ErrorKind::NotFound)]);
    let releases = [(old.clone(), Some("old".to_owned()))];
    assert_eq!(kinds(queued.queue().release(&releases).await), [Some(ErrorKind::NotFound)]);
    let buried = queued.dead().bury(&old, "old").await.expect_err("the receipt is old");
    assert_eq!(buried.kind(), ErrorKind::NotFound);
    assert_eq!(receive(queued).await, [], "the latest lease holds");
    all_ok(queued.queue().acknowledge(&[latest]).await);
}

/// A batch tells the outcome of each entry, in the order of the entries.
pub async fn each_entry_has_its_own_outcome(queued: &dyn Queued) {
    send(queued, &["one", "two"]).await;
    let got = receive(queued).await;
    all_ok(queued.queue().acknowledge(&[got[0].receipt.clone()]).await);
    let receipts =
        [got[0].receipt.clone(), got[1].receipt.clone(), Receipt("not of this queue".to_owned())];
    let gone = Some(ErrorKind::NotFound);
    assert_eq!(kinds(queued.queue().extend(&receipts, LEASE).await), [gone, None, gone]);
    assert_eq!(kinds(queued.queue().acknowledge(&receipts).await), [gone, None, gone]);
}

/// A message received too often goes to the dead letters, with the reason of its last release.
pub async fn a_message_received_too_often_is_given_up_with_its_reason(queued: &dyn Queued) {
    send(queued, &["one"]).await;
    for receives in 1..=queued.max_receives() {
        let got = receive_one(queued).await;
        assert_eq!(got.receives, receives);
        release(queued, got.receipt, Some(format!("failure {receives}"))).await;
    }
    assert_eq!(receive(queued).await, []);
    let dead = queued.dead().list(None, 9).await.expect("the dead letters can be read");
    let reason = format!("failure {}", queued.max_receives());
    assert_eq!(dead.len(), 1);
    assert_eq!((dead[0].body.as_str(), dead[0].reason.as_str()), ("one", reason.as_str()));
    assert_eq!(dead[0].receives, queued.max_receives());
}

/// `bury` moves a leased message to the dead letters.
pub async fn a_buried_message_is_a_dead_letter(queued: &dyn Queued) {
    send(queued, &["one"]).await;
    let got = receive_one(queued).await;
    queued.dead().bury(&got.receipt, "not JSON").await.expect("the lease is the latest");
    queued.pass(LONG).await;
    assert_eq!(receive(queued).await, []);
    let dead = queued.dead().list(None, 9).await.expect("the dead letters can be read");
    assert_eq!(dead.len(), 1);
    assert_eq!((dead[0].body.as_str(), dead[0].reason.as_str()), ("one", "not JSON"));
}

/// `list` gives a page after a letter.
pub async fn dead_letters_are_listed_in_pages(queued: &dyn Queued) {
    send(queued, &["one", "two", "three"]).await;
    for got in receive(queued).await {
        queued.dead().bury(&got.receipt, "tried").await.expect("the lease is the latest");
    }
    let all = queued.dead().list(None, 9).await.expect("the dead letters can be read");
    let first = queued.dead().list(None, 2).await.expect("the dead letters can be read");
    let rest = queued.dead().list(Some(&all[1].id), 9).await.expect("the letter is listed");
    assert_eq!((all.len(), &first[..], &rest[..]), (3, &all[..2], &all[2..]));
}

/// `replay` sends a dead letter again, its receive count back at zero, once.
pub async fn a_replayed_letter_starts_anew(queued: &dyn Queued) {
    send(queued, &["one"]).await;
    let got = receive_one(queued).await;
    queued.dead().bury(&got.receipt, "tried").await.expect("the lease is the latest");
    let dead = queued.dead().list(None, 9).await.expect("the dead letters can be read");
    let letters = [dead[0].id.clone()];
    all_ok(queued.dead().replay(&letters).await);
    assert_eq!(kinds(queued.dead().replay(&letters).await), [Some(ErrorKind::NotFound)]);
    let got = receive_one(queued).await;
    assert_eq!((got.body.as_str(), got.receives), ("one", 1));
    assert_eq!(queued.dead().list(None, 9).await.expect("the dead letters can be read"), []);
}

/// `replay` gives each letter its own outcome, in the order of the letters.
pub async fn a_letter_that_is_gone_holds_up_no_other_replay(queued: &dyn Queued) {
    send(queued, &["one", "two", "three"]).await;
    for got in receive(queued).await {
        queued.dead().bury(&got.receipt, "tried").await.expect("the lease is the latest");
    }
    let dead = queued.dead().list(None, 9).await.expect("the dead letters can be read");
    let letters: Vec<_> = dead.into_iter().map(|letter| letter.id).collect();
    all_ok(queued.dead().replay(&letters[1..2]).await);
    let gone = Some(ErrorKind::NotFound);
    assert_eq!(kinds(queued.dead().replay(&letters).await), [None, gone, None]);
    assert_eq!(queued.dead().list(None, 9).await.expect("the dead letters can be read"), []);
    assert_eq!(receive(queued).await.len(), 3);
}

/// `receive` waits for the first message and no longer; with no time to wait it answers at once.
pub async fn a_receive_waits_for_the_first_message(queued: &dyn Queued) {
    assert_eq!(receive(queued).await, []);
    let receiving = queued.queue().receive(1, LEASE, Duration::from_secs(60));
    let (received, ()) = tokio::join!(receiving, send(queued, &["one"]));
    assert_eq!(received.expect("the queue can be read").len(), 1);
}

/// What is over a limit of the port is refused whole, also where the adapter could take more.
pub async fn what_is_over_a_limit_is_refused(queued: &dyn Queued) {
    let many = vec!["x".to_owned(); MAX_BATCH_ENTRIES + 1];
    let heavy = vec!["x".repeat(MAX_MESSAGE_BYTES / 2 + 1); 2];
    for bodies in [&many[..], &heavy, &["ok".to_owned(), String::new()], &[]] {
        let error = queued.queue().send(bodies).await.expect_err("the batch is over a limit");
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    let received = queued.queue().receive(MAX_BATCH_ENTRIES + 1, LEASE, Duration::ZERO).await;
    assert_eq!(received.expect_err("too many are asked for").kind(), ErrorKind::Invalid);
    send(queued, &["x".repeat(MAX_MESSAGE_BYTES).as_str()]).await;
    assert_eq!(receive(queued).await.len(), 1);
}

async fn send(queued: &dyn Queued, bodies: &[&str]) {
    let bodies: Vec<_> = bodies.iter().map(|&body| body.to_owned()).collect();
    all_ok(queued.queue().send(&bodies).await);
}

/// All messages that are ready: one call may give fewer.
async fn receive(queued: &dyn Queued) -> Vec<Received> {
    let mut all = Vec::new();
    loop {
        let received = queued.queue().receive(MAX_BATCH_ENTRIES, LEASE, Duration::ZERO).await;
        match received.expect("the queue can be read") {
            received if received.is_empty() => return all,
            received => all.extend(received),
        }
    }
}

async fn receive_one(queued: &dyn Queued) -> Received {
    let mut received = queued.queue().receive(1, LEASE, LONG).await.expect("the queue can be read");
    assert_eq!(received.len(), 1, "a message is ready");
    received.remove(0)
}

async fn release(queued: &dyn Queued, receipt: Receipt, reason: Option<String>) {
    all_ok(queued.queue().release(&[(receipt, reason)]).await);
}

fn all_ok(outcomes: Result<Vec<Outcome>, crate::PortError>) {
    let outcomes = outcomes.expect("the batch is within the limits");
    assert!(!outcomes.is_empty() && outcomes.iter().all(Result::is_ok), "{outcomes:?}");
}

fn kinds(outcomes: Result<Vec<Outcome>, crate::PortError>) -> Vec<Option<ErrorKind>> {
    let outcomes = outcomes.expect("the batch is within the limits");
    outcomes.iter().map(|outcome| outcome.as_ref().err().map(crate::PortError::kind)).collect()
}
