//! The tables of the embedded queue, and what is done to them. Each function is one step of a transaction.
//!
//! A message waits (`lease_end` is null) or is leased. Its lease is proven by its id and its count of receives while
//! `leased_at` is there: a later receive raises the count, and a release takes `leased_at` away, so an older receipt
//! matches nothing. One whose lease has run out still does.

use rusqlite::types::ValueRef;
use rusqlite::{OptionalExtension as _, Transaction};

use super::{DeadLetter, LetterId, Receipt, Received};
use crate::sqlite::Format;
use crate::time::CaptureTime;

pub(super) static FORMAT: Format = Format {
    what: "queue",
    application_id: 0x4d52_5155, // "MRQU"
    version: 2,
    schema: "
        CREATE TABLE messages (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            body TEXT NOT NULL,
            sent_at INTEGER NOT NULL,             -- UTC microseconds
            receives INTEGER NOT NULL DEFAULT 0,
            lease_end INTEGER,                    -- UTC microseconds; null: it waits
            reason TEXT,                          -- why a receive came to nothing, the last time it was said
            leased_at INTEGER                     -- UTC microseconds; when the lease began, or was extended last; null: released
        ) STRICT;
        CREATE INDEX waiting ON messages (id) WHERE lease_end IS NULL;
        CREATE INDEX leased ON messages (lease_end, leased_at) WHERE lease_end IS NOT NULL;

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
    // Leases were an hour long at most.
    upgrades: &["
        ALTER TABLE messages ADD COLUMN leased_at INTEGER;
        UPDATE messages SET leased_at = lease_end - 3600000000 WHERE lease_end IS NOT NULL;
        DROP INDEX leased;
        CREATE INDEX leased ON messages (lease_end, leased_at) WHERE lease_end IS NOT NULL;
    "],
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

/// Which leases are possible now: one that ends at or before `now` has run out, none begins after it, and none ends
/// after `latest`.
#[derive(Clone, Copy)]
pub(super) struct LeaseEnds {
    pub(super) now: CaptureTime,
    pub(super) latest: CaptureTime,
}

/// From when to when a lease lasts.
#[derive(Clone, Copy)]
pub(super) struct LeaseSpan {
    pub(super) begin: CaptureTime,
    pub(super) end: CaptureTime,
}

/// Tells, without taking the right to write, whether a receive would find something to do.
pub(super) fn has_ready(transaction: &Transaction<'_>, ends: LeaseEnds) -> rusqlite::Result<bool> {
    transaction
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM messages WHERE lease_end IS NULL)
                 OR EXISTS (SELECT 1 FROM messages WHERE lease_end <= ?1)
                 OR EXISTS (SELECT 1 FROM messages WHERE lease_end > ?1 AND leased_at > ?1)
                 OR EXISTS (SELECT 1 FROM messages WHERE lease_end > ?2)",
        )?
        .query_row([ends.now.0, ends.latest.0], |row| row.get(0))
}

/// Ends the leases that have run out, and lets those that a clock set back has put into the future begin now: each
/// keeps the length that its worker gave it.
pub(super) fn expire(transaction: &Transaction<'_>, ends: LeaseEnds) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("UPDATE messages SET lease_end = NULL WHERE lease_end <= ?")?
        .execute([ends.now.0])?;
    // What is no lease's length, as somebody else may have written it, overflows nothing.
    transaction
        .prepare_cached(
            "UPDATE messages SET lease_end = ?1 + min(max(lease_end - leased_at, 0), ?2 - ?1), leased_at = ?1
             WHERE lease_end > ?1 AND leased_at > ?1",
        )?
        .execute([ends.now.0, ends.latest.0])?;
    transaction
        .prepare_cached("UPDATE messages SET lease_end = ?1 WHERE lease_end > ?1")?
        .execute([ends.latest.0])?;
    Ok(())
}

/// A message that waits.
pub(super) struct Waiting {
    pub(super) id: i64,
    /// How often it was received; or why it cannot be received at all.
    pub(super) receives: Result<u32, String>,
}

/// The oldest message that waits.
pub(super) fn oldest_waiting(transaction: &Transaction<'_>) -> rusqlite::Result<Option<Waiting>> {
    transaction
        .prepare_cached(
            "SELECT id, receives, body FROM messages WHERE lease_end IS NULL ORDER BY id LIMIT 1",
        )?
        .query_row([], |row| {
            let receives = readable(row.get(1)?, row.get_ref(2)?.as_bytes()?);
            Ok(Waiting { id: row.get(0)?, receives })
        })
        .optional()
}

