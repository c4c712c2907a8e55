//! The tables of a spool, and what is done to them. Each function is one step of a transaction.

use std::collections::BTreeMap;

use rusqlite::types::Type;
use rusqlite::{OptionalExtension as _, Transaction};
use services::sqlite::Format;
use services::{Account, CaptureTime, Epoch, MediaTime, ModelName};

use super::books::Books;
use crate::sample::reason;

/// Events kept per stream.
const MAX_EVENTS: i64 = 1_000;
/// How `closed` marks the account that stands for its epoch and all before it.
pub(super) const FOLDED: i64 = 2;

pub(super) static FORMAT: Format = Format {
    what: "spool",
    application_id: 0x4d52_5350, // "MRSP"
    version: 1,
    schema: "
        CREATE TABLE bundles (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            model TEXT NOT NULL,
            epoch INTEGER NOT NULL,
            runs INTEGER NOT NULL,
            size INTEGER NOT NULL,                -- bytes of message and payload
            claimed INTEGER NOT NULL DEFAULT 0,   -- 1: it may have been sent
            key TEXT,                             -- of its object; null: it travels in the message
            message TEXT NOT NULL
        ) STRICT;
        CREATE INDEX by_model ON bundles (model, id);

        CREATE TABLE payloads (
            id INTEGER PRIMARY KEY REFERENCES bundles (id),
            bytes BLOB NOT NULL
        ) STRICT;

        CREATE TABLE accounts (
            epoch INTEGER NOT NULL,
            model TEXT NOT NULL,
            account TEXT NOT NULL,                -- JSON, without what was shed
            last_taken INTEGER,                   -- media time
            closed INTEGER NOT NULL,              -- 1: the epoch has ended; 2: it stands for all before it, too
            PRIMARY KEY (epoch, model)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE shed (
            epoch INTEGER NOT NULL,
            model TEXT NOT NULL,
            reason TEXT NOT NULL,
            frames INTEGER NOT NULL,
            PRIMARY KEY (epoch, model, reason)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE events (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            at INTEGER NOT NULL,                  -- UTC microseconds
            kind TEXT NOT NULL,
            words TEXT NOT NULL
        ) STRICT;
    ",
    upgrades: &[],
};

/// One bundle's row.
#[derive(Debug)]
pub(super) struct BundleRow<'a> {
    pub(super) model: &'a ModelName,
    pub(super) epoch: Epoch,
    pub(super) runs: u64,
    pub(super) size: u64,
    pub(super) message: &'a str,
    pub(super) object: Option<(&'a str, &'a [u8])>,
}

/// Frames given up, by model and reason.
pub(crate) type ShedByReason = BTreeMap<(String, &'static str), u64>;

/// Bundles that left the spool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) bundles: u64,
    pub(super) bytes: u64,
    /// The frames that went without being shipped.
    pub(super) shed: ShedByReason,
}

impl Given {
    pub(super) fn frames(&self) -> u64 {
        self.shed.values().sum()
    }

    pub(super) fn shed(&mut self, model: &str, reason: &'static str, frames: u64) {
        *self.shed.entry((model.to_owned(), reason)).or_default() += frames;
    }
}

impl std::ops::AddAssign for Given {
    fn add_assign(&mut self, other: Self) {
        self.bundles += other.bundles;
        self.bytes += other.bytes;
        for ((model, reason), frames) in other.shed {
            self.shed(&model, reason, frames);
        }
    }
}

pub(super) fn insert_bundle(tx: &Transaction<'_>, row: &BundleRow<'_>) -> rusqlite::Result<()> {
    let key = row.object.map(|(key, _)| key);
    tx.prepare_cached(
        "INSERT INTO bundles (model, epoch, runs, size, key, message) VALUES (?, ?, ?, ?, ?, ?)",
    )?
    .execute((
        row.model.as_str(),
        int(row.epoch.0),
        int(row.runs),
        int(row.size),
        key,
        row.message,
    ))?;
    if let Some((_, bytes)) = row.object {
        let id = tx.last_insert_rowid();
        tx.prepare_cached("INSERT INTO payloads VALUES (?, ?)")?.execute((id, bytes))?;
    }
    Ok(())
}

/// Writes so many bytes where a bundle would be, and takes them back.
pub(super) fn rehearse(tx: &Transaction<'_>, bytes: u64) -> rusqlite::Result<()> {
    tx.execute_batch("SAVEPOINT rehearsal")?;
    tx.execute(
        "INSERT INTO bundles (model, epoch, runs, size, message) VALUES ('', 0, 0, 0, '')",
        (),
    )?;
    let id = tx.last_insert_rowid();
    tx.execute("INSERT INTO payloads VALUES (?, zeroblob(?))", (id, int(bytes)))?;
    tx.cache_flush()?;
    tx.execute_batch("ROLLBACK TO rehearsal; RELEASE rehearsal")
}

/// Gives up the oldest bundle that cannot have been sent, of one model or of all.
pub(super) fn drop_oldest(
    tx: &Transaction<'_>,
    model: Option<&ModelName>,
    reason: &'static str,
) -> rusqlite::Result<Option<Given>> {
    let oldest: Option<i64> = tx
        .prepare_cached(
            "SELECT id FROM bundles WHERE claimed = 0 AND (?1 IS NULL OR model = ?1)
             ORDER BY id LIMIT 1",
        )?
        .query_row([model.map(ModelName::as_str)], |row| row.get(0))
        .optional()?;
    oldest.map(|id| give_up(tx, id, reason)).transpose()
}

/// Gives up a bundle and counts its frames as shed.
pub(super) fn give_up(
    tx: &Transaction<'_>,
    id: i64,
    reason: &'static str,
) -> rusqlite::Result<Given> {
    let (epoch, model, runs): (i64, String, i64) = tx
        .prepare_cached("SELECT epoch, model, runs FROM bundles WHERE id = ?")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    count_shed(tx, epoch, &model, reason, runs)?;
    let mut given = Given { bundles: 1, bytes: remove(tx, id)?, ..Given::default() };
    given.shed(&model, reason, count(runs));
    Ok(given)
}

/// The bundles, each with its model's name.
pub(super) fn bundle_models(tx: &Transaction<'_>) -> rusqlite::Result<Vec<(i64, String)>> {
    tx.prepare("SELECT id, model FROM bundles")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// The keys of the objects of up to `limit` bundles after the bundle `after`.
pub(super) fn keys_after(
    tx: &Transaction<'_>,
    after: i64,
    limit: i64,
) -> rusqlite::Result<Vec<(i64, String)>> {
    tx.prepare_cached(
        "SELECT id, key FROM bundles WHERE id > ? AND key IS NOT NULL ORDER BY id LIMIT ?",
    )?
    .query_map([after, limit], |row| Ok((row.get(0)?, row.get(1)?)))?
    .collect()
}

/// Deletes a bundle; gives its bytes, 0 when it is not there.
pub(super) fn remove(tx: &Transaction<'_>, id: i64) -> rusqlite::Result<u64> {
    tx.prepare_cached("DELETE FROM payloads WHERE id = ?")?.execute([id])?;
    let size: Option<i64> = tx
        .prepare_cached("DELETE FROM bundles WHERE id = ? RETURNING size")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    Ok(size.map_or(0, count))
}

pub(super) fn save_books(
    tx: &Transaction<'_>,
    epoch: Epoch,
    model: &ModelName,
    books: &Books,
    closed: bool,
) -> rusqlite::Result<()> {
    let account = serde_json::to_string(&books.account).map_err(to_sql_error)?;
    let last_taken = books.last_taken.map(|time| time.0);
    tx.prepare_cached("INSERT OR REPLACE INTO accounts VALUES (?, ?, ?, ?, ?)")?.execute((
        int(epoch.0),
        model.as_str(),
        account,
        last_taken,
        closed,
    ))?;
    for (reason, frames) in &books.unsaved_shed {
        count_shed(tx, int(epoch.0), model.as_str(), reason, int(*frames))?;
    }
    Ok(())
}

/// Counts frames as given up, in the account of their epoch, or in the sum that it is part of.
pub(super) fn count_shed(
    tx: &Transaction<'_>,
    epoch: i64,
    model: &str,
    reason: &str,
    frames: i64,
) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO shed VALUES (max(?1, coalesce(
             (SELECT epoch FROM (SELECT epoch, closed FROM accounts ORDER BY epoch LIMIT 1) WHERE closed = ?5),
             ?1)), ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET frames = frames + excluded.frames",
    )?
    .execute((epoch, model, reason, frames, FOLDED))?;
    Ok(())
}

/// Closes the accounts that a crash left open: what was pending then is lost.
pub(super) fn close_after_crash(tx: &Transaction<'_>) -> rusqlite::Result<usize> {
    let open: Vec<(i64, String, String)> = tx
        .prepare("SELECT epoch, model, account FROM accounts WHERE closed = 0")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (epoch, model, text) in &open {
        let mut account = account(text)?;
        let pending = std::mem::take(&mut account.pending);
        account.skip(reason::CRASH, pending);
        let text = serde_json::to_string(&account).map_err(to_sql_error)?;
        tx.execute(
            "UPDATE accounts SET account = ?, closed = 1 WHERE epoch = ? AND model = ?",
            (text, epoch, model),
        )?;
    }
    Ok(open.len())
}

/// Makes room for the name of the last epoch. It is no part of the format's version: a program that does not know it
/// works on the same file, before and after one that does.
pub(super) fn make_last_epoch(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    tx.execute_batch(
        "CREATE TABLE IF NOT EXISTS last_epoch (
            one INTEGER PRIMARY KEY CHECK (one = 1),
            epoch INTEGER NOT NULL
        ) STRICT",
    )
}

