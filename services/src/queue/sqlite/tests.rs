//! The queue of one folder: its contract, and its leases beside clocks that jump and processes of other versions.

use super::*;
use crate::clock::MadeUpClock;
use crate::queue::contract::Queued;
use crate::queue::{Held, QueueReader};

const LEASE: Duration = Duration::from_secs(4);

struct InFolder {
    folder: tempfile::TempDir,
    queue: SqliteQueue,
    clock: MadeUpClock,
}

#[async_trait]
impl Queued for InFolder {
    fn queue(&self) -> &dyn Queue {
        &self.queue
    }

    fn dead(&self) -> &dyn DeadLetters {
        &self.queue
    }

    fn max_receives(&self) -> u32 {
        3
    }

    async fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }
}

fn open(max_bytes: u64) -> InFolder {
    let folder = tempfile::tempdir().unwrap();
    let clock = MadeUpClock::at(CaptureTime(1_000_000));
    let options = QueueOptions { max_receives: 3, max_bytes };
    let path = folder.path().join("shapes.sqlite");
    let queue = SqliteQueue::open(path, options, clock.clock()).unwrap();
    InFolder { folder, queue, clock }
}

async fn send(queue: &SqliteQueue, bodies: &[&str]) -> Result<Vec<Outcome>, PortError> {
    queue.send(&bodies.iter().map(|&body| body.to_owned()).collect::<Vec<_>>()).await
}

crate::queue_contract!(|| open(u64::MAX));

#[tokio::test]
async fn messages_come_oldest_first_and_a_released_one_again_in_its_place() {
    let InFolder { queue, folder: _folder, .. } = open(u64::MAX);
    send(&queue, &["1", "2", "3"]).await.unwrap();
    let first = queue.receive(1, LEASE, Duration::ZERO).await.unwrap().remove(0);
    queue.release(&[(first.receipt, None)]).await.unwrap();
    let all = queue.receive(9, LEASE, Duration::ZERO).await.unwrap();
    let bodies: Vec<_> = all.iter().map(|got| got.body.as_str()).collect();
    assert_eq!(bodies, ["1", "2", "3"]);
}

#[tokio::test]
async fn a_full_queue_refuses_messages_until_some_are_acknowledged() {
    let InFolder { queue, folder: _folder, .. } = open(10);
    send(&queue, &["12345", "67890"]).await.unwrap();
    let error = send(&queue, &["x"]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full);
    assert!(error.to_string().ends_with("10 bytes are held, at most 10 are allowed"), "{error}");
    let got = queue.receive(1, LEASE, Duration::ZERO).await.unwrap().remove(0);
    queue.acknowledge(&[got.receipt]).await.unwrap();
    send(&queue, &["x"]).await.unwrap();
}

#[tokio::test]
async fn a_reader_sees_every_message_wherever_it_is() {
    let InFolder { queue, folder, clock } = open(u64::MAX);
    send(&queue, &["dies", "leased", "waits"]).await.unwrap();
    let got = queue.receive(2, LEASE, Duration::ZERO).await.unwrap();
    queue.bury(&got[0].receipt, "tried").await.unwrap();
    let reader = QueueReader::open(folder.path().join("shapes.sqlite")).unwrap();
    let counts = reader.counts(clock.clock().now()).unwrap();
    assert_eq!((counts.ready, counts.leased, counts.dead, counts.bytes), (1, 1, 1, 15));
    assert_eq!(counts.oldest_sent_at, Some(CaptureTime(1_000_000)));
    assert_eq!(queue.depth().await.unwrap().oldest_sent_at, counts.oldest_sent_at);
    assert_eq!(queue.counts().await.unwrap(), counts);
    let (mut live, mut dead) = (Vec::new(), Vec::new());
    reader
        .visit(|held| match held {
            Held::Live(body) => live.push(body.to_owned()),
            Held::Dead(body) => dead.push(body.to_owned()),
        })
        .unwrap();
    assert_eq!((live, dead), (vec!["leased".into(), "waits".into()], vec!["dies".to_owned()]));
}

