//! Filing: buffered rows become Parquet files of the table, by size or age; each row in exactly one file.
//!
//! In: the rows of `table/buffer.sqlite`. Out: `table/detections/dt=…/hour=…/part-….parquet`, hours by delivery
//! time. Four steps, each durable before the next begins:
//!
//! 1. seal: a batch is made of an hour's rows up to one row; it decides the file's rows and name,
//! 2. write: the rows go to a temporary file beside it,
//! 3. publish: the temporary file is renamed,
//! 4. settle: one transaction lists the file and takes the rows out of the buffer.
//!
//! A crash between any two repeats the steps after the seal with the same rows and the same name. What lists the
//! table by the buffer ([`snapshot`](super::snapshot())) sees a row once at any moment.

use std::convert::Infallible;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::buffer::{self, Batch, FORMAT, FiledPart, OpenHour};
use super::parquet::PartWriter;
use crate::clock::Clock;
use crate::durable;
use crate::error::PortError;
use crate::sqlite::{self, Database};
use crate::time::CaptureTime;

/// How often the buffer is looked at, when all is well.
const TICK: Duration = Duration::from_secs(1);
/// The longest that filing may hold up an end.
const LAST_PASS: Duration = Duration::from_secs(3);
/// How often it is looked at, at least, when filing fails.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Rows that are in memory at once.
const CHUNK_ROWS: u32 = 4_096;

/// When rows become a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilingPolicy {
    /// Rows are filed, the oldest hour's first, while those of all hours are this many bytes as JSON.
    pub max_bytes: u64,
    /// An hour's rows are filed when there are this many; no file has more.
    pub max_rows: u32,
    /// An hour's rows are filed when the oldest has waited this long.
    pub max_age: Duration,
}

impl Default for FilingPolicy {
    fn default() -> Self {
        Self { max_bytes: 8 * 1_024 * 1_024, max_rows: 100_000, max_age: Duration::from_secs(300) }
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

    /// Files what is due, and what a crash left half filed, while `work` delivers rows; then all rows, so that whoever
    /// reads the files alone finds them. What that has no time for stays buffered: it is durable.
    pub async fn beside<T>(&self, work: impl Future<Output = T>) -> T {
        let done = tokio::select! {
            biased;
            done = work => done,
            never = self.file_when_due() => match never {},
        };
        match timeout(LAST_PASS, self.file_all()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "filing failed; the rows stay in the buffer"),
            Err(_) => tracing::info!("rows stay in the buffer: filing them takes too long"),
        }
        done
    }

