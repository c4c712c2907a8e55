//! The table's Parquet files: what a scan must know of each, and whether one is to blame when reading fails.

use std::fs::File;
use std::io::{self, Read};
use std::panic::catch_unwind;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::object_store::local::LocalFileSystem;
use datafusion::object_store::{self, ObjectMeta};
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::reader::{ChunkReader, Length};
use services::delivery::ListedFile;
use services::{ErrorKind, PortError};

/// The partition columns, in the order of the folders.
pub(crate) const PARTITION_COLUMNS: [&str; 2] = ["dt", "hour"];

/// One file of the table.
#[derive(Clone, Debug)]
pub(crate) struct FiledRows {
    /// Where it is and how long; it carries its [`ListedFile`].
    pub(crate) file: PartitionedFile,
    /// Its values of the [`PARTITION_COLUMNS`].
    pub(crate) partition: [String; 2],
}

impl FiledRows {
    /// Looks at a file, which lies below the table's folder `root`.
    ///
    /// # Errors
    /// When it is not there, or its path has no `dt=…/hour=…`.
    pub(crate) fn look(root: &Path, listed: ListedFile) -> Result<Self, PortError> {
        let path = listed.path.as_path();
        let attempt = || format!("read rows of {path:?}");
        let found = std::fs::metadata(path).map_err(|error| PortError::io(attempt(), error))?;
        let modified = found.modified().map_err(|error| PortError::io(attempt(), error))?;
        let location = location(root, path).ok_or_else(|| {
            let cause = format!("its path is not one of the table in {root:?}");
            PortError::because(ErrorKind::Corrupt, attempt(), cause)
        })?;
        let partition = partition(path).ok_or_else(|| {
            let cause = "its path has no dt=…/hour=…, expected both";
            PortError::because(ErrorKind::Corrupt, attempt(), cause)
        })?;
        let file = PartitionedFile::new_from_meta(ObjectMeta {
            location,
            last_modified: modified.into(),
            size: found.len(),
            e_tag: None,
            version: None,
        });
        Ok(Self { file: file.with_extension(Arc::new(listed)), partition })
    }
}

/// The file as the [`store`] of its table's folder knows it: the folder's own path stays out of it, for the engine's
/// paths hold neither `..` nor what is not UTF-8.
fn location(root: &Path, path: &Path) -> Option<object_store::path::Path> {
    object_store::path::Path::parse(path.strip_prefix(root).ok()?.to_str()?).ok()
}

/// The files of a table's folder, as the engine reads them.
///
/// # Errors
/// When there is no such folder.
pub(crate) fn store(root: &Path) -> Result<LocalFileSystem, PortError> {
    LocalFileSystem::new_with_prefix(root).map_err(|error| {
        PortError::new(ErrorKind::Unavailable, format!("open folder {root:?}"), error)
    })
}

fn partition(path: &Path) -> Option<[String; 2]> {
    let mut folders = path.parent()?.components().rev();
    let mut value = |column: &str| {
        let folder = folders.next()?.as_os_str().to_str()?;
        Some(folder.strip_prefix(column)?.strip_prefix('=')?.to_owned())
    };
    let [dt, hour] = PARTITION_COLUMNS;
    let hour = value(hour)?;
    Some([value(dt)?, hour])
}

/// Reads a file to its end, as it is by itself. Blocks.
///
/// # Errors
/// When that fails; also where what reads it panics, as it may on bytes that nobody wrote.
pub(crate) fn read_through(path: &Path) -> Result<(), PortError> {
    catch_unwind(|| read(path)).unwrap_or_else(|_| {
        let attempt = format!("read rows of {path:?}");
        Err(PortError::because(ErrorKind::Corrupt, attempt, "its bytes are no file of rows"))
    })
}

fn read(path: &Path) -> Result<(), PortError> {
    let attempt = || format!("read rows of {path:?}");
    let file = File::open(path).map_err(|error| PortError::io(attempt(), error))?;
    read_rows(file, attempt)
}

/// Reads rows to their end; what the system would not read says nothing of what is written there.
fn read_rows<R: ChunkReader + 'static>(
    file: R,
    attempt: impl Fn() -> String,
) -> Result<(), PortError> {
    let failure = Failure::default();
    let file = Remembering { file, failure: failure.clone() };
    let rows = || {
        for batch in ParquetRecordBatchReaderBuilder::try_new(file)?.build()? {
            batch?;
        }
        Ok::<(), ParquetError>(())
    };
    rows().map_err(|error| match failure.take() {
        Some(error) => PortError::io(attempt(), error),
        None => PortError::new(ErrorKind::Corrupt, attempt(), error.to_string()),
    })
}