/// How often a message was received, if that and its body are what [`send`] and [`lease`] write.
fn readable(receives: i64, body: &[u8]) -> Result<u32, String> {
    std::str::from_utf8(body)
        .map_err(|error| format!("read message: its body is not UTF-8: {error}"))?;
    u32::try_from(receives).map_err(|_| {
        let most = u32::MAX;
        format!("read message: it was received {receives} times, expected 0 to {most}")
    })
}

/// Moves a message that cannot be received to the dead letters.
pub(super) fn set_aside(
    transaction: &Transaction<'_>,
    id: i64,
    reason: &str,
    now: CaptureTime,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO dead (body, reason, receives, died_at)
             SELECT body, ?, receives, ? FROM messages WHERE id = ?",
        )?
        .execute((reason, now.0, id))?;
    transaction.prepare_cached("DELETE FROM messages WHERE id = ?")?.execute([id])?;
    Ok(())
}

pub(super) fn lease(
    transaction: &Transaction<'_>,
    id: i64,
    span: LeaseSpan,
) -> rusqlite::Result<Received> {
    transaction
        .prepare_cached(
            "UPDATE messages SET leased_at = ?, lease_end = ?, receives = receives + 1 WHERE id = ?
             RETURNING receives, body",
        )?
        .query_row((span.begin.0, span.end.0, id), |row| {
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
             SELECT body, ?, receives, ? FROM messages WHERE id = ? AND receives = ? AND leased_at IS NOT NULL",
        )?
        .execute((reason, now.0, lease.id, lease.receives))?;
    acknowledge(transaction, lease)?;
    Ok(buried == 1)
}

/// Sets the end of a lease; `false` when it is not the latest.
pub(super) fn extend(
    transaction: &Transaction<'_>,
    lease: Lease,
    span: LeaseSpan,
) -> rusqlite::Result<bool> {
    let changed = transaction
        .prepare_cached(
            "UPDATE messages SET leased_at = ?, lease_end = ? WHERE id = ? AND receives = ? AND leased_at IS NOT NULL",
        )?
        .execute((span.begin.0, span.end.0, lease.id, lease.receives))?;
    Ok(changed == 1)
}

/// Deletes a message; `false` when the lease is not the latest.
pub(super) fn acknowledge(transaction: &Transaction<'_>, lease: Lease) -> rusqlite::Result<bool> {
    let changed = transaction
        .prepare_cached(
            "DELETE FROM messages WHERE id = ? AND receives = ? AND leased_at IS NOT NULL",
        )?
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
            "UPDATE messages SET lease_end = NULL, leased_at = NULL, reason = coalesce(?, reason)
             WHERE id = ? AND receives = ? AND leased_at IS NOT NULL",
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
            let receives: i64 = row.get(3)?;
            Ok(DeadLetter {
                id: LetterId(row.get::<_, i64>(0)?.to_string()),
                body: text(row.get_ref(1)?)?,
                reason: text(row.get_ref(2)?)?,
                receives: u32::try_from(receives.max(0)).unwrap_or(u32::MAX),
                died_at: CaptureTime(row.get(4)?),
            })
        })?
        .collect()
}

/// A text to be shown, also where some of its bytes are none.
fn text(value: ValueRef<'_>) -> rusqlite::Result<String> {
    Ok(String::from_utf8_lossy(value.as_bytes()?).into_owned())
}

/// Shows up to `limit` bodies of a table after the row `after`; gives the last row shown.
pub(super) fn bodies_after(
    transaction: &Transaction<'_>,
    table: Table,
    after: i64,
    limit: i64,
    mut show: impl FnMut(&str),
) -> rusqlite::Result<Option<i64>> {
    let sql = match table {
        Table::Messages => "SELECT id, body FROM messages WHERE id > ? ORDER BY id LIMIT ?",
        Table::Dead => "SELECT id, body FROM dead WHERE id > ? ORDER BY id LIMIT ?",
    };
    let mut select = transaction.prepare_cached(sql)?;
    let mut rows = select.query([after, limit])?;
    let mut last = None;
    while let Some(row) = rows.next()? {
        show(&String::from_utf8_lossy(row.get_ref(1)?.as_bytes()?));
        last = Some(row.get(0)?);
    }
    Ok(last)
}

/// Where a message lies.
#[derive(Clone, Copy)]
pub(super) enum Table {
    Messages,
    Dead,
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
