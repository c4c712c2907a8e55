//! The delivery stream on AWS: rows go to Firehose, packed into records; it buffers them and writes them as Parquet.
//!
//! Firehose accepts each record for itself, so an answer of success may hold failures
//! (<https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html>): a row is accepted when its
//! record has an id. An answer that does not add up accepts nothing; sending its rows again does no harm.

mod packing;

use async_trait::async_trait;
use aws_sdk_firehose::operation::put_record_batch::PutRecordBatchOutput;
use aws_sdk_firehose::primitives::Blob;
use aws_sdk_firehose::types::{DeliveryStreamStatus, PutRecordBatchResponseEntry};
use aws_sdk_firehose::{Client, Config};

use services::delivery::{DeliveryStream, check_batch};
use services::{DetectionRow, ErrorKind, PortError, counted};

use self::packing::{Limits, Record, line, pack};
use crate::error::{kind_of, port_error};
use crate::timeouts_to_send;

/// A status to judge an error code by that is not known: the record may be accepted another time.
const ANOTHER_TIME: u16 = 500;

/// A delivery stream of Firehose.
#[derive(Clone, Debug)]
pub struct FirehoseStream {
    client: Client,
    name: String,
}

impl FirehoseStream {
    /// Opens a delivery stream and checks that it takes records.
    ///
    /// # Errors
    /// When there is no such stream, it may not be described, or it is not active.
    pub async fn open(client: Client, name: &str) -> Result<Self, PortError> {
        let attempt = || format!("open delivery stream {name:?}");
        let asked = client.describe_delivery_stream().delivery_stream_name(name).limit(1).send();
        let answer = asked
            .await
            .map_err(|error| port_error(attempt(), "firehose:DescribeDeliveryStream", &error))?;
        let status = answer.delivery_stream_description.map(|found| found.delivery_stream_status);
        match status {
            Some(DeliveryStreamStatus::Active) => Ok(Self { client, name: name.to_owned() }),
            other => {
                let found = other.as_ref().map_or("missing", DeliveryStreamStatus::as_str);
                let cause = format!("its status is {found}, expected ACTIVE");
                Err(PortError::because(ErrorKind::Unavailable, attempt(), cause))
            }
        }
    }

    /// Sends one call; one outcome for each of its records.
    async fn send(&self, call: &[Record]) -> Result<Vec<Result<(), PortError>>, PortError> {
        let rows: usize = call.iter().map(|record| record.rows.len()).sum();
        let attempt = format!("deliver {} to stream {:?}", counted(rows, "row"), self.name);
        let records = call.iter().map(|record| to_firehose(record, &attempt));
        let records = records.collect::<Result<Vec<_>, _>>()?;
        let bytes = call.iter().map(|record| record.text.len()).sum();
        let timeouts = timeouts_to_send(self.client.config().timeout_config(), bytes);
        let patience = Config::builder().timeout_config(timeouts);
        let asked = self.client.put_record_batch().delivery_stream_name(&self.name);
        let asked = asked.set_records(Some(records)).customize().config_override(patience);
        let answer = asked.send().await;
        let answer =
            answer.map_err(|error| port_error(&attempt, "firehose:PutRecordBatch", &error))?;
        outcomes(&answer, call.len(), &attempt)
    }
}

#[async_trait]
impl DeliveryStream for FirehoseStream {
    async fn put(&self, rows: &[DetectionRow]) -> Result<Vec<Result<(), PortError>>, PortError> {
        let (lines, mut settled) = lines_of(rows, check_batch(rows)?);
        for (sent, call) in pack(lines, Limits::FIREHOSE).iter().enumerate() {
            match self.send(call).await {
                Ok(outcomes) => settle(&mut settled, call, outcomes),
                Err(error) if sent == 0 => return Err(error),
                Err(error) => {
                    settle(&mut settled, call, call.iter().map(|_| Err(copy(&error))).collect())
                }
            }
        }
        Ok(settled)
    }
}

/// One outcome for each row of a put.
type Outcomes = Vec<Result<(), PortError>>;

/// Each row's line with the row's place, and an outcome for each row: of those without a line, it stays.
fn lines_of(
    rows: &[DetectionRow],
    records: Vec<Result<String, PortError>>,
) -> (Vec<(usize, String)>, Outcomes) {
    let mut lines = Vec::with_capacity(rows.len());
    let lined = rows.iter().zip(records).map(|(row, record)| line(row, &record?));
    let outcomes =
        lined.enumerate().map(|(place, line)| line.map(|line| lines.push((place, line))));
    let outcomes = outcomes.collect();
    (lines, outcomes)
}

/// Gives each row of a call the outcome of its record.
fn settle(
    settled: &mut [Result<(), PortError>],
    call: &[Record],
    outcomes: Vec<Result<(), PortError>>,
) {
    for (record, outcome) in call.iter().zip(outcomes) {
        for row in &record.rows {
            settled[*row] = outcome.as_ref().copied().map_err(copy);
        }
    }
}

fn copy(error: &PortError) -> PortError {
    let told = error.to_string();
    let (attempt, cause) = told.split_once(": ").unwrap_or((&told, ""));
    PortError::because(error.kind(), attempt, cause)
}

fn to_firehose(
    record: &Record,
    attempt: &str,
) -> Result<aws_sdk_firehose::types::Record, PortError> {
    let built = aws_sdk_firehose::types::Record::builder().data(Blob::new(record.text.as_bytes()));
    built.build().map_err(|error| PortError::new(ErrorKind::Invalid, attempt, error))
}

/// One outcome for each record of a call.
///
/// # Errors
/// When the answer does not tell of every record, or counts its failures otherwise than it lists them.
fn outcomes(
    answer: &PutRecordBatchOutput,
    records: usize,
    attempt: &str,
) -> Result<Vec<Result<(), PortError>>, PortError> {
    let doubt = |cause| Err(PortError::because(ErrorKind::Unavailable, attempt, cause));
    let entries = answer.request_responses();
    if entries.len() != records {
        let came = entries.len();
        return doubt(format!("firehose:PutRecordBatch: {came} outcomes for {records} records"));
    }
    let outcomes: Vec<_> = entries.iter().map(|entry| outcome(entry, attempt)).collect();
    let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count();
    if i64::from(answer.failed_put_count()) != i64::try_from(failed).unwrap_or(i64::MAX) {
        let counted = answer.failed_put_count();
        return doubt(format!(
            "firehose:PutRecordBatch: {counted} failures counted, {failed} listed"
        ));
    }
    Ok(outcomes)
}

fn outcome(entry: &PutRecordBatchResponseEntry, attempt: &str) -> Result<(), PortError> {
    let (kind, cause) = match (entry.error_code(), entry.record_id()) {
        (None, Some(_)) => return Ok(()),
        (None, None) => (ErrorKind::Unavailable, "a record got no id".to_owned()),
        (Some(code), _) => {
            let message = entry.error_message().unwrap_or("no message");
            (kind_of(code, ANOTHER_TIME), format!("{code}: {message}"))
        }
    };
    Err(PortError::because(kind, attempt, format!("firehose:PutRecordBatch: {cause}")))
}

#[cfg(test)]
mod tests;