    async fn file_when_due(&self) -> Infallible {
        let mut pause = TICK;
        loop {
            match self.file_due().await {
                Ok(filed) => {
                    pause = TICK;
                    if filed.files > 0 {
                        tracing::debug!(files = filed.files, rows = filed.rows, "filed rows");
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "filing failed; the rows stay in the buffer");
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Files what is due now. Does nothing while another process files.
    ///
    /// # Errors
    /// When a file cannot be written; the rows stay in the buffer.
    pub async fn file_due(&self) -> Result<Filed, PortError> {
        self.blocking(|work| {
            let lock = work.lock_file()?;
            match lock.try_lock() {
                Ok(()) => work.pass(|open, held| work.policy.is_due(open, held, work.clock.now())),
                Err(TryLockError::WouldBlock) => Ok(Filed::default()),
                Err(TryLockError::Error(error)) => Err(work.lock_failed(error)),
            }
        })
        .await
    }

    /// Files every row that is in the buffer, however young, after waiting for whoever files.
    ///
    /// # Errors
    /// When a file cannot be written; the rows stay in the buffer.
    pub async fn file_all(&self) -> Result<Filed, PortError> {
        self.blocking(|work| {
            let lock = work.lock_file()?;
            lock.lock().map_err(|error| work.lock_failed(error))?;
            let begun = work.clock.now();
            work.pass(|open, _| open.oldest <= begun)
        })
        .await
    }

    async fn blocking(
        &self,
        pass: impl FnOnce(&Work) -> Result<Filed, PortError> + Send + 'static,
    ) -> Result<Filed, PortError> {
        let work = Arc::clone(&self.work);
        let attempt = || self.work.database.attempt("file rows of");
        sqlite::blocking(attempt, move || pass(&work)).await
    }
}

/// The filing of one buffer. All of it blocks.
#[derive(Debug)]
struct Work {
    table: PathBuf,
    database: Database,
    policy: FilingPolicy,
    clock: Clock,
}

impl Work {
    fn open(table: &Path, policy: FilingPolicy, clock: Clock) -> Result<Self, PortError> {
        let database = Database::open(&buffer::buffer_path(table), &FORMAT)?;
        Ok(Self { table: table.to_owned(), database, policy, clock })
    }

    fn lock_path(&self) -> PathBuf {
        self.table.join("filing.lock")
    }

    fn lock_file(&self) -> Result<File, PortError> {
        File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.lock_path())
            .map_err(|error| self.lock_failed(error))
    }

    fn lock_failed(&self, error: io::Error) -> PortError {
        PortError::io(format!("lock file {:?}", self.lock_path()), error)
    }

    /// Files what is sealed, then hour by hour what is due.
    fn pass(&self, is_due: impl Fn(&OpenHour, i64) -> bool) -> Result<Filed, PortError> {
        let mut filed = Filed::default();
        loop {
            while let Some(batch) = buffer::sealed(&self.database)? {
                filed.rows += self.file(&batch)?;
                filed.files += 1;
            }
            let open = buffer::open_hours(&self.database)?;
            let held = open.iter().map(|hour| hour.bytes).sum();
            let Some(due) = open.into_iter().find(|hour| is_due(hour, held)) else {
                return Ok(filed);
            };
            buffer::seal(&self.database, due.hour, self.policy.max_rows)?;
        }
    }

    fn file(&self, batch: &Batch) -> Result<u64, PortError> {
        let part = self.write(batch)?;
        self.publish(&part)?;
        buffer::settle(&self.database, batch, &part, self.clock.now())?;
        Ok(part.rows)
    }

    /// Writes a batch's rows beside the place where the file belongs.
    fn write(&self, batch: &Batch) -> Result<FiledPart, PortError> {
        let path = batch.path();
        let temporary = temporary(&self.table.join(&path));
        durable::create_folder(durable::parent(&temporary))?;
        let mut writer = PartWriter::create(&temporary)?;
        let (mut rows, mut last) = (0, 0);
        loop {
            let (chunk, id) = buffer::batch_rows(&self.database, batch, last, CHUNK_ROWS)?;
            if chunk.is_empty() {
                break;
            }
            writer.add(&chunk)?;
            rows += chunk.len() as u64;
            last = id;
        }
        Ok(FiledPart { path, rows, bytes: writer.finish()? })
    }

    /// Gives a written file its place.
    fn publish(&self, part: &FiledPart) -> Result<(), PortError> {
        let path = self.table.join(&part.path);
        durable::rename(&temporary(&path), &path)
            .map_err(|error| PortError::io(format!("publish file {path:?}"), error))
    }
}

/// Where a file is written: hidden, so that nobody who reads the folder takes it for a part of the table.
fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.tmp"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::MadeUpClock;
    use crate::delivery::Hour;
    use crate::delivery::tests::{frame_ids, row};

    const START: CaptureTime = CaptureTime(1_795_262_000_000_000);

    fn work(table: &Path, clock: &MadeUpClock) -> Work {
        let policy = FilingPolicy { max_rows: 3, ..FilingPolicy::default() };
        Work::open(table, policy, clock.clock()).unwrap()
    }

    fn put(work: &Work, seqs: std::ops::Range<u64>) {
        let bodies: Vec<_> =
            seqs.map(|seq| serde_json::to_string(&row("gate", seq, 0)).unwrap()).collect();
        buffer::insert(&work.database, &bodies, work.clock.now(), u64::MAX).unwrap();
    }

    fn parts(table: &Path) -> usize {
        crate::delivery::snapshot(&buffer::buffer_path(table)).unwrap().files.len()
    }

    #[test]
    fn rows_are_due_by_size_count_or_age_and_not_before() {
        let policy =
            FilingPolicy { max_bytes: 100, max_rows: 10, max_age: Duration::from_secs(60) };
        let young = OpenHour { hour: Hour(0), rows: 9, bytes: 50, oldest: START };
        let now = CaptureTime(START.0 + 59_999_999);
        assert!(!policy.is_due(&young, 99, now));
        assert!(policy.is_due(&young, 100, now));
        assert!(policy.is_due(&OpenHour { rows: 10, ..young }, 99, now));
        assert!(policy.is_due(&young, 99, CaptureTime(START.0 + 60_000_000)));
        assert!(!policy.is_due(&young, 99, CaptureTime(0)), "a clock set back makes nothing due");
    }

    #[test]
    fn each_hour_of_delivery_gets_its_own_files_of_bounded_size() {
        let table = tempfile::tempdir().unwrap();
        let clock = MadeUpClock::at(START);
        let work = work(table.path(), &clock);
        put(&work, 0..4);
        clock.advance(Duration::from_secs(3_600));
        put(&work, 4..5);
        assert_eq!(work.pass(|_, _| true).unwrap(), Filed { files: 3, rows: 5 });
        assert_eq!(parts(table.path()), 3);
        assert!(table.path().join("detections/dt=2026-11-21/hour=12").is_dir());
        assert_eq!(frame_ids(table.path()).len(), 5);
    }

    #[tokio::test]
    async fn one_files_at_a_time() {
        let table = tempfile::tempdir().unwrap();
        let clock = MadeUpClock::at(START);
        let policy = FilingPolicy { max_age: Duration::ZERO, ..FilingPolicy::default() };
        let filer = Filer::open(table.path(), policy, clock.clock()).unwrap();
        put(&filer.work, 0..1);
        let other = filer.work.lock_file().unwrap();
        other.lock().unwrap();
        assert_eq!(filer.file_due().await.unwrap(), Filed::default());
        drop(other);
        assert_eq!(filer.file_due().await.unwrap(), Filed { files: 1, rows: 1 });
    }

    #[tokio::test]
    async fn the_end_of_the_work_files_young_rows_too() {
        let table = tempfile::tempdir().unwrap();
        let clock = MadeUpClock::at(START);
        let filer = Filer::open(table.path(), FilingPolicy::default(), clock.clock()).unwrap();
        let work = async {
            put(&filer.work, 0..1);
            filer.file_due().await.unwrap()
        };
        assert_eq!(filer.beside(work).await, Filed::default());
        assert_eq!((parts(table.path()), frame_ids(table.path()).len()), (1, 1));
    }

    /// Runs a pass that dies after so many durable steps.
    fn die_after(work: &Work, steps: usize) -> Option<()> {
        let mut left = steps;
        let mut step = || {
            left = left.checked_sub(1)?;
            Some(())
        };
        loop {
            while let Some(batch) = buffer::sealed(&work.database).unwrap() {
                step()?;
                let part = work.write(&batch).unwrap();
                step()?;
                work.publish(&part).unwrap();
                step()?;
                buffer::settle(&work.database, &batch, &part, work.clock.now()).unwrap();
            }
            let open = buffer::open_hours(&work.database).unwrap();
            step()?;
            buffer::seal(&work.database, open.first()?.hour, work.policy.max_rows).unwrap();
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        #[test]
        fn a_crash_after_any_step_neither_loses_nor_doubles_a_row(
            lives in prop::collection::vec((0_u64..6, 0_usize..12), 1..6)
        ) {
            let table = tempfile::tempdir().unwrap();
            let clock = MadeUpClock::at(START);
            let mut accepted = 0;
            for (rows, steps) in lives {
                let work = work(table.path(), &clock);
                put(&work, accepted..accepted + rows);
                accepted += rows;
                die_after(&work, steps);
                let seen = frame_ids(table.path());
                let expected: Vec<_> =
                    (0..accepted).map(|seq| row("gate", seq, 0).frame_id).collect();
                prop_assert_eq!(seen, expected);
                clock.advance(Duration::from_secs(1_800));
            }
            work(table.path(), &clock).pass(|_, _| true).unwrap();
            prop_assert_eq!(frame_ids(table.path()).len() as u64, accepted);
        }
    }
}
