//! The steps of filing, on one buffer. All of it blocks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use super::{Filed, FilingPolicy};
use crate::clock::Clock;
use crate::data_folder::DataFolder;
use crate::delivery::buffer::{self, Batch, Chunk, OpenHour};
use crate::delivery::columns::{Hour, to_record_batch};
use crate::delivery::list::{self, FiledPart, temporary};
use crate::delivery::parquet::{PartReader, PartWriter};
use crate::delivery::readers::Turns;
use crate::delivery::untouched;
use crate::durable;
use crate::error::{ErrorKind, PortError};
use crate::sqlite::Database;

/// Rows that are in memory at once.
pub(super) const CHUNK_ROWS: u32 = 4_096;

/// The table's files.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Of hours that are over and of which every row is filed.
    pub(super) closed: BTreeMap<Hour, Vec<FiledPart>>,
    /// Of other hours.
    pub(super) open: Vec<FiledPart>,
    /// Those that could not be read this hour, wherever they are.
    pub(super) unfit: Vec<FiledPart>,
}

/// The filing of one buffer.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) table: PathBuf,
    pub(super) database: Database,
    pub(super) policy: FilingPolicy,
    pub(super) clock: Clock,
    /// Where the queues lie whose messages name frames of the table.
    pub(super) queues: Option<DataFolder>,
    pub(super) turns: Mutex<Turns>,
    /// Files that could not be read when they were to be put together with others, or to leave, and the hour in which that
    /// was: they are left alone until it is over.
    unfit: Mutex<BTreeMap<String, Hour>>,
    /// Whether the folder was looked through for files that the list does not know.
    pub(super) has_looked: AtomicBool,
}

/// What lies in the place of a batch's file.
#[derive(Debug)]
pub(super) enum Found {
    Nothing,
    /// The file: a crash came before the batch was settled.
    Same(FiledPart),
    /// Something else, and why it is not the file.
    Other(String),
}

impl Work {
    pub(super) fn open(
        table: &Path,
        policy: FilingPolicy,
        clock: Clock,
    ) -> Result<Self, PortError> {
        let database = untouched::open(table)?;
        Ok(Self {
            table: table.to_owned(),
            database,
            policy,
            clock,
            queues: None,
            turns: Mutex::default(),
            unfit: Mutex::default(),
            has_looked: AtomicBool::default(),
        })
    }

    /// Files what is sealed, then hour by hour what is due. At first warns of files that are in no list.
    pub(super) fn pass(&self, is_due: impl Fn(&OpenHour, i64) -> bool) -> Result<Filed, PortError> {
        self.warn_of_unknown();
        let mut filed = Filed::default();
        loop {
            while let Some(batch) = buffer::sealed(&self.database)? {
                if let Some(part) = self.file(&batch)? {
                    filed.rows += part.rows;
                    filed.files += 1;
                }
            }
            let open = buffer::open_hours(&self.database)?;
            let held = open.iter().map(|hour| hour.bytes).sum();
            let Some(due) = open.into_iter().find(|hour| is_due(hour, held)) else {
                return Ok(filed);
            };
            self.seal(due.hour)?;
        }
    }

    pub(super) fn seal(&self, hour: Hour) -> Result<(), PortError> {
        buffer::seal(&self.database, hour, self.policy.max_rows, self.clock.now())
    }

    /// Files a sealed batch. Gives none when no row of it can be read, or it has to draw another name first.
    fn file(&self, batch: &Batch) -> Result<Option<FiledPart>, PortError> {
        let now = self.clock.now();
        let part = match self.find(batch)? {
            Found::Nothing => self.write(batch)?.map(|part| self.publish(part)).transpose()?,
            Found::Same(part) => Some(part),
            Found::Other(why) => {
                let path = self.table.join(batch.path());
                tracing::error!(file = %path.display(), why, "a file has a batch's place, and keeps it");
                buffer::rename(&self.database, batch, now)?;
                return Ok(None);
            }
        };
        buffer::settle(&self.database, batch, part.as_ref(), now)?;
        Ok(part)
    }

