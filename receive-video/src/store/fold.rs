//! The accounts of past epochs that are kept apart no longer: one sum.

use std::collections::BTreeMap;
use std::time::Duration;

use rusqlite::Transaction;
use services::{Account, CaptureTime, Epoch, Keep, MediaTime};

use super::tables::{self, FOLDED, count, int};

/// Epochs per stream whose accounts are kept apart, whatever the configuration says.
const MOST_EPOCHS: usize = 1_000;

/// An epoch's accounts, those of all models together.
struct EpochTexts {
    epoch: i64,
    bytes: u64,
    /// When the last frame was taken.
    last: CaptureTime,
}

impl EpochTexts {
    fn age(&self, now: CaptureTime) -> Duration {
        Duration::from_millis(u64::try_from(self.last.millis_until(now)).unwrap_or(0))
    }
}

/// Folds the accounts of all epochs but those that are kept into one, under the newest of theirs. An epoch that is not over
/// waits for its turn, and those after it.
pub(super) fn fold(tx: &Transaction<'_>, keep: Keep, now: CaptureTime) -> rusqlite::Result<()> {
    let epochs = epochs(tx)?;
    let Some(newest) = newest_to_fold(&epochs, keep, now, first_open(tx)?) else {
        return Ok(());
    };
    if epochs.iter().filter(|epoch| epoch.epoch <= newest).count() < 2 {
        return Ok(());
    }
    let sums = sums_up_to(tx, newest)?;
    tx.execute("DELETE FROM accounts WHERE epoch <= ?", [newest])?;
    tx.execute("DELETE FROM shed WHERE epoch <= ?", [newest])?;
    for (model, Sum { mut account, last_taken }) in sums {
        for (reason, frames) in std::mem::take(&mut account.shed) {
            tables::count_shed(tx, newest, &model, &reason, int(frames))?;
        }
        let account = serde_json::to_string(&account).map_err(tables::to_sql_error)?;
        tx.execute(
            "INSERT INTO accounts VALUES (?, ?, ?, ?, ?)",
            (newest, model, account, last_taken.map(|last| last.0), FOLDED),
        )?;
    }
    Ok(())
}

/// The newest of the epochs (newest first) that are not kept apart; none from `open` on is given.
fn newest_to_fold(epochs: &[EpochTexts], keep: Keep, now: CaptureTime, open: i64) -> Option<i64> {
    let mut bytes = 0;
    let kept = |(number, epoch): &(usize, &EpochTexts)| {
        bytes += epoch.bytes;
        let is_kept = *number < MOST_EPOCHS
            && keep.age.is_none_or(|longest| epoch.age(now) <= longest)
            && keep.bytes.is_none_or(|most| bytes <= most);
        is_kept || epoch.epoch >= open
    };
    epochs.iter().enumerate().skip_while(kept).map(|(_, epoch)| epoch.epoch).next()
}

/// The first epoch that is not over.
fn first_open(tx: &Transaction<'_>) -> rusqlite::Result<i64> {
    let first = "SELECT min(epoch) FROM accounts WHERE closed = 0";
    let first: Option<i64> = tx.prepare_cached(first)?.query_row([], |row| row.get(0))?;
    Ok(first.unwrap_or(i64::MAX))
}

/// All epochs, the newest first.
fn epochs(tx: &Transaction<'_>) -> rusqlite::Result<Vec<EpochTexts>> {
    let sizes = "SELECT epoch, sum(bytes), max(last_taken) FROM (
            SELECT epoch, length(model) + length(account) AS bytes, last_taken FROM accounts
            UNION ALL SELECT epoch, length(model) + length(reason), NULL FROM shed
        ) GROUP BY epoch ORDER BY epoch DESC";
    tx.prepare_cached(sizes)?
        .query_map([], |row| {
            let (epoch, bytes): (i64, i64) = (row.get(0)?, row.get(1)?);
            let last = MediaTime(row.get::<_, Option<i64>>(2)?.unwrap_or(0));
            let last = Epoch(count(epoch)).begin().after(last);
            Ok(EpochTexts { epoch, bytes: count(bytes), last })
        })?
        .collect()
}

/// One model's accounts together.
#[derive(Default)]
struct Sum {
    account: Account,
    /// Of the newest of the epochs.
    last_taken: Option<MediaTime>,
}

/// The sum of each model's accounts, of the epochs up to one.
fn sums_up_to(tx: &Transaction<'_>, newest: i64) -> rusqlite::Result<BTreeMap<String, Sum>> {
    let mut sums = BTreeMap::<String, Sum>::new();
    for row in tables::accounts(tx)?.into_iter().filter(|row| int(row.epoch.0) <= newest) {
        let sum = sums.entry(row.model).or_default();
        sum.account.add(&row.account);
        if int(row.epoch.0) == newest {
            sum.last_taken = row.last_taken;
        }
    }
    Ok(sums)
}
