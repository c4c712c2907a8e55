//! The tables of the embedded queue, and what is done to them. Each function is one step of a transaction.
//!
//! A message waits (`lease_end` is null) or is leased. Its lease is proven by its id and its count of receives: a
//! later receive raises the count, so an older receipt matches nothing.

use rusqlite::{OptionalExtension as _, Transaction};

use super::{DeadLetter, LetterId, Receipt, Received};
use crate::sqlite::Format;
use crate::time::CaptureTime;

pub(super) static FORMAT: Format = Format {
    what: "queue",
    application_id: 0x4d52_5155, // "MRQU"
    version: 1,
    schema: "
        CREATE TABLE messages (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            body TEXT NOT NULL,
            sent_at INTEGER NOT NULL,             -- UTC microseconds
            receives INTEGER NOT NULL DEFAULT 0,
            lease_end INTEGER,                    -- UTC microseconds; null: it waits
            reason TEXT                           -- why a receive came to nothing, the last time it was said
        ) STRICT;
        CREATE INDEX waiting ON messages (id) WHERE lease_end IS NULL;
        CREATE INDEX leased ON messages (lease_end) WHERE lease_end IS NOT NULL;

        CREATE TABLE dead (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            body TEXT NOT NULL,
            reason TEXT NOT NULL,
            receives INTEGER NOT NULL,
            died_at INTEGER NOT NULL              -- UTC microseconds
        ) STRICT;

        CREATE TABLE totals (
            messages INTEGER NOT NULL,
            dead INTEGER NOT NULL,
            bytes INTEGER NOT NULL                -- of the bodies of both
        ) STRICT;
        INSERT INTO totals VALUES (0, 0, 0);
        CREATE TRIGGER message_in AFTER INSERT ON messages BEGIN
            UPDATE totals SET messages = messages + 1, bytes = bytes + octet_length(new.body);
        END;
        CREATE TRIGGER message_out AFTER DELETE ON messages BEGIN
            UPDATE totals SET messages = messages - 1, bytes = bytes - octet_length(old.body);
        END;
        CREATE TRIGGER dead_in AFTER INSERT ON dead BEGIN
            UPDATE totals SET dead = dead + 1, bytes = bytes + octet_length(new.body);
        END;
        CREATE TRIGGER dead_out AFTER DELETE ON dead BEGIN
            UPDATE totals SET dead = dead - 1, bytes = bytes - octet_length(old.body);
        END;
    ",
    upgrades: &[],
};

/// How much a queue holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCounts {
    /// Messages that can be received now.
    pub ready: u64,
    /// Messages that somebody has a lease on.
    pub leased: u64,
    /// Dead letters.
    pub dead: u64,
    /// Bytes of all these.
    pub bytes: u64,
    /// When the oldest message that is not dead was sent.
    pub oldest_sent_at: Option<CaptureTime>,
}

/// The proof of a lease, as the tables know it.
#[derive(Clone, Copy)]
pub(super) struct Lease {
    id: i64,
    receives: u32,
}

impl Lease {
    /// Reads a receipt; `None` for a text that no queue gave.
    pub(super) fn parse(receipt: &Receipt) -> Option<Self> {
        let (id, receives) = receipt.0.split_once('-')?;
        Some(Self { id: id.parse().ok()?, receives: receives.parse().ok()? })
    }

    fn receipt(self) -> Receipt {
        Receipt(format!("{}-{}", self.id, self.receives))
    }
}

pub(super) fn send(
    transaction: &Transaction<'_>,
    bodies: &[String],
    now: CaptureTime,
) -> rusqlite::Result<()> {
    let mut insert =
        transaction.prepare_cached("INSERT INTO messages (body, sent_at) VALUES (?, ?)")?;
    for body in bodies {
        insert.execute((body, now.0))?;
    }
    Ok(())
}

/// Tells, without taking the right to write, whether a receive would find something to do.
pub(super) fn has_ready(transaction: &Transaction<'_>, now: CaptureTime) -> rusqlite::Result<bool> {
    transaction
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM messages WHERE lease_end IS NULL)
                 OR EXISTS (SELECT 1 FROM messages WHERE lease_end <= ?)",
        )?
        .query_row([now.0], |row| row.get(0))
}

/// Ends the leases that have run out.
pub(super) fn expire(transaction: &Transaction<'_>, now: CaptureTime) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("UPDATE messages SET lease_end = NULL WHERE lease_end <= ?")?
        .execute([now.0])?;
    Ok(())
}

