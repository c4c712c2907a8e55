//! The table's Parquet files: what a scan must know of each, and whether one is to blame when reading fails.

use std::fs::File;
use std::panic::catch_unwind;
use std::path::Path;
use std::sync::Arc;

use datafusion::datasource::listing::PartitionedFile;
use datafusion::object_store::local::LocalFileSystem;
use datafusion::object_store::{self, ObjectMeta};
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
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
    let corrupt = |error| PortError::new(ErrorKind::Corrupt, attempt(), error);
    let file = File::open(path).map_err(|error| PortError::io(attempt(), error))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).and_then(|builder| builder.build());
    for batch in reader.map_err(|error| corrupt(error.to_string()))? {
        batch.map_err(|error| corrupt(error.to_string()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_tells_its_partition() {
        let path = Path::new("/data/table/detections/dt=2026-11-21/hour=05/part-1.parquet");
        assert_eq!(partition(path).unwrap(), ["2026-11-21", "05"]);
        assert_eq!(partition(Path::new("/data/dt=2026-11-21/part-1.parquet")), None);
        assert_eq!(partition(Path::new("part-1.parquet")), None);
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
