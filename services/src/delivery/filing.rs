//! Filing: buffered rows become Parquet files of the table, by size or age; each row in exactly one file.
//!
//! In: the rows of `table/buffer.sqlite`. Out: `table/detections/dt=…/hour=…/part-….parquet`, hours by delivery
//! time. Four steps, each durable before the next begins:
//!
//! 1. seal: a batch is made of an hour's rows up to one row; it decides the file's rows and draws its name,
//! 2. write: the rows go to a temporary file beside it,
//! 3. publish: the temporary file is renamed,
//! 4. settle: one transaction lists the file and takes the rows out of the buffer.
//!
//! A crash between any two repeats the steps after the seal with the same rows and the same name; a file that is
//! there with the batch's rows is taken as it is. No file is ever replaced: one of other rows keeps its place, and
//! the batch draws another name. What lists the table by the buffer ([`snapshot`](super::snapshot())) sees a row once
//! at any moment.
//!
//! Beside that the files are tended: the oldest hours [leave](retention) when they are due, the files of other past hours
//! are put [together](compaction), and those that have left the table are [removed](sweep).

mod compaction;
mod retention;
mod sweep;
mod tally;
mod tend;
mod waiting;
mod work;

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::work::Work;
use super::buffer::OpenHour;
use super::lock::FilingLock;
use crate::clock::Clock;
use crate::data_folder::DataFolder;
use crate::error::PortError;
use crate::keep::Keep;
use crate::retry::Backoff;
use crate::sqlite;
use crate::stop::LAST_PASS;
use crate::time::CaptureTime;

/// How often the buffer is looked at, when all is well.
const TICK: Duration = Duration::from_secs(1);
/// How often it is looked for files to put together and for files to remove.
const TEND: Duration = Duration::from_secs(60);
/// How soon it is looked again where another filed at that time.
const TEND_AGAIN: Duration = Duration::from_secs(1);
/// How often it is looked at, at least, when filing fails.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// When rows become a file, and when they leave the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilingPolicy {
    /// Rows are filed, the oldest hour's first, while those of all hours are this many bytes as JSON.
    pub max_bytes: u64,
    /// An hour's rows are filed when there are this many; no file has more.
    pub max_rows: u32,
    /// An hour's rows are filed when the oldest has waited this long.
    pub max_age: Duration,
    /// How much of what is filed is kept.
    pub keep: Keep,
}

impl Default for FilingPolicy {
    fn default() -> Self {
        Self {
            max_bytes: 8 * 1_024 * 1_024,
            max_rows: 100_000,
            max_age: Duration::from_secs(300),
            keep: Keep::default(),
        }
    }
}

impl FilingPolicy {
    /// Tells whether an hour's rows are due, of `held` bytes of rows in all.
    fn is_due(&self, open: &OpenHour, held: i64, now: CaptureTime) -> bool {
        let age = u64::try_from(now.0.saturating_sub(open.oldest.0)).unwrap_or(0);
        held >= i64::try_from(self.max_bytes).unwrap_or(i64::MAX)
            || open.rows >= i64::from(self.max_rows)
            || Duration::from_micros(age) >= self.max_age
    }
}

/// What a pass of filing did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filed {
    /// Files that were added to the table.
    pub files: u64,
    /// Rows in them.
    pub rows: u64,
}

/// What was done for the table's files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tended {
    /// Files that others were put together in.
    pub made: u64,
    /// Files that left the table with that: their rows are in the files that were made.
    pub left: u64,
    /// Files that left the table with their time.
    pub retired: u64,
    /// Files that had left, and are removed.
    pub removed: u64,
    /// Whether another was filing, so that more may be to do.
    pub is_held_up: bool,
}

/// Files the rows of one buffer.
///
/// Any number of them may exist, in any number of processes: an OS lock lets one work at a time.
#[derive(Clone, Debug)]
pub struct Filer {
    work: Arc<Work>,
}

impl Filer {
    /// A filer for the table in the folder `table`, whose buffer exists.
    ///
    /// # Errors
    /// When the folder is not writable, or the buffer is damaged or something else.
    pub fn open(table: &Path, policy: FilingPolicy, clock: Clock) -> Result<Self, PortError> {
        Ok(Self { work: Arc::new(Work::open(table, policy, clock)?) })
    }