/// The oldest message that waits, and how often it was received.
pub(super) fn oldest_waiting(
    transaction: &Transaction<'_>,
) -> rusqlite::Result<Option<(i64, u32)>> {
    transaction
        .prepare_cached(
            "SELECT id, receives FROM messages WHERE lease_end IS NULL ORDER BY id LIMIT 1",
        )?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

pub(super) fn lease(
    transaction: &Transaction<'_>,
    id: i64,
    lease_end: CaptureTime,
) -> rusqlite::Result<Received> {
    transaction
        .prepare_cached(
            "UPDATE messages SET lease_end = ?, receives = receives + 1 WHERE id = ?
             RETURNING receives, body",
        )?
        .query_row((lease_end.0, id), |row| {
            let receives = row.get(0)?;
            let receipt = Lease { id, receives }.receipt();
            Ok(Received { receipt, body: row.get(1)?, receives })
        })
}

/// Moves a message that was received too often to the dead letters; its own reason stands above `reason`.
pub(super) fn give_up(
    transaction: &Transaction<'_>,
    id: i64,
    reason: &str,
    now: CaptureTime,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO dead (body, reason, receives, died_at)
             SELECT body, coalesce(reason, ?), receives, ? FROM messages WHERE id = ?",
        )?
        .execute((reason, now.0, id))?;
    transaction.prepare_cached("DELETE FROM messages WHERE id = ?")?.execute([id])?;
    Ok(())
}

/// Moves a leased message to the dead letters; `false` when the lease is not the latest.
pub(super) fn bury(
    transaction: &Transaction<'_>,
    lease: Lease,
    reason: &str,
    now: CaptureTime,
) -> rusqlite::Result<bool> {
    let buried = transaction
        .prepare_cached(
            "INSERT INTO dead (body, reason, receives, died_at)
             SELECT body, ?, receives, ? FROM messages WHERE id = ? AND receives = ?",
        )?
        .execute((reason, now.0, lease.id, lease.receives))?;
    acknowledge(transaction, lease)?;
    Ok(buried == 1)
}

/// Sets the end of a lease; `false` when it is not the latest.
pub(super) fn extend(
    transaction: &Transaction<'_>,
    lease: Lease,
    lease_end: CaptureTime,
) -> rusqlite::Result<bool> {
    let changed = transaction
        .prepare_cached("UPDATE messages SET lease_end = ? WHERE id = ? AND receives = ?")?
        .execute((lease_end.0, lease.id, lease.receives))?;
    Ok(changed == 1)
}

/// Deletes a message; `false` when the lease is not the latest.
pub(super) fn acknowledge(transaction: &Transaction<'_>, lease: Lease) -> rusqlite::Result<bool> {
    let changed = transaction
        .prepare_cached("DELETE FROM messages WHERE id = ? AND receives = ?")?
        .execute((lease.id, lease.receives))?;
    Ok(changed == 1)
}

/// Ends a lease now and keeps the reason, if there is one; `false` when it is not the latest.
pub(super) fn release(
    transaction: &Transaction<'_>,
    lease: Lease,
    reason: Option<&str>,
) -> rusqlite::Result<bool> {
    let changed = transaction
        .prepare_cached(
            "UPDATE messages SET lease_end = NULL, reason = coalesce(?, reason)
             WHERE id = ? AND receives = ?",
        )?
        .execute((reason, lease.id, lease.receives))?;
    Ok(changed == 1)
}

pub(super) fn dead(
    transaction: &Transaction<'_>,
    after: i64,
    limit: i64,
) -> rusqlite::Result<Vec<DeadLetter>> {
    transaction
        .prepare_cached(
            "SELECT id, body, reason, receives, died_at FROM dead WHERE id > ? ORDER BY id LIMIT ?",
        )?
        .query_map([after, limit], |row| {
            Ok(DeadLetter {
                id: LetterId(row.get::<_, i64>(0)?.to_string()),
                body: row.get(1)?,
                reason: row.get(2)?,
                receives: row.get(3)?,
                died_at: CaptureTime(row.get(4)?),
            })
        })?
        .collect()
}

/// Sends a dead letter as a new message; `false` when there is none of this id.
pub(super) fn replay(
    transaction: &Transaction<'_>,
    letter: i64,
    now: CaptureTime,
) -> rusqlite::Result<bool> {
    let sent = transaction.execute(
        "INSERT INTO messages (body, sent_at) SELECT body, ? FROM dead WHERE id = ?",
        (now.0, letter),
    )?;
    transaction.execute("DELETE FROM dead WHERE id = ?", [letter])?;
    Ok(sent == 1)
}

/// The bytes that the queue holds.
pub(super) fn bytes(transaction: &Transaction<'_>) -> rusqlite::Result<u64> {
    transaction.prepare_cached("SELECT bytes FROM totals")?.query_row([], |row| count(row.get(0)?))
}

pub(super) fn counts(
    transaction: &Transaction<'_>,
    now: CaptureTime,
) -> rusqlite::Result<QueueCounts> {
    transaction
        .prepare_cached(
            "SELECT messages, dead, bytes,
                    (SELECT count(*) FROM messages WHERE lease_end > ?),
                    (SELECT sent_at FROM messages ORDER BY id LIMIT 1)
             FROM totals",
        )?
        .query_row([now.0], |row| {
            let leased = count(row.get(3)?)?;
            Ok(QueueCounts {
                ready: count(row.get(0)?)?.saturating_sub(leased),
                leased,
                dead: count(row.get(1)?)?,
                bytes: count(row.get(2)?)?,
                oldest_sent_at: row.get::<_, Option<i64>>(4)?.map(CaptureTime),
            })
        })
}

fn count(value: i64) -> rusqlite::Result<u64> {
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, value))
}
