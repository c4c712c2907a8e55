//! What a stream's spool tells the audit, read beside a running receiver or after its death.

use std::path::Path;

use rusqlite::types::Type;
use services::sqlite::Database;
use services::{Account, Epoch, MediaTime, ModelName, PortError};

use super::tables::{self, AccountRow, FORMAT};

/// Keys of objects read at a time.
const KEYS_PER_PAGE: i64 = 1_000;

/// A spool as it was at one moment.
#[derive(Clone, Debug)]
pub struct SpoolAudit {
    /// The accounts, in the order of epoch and model.
    pub accounts: Vec<EpochAccount>,
    /// The messages of the bundles that are not shipped yet, oldest first. A bundle may be here and in its queue.
    pub pending: Vec<String>,
}

/// The account of one epoch and model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochAccount {
    /// The connection.
    pub epoch: Epoch,
    /// The model.
    pub model: ModelName,
    /// What became of its access units.
    pub account: Account,
    /// Media time of the last frame taken: all frames taken are at or before it, and no frame taken later is.
    pub last_taken: Option<MediaTime>,
    /// The epoch has ended.
    pub closed: bool,
    /// It is the sum of this epoch's account and of all before it, which are not kept apart any more.
    pub folded: bool,
}

/// Something that happened to a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// When.
    pub at: services::CaptureTime,
    /// What kind of event, one word.
    pub kind: String,
    /// What happened and what follows, in words.
    pub words: String,
}

/// A part of a spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept<'a> {
    /// An account.
    Account(EpochAccount),
    /// The message of a bundle that is not shipped yet. The bundle may be in its queue, too.
    Pending(&'a str),
}

/// Reads a stream's spool ([`DataFolder::spool`](services::DataFolder::spool)) into memory. Blocks.
///
/// # Errors
/// As [`visit`].
pub fn audit(path: &Path) -> Result<SpoolAudit, PortError> {
    let mut spool = SpoolAudit { accounts: Vec::new(), pending: Vec::new() };
    visit(path, |kept| match kept {
        Kept::Account(account) => spool.accounts.push(account),
        Kept::Pending(message) => spool.pending.push(message.to_owned()),
    })?;
    Ok(spool)
}

/// Shows a spool as it is at one moment, each part for the time of the call alone: the accounts in the order of epoch and
/// model, then what is pending, oldest first. Blocks.
///
/// Whoever shows holds up the cutting of a writer's log: it has a bound, past which the writer is told so.
///
/// # Errors
/// `NotFound` when there is none; `Corrupt` when it is none of this version.
pub fn visit(path: &Path, mut show: impl FnMut(Kept<'_>)) -> Result<(), PortError> {
    let database = Database::open_read_only(path, &FORMAT)?;
    database.read("read", |tx| {
        for row in tables::accounts(tx)? {
            show(Kept::Account(epoch_account(row)?));
        }
        let mut pending = tx.prepare("SELECT message FROM bundles ORDER BY id")?;
        let mut rows = pending.query([])?;
        while let Some(row) = rows.next()? {
            show(Kept::Pending(row.get_ref(0)?.as_str()?));
        }
        Ok(())
    })
}

fn epoch_account(row: AccountRow) -> rusqlite::Result<EpochAccount> {
    let model = ModelName::new(row.model).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(1, Type::Text, Box::new(error))
    })?;
    Ok(EpochAccount {
        epoch: row.epoch,
        model,
        account: row.account,
        last_taken: row.last_taken,
        closed: row.closed,
        folded: row.folded,
    })
}

/// Shows the keys of the objects that bundles on their way belong to. Blocks.
///
/// A page at a time: whoever shows holds up no writer's log.
///
/// # Errors
/// As [`audit`].
pub(crate) fn keys(path: &Path, mut show: impl FnMut(&str)) -> Result<(), PortError> {
    let database = Database::open_read_only(path, &FORMAT)?;
    let mut after = 0;
    loop {
        let page = database.read("read", |tx| tables::keys_after(tx, after, KEYS_PER_PAGE))?;
        page.iter().for_each(|(_, key)| show(key));
        match page.last() {
            Some((last, _)) => after = *last,
            None => return Ok(()),
        }
    }
}

/// Reads the events of a stream, oldest first. Blocks.
///
/// # Errors
/// As [`audit`].
pub fn events(path: &Path) -> Result<Vec<EventRow>, PortError> {
    let database = Database::open_read_only(path, &FORMAT)?;
    database.read("read", |tx| {
        tx.prepare("SELECT at, kind, words FROM events ORDER BY id")?
            .query_map([], |row| {
                let at = services::CaptureTime(row.get(0)?);
                Ok(EventRow { at, kind: row.get(1)?, words: row.get(2)? })
            })?
            .collect()
    })
}
