//! Closed bundles in → durable bundles out, in order, until they are shipped: the outbox of one stream.
//!
//! Guarantee: a bundle, the account that counts its frames as taken, and what had to go to make room for it are
//! one transaction. What is dropped, and when, is the policy's: see [`SpoolPolicy`].

use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rusqlite::Transaction;
use services::config::SpoolPolicy;
use services::sqlite::Database;
use services::{CaptureTime, Clock, DataFolder, Epoch, Keep, ModelName, PortError, StreamId};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::books::Books;
use super::fold::fold;
use super::lock::StreamLock;
use super::tables::{self, BundleRow, FORMAT, Given, ShedByReason, count, int};
use crate::bundle::Bundle;

/// Milliseconds for which it is not looked at which epochs have become too old, while none ends.
const FOLD_EVERY: Range<i64> = 0..3_600_000;

/// Why frames that were taken are given up.
pub mod shed {
    /// The spool had no room for them.
    pub const SPOOL_FULL: &str = "spool-full";
    /// Newer frames of the same model took their room.
    pub const SUPERSEDED: &str = "superseded";
    /// The disk had no room for them.
    pub const DISK_FULL: &str = "disk-full";
    /// The spool could not be written to.
    pub const UNWRITABLE: &str = "unwritable";
    /// Store or queue refuse them for good.
    pub const REFUSED: &str = "refused";
    /// Their model is no longer configured.
    pub const MODEL_REMOVED: &str = "model-removed";
}

/// What became of a bundle that was to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// It is durable.
    Yes,
    /// It was given up itself: nothing else could make room.
    Shed,
    /// There is no room, and the policy is to wait.
    NoRoom,
}

/// A bundle on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claimed {
    pub(crate) id: i64,
    pub(crate) key: Option<String>,
    pub(crate) message: String,
}

/// What the spool holds and has handled since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SpoolCounts {
    pub(crate) bundles: u64,
    pub(crate) bytes: u64,
    pub(crate) shipped: u64,
    pub(crate) shed_frames: u64,
}

/// How a spool behaves.
#[derive(Clone, Debug)]
pub(crate) struct SpoolOptions {
    /// Most bytes of bundles.
    pub(crate) bound: u64,
    /// What happens to bundles past it.
    pub(crate) policy: SpoolPolicy,
    /// The accounts of past epochs that are kept apart.
    pub(crate) accounts: Keep,
    /// What their age is told by.
    pub(crate) clock: Clock,
}

/// One stream's spool, open in this process alone.
#[derive(Debug)]
pub(crate) struct Spool {
    database: Database,
    options: SpoolOptions,
    folded: Mutex<CaptureTime>,
    counts: Mutex<SpoolCounts>,
    shed: Mutex<ShedByReason>,
    last_epoch: Mutex<u64>,
    room: Condvar,
    arrived: Notify,
    _lock: StreamLock,
}

impl Spool {
    /// Opens a stream's spool and closes the accounts that a crash left open. Blocks.
    ///
    /// # Errors
    /// `Unavailable` while another process receives the stream, `Denied` when the folder cannot be written to, `Corrupt`
    /// when the file is no spool.
    pub(crate) fn open(
        folder: &DataFolder,
        stream: &StreamId,
        options: SpoolOptions,
    ) -> Result<Self, PortError> {
        let lock_path = folder.spool_lock(stream);
        if let Some(parent) = lock_path.parent() {
            std::fs::create_dir_all(parent)
                .map_err(|error| PortError::io(format!("create folder {parent:?}"), error))?;
        }
        let lock = StreamLock::take(&lock_path, stream)?;
        let database = Database::open(&folder.spool(stream), &FORMAT)?;
        let now = options.clock.now();
        let (last_epoch, (bundles, bytes)) = database.write("repair", |tx| {
            tables::make_last_epoch(tx)?;
            tables::close_after_crash(tx)?;
            fold(tx, options.accounts, now)?;
            Ok((tables::last_epoch(tx)?, tables::totals(tx)?))
        })?;
        let counts = SpoolCounts { bundles, bytes, ..SpoolCounts::default() };
        Ok(Self {
            database,
            options,
            folded: Mutex::new(now),
            counts: Mutex::new(counts),
            shed: Mutex::default(),
            last_epoch: Mutex::new(last_epoch),
            room: Condvar::new(),
            arrived: Notify::new(),
            _lock: lock,
        })
    }

    /// Names a new epoch: `now` in milliseconds, or one more than any epoch before, those of earlier processes included
    /// as far as they were [saved](Self::save_epoch).
    pub(crate) fn next_epoch(&self, now: CaptureTime) -> Epoch {
        let mut last = self.last_epoch.lock().unwrap_or_else(PoisonError::into_inner);
        *last = count(now.0 / 1_000).max(*last + 1);
        Epoch(*last)
    }

