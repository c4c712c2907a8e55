//! The embedded queue: one SQLite file per model, shared by any number of processes.
//!
//! `Ok` is a commit with `synchronous=FULL`: it survives a power cut. Times are the wall clock's, so that leases
//! mean the same to every process. Each lease is kept with its beginning: after a clock was set back it lasts as long as
//! its worker asked for, from the next look on; one set forward ends it early, and costs at most a second delivery.
//!
//! A receive that waits is woken by a send through the same [`SqliteQueue`]; messages from elsewhere, and leases
//! that run out, it finds by looking: after 5 ms first, then ever less often, down to every 50 ms. A look takes
//! some 10 µs and no lock that would hold a writer up.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::Transaction;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::store::{self, FORMAT, Lease, LeaseEnds, LeaseSpan, QueueCounts, Waiting};
use super::{
    Backlog, DeadLetter, DeadLetters, Depth, LetterId, Outcome, Queue, Receipt, Received,
    check_batch, check_send,
};
use crate::clock::Clock;
use crate::error::{ErrorKind, PortError};
use crate::sqlite::Database;
use crate::time::CaptureTime;

/// The longest lease, as SQS has it.
const LONGEST_LEASE: Duration = Duration::from_secs(12 * 60 * 60);
const FIRST_LOOK: Duration = Duration::from_millis(5);
const LATER_LOOKS: Duration = Duration::from_millis(50);

/// How an embedded queue behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueOptions {
    /// How often a message may be received before it goes to the dead letters; at least once.
    pub max_receives: u32,
    /// Most bytes of messages and dead letters together; beyond it messages are refused as `Full`.
    pub max_bytes: u64,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self { max_receives: 5, max_bytes: 1_024 * 1_024 * 1_024 }
    }
}

/// A queue in a SQLite file, with its dead letters.
#[derive(Clone, Debug)]
pub struct SqliteQueue {
    database: Arc<Database>,
    options: QueueOptions,
    clock: Clock,
    arrivals: Arc<Notify>,
}

impl SqliteQueue {
    /// Opens the queue in the file `path`, making it if need be. Blocks.
    ///
    /// # Errors
    /// When the folder is not writable, or the file is damaged or something else; it is named.
    pub fn open(
        path: impl AsRef<Path>,
        options: QueueOptions,
        clock: Clock,
    ) -> Result<Self, PortError> {
        let database = Arc::new(Database::open(path.as_ref(), &FORMAT)?);
        Ok(Self { database, options, clock, arrivals: Arc::new(Notify::new()) })
    }