pub(super) fn save_last_epoch(tx: &Transaction<'_>, epoch: Epoch) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT OR REPLACE INTO last_epoch VALUES (1, ?)")?
        .execute([int(epoch.0)])?;
    Ok(())
}

/// The latest epoch that was named, or has an account.
pub(super) fn last_epoch(tx: &Transaction<'_>) -> rusqlite::Result<u64> {
    let both = "SELECT max(epoch) FROM (SELECT epoch FROM accounts UNION ALL SELECT epoch FROM last_epoch)";
    let last: Option<i64> = tx.query_row(both, [], |row| row.get(0))?;
    Ok(last.map_or(0, count))
}

/// Bundles and their bytes.
pub(super) fn totals(tx: &Transaction<'_>) -> rusqlite::Result<(u64, u64)> {
    tx.query_row("SELECT count(*), coalesce(sum(size), 0) FROM bundles", [], |row| {
        Ok((count(row.get(0)?), count(row.get(1)?)))
    })
}

pub(super) fn insert_event(
    tx: &Transaction<'_>,
    at: CaptureTime,
    kind: &str,
    words: &str,
) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT INTO events (at, kind, words) VALUES (?, ?, ?)")?
        .execute((at.0, kind, words))?;
    let id = tx.last_insert_rowid();
    tx.prepare_cached("DELETE FROM events WHERE id <= ?")?.execute([id - MAX_EVENTS])?;
    Ok(())
}

