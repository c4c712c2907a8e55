//! Writes rows into a Parquet file, and reads them back.

use std::fs::File;
use std::path::Path;

use arrow_array::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, RowGroupMetaData};
use parquet::file::properties::WriterProperties;
use parquet::file::statistics::Statistics;

use super::columns::arrow_schema;
use crate::error::{ErrorKind, PortError};

/// The footer's key of the files whose rows a file has: their paths within the table's folder, as a list in JSON. A list
/// of files that was kept from before shows by it which rows are in two files.
const REPLACED: &str = "millrace.replaced";
/// Rows of a row group: what a writer holds in memory, and the least that a reader passes over.
const GROUP_ROWS: usize = 131_072;

/// A Parquet file that is being written.
pub(super) struct PartWriter {
    writer: ArrowWriter<File>,
    attempt: String,
}

impl PartWriter {
    /// Starts a file at `path`; what lies there is overwritten.
    pub(super) fn create(path: &Path) -> Result<Self, PortError> {
        let attempt = format!("write file {path:?}");
        let file = File::create(path).map_err(|error| PortError::io(attempt.clone(), error))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_created_by(format!("millrace {}", env!("CARGO_PKG_VERSION")))
            .build();
        let writer = ArrowWriter::try_new(file, arrow_schema(), Some(properties))
            .map_err(|error| unwritten(&attempt, error))?;
        Ok(Self { writer, attempt })
    }

    /// Adds rows.
    pub(super) fn add(&mut self, rows: &RecordBatch) -> Result<(), PortError> {
        self.writer.write(rows).map_err(|error| unwritten(&self.attempt, error))
    }

    /// Notes the files whose rows were added.
    pub(super) fn replacing(mut self, replaced: &[String]) -> Self {
        let list = serde_json::Value::from(replaced).to_string();
        self.writer.append_key_value_metadata(KeyValue::new(REPLACED.to_owned(), list));
        self
    }

    /// Ends the file and makes its bytes durable, and tells how many they are.
    pub(super) fn finish(self) -> Result<u64, PortError> {
        let file = self.writer.into_inner().map_err(|error| unwritten(&self.attempt, error))?;
        file.sync_all()
            .and_then(|()| Ok(file.metadata()?.len()))
            .map_err(|error| PortError::io(self.attempt, error))
    }
}

/// A Parquet file of the table's rows.
pub(super) struct PartReader {
    builder: ParquetRecordBatchReaderBuilder<File>,
    attempt: String,
    bytes: u64,
    replaced: Vec<String>,
}

impl PartReader {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// `NotFound` when there is none; `Corrupt` when it is no Parquet file, or one of other columns.
    pub(super) fn open(path: &Path) -> Result<Self, PortError> {
        let attempt = format!("read rows of {path:?}");
        let io = |error| PortError::io(attempt.clone(), error);
        let file = File::open(path).map_err(io)?;
        let bytes = file.metadata().map_err(io)?.len();
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)
            .map_err(|error| unreadable(&attempt, error))?;
        if builder.schema().fields() != arrow_schema().fields() {
            let cause = "it has other columns than the table";
            return Err(PortError::because(ErrorKind::Corrupt, attempt, cause));
        }
        let replaced = replaced(&builder)
            .map_err(|cause| PortError::because(ErrorKind::Corrupt, attempt.clone(), cause))?;
        Ok(Self { builder, attempt, bytes, replaced })
    }

    /// The files whose rows are in this one, by their paths within the table's folder.
    pub(super) fn replaced(&self) -> &[String] {
        &self.replaced
    }

    /// How long the file is.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What the file's rows lie between; none where it does not tell.
    pub(super) fn bounds(&self) -> Option<Bounds> {
        let groups = self.builder.metadata().row_groups();
        groups.iter().map(Bounds::of).reduce(|all, group| Some(all?.and(&group?))).flatten()
    }

    /// The columns that tell frames apart, of the rows that may lie between bounds, or of all; up to `most` at a time.
    pub(super) fn frames(
        mut self,
        bounds: Option<&Bounds>,
        most: usize,
    ) -> Result<impl Iterator<Item = Result<RecordBatch, PortError>>, PortError> {
        let columns = ["stream", "epoch", "seq", "model"];
        let mask = ProjectionMask::columns(self.builder.parquet_schema(), columns);
        let groups = self.builder.metadata().row_groups().iter().enumerate();
        let meets = |group: &RowGroupMetaData| match (bounds, Bounds::of(group)) {
            (Some(bounds), Some(group)) => bounds.meets(&group),
            _ => true,
        };
        let groups = groups.filter(|(_, group)| meets(group)).map(|(index, _)| index).collect();
        self.builder = self.builder.with_projection(mask).with_row_groups(groups);
        self.batches(most)
    }

    /// The rows, up to `most` at a time.
    pub(super) fn batches(
        self,
        most: usize,
    ) -> Result<impl Iterator<Item = Result<RecordBatch, PortError>>, PortError> {
        let Self { builder, attempt, .. } = self;
        let reader = builder.with_batch_size(most).build();
        let reader = reader.map_err(|error| unreadable(&attempt, error))?;
        Ok(reader.map(move |batch| batch.map_err(|error| unreadable(&attempt, error.into()))))
    }
}

/// What rows lie between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    epoch: [i64; 2],
    captured_at: [i64; 2],
}

impl Bounds {
    fn of(group: &RowGroupMetaData) -> Option<Self> {
        let column = |name| match group.column(arrow_schema().index_of(name).ok()?).statistics()? {
            Statistics::Int64(values) => Some([*values.min_opt()?, *values.max_opt()?]),
            _ => None,
        };
        Some(Self { epoch: column("epoch")?, captured_at: column("captured_at")? })
    }

    /// What these rows and others lie between.
    pub(super) fn and(&self, other: &Self) -> Self {
        let both = |[a, b]: [i64; 2], [c, d]: [i64; 2]| [a.min(c), b.max(d)];
        Self {
            epoch: both(self.epoch, other.epoch),
            captured_at: both(self.captured_at, other.captured_at),
        }
    }

    /// Tells whether rows of one frame may lie in both.
    fn meets(&self, other: &Self) -> bool {
        let meet = |[a, b]: [i64; 2], [c, d]: [i64; 2]| a <= d && c <= b;
        meet(self.epoch, other.epoch) && meet(self.captured_at, other.captured_at)
    }
}

fn replaced(builder: &ParquetRecordBatchReaderBuilder<File>) -> Result<Vec<String>, String> {
    let notes = builder.metadata().file_metadata().key_value_metadata();
    let list = notes.and_then(|notes| notes.iter().find(|note| note.key == REPLACED));
    let list = list.and_then(|note| note.value.as_deref()).unwrap_or("[]");
    serde_json::from_str(list)
        .map_err(|error| format!("its footer's {REPLACED} is no list of files: {error}"))
}

fn unreadable(attempt: &str, error: ParquetError) -> PortError {
    told(attempt, error, ErrorKind::Corrupt)
}

fn unwritten(attempt: &str, error: ParquetError) -> PortError {
    told(attempt, error, ErrorKind::Unavailable)
}

/// Finds the I/O error that a Parquet error may hide, since that one tells what to do; any other is of `kind`.
fn told(attempt: &str, error: ParquetError, kind: ErrorKind) -> PortError {
    match error {
        ParquetError::External(source) => match source.downcast::<std::io::Error>() {
            Ok(io) => PortError::io(attempt, *io),
            Err(source) => PortError::new(kind, attempt, source),
        },
        other => PortError::new(kind, attempt, other),
    }
}