    /// Looks at the place of a batch's file.
    pub(super) fn find(&self, batch: &Batch) -> Result<Found, PortError> {
        let path = self.table.join(batch.path());
        let attempt = || format!("look for file {path:?}");
        if !path.try_exists().map_err(|error| PortError::io(attempt(), error))? {
            return Ok(Found::Nothing);
        }
        match self.compare(batch, &path) {
            Ok(Some(part)) => Ok(Found::Same(part)),
            Ok(None) => Ok(Found::Other("it has other rows".to_owned())),
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(Found::Other(error.to_string())),
            Err(error) => Err(error),
        }
    }

    /// The file at `path` as the batch's own, when its rows are the batch's.
    fn compare(&self, batch: &Batch, path: &Path) -> Result<Option<FiledPart>, PortError> {
        let reader = PartReader::open(path)?;
        let bytes = reader.bytes();
        let (mut rows, mut last) = (0, 0);
        for filed in reader.batches(CHUNK_ROWS as usize)? {
            let filed = filed?;
            let limit = u32::try_from(filed.num_rows()).unwrap_or(u32::MAX);
            let Some(chunk) = self.rows_of(batch, last, limit)? else { return Ok(None) };
            if to_record_batch(&chunk.rows).columns() != filed.columns() {
                return Ok(None);
            }
            rows += u64::from(limit);
            last = chunk.last;
        }
        let is_whole = rows > 0 && self.rows_of(batch, last, 1)?.is_none();
        Ok(is_whole.then(|| FiledPart { path: batch.path(), rows, bytes }))
    }

    fn rows_of(&self, batch: &Batch, after: i64, limit: u32) -> Result<Option<Chunk>, PortError> {
        buffer::batch_rows(&self.database, batch, after, limit, self.clock.now())
    }

    /// Writes a batch's rows beside the place where the file belongs; `None` when no row can be read.
    pub(super) fn write(&self, batch: &Batch) -> Result<Option<FiledPart>, PortError> {
        let path = batch.path();
        let temporary = temporary(&self.table.join(&path));
        durable::create_folder(durable::parent(&temporary))?;
        let mut writer = PartWriter::create(&temporary)?;
        let (mut rows, mut last) = (0, 0);
        while let Some(chunk) = self.rows_of(batch, last, CHUNK_ROWS)? {
            writer.add(&to_record_batch(&chunk.rows))?;
            rows += chunk.rows.len() as u64;
            last = chunk.last;
        }
        let bytes = writer.finish()?;
        if rows == 0 {
            let attempt = || format!("remove file {temporary:?}");
            durable::remove_if_there(&temporary)
                .map_err(|error| PortError::io(attempt(), error))?;
            return Ok(None);
        }
        Ok(Some(FiledPart { path, rows, bytes }))
    }

    /// The files that are part of the table.
    pub(super) fn files(&self) -> Result<Files, PortError> {
        let now = Hour::of(self.clock.now());
        let (parts, open) = self.database.read("read", |transaction| {
            Ok((list::parts(transaction)?, list::open_hours(transaction)?))
        })?;
        let mut unfit = self.unfit.lock().unwrap_or_else(PoisonError::into_inner);
        unfit.retain(|_, since| *since == now);
        let mut files = Files::default();
        for part in parts {
            let hour = Hour::of_path(Path::new(&part.path));
            match hour.filter(|hour| *hour < now && !open.contains(hour)) {
                _ if unfit.contains_key(&part.path) => files.unfit.push(part),
                Some(hour) => files.closed.entry(hour).or_default().push(part),
                None => files.open.push(part),
            }
        }
        Ok(files)
    }

    /// Leaves a file alone that could not be read, until the next hour.
    pub(super) fn leave_alone(&self, path: String) {
        let now = Hour::of(self.clock.now());
        self.unfit.lock().unwrap_or_else(PoisonError::into_inner).insert(path, now);
    }

    /// Gives a written file its place, where nothing lies.
    pub(super) fn publish(&self, part: FiledPart) -> Result<FiledPart, PortError> {
        let path = self.table.join(&part.path);
        durable::rename(&temporary(&path), &path)
            .map_err(|error| PortError::io(format!("publish file {path:?}"), error))?;
        Ok(part)
    }
}
