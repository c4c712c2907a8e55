//! Writes rows into a Parquet file.

use std::fs::File;
use std::path::Path;

use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::columns::{arrow_schema, to_record_batch};
use crate::error::{ErrorKind, PortError};
use crate::message::DetectionRow;

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
            .set_created_by(format!("millrace {}", env!("CARGO_PKG_VERSION")))
            .build();
        let writer = ArrowWriter::try_new(file, arrow_schema(), Some(properties))
            .map_err(|error| failed(&attempt, error))?;
        Ok(Self { writer, attempt })
    }

    /// Adds rows.
    pub(super) fn add(&mut self, rows: &[DetectionRow]) -> Result<(), PortError> {
        self.writer.write(&to_record_batch(rows)).map_err(|error| failed(&self.attempt, error))
    }

    /// Ends the file and makes its bytes durable, and tells how many they are.
    pub(super) fn finish(self) -> Result<u64, PortError> {
        let file = self.writer.into_inner().map_err(|error| failed(&self.attempt, error))?;
        file.sync_all()
            .and_then(|()| Ok(file.metadata()?.len()))
            .map_err(|error| PortError::io(self.attempt, error))
    }
}

/// Finds the I/O error that a Parquet error may hide, since that one tells what to do.
fn failed(attempt: &str, error: ParquetError) -> PortError {
    match error {
        ParquetError::External(source) => match source.downcast::<std::io::Error>() {
            Ok(io) => PortError::io(attempt, *io),
            Err(source) => PortError::new(ErrorKind::Unavailable, attempt, source),
        },
        other => PortError::new(ErrorKind::Unavailable, attempt, other),
    }
}
