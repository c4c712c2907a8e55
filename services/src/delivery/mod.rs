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

use std::fmt;

use async_trait::async_trait;

use crate::error::PortError;
use crate::message::DetectionRow;

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