    /// Keeps the name of an epoch, so that none after it has the same. Blocks.
    pub(crate) fn save_epoch(&self, epoch: Epoch) -> Result<(), PortError> {
        self.database.write("name epoch in", |tx| tables::save_last_epoch(tx, epoch))
    }

    /// Stores a bundle with the account that counts it as taken. Blocks.
    pub(crate) fn commit(&self, bundle: &Bundle, books: &Books) -> Result<Stored, PortError> {
        let message = bundle.batch.to_json();
        let row = BundleRow {
            model: &bundle.batch.model,
            epoch: bundle.batch.epoch,
            runs: bundle.runs,
            size: bundle.size(&message),
            message: &message,
            object: bundle.object.as_ref().map(|(key, bytes)| (key.as_str(), &bytes[..])),
        };
        let used = self.counts().bytes;
        let full = used > 0 && used + row.size > self.options.bound;
        if full && self.options.policy == SpoolPolicy::Block {
            return Ok(Stored::NoRoom);
        }
        let (stored, given) = self.database.write("store bundle in", |tx| {
            tables::save_books(tx, row.epoch, row.model, books, false)?;
            self.insert(tx, &row, used)
        })?;
        self.count_stored(row.size, stored, given);
        Ok(stored)
    }

    /// Tries whether a bundle of so many bytes could be stored, as far as the disk is concerned. Blocks.
    pub(crate) fn rehearse(&self, bytes: u64) -> Result<(), PortError> {
        self.database.write("store bundle in", |tx| tables::rehearse(tx, bytes))
    }

    /// Saves the accounts of an epoch. Blocks.
    pub(crate) fn save(
        &self,
        epoch: Epoch,
        lanes: &[(&ModelName, &Books)],
        closed: bool,
    ) -> Result<(), PortError> {
        let now = self.options.clock.now();
        let is_due = closed || !FOLD_EVERY.contains(&self.folded().millis_until(now));
        self.database.write("save accounts in", |tx| {
            lanes.iter().try_for_each(|(model, books)| {
                tables::save_books(tx, epoch, model, books, closed)
            })?;
            if is_due { fold(tx, self.options.accounts, now) } else { Ok(()) }
        })?;
        if is_due {
            *self.folded() = now;
        }
        Ok(())
    }

    /// Writes an event down. Blocks.
    pub(crate) fn note(&self, at: CaptureTime, kind: &str, words: &str) -> Result<(), PortError> {
        self.database.write("note event in", |tx| tables::insert_event(tx, at, kind, words))
    }

    /// Waits until something was shipped, but no longer than `most`.
    pub(crate) fn wait_for_room(&self, most: Duration) {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        // Woken in vain or poisoned: the caller tries again either way.
        drop(self.room.wait_timeout(counts, most));
    }