#[tokio::test]
async fn a_message_sent_by_another_process_ends_a_receive_that_waits() {
    let InFolder { queue, folder, clock } = open(u64::MAX);
    let path = folder.path().join("shapes.sqlite");
    let other = SqliteQueue::open(path, QueueOptions::default(), clock.clock()).unwrap();
    let receiving = queue.receive(1, LEASE, Duration::from_secs(60));
    let sending = async {
        tokio::task::yield_now().await;
        send(&other, &["one"]).await.unwrap();
    };
    let (received, ()) = tokio::join!(receiving, sending);
    assert_eq!(received.unwrap().len(), 1);
}

/// Changes the file as no queue does.
fn tamper(folder: &tempfile::TempDir, sql: &str) {
    let path = folder.path().join("shapes.sqlite");
    rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

#[tokio::test]
async fn a_row_that_cannot_be_read_dies_with_its_reason_and_the_one_behind_it_is_received() {
    let InFolder { queue, folder, .. } = open(u64::MAX);
    send(&queue, &["counted", "garbled", "many", "good"]).await.unwrap();
    tamper(
        &folder,
        "UPDATE messages SET receives = -5 WHERE body = 'counted';
         UPDATE messages SET receives = 5000000000, reason = CAST(x'ff' AS TEXT) WHERE body = 'many';
         UPDATE messages SET body = CAST(x'6761ff' AS TEXT) WHERE body = 'garbled';",
    );
    let got = queue.receive(10, LEASE, Duration::ZERO).await.unwrap();
    let bodies: Vec<&str> = got.iter().map(|got| got.body.as_str()).collect();
    assert_eq!(bodies, ["good"]);
    let dead = queue.list(None, 9).await.unwrap();
    let dead: Vec<_> = dead
        .iter()
        .map(|letter| (letter.body.as_str(), letter.receives, letter.reason.as_str()))
        .collect();
    assert_eq!(
        dead,
        [
            ("counted", 0, "read message: it was received -5 times, expected 0 to 4294967295"),
            (
                "ga\u{fffd}",
                0,
                "read message: its body is not UTF-8: invalid utf-8 sequence of 1 bytes from index 2"
            ),
            (
                "many",
                u32::MAX,
                "read message: it was received 5000000000 times, expected 0 to 4294967295"
            ),
        ]
    );
    let reader = QueueReader::open(folder.path().join("shapes.sqlite")).unwrap();
    let mut shown = 0;
    reader.visit(|_| shown += 1).unwrap();
    assert_eq!(shown, 4);
    // What was wrong with the count is gone with it.
    let letters: Vec<_> =
        queue.list(None, 9).await.unwrap().into_iter().map(|letter| letter.id).collect();
    assert!(queue.replay(&letters).await.unwrap().iter().all(Result::is_ok));
    let again = queue.receive(10, LEASE, Duration::ZERO).await.unwrap();
    let again: Vec<&str> = again.iter().map(|got| got.body.as_str()).collect();
    assert_eq!(again, ["counted", "many"]);
}

#[tokio::test]
async fn a_lease_that_a_clock_set_back_made_too_long_lasts_as_long_as_was_asked_for() {
    let InFolder { queue, folder: _folder, clock } = open(u64::MAX);
    send(&queue, &["one"]).await.unwrap();
    let hours = Duration::from_secs(3 * 60 * 60);
    clock.advance(hours);
    let stranded = queue.receive(1, LEASE, Duration::ZERO).await.unwrap().remove(0);
    clock.set_back(hours);
    assert_eq!(queue.receive(1, LEASE, Duration::ZERO).await.unwrap(), []);
    clock.advance(LEASE);
    let again = queue.receive(1, LEASE, Duration::ZERO).await.unwrap().remove(0);
    assert_eq!((again.body.as_str(), again.receives), ("one", 2));
    assert_ne!(again.receipt, stranded.receipt);
    let longer = LONGEST_LEASE + Duration::from_secs(1);
    let refused = queue.extend(&[again.receipt], longer).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
}

/// The other took the longest lease that it gives itself for the longest that there is.
#[tokio::test]
async fn a_worker_of_short_leases_leaves_one_of_long_ones_its_messages() {
    let InFolder { queue, folder, clock } = open(u64::MAX);
    let path = folder.path().join("shapes.sqlite");
    let other = SqliteQueue::open(path, queue.options.clone(), clock.clock()).unwrap();
    send(&queue, &["one"]).await.unwrap();
    let hour = Duration::from_secs(60 * 60);
    let held = queue.receive(1, hour, Duration::ZERO).await.unwrap().remove(0);
    for _ in 0..59 {
        clock.advance(Duration::from_secs(60));
        assert_eq!(other.receive(1, LEASE, Duration::ZERO).await.unwrap(), []);
    }
    queue.acknowledge(&[held.receipt]).await.unwrap().remove(0).unwrap();
}

#[tokio::test]
async fn a_lease_that_nobody_gave_ends_within_the_longest() {
    for lease in [
        "9223372036854775807, leased_at = -5",
        "9223372036854775807, leased_at = NULL",
        "9223372036854775806, leased_at = 9223372036854775807",
    ] {
        let InFolder { queue, folder, clock } = open(u64::MAX);
        send(&queue, &["one"]).await.unwrap();
        tamper(&folder, &format!("UPDATE messages SET lease_end = {lease}"));
        queue.receive(1, LEASE, Duration::ZERO).await.unwrap();
        clock.advance(LONGEST_LEASE);
        assert_eq!(queue.receive(1, LEASE, Duration::ZERO).await.unwrap().len(), 1, "{lease}");
    }
}

#[tokio::test]
async fn a_queue_of_the_first_version_goes_on_with_its_leases() {
    let InFolder { queue, folder, clock } = open(u64::MAX);
    send(&queue, &["one", "two"]).await.unwrap();
    queue.receive(1, LEASE, Duration::ZERO).await.unwrap();
    tamper(
        &folder,
        "DROP INDEX leased;
         ALTER TABLE messages DROP COLUMN leased_at;
         CREATE INDEX leased ON messages (lease_end) WHERE lease_end IS NOT NULL;
         PRAGMA user_version = 1;",
    );
    let path = folder.path().join("shapes.sqlite");
    let counts = QueueReader::open(&path).unwrap().counts(clock.clock().now()).unwrap();
    assert_eq!((counts.ready, counts.leased), (1, 1));
    let queue = SqliteQueue::open(path, QueueOptions::default(), clock.clock()).unwrap();
    let bodies = |got: Vec<Received>| got.into_iter().map(|got| got.body).collect::<Vec<_>>();
    assert_eq!(bodies(queue.receive(9, LEASE, Duration::ZERO).await.unwrap()), ["two"]);
    clock.advance(LEASE);
    assert_eq!(bodies(queue.receive(9, LEASE, Duration::ZERO).await.unwrap()), ["one", "two"]);
}

#[tokio::test]
async fn a_reader_that_stops_in_the_middle_holds_no_transaction() {
    let InFolder { queue, folder, .. } = open(u64::MAX);
    let bodies: Vec<String> = (0..600).map(|number| format!("{number:0600}")).collect();
    for bodies in bodies.chunks(10) {
        queue.send(bodies).await.unwrap();
    }
    let path = folder.path().join("shapes.sqlite");
    let reader = QueueReader::open(&path).unwrap();
    let writer = rusqlite::Connection::open(&path).unwrap();
    let mut seen = Vec::new();
    let mut log_ended = false;
    reader
        .visit(|held| {
            // Between two pages the log can be cut, whoever reads; a message that dies meanwhile is seen.
            if let Held::Live(body) = held {
                seen.push(body.to_owned());
            }
            if seen.len() == 257 && !log_ended {
                writer.execute("DELETE FROM messages WHERE body = ?", [&bodies[599]]).unwrap();
                writer
                    .execute("INSERT INTO messages (body, sent_at) VALUES ('late', 1)", ())
                    .unwrap();
                log_ended = true;
            }
        })
        .unwrap();
    assert_eq!(seen.len(), 600);
    assert!(seen.contains(&"late".to_owned()) && !seen.contains(&bodies[599]));
}

#[test]
fn a_damaged_queue_is_refused_by_name() {
    let InFolder { folder, queue, .. } = open(u64::MAX);
    drop(queue);
    let path = folder.path().join("shapes.sqlite");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[5_000..9_000].fill(0xee);
    std::fs::write(&path, bytes).unwrap();
    let error = SqliteQueue::open(&path, QueueOptions::default(), Clock::system()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().starts_with(&format!("open queue {path:?}: ")), "{error}");
}