    /// Tells how much the queue holds.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn counts(&self) -> Result<QueueCounts, PortError> {
        let now = self.clock.now();
        self.read("count", move |transaction| store::counts(transaction, now)).await
    }

    async fn read<T: Send + 'static>(
        &self,
        verb: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, PortError> {
        self.database.run(move |database| database.read(verb, work)).await
    }

    async fn write<T: Send + 'static>(
        &self,
        verb: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, PortError> {
        self.database.run(move |database| database.write(verb, work)).await
    }

    /// Applies `change` to each lease, in one transaction; a lease that is not the latest is `NotFound`.
    async fn change<Entry: Send + 'static>(
        &self,
        verb: &'static str,
        entries: Vec<(Receipt, Entry)>,
        change: impl Fn(&Transaction<'_>, Lease, &Entry) -> rusqlite::Result<bool> + Send + 'static,
    ) -> Result<Vec<Outcome>, PortError> {
        check_batch(entries.len())?;
        let (entries, changed) = self
            .write(verb, move |transaction| {
                let each = |(receipt, entry): &(Receipt, Entry)| match Lease::parse(receipt) {
                    Some(lease) => change(transaction, lease, entry),
                    None => Ok(false),
                };
                let changed = entries.iter().map(each).collect::<rusqlite::Result<Vec<_>>>()?;
                Ok((entries, changed))
            })
            .await?;
        let outcome = |(entry, changed): (&(Receipt, Entry), bool)| {
            if changed { Ok(()) } else { Err(self.stale(verb, &entry.0)) }
        };
        Ok(entries.iter().zip(changed).map(outcome).collect())
    }

    fn stale(&self, verb: &str, receipt: &Receipt) -> PortError {
        PortError::because(
            ErrorKind::NotFound,
            self.database.attempt(&format!("{verb} message {:?} of", receipt.0)),
            "acknowledged already, or received again since",
        )
    }

    fn no_letter(&self, letter: &LetterId) -> PortError {
        PortError::because(
            ErrorKind::NotFound,
            self.database.attempt(&format!("find dead letter {:?} of", letter.0)),
            "there is none of this id",
        )
    }

    /// Leases what is there now, up to `max`.
    async fn take(&self, max: usize, lease: Duration) -> Result<Vec<Received>, PortError> {
        let clock = self.clock.clone();
        let ends_at = |now| LeaseEnds { now, latest: later(now, LONGEST_LEASE) };
        let max_receives = self.options.max_receives.max(1);
        self.database
            .run(move |database| {
                let ends = ends_at(clock.now());
                if !database
                    .read("receive from", |transaction| store::has_ready(transaction, ends))?
                {
                    return Ok(Vec::new());
                }
                database.write("receive from", |transaction| {
                    // The time when the file is ours: no lease of others began after it, unless by another clock.
                    let now = clock.now();
                    let span = LeaseSpan { begin: now, end: later(now, lease) };
                    store::expire(transaction, ends_at(now))?;
                    let mut taken = Vec::new();
                    while taken.len() < max {
                        let Some(Waiting { id, receives }) = store::oldest_waiting(transaction)?
                        else {
                            break;
                        };
                        match receives {
                            Err(reason) => store::set_aside(transaction, id, &reason, now)?,
                            Ok(receives) if receives >= max_receives => {
                                let reason =
                                    format!("received {receives} times, never acknowledged");
                                store::give_up(transaction, id, &reason, now)?;
                            }
                            Ok(_) => taken.push(store::lease(transaction, id, span)?),
                        }
                    }
                    Ok(taken)
                })
            })
            .await
    }
}

#[async_trait]
impl Queue for SqliteQueue {
    async fn send(&self, bodies: &[String]) -> Result<Vec<Outcome>, PortError> {
        check_send(bodies)?;
        let (count, bodies) = (bodies.len(), bodies.to_vec());
        let (max_bytes, now) = (self.options.max_bytes, self.clock.now());
        let more: u64 = bodies.iter().map(|body| body.len() as u64).sum();
        let refused = self
            .write("send to", move |transaction| {
                let held = store::bytes(transaction)?;
                if held.saturating_add(more) > max_bytes {
                    return Ok(Some(held));
                }
                store::send(transaction, &bodies, now)?;
                Ok(None)
            })
            .await?;
        if let Some(held) = refused {
            let cause = format!("{held} bytes are held, at most {max_bytes} are allowed");
            return Err(PortError::because(
                ErrorKind::Full,
                self.database.attempt("send to"),
                cause,
            ));
        }
        self.arrivals.notify_waiters();
        Ok((0..count).map(|_| Ok(())).collect())
    }

    async fn receive(
        &self,
        max: usize,
        lease: Duration,
        wait: Duration,
    ) -> Result<Vec<Received>, PortError> {
        check_batch(max)?;
        check_lease(lease)?;
        let begun = Instant::now();
        let mut pause = FIRST_LOOK;
        loop {
            let mut arrival = std::pin::pin!(self.arrivals.notified());
            arrival.as_mut().enable();
            let received = self.take(max, lease).await?;
            let left = wait.saturating_sub(begun.elapsed());
            if !received.is_empty() || left.is_zero() {
                return Ok(received);
            }
            // An arrival and the end of the pause mean the same: look again.
            let _ = timeout(pause.min(left), arrival).await;
            pause = (pause * 2).min(LATER_LOOKS);
        }
    }