    /// The arrival of the next bundle, once enabled.
    pub(crate) fn arrived(&self) -> Notified<'_> {
        self.arrived.notified()
    }

    /// Deletes bundles that were sent and claims up to `most` of the model's next ones. A claimed bundle may be
    /// with the queue already, so no policy drops it any more. Blocks.
    pub(crate) fn claim(
        &self,
        model: &ModelName,
        sent: &[i64],
        most: usize,
    ) -> Result<Vec<Claimed>, PortError> {
        let (bytes, claimed) = self.database.write("claim bundles in", |tx| {
            let freed =
                sent.iter().map(|id| tables::remove(tx, *id)).sum::<rusqlite::Result<u64>>();
            Ok((freed?, claim_next(tx, model, most)?))
        })?;
        if !sent.is_empty() {
            self.count_gone(Given { bundles: sent.len() as u64, bytes, ..Given::default() });
            self.change(|counts| counts.shipped += sent.len() as u64);
        }
        Ok(claimed)
    }

    /// Tells whether the model has a bundle here. Blocks.
    pub(crate) fn has(&self, model: &ModelName) -> Result<bool, PortError> {
        self.database.read("read", |tx| {
            tx.prepare_cached("SELECT EXISTS (SELECT 1 FROM bundles WHERE model = ?)")?
                .query_row([model.as_str()], |row| row.get(0))
        })
    }

    /// Reads the payload of a bundle that has an object. Blocks.
    pub(crate) fn payload(&self, id: i64) -> Result<Bytes, PortError> {
        let bytes: Vec<u8> = self.database.read("read payload in", |tx| {
            tx.prepare_cached("SELECT bytes FROM payloads WHERE id = ?")?
                .query_row([id], |row| row.get(0))
        })?;
        Ok(bytes.into())
    }

    /// Gives up a bundle that store or queue refuse for good. Blocks.
    pub(crate) fn refuse(&self, id: i64) -> Result<(), PortError> {
        let given = self
            .database
            .write("give up bundle in", |tx| tables::give_up(tx, id, shed::REFUSED))?;
        self.count_gone(given);
        Ok(())
    }

    /// Counts frames that it could not be given.
    pub(crate) fn count_lost(&self, model: &ModelName, reason: &'static str, frames: u64) {
        let mut given = Given::default();
        given.shed(model.as_str(), reason, frames);
        self.count_gone(given);
    }

    /// Gives up the bundles of models that have no queue any more; tells how many frames. Blocks.
    pub(crate) fn keep_only(&self, models: &[ModelName]) -> Result<u64, PortError> {
        let given = self.database.write("give up bundles in", |tx| {
            let mut given = Given::default();
            for (id, model) in tables::bundle_models(tx)? {
                if !models.iter().any(|served| served.as_str() == model) {
                    given += tables::give_up(tx, id, shed::MODEL_REMOVED)?;
                }
            }
            Ok(given)
        })?;
        let frames = given.frames();
        self.count_gone(given);
        Ok(frames)
    }

    /// The frames given up since it was opened.
    pub(crate) fn shed(&self) -> ShedByReason {
        self.shed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What it holds and has handled.
    pub(crate) fn counts(&self) -> SpoolCounts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(
        &self,
        tx: &Transaction<'_>,
        row: &BundleRow<'_>,
        used: u64,
    ) -> rusqlite::Result<(Stored, Given)> {
        let mut given = Given::default();
        let fits = |given: &Given| {
            used == given.bytes || used - given.bytes + row.size <= self.options.bound
        };
        let (model, reason) = match self.options.policy {
            SpoolPolicy::Latest => (Some(row.model), shed::SUPERSEDED),
            SpoolPolicy::DropOldest | SpoolPolicy::Block => (None, shed::SPOOL_FULL),
        };
        let all_must_go = self.options.policy == SpoolPolicy::Latest && !fits(&given);
        while all_must_go || !fits(&given) {
            match tables::drop_oldest(tx, model, reason)? {
                Some(more) => given += more,
                None => break,
            }
        }
        if fits(&given) {
            tables::insert_bundle(tx, row)?;
            return Ok((Stored::Yes, given));
        }
        let (epoch, runs) = (int(row.epoch.0), int(row.runs));
        tables::count_shed(tx, epoch, row.model.as_str(), shed::SPOOL_FULL, runs)?;
        given.shed(row.model.as_str(), shed::SPOOL_FULL, row.runs);
        Ok((Stored::Shed, given))
    }

    /// Lets the file grow to so many pages and no further, as a disk that is full does; never below what it has.
    #[cfg(test)]
    pub(crate) fn limit_pages(&self, pages: u32) {
        let limited = self.database.read("limit", |tx| {
            tx.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |row| {
                row.get::<_, i64>(0)
            })
        });
        limited.unwrap();
    }

    fn count_stored(&self, size: u64, stored: Stored, given: Given) {
        self.count_gone(given);
        if stored == Stored::Yes {
            self.change(|counts| {
                counts.bundles += 1;
                counts.bytes += size;
            });
            self.arrived.notify_waiters();
        }
    }

    fn count_gone(&self, gone: Given) {
        self.change(|counts| {
            counts.bundles = counts.bundles.saturating_sub(gone.bundles);
            counts.bytes = counts.bytes.saturating_sub(gone.bytes);
            counts.shed_frames += gone.frames();
        });
        let mut shed = self.shed.lock().unwrap_or_else(PoisonError::into_inner);
        gone.shed.into_iter().for_each(|(key, frames)| *shed.entry(key).or_default() += frames);
        drop(shed);
        self.room.notify_all();
    }

    /// When it was looked at last which accounts are kept apart.
    fn folded(&self) -> MutexGuard<'_, CaptureTime> {
        self.folded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut SpoolCounts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn claim_next(
    tx: &Transaction<'_>,
    model: &ModelName,
    most: usize,
) -> rusqlite::Result<Vec<Claimed>> {
    let claimed: Vec<Claimed> = tx
        .prepare_cached("SELECT id, key, message FROM bundles WHERE model = ? ORDER BY id LIMIT ?")?
        .query_map((model.as_str(), int(most as u64)), |row| {
            Ok(Claimed { id: row.get(0)?, key: row.get(1)?, message: row.get(2)? })
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut claim =
        tx.prepare_cached("UPDATE bundles SET claimed = 1 WHERE id = ? AND claimed = 0")?;
    for bundle in &claimed {
        claim.execute([bundle.id])?;
    }
    Ok(claimed)
}