    /// A filer for the table of a data folder. What its queues name does not count as retired when its rows leave.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_in(
        folder: &DataFolder,
        policy: FilingPolicy,
        clock: Clock,
    ) -> Result<Self, PortError> {
        let mut work = Work::open(&folder.table(), policy, clock)?;
        work.queues = Some(folder.clone());
        Ok(Self { work: Arc::new(work) })
    }

    /// Files what is due, and what a crash left half filed, and [tends](Self::tend) the files, while `work` delivers rows;
    /// then files all rows, so that whoever reads the files alone finds them. What that has no time for stays buffered: it
    /// is durable.
    pub async fn beside<T>(&self, work: impl Future<Output = T>) -> T {
        let done = tokio::select! {
            biased;
            done = work => done,
            never = self.file_when_due() => match never {},
            never = self.tend_often() => match never {},
        };
        match timeout(LAST_PASS, self.file_all()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "filing failed; the rows stay in the buffer"),
            Err(_) => tracing::info!("rows stay in the buffer: filing them takes too long"),
        }
        done
    }

    async fn file_when_due(&self) -> Infallible {
        let mut backoff = Backoff::new(TICK * 2, LONGEST_PAUSE);
        loop {
            match self.file_due().await {
                Ok(filed) => {
                    backoff.reset();
                    if filed.files > 0 {
                        tracing::debug!(files = filed.files, rows = filed.rows, "filed rows");
                    }
                    tokio::time::sleep(TICK).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "filing failed; the rows stay in the buffer");
                    backoff.pause().await;
                }
            }
        }
    }

    async fn tend_often(&self) -> Infallible {
        loop {
            let tended = self.tend().await;
            match tended {
                Ok(Tended { made: 0, retired: 0, removed: 0, .. }) => {}
                Ok(Tended { made, left, retired, removed, .. }) => {
                    tracing::info!(made, left, retired, removed, "tended the files of rows");
                }
                Err(ref error) => tracing::warn!(%error, "tending the files of rows failed"),
            }
            let is_held_up = tended.is_ok_and(|done| done.is_held_up);
            tokio::time::sleep(if is_held_up { TEND_AGAIN } else { TEND }).await;
        }
    }

    /// Has the oldest hours leave that are due, puts the small files of other hours that are over together, and removes files
    /// that have left the table and that nobody reads. Leaves off between two files while another process files, and soon after this is dropped.
    ///
    /// # Errors
    /// When a file cannot be written or removed, after what can be done without it; every row that is kept is in the table
    /// as before.
    pub async fn tend(&self) -> Result<Tended, PortError> {
        let stop = CancellationToken::new();
        let _stop_when_dropped = stop.clone().drop_guard();
        self.blocking(move |work| work.tend(&stop)).await
    }

    /// Files what is due now. Does nothing while another process files.
    ///
    /// # Errors
    /// When a file cannot be written; the rows stay in the buffer.
    pub async fn file_due(&self) -> Result<Filed, PortError> {
        self.blocking(|work| {
            let Some(_lock) = FilingLock::try_take(&work.table)? else {
                return Ok(Filed::default());
            };
            work.pass(|open, held| work.policy.is_due(open, held, work.clock.now()))
        })
        .await
    }

    /// Files every row that is in the buffer, however young, after waiting for whoever files.
    ///
    /// # Errors
    /// When a file cannot be written; the rows stay in the buffer.
    pub async fn file_all(&self) -> Result<Filed, PortError> {
        self.blocking(|work| {
            let _lock = FilingLock::take(&work.table)?;
            let begun = work.clock.now();
            work.pass(|open, _| open.oldest <= begun)
        })
        .await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        pass: impl FnOnce(&Work) -> Result<T, PortError> + Send + 'static,
    ) -> Result<T, PortError> {
        let work = Arc::clone(&self.work);
        let attempt = || self.work.database.attempt("file rows of");
        sqlite::blocking(attempt, move || pass(&work)).await
    }
}

#[cfg(test)]
mod tests;