/// One account as it is stored.
#[derive(Debug)]
pub(super) struct AccountRow {
    pub(super) epoch: Epoch,
    pub(super) model: String,
    pub(super) account: Account,
    pub(super) last_taken: Option<MediaTime>,
    pub(super) closed: bool,
    pub(super) folded: bool,
}

/// All accounts, what was shed put in, in the order of epoch and model.
pub(super) fn accounts(tx: &Transaction<'_>) -> rusqlite::Result<Vec<AccountRow>> {
    let mut shed = shed_frames(tx)?;
    tx.prepare("SELECT epoch, model, account, last_taken, closed FROM accounts")?
        .query_map([], |row| {
            let (epoch, model): (i64, String) = (row.get(0)?, row.get(1)?);
            let mut account = account(&row.get::<_, String>(2)?)?;
            account.shed = shed.remove(&(epoch, model.clone())).unwrap_or_default();
            let last_taken = row.get::<_, Option<i64>>(3)?.map(MediaTime);
            let closed: i64 = row.get(4)?;
            Ok(AccountRow {
                epoch: Epoch(count(epoch)),
                model,
                account,
                last_taken,
                closed: closed != 0,
                folded: closed == FOLDED,
            })
        })?
        .collect()
}

type ShedFrames = BTreeMap<(i64, String), BTreeMap<String, u64>>;

fn shed_frames(tx: &Transaction<'_>) -> rusqlite::Result<ShedFrames> {
    let mut all = ShedFrames::new();
    let mut statement = tx.prepare("SELECT epoch, model, reason, frames FROM shed")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let of_lane = all.entry((row.get(0)?, row.get(1)?)).or_default();
        of_lane.insert(row.get(2)?, count(row.get(3)?));
    }
    Ok(all)
}

fn account(text: &str) -> rusqlite::Result<Account> {
    serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(2, Type::Text, error.into()))
}

pub(super) fn to_sql_error(error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(error.into())
}

/// A count as SQLite holds it.
pub(super) fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A count as SQLite gave it.
pub(super) fn count(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}