/// How the system failed to read a file: the engine turns it into text on the way.
#[derive(Clone, Default)]
struct Failure(Arc<Mutex<Option<io::Error>>>);

impl Failure {
    fn take(&self) -> Option<io::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn keep(&self, error: io::Error) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    /// Keeps the system's error, if it is one.
    fn hear(&self, error: ParquetError) -> ParquetError {
        let ParquetError::External(error) = error else { return error };
        match error.downcast::<io::Error>() {
            Ok(error) => {
                let words = error.to_string();
                self.keep(*error);
                ParquetError::General(words)
            }
            Err(error) => ParquetError::External(error),
        }
    }
}

/// A file that remembers why it could not be read.
struct Remembering<R> {
    file: R,
    failure: Failure,
}

impl<R: ChunkReader> Length for Remembering<R> {
    fn len(&self) -> u64 {
        self.file.len()
    }
}

impl<R: ChunkReader> ChunkReader for Remembering<R> {
    type T = Remembering<R::T>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let file = self.file.get_read(start).map_err(|error| self.failure.hear(error))?;
        Ok(Remembering { file, failure: self.failure.clone() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.file.get_bytes(start, length).map_err(|error| self.failure.hear(error))
    }
}

impl<R: Read> Read for Remembering<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.file.read(bytes).inspect_err(|error| {
            // One that is to be tried again is.
            if error.kind() != io::ErrorKind::Interrupted {
                let again = error.raw_os_error().map(io::Error::from_raw_os_error);
                self.failure.keep(again.unwrap_or_else(|| error.kind().into()));
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::SeqCst;

    use arrow_array::{ArrayRef, Int64Array, RecordBatch};
    use datafusion::parquet::arrow::ArrowWriter;

    use super::*;

    #[test]
    fn a_path_tells_its_partition() {
        let path = Path::new("/data/table/detections/dt=2026-11-21/hour=05/part-1.parquet");
        assert_eq!(partition(path).unwrap(), ["2026-11-21", "05"]);
        assert_eq!(partition(Path::new("/data/dt=2026-11-21/part-1.parquet")), None);
        assert_eq!(partition(Path::new("part-1.parquet")), None);
    }

    /// A file that is read so many times, and then no more.
    struct Breaking {
        file: Bytes,
        reads: AtomicUsize,
        code: i32,
    }

    impl Length for Breaking {
        fn len(&self) -> u64 {
            self.file.len() as u64
        }
    }

    impl ChunkReader for Breaking {
        type T = <Bytes as ChunkReader>::T;

        fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
            self.break_off()?;
            self.file.get_read(start)
        }

        fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
            self.break_off()?;
            ChunkReader::get_bytes(&self.file, start, length)
        }
    }

    impl Breaking {
        fn break_off(&self) -> Result<(), ParquetError> {
            let left = self.reads.try_update(SeqCst, SeqCst, |reads| reads.checked_sub(1));
            match left {
                Ok(_) => Ok(()),
                Err(_) => Err(io::Error::from_raw_os_error(self.code).into()),
            }
        }
    }

    /// It was damage, and the answer went on without rows that are there.
    #[test]
    fn what_the_system_does_not_read_is_no_damage_of_the_file() {
        let rows: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1_000));
        let rows = RecordBatch::try_from_iter([("n", rows)]).unwrap();
        let mut file = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut file, rows.schema(), None).unwrap();
        writer.write(&rows).unwrap();
        writer.close().unwrap();
        let file = Bytes::from(file);
        let attempt = || "read rows".to_owned();
        let (emfile, eio) = (24, 5);
        for code in [emfile, eio] {
            let read = |reads| {
                let reads = AtomicUsize::new(reads);
                read_rows(Breaking { file: file.clone(), reads, code }, attempt)
            };
            let failures: Vec<PortError> = (0..).map_while(|reads| read(reads).err()).collect();
            assert!(failures.len() > 2, "it breaks off within the rows, too: {failures:?}");
            for error in failures {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                assert!(error.to_string().contains(&format!("(os error {code})")), "{error}");
            }
        }
    }

    #[test]
    fn a_file_that_is_none_is_named_with_its_cause() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part-1.parquet");
        std::fs::write(&path, "no parquet, but long enough for a footer").unwrap();
        let error = read_through(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("part-1.parquet"), "{error}");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read_through(&path).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
