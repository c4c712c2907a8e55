//! What one model asks of AWS in a month.

use serde::Serialize;
use services::FrameBatch;
use services::price::{
    self, FIREHOSE_CONVERT, FIREHOSE_INGEST, GIB, MONTH_DAYS, PayloadPrices, Price, S3_GET, S3_PUT,
    SQS_FIFO, SQS_STANDARD,
};

use super::{Assumptions, Line, ROW_PARQUET_BYTES};

const MONTH_SECONDS: f64 = MONTH_DAYS * 86_400.0;
/// Bytes of a row as JSON, with its line end.
const ROW_JSON_BYTES: f64 = 600.0;
/// PUT, send, receive, GET, put records, delete.
pub(super) const CALLS_ONE_BY_ONE: f64 = 6.0;

/// What one model is asked about each of its streams.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Load {
    /// The model.
    pub model: String,
    /// Its streams.
    pub streams: f64,
    /// Seconds from one frame to the next.
    pub period: f64,
    /// Frames that one message asks about.
    pub frames_per_bundle: f64,
    /// Entries of one message; windows have more of them than frames that are asked about.
    pub entries_per_bundle: f64,
    /// Bytes of the frames of one message.
    pub bundle_bytes: f64,
    /// Rows of a frame.
    pub rows_per_frame: f64,
    /// Whether frames travel in messages rather than as objects.
    pub inline: bool,
    /// Whether the queue is a FIFO queue.
    pub fifo: bool,
}

impl Load {
    /// Frames in a month.
    pub(super) fn frames(&self) -> f64 {
        self.streams * MONTH_SECONDS / self.period
    }

    fn bundles(&self) -> f64 {
        self.frames() / self.frames_per_bundle
    }

    fn queue(&self) -> &'static Price {
        if self.fifo { &SQS_FIFO } else { &SQS_STANDARD }
    }

    fn envelope(&self) -> f64 {
        envelope_bytes(self.entries_per_bundle)
    }

    fn message_bytes(&self) -> f64 {
        let inline = if self.inline { price::base64_bytes(self.bundle_bytes) } else { 0.0 };
        self.envelope() + inline
    }

    /// Bytes that the delivery stream charges for, of the rows of `frames` frames in one record.
    pub(super) fn record_bytes(&self, frames: f64) -> f64 {
        price::firehose_bytes(frames * self.rows_per_frame * ROW_JSON_BYTES)
    }

    /// The dollars of either way for a bundle, as the receiver reckons: it does not know how long frames are kept.
    pub fn payload_prices(&self) -> PayloadPrices {
        PayloadPrices::of(self.bundle_bytes, self.envelope(), price::RETENTION_DAYS)
    }

    /// Calls that wait in vain, if messages come independently of each other: a call ends with the first message, or
    /// after `wait` without one.
    fn empty_receives(&self, assumptions: &Assumptions) -> f64 {
        let rate = self.bundles() / MONTH_SECONDS / assumptions.workers;
        let per_second = if rate > 0.0 {
            rate / (rate * assumptions.wait).exp_m1()
        } else {
            1.0 / assumptions.wait
        };
        per_second * MONTH_SECONDS * assumptions.workers
    }

    pub(super) fn lines(&self, assumptions: &Assumptions) -> [Line; 10] {
        let bundles = self.bundles();
        let objects = if self.inline { 0.0 } else { bundles };
        let stored = objects * self.bundle_bytes;
        let requests = bundles * price::sqs_requests(self.message_bytes());
        let empty = self.empty_receives(assumptions);
        let ingested = bundles * self.record_bytes(self.frames_per_bundle) / GIB;
        let rows = self.frames() * self.rows_per_frame * ROW_PARQUET_BYTES;
        [
            Line::transport("S3 PUT of frames", objects, &S3_PUT),
            Line::transport("S3 GET of frames", objects, &S3_GET),
            Line::transport("SQS send", requests, self.queue()),
            Line::transport("SQS receive", requests, self.queue()),
            Line::transport("SQS receive, in vain", empty, self.queue()),
            Line::transport("SQS delete", bundles, self.queue()),
            Line::transport("Firehose", ingested, &FIREHOSE_INGEST),
            Line::other("Firehose to Parquet", ingested, &FIREHOSE_CONVERT),
            Line::kept("S3 storage of frames", stored, assumptions.retention_days),
            Line::kept("S3 storage of rows", rows, assumptions.rows_retention_days),
        ]
    }

    pub(super) fn calls(&self, assumptions: &Assumptions) -> f64 {
        let per_bundle = if self.inline { CALLS_ONE_BY_ONE - 2.0 } else { CALLS_ONE_BY_ONE };
        self.bundles() * per_bundle + self.empty_receives(assumptions)
    }
}

/// The length of a message that names an object.
pub(super) fn envelope_bytes(entries: f64) -> f64 {
    let header = FrameBatch::longest_envelope(0) as f64;
    header + entries * (FrameBatch::longest_envelope(1) as f64 - header)
}
