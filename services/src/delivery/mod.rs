//! Port: the way of rows into the table.
//!
//! # Contract
//! * `Ok` for a row means it is durably accepted: it will be in the table, also after a crash of this process.
//!   The rows of one `put` get one outcome each, in order; the outer `Err` means that no row was accepted.
//! * A row may be delivered twice (a worker died between delivery and acknowledgement); the table's view
//!   `detections_unique` shows it once, by `(frame_id, model, detection)`.
//! * Accepted rows need not be in files yet, but embedded queries see them at once.
//! * Limits are Firehose's, checked before the call, also where the adapter could take more
//!   (<https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html>).
//! * Nobody retries inside: the caller sends the failed rows again, and those alone.

mod buffer;
mod columns;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod filing;
mod gone;
mod list;
mod lock;
mod parquet;
mod readers;
mod repair;
mod retired;
mod schema;
mod snapshot;
mod sqlite;
mod untouched;

use std::fmt;

use async_trait::async_trait;

use crate::error::{ErrorKind, PortError};
use crate::message::DetectionRow;
use crate::time::CaptureTime;

pub use buffer::buffer_path;
#[cfg(any(test, fuzzing))]
pub(crate) use buffer::parse as parse_row;
pub use columns::{Hour, arrow_schema, table_schema, to_record_batch};
pub use filing::{Filed, Filer, FilingPolicy, Tended};
pub use gone::{Gone, Loss, gone};
pub use readers::Reading;
pub use repair::{Relisted, Repaired, repair};
pub use retired::{FramesOf, Retired, RetiredFrames};
pub use snapshot::{Gap, ListedFile, Snapshot, snapshot};
pub use sqlite::{BufferedDelivery, DeliveryOptions};

/// Most records of one call.
pub const MAX_BATCH_RECORDS: usize = 500;
/// Most bytes of one call, as JSON.
pub const MAX_BATCH_BYTES: usize = 4 * 1_024 * 1_024;
/// Most bytes of one record, as JSON.
pub const MAX_RECORD_BYTES: usize = 1_000 * 1_024;

/// A stream that takes rows and brings them into the table. The module tells its contract.
#[async_trait]
pub trait DeliveryStream: fmt::Debug + Send + Sync {
    /// Delivers rows.
    async fn put(&self, rows: &[DetectionRow]) -> Result<Vec<Result<(), PortError>>, PortError>;
}

/// Checks rows against the limits and writes them as JSON records.
///
/// # Errors
/// [`ErrorKind::Invalid`] for all when they are none or too many, or too many bytes; for a row of its own when
/// that alone is too long.
pub fn check_batch(rows: &[DetectionRow]) -> Result<Vec<Result<String, PortError>>, PortError> {
    let refuse = |cause| Err(PortError::because(ErrorKind::Invalid, "deliver rows", cause));
    if rows.is_empty() || rows.len() > MAX_BATCH_RECORDS {
        return refuse(format!("{} rows, 1 to {MAX_BATCH_RECORDS} are allowed", rows.len()));
    }
    let records: Vec<_> = rows.iter().map(record).collect();
    let bytes: usize = records.iter().flatten().map(String::len).sum();
    if bytes > MAX_BATCH_BYTES {
        return refuse(format!("{bytes} bytes, at most {MAX_BATCH_BYTES} are allowed"));
    }
    Ok(records)
}

fn record(row: &DetectionRow) -> Result<String, PortError> {
    let refuse = |cause| {
        let attempt = format!("deliver row {} of frame {}", row.detection, row.frame_id);
        PortError::because(ErrorKind::Invalid, attempt, cause)
    };
    check(row).map_err(refuse)?;
    let json = serde_json::to_string(row).expect("a row has no map with keys that are not text");
    if json.len() > MAX_RECORD_BYTES {
        return Err(refuse(format!(
            "{} bytes, at most {MAX_RECORD_BYTES} are allowed",
            json.len()
        )));
    }
    Ok(json)
}

/// Checks that the table holds a row's times and numbers.
fn check(row: &DetectionRow) -> Result<(), String> {
    time_text("captured_at", row.stamp.captured_at)?;
    time_text("inferred_at", row.inferred_at)?;
    let DetectionRow { score, x, y, w, h, .. } = row;
    for (column, number) in [("score", score), ("x", x), ("y", y), ("w", w), ("h", h)] {
        if let Some(number) = number.filter(|number| !number.is_finite()) {
            return Err(format!("{column} is {number}, expected a finite number"));
        }
    }
    Ok(())
}

/// A time as `java.sql.Timestamp.valueOf` reads it, UTC: the form that Firehose's Hive JSON SerDe takes by default
/// (<https://docs.aws.amazon.com/firehose/latest/APIReference/API_HiveJsonSerDe.html>).
///
/// # Errors
/// Says what the column has and what was expected: no other time is in the table, wherever it lies.
pub fn time_text(column: &str, time: CaptureTime) -> Result<String, String> {
    let text = time.to_string();
    let form = "YYYY-MM-DD HH:MM:SS.ffffff";
    let parts = text.split_once('T').and_then(|(day, rest)| Some((day, rest.strip_suffix('Z')?)));
    let text = parts.map(|(day, rest)| format!("{day} {rest}"));
    text.filter(|text| text.len() == form.len())
        .ok_or_else(|| format!("{column} is {time}, expected a year of four digits"))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs::File;
    use std::path::Path;

    use arrow_array::{Array as _, RecordBatch, StringArray};
    use parquet_reader::ParquetRecordBatchReader;

    pub(crate) use super::contract::row;
    use super::*;
    use ::parquet::arrow::arrow_reader as parquet_reader;

    /// The frame ids of all rows of the table in a folder, filed and buffered, sorted.
    pub(crate) fn frame_ids(table: &Path) -> Vec<String> {
        let snapshot = snapshot(&buffer_path(table)).unwrap();
        let read = |file: &ListedFile| {
            ParquetRecordBatchReader::try_new(File::open(&file.path).unwrap(), 1_024).unwrap()
        };
        let filed = snapshot.files.iter().flat_map(read).map(Result::unwrap);
        let batches: Vec<_> = filed.chain([snapshot.buffered]).collect();
        let mut ids: Vec<_> = batches.iter().flat_map(column).collect();
        ids.sort();
        ids
    }

    fn column(batch: &RecordBatch) -> Vec<String> {
        let ids = batch.column_by_name("frame_id").unwrap();
        let ids = ids.as_any().downcast_ref::<StringArray>().unwrap();
        ids.iter().map(|id| id.unwrap().to_owned()).collect()
    }

    #[test]
    fn times_have_six_digits_after_the_second() {
        let text = |micros| time_text("captured_at", CaptureTime(micros)).ok();
        assert_eq!(text(0).unwrap(), "1970-01-01 00:00:00.000000");
        assert_eq!(text(-1).unwrap(), "1969-12-31 23:59:59.999999");
        assert_eq!(text(1_795_262_000_123_456).unwrap(), "2026-11-21 11:53:20.123456");
        assert_eq!(text(i64::MAX), None, "no year that is written");
        assert_eq!(text(-99_999_999_999_999_999), None, "the year -1199");
    }
}
