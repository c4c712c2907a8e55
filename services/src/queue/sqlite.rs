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
use crate::counted;
use crate::error::{ErrorKind, PortError};
use crate::retry::Backoff;
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
                                let reason = format!(
                                    "received {}, never acknowledged",
                                    counted(receives, "time")
                                );
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
        let mut looks = Backoff::new(FIRST_LOOK, LATER_LOOKS);
        loop {
            let mut arrival = std::pin::pin!(self.arrivals.notified());
            arrival.as_mut().enable();
            let received = self.take(max, lease).await?;
            let left = wait.saturating_sub(begun.elapsed());
            if !received.is_empty() || left.is_zero() {
                return Ok(received);
            }
            // An arrival and the end of the pause mean the same: look again.
            let _ = timeout(looks.wait(rand::random()).min(left), arrival).await;
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
        let QueueCounts { ready, leased, dead, oldest_sent_at, .. } = self.counts().await?;
        Ok(Depth { ready, leased, dead, oldest_sent_at })
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
mod tests;