    async fn extend(
        &self,
        receipts: &[Receipt],
        lease: Duration,
    ) -> Result<Vec<Outcome>, PortError> {
        check_lease(lease)?;
        let clock = self.clock.clone();
        let entries = receipts.iter().map(|receipt| (receipt.clone(), ())).collect();
        self.change("extend", entries, move |transaction, held, ()| {
            // Counted from when the file is ours to write: that may have been waited for.
            let begin = clock.now();
            store::extend(transaction, held, LeaseSpan { begin, end: later(begin, lease) })
        })
        .await
    }

    async fn acknowledge(&self, receipts: &[Receipt]) -> Result<Vec<Outcome>, PortError> {
        let entries = receipts.iter().map(|receipt| (receipt.clone(), ())).collect();
        self.change("acknowledge", entries, |transaction, lease, ()| {
            store::acknowledge(transaction, lease)
        })
        .await
    }

    async fn release(
        &self,
        releases: &[(Receipt, Option<String>)],
    ) -> Result<Vec<Outcome>, PortError> {
        let outcomes = self
            .change("release", releases.to_vec(), |transaction, lease, reason| {
                store::release(transaction, lease, reason.as_deref())
            })
            .await?;
        self.arrivals.notify_waiters();
        Ok(outcomes)
    }
}

#[async_trait]
impl Backlog for SqliteQueue {
    async fn depth(&self) -> Result<Depth, PortError> {
        let QueueCounts { ready, leased, dead, .. } = self.counts().await?;
        Ok(Depth { ready, leased, dead })
    }
}

#[async_trait]
impl DeadLetters for SqliteQueue {
    async fn bury(&self, receipt: &Receipt, reason: &str) -> Result<(), PortError> {
        let (now, entries) = (self.clock.now(), vec![(receipt.clone(), reason.to_owned())]);
        let outcomes = self
            .change("bury", entries, move |transaction, lease, reason| {
                store::bury(transaction, lease, reason, now)
            })
            .await?;
        outcomes.into_iter().collect()
    }

    async fn list(
        &self,
        after: Option<&LetterId>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, PortError> {
        let after = match after {
            Some(letter) => letter.0.parse().map_err(|_| self.no_letter(letter))?,
            None => 0,
        };
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read("list dead letters of", move |transaction| store::dead(transaction, after, limit))
            .await
    }

    async fn replay(&self, letters: &[LetterId]) -> Result<Vec<Outcome>, PortError> {
        let now = self.clock.now();
        let ids: Vec<Option<i64>> = letters.iter().map(|letter| letter.0.parse().ok()).collect();
        let sent = self
            .write("replay dead letters of", move |transaction| {
                let replay = |id: Option<i64>| match id {
                    Some(id) => store::replay(transaction, id, now),
                    None => Ok(false),
                };
                ids.into_iter().map(replay).collect::<rusqlite::Result<Vec<bool>>>()
            })
            .await?;
        self.arrivals.notify_waiters();
        let outcome = |(letter, sent)| if sent { Ok(()) } else { Err(self.no_letter(letter)) };
        Ok(letters.iter().zip(sent).map(outcome).collect())
    }
}

fn check_lease(lease: Duration) -> Result<(), PortError> {
    if lease <= LONGEST_LEASE {
        return Ok(());
    }
    let cause = format!("{lease:?}, at most {LONGEST_LEASE:?} are allowed");
    Err(PortError::because(ErrorKind::Invalid, "check lease", cause))
}

fn later(now: CaptureTime, by: Duration) -> CaptureTime {
    CaptureTime(now.0.saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
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
        assert!(
            error.to_string().ends_with("10 bytes are held, at most 10 are allowed"),
            "{error}"
        );
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
}
