//! What a query found: columns at once, rows in batches as they come, and typed reading of them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, SchemaRef};
use datafusion::arrow::compute::cast;
use services::delivery::Gap;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::error::QueryError;
use crate::gaps::Gaps;

/// What an adapter sends: batches, then `None`, so that an end can be told from a producer that died.
pub(crate) type Sent = Result<Option<RecordBatch>, QueryError>;
/// The way of an adapter's batches.
pub(crate) type BatchSender = mpsc::Sender<Sent>;
/// The other end of a [`BatchSender`].
pub(crate) type BatchReceiver = mpsc::Receiver<Sent>;

/// The answer to a query: its columns, and its rows in batches as they are found.
///
/// Dropping it ends the query.
pub struct Answer {
    columns: SchemaRef,
    batches: BatchReceiver,
    ended: bool,
    scanned_bytes: Option<u64>,
    time: Option<Allowance>,
    gaps: Arc<Gaps>,
}

/// The time that an engine may take for an answer.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    all: Duration,
    left: Duration,
}

impl Answer {
    pub(crate) fn new(columns: SchemaRef, batches: BatchReceiver) -> Self {
        Self {
            columns,
            batches,
            ended: false,
            scanned_bytes: None,
            time: None,
            gaps: Arc::default(),
        }
    }

    /// The same answer, for which so many bytes were read that somebody pays for.
    pub(crate) fn with_scanned_bytes(self, bytes: u64) -> Self {
        Self { scanned_bytes: Some(bytes), ..self }
    }

    /// The same answer, for whose rows the engine may take `left` of the time `all`.
    pub(crate) fn within(self, all: Duration, left: Duration) -> Self {
        Self { time: Some(Allowance { all, left }), ..self }
    }

    /// The same answer, which rows of the table are not in.
    pub(crate) fn without(self, gaps: Arc<Gaps>) -> Self {
        Self { gaps, ..self }
    }

    /// The rows of the table that it would need and that cannot be read, as far as is known: after the last batch, all.
    pub fn gaps(&self) -> Vec<Gap> {
        self.gaps.all()
    }

    /// The bytes that were read for it, where they have a price.
    pub fn scanned_bytes(&self) -> Option<u64> {
        self.scanned_bytes
    }

    /// The columns: names and types, in order.
    pub fn columns(&self) -> &SchemaRef {
        &self.columns
    }

    /// Waits for the next batch of rows; `None` after the last.
    ///
    /// # Cancel safety
    /// A cancelled call loses no batch.
    pub async fn next(&mut self) -> Option<Result<RecordBatch, QueryError>> {
        if self.ended {
            return None;
        }
        let item = match self.receive().await {
            Ok(Some(Ok(Some(batch)))) => return Some(Ok(batch)),
            Ok(Some(Ok(None))) => None,
            Ok(Some(Err(error))) | Err(error) => Some(Err(error)),
            Ok(None) => Some(Err(QueryError::Stopped)),
        };
        self.ended = true;
        self.batches.close();
        item
    }

    /// Waits for what the engine sends, no longer than it may take.
    async fn receive(&mut self) -> Result<Option<Sent>, QueryError> {
        let Some(time) = &mut self.time else { return Ok(self.batches.recv().await) };
        let started = Instant::now();
        let received = timeout(time.left, self.batches.recv()).await;
        time.left = time.left.saturating_sub(started.elapsed());
        received.map_err(|_| QueryError::TooLong(time.all))
    }

    /// Waits for all rows and holds them: for answers that are known to be small.
    ///
    /// # Errors
    /// When the query fails before its end, or rows that it needs cannot be read.
    pub async fn collect(mut self) -> Result<Rows, QueryError> {
        let mut batches = Vec::new();
        while let Some(batch) = self.next().await {
            batches.push(batch?);
        }
        if let Some((first, others)) = self.gaps().split_first() {
            return Err(QueryError::Gaps { first: first.clone(), others: others.len() });
        }
        Ok(Rows { columns: self.columns, batches })
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("columns", &self.columns).finish_non_exhaustive()
    }
}

/// All rows of an answer.
#[derive(Clone, Debug)]
pub struct Rows {
    columns: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl Rows {
    /// The rows of one batch.
    pub fn of(batch: RecordBatch) -> Self {
        Self { columns: batch.schema(), batches: vec![batch] }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The columns: names and types, in order.
    pub fn columns(&self) -> &SchemaRef {
        &self.columns
    }

    /// The rows, in batches.
    pub fn batches(&self) -> &[RecordBatch] {
        &self.batches
    }

    /// Reads a column as text.
    ///
    /// # Errors
    /// When there is no such column.
    pub fn texts(&self, column: &str) -> Result<Vec<Option<String>>, QueryError> {
        let owned = |value: Option<&str>| value.map(str::to_owned);
        self.read(column, &DataType::Utf8, |array| {
            array.as_string::<i32>().iter().map(owned).collect()
        })
    }

    /// Reads a column as integers.
    ///
    /// # Units
    /// Timestamps come in the column's own unit: microseconds for the table's.
    ///
    /// # Errors
    /// When there is no such column, or a value is no integer.
    pub fn integers(&self, column: &str) -> Result<Vec<Option<i64>>, QueryError> {
        self.read(column, &DataType::Int64, |array| {
            array.as_primitive::<Int64Type>().iter().collect()
        })
    }

    /// Reads a column as floating-point numbers.
    ///
    /// # Errors
    /// When there is no such column, or a value is no number.
    pub fn numbers(&self, column: &str) -> Result<Vec<Option<f64>>, QueryError> {
        self.read(column, &DataType::Float64, |array| {
            array.as_primitive::<Float64Type>().iter().collect()
        })
    }

    fn read<T>(
        &self,
        column: &str,
        wanted: &DataType,
        values: impl Fn(&ArrayRef) -> Vec<T>,
    ) -> Result<Vec<T>, QueryError> {
        let failed = |cause: String| QueryError::Column { column: column.to_owned(), cause };
        let index = self.columns.index_of(column).map_err(|_| {
            let names: Vec<_> = self.columns.fields().iter().map(|f| f.name().as_str()).collect();
            failed(format!("no such column, expected one of {}", names.join(", ")))
        })?;
        let mut all = Vec::with_capacity(self.len());
        for batch in &self.batches {
            let array = cast(batch.column(index), wanted).map_err(|e| failed(e.to_string()))?;
            all.extend(values(&array));
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Int32Array, StringArray};
    use arrow_schema::{Field, Schema};

    use super::*;

    fn batch() -> RecordBatch {
        let columns = Schema::new(vec![
            Field::new("label", DataType::Utf8, true),
            Field::new("n", DataType::Int32, true),
        ]);
        let labels = StringArray::from(vec![Some("person"), None]);
        let counts = Int32Array::from(vec![Some(3), None]);
        RecordBatch::try_new(Arc::new(columns), vec![Arc::new(labels), Arc::new(counts)]).unwrap()
    }

    #[tokio::test]
    async fn columns_are_read_by_name_and_type() {
        let (sender, receiver) = mpsc::channel(4);
        let answer = Answer::new(batch().schema(), receiver);
        for item in [Some(batch()), Some(batch()), None] {
            sender.send(Ok(item)).await.unwrap();
        }
        let rows = answer.collect().await.unwrap();
        assert_eq!(rows.len(), 4);
        assert_eq!(rows.integers("n").unwrap(), [Some(3), None, Some(3), None]);
        assert_eq!(rows.texts("n").unwrap()[0].as_deref(), Some("3"));
        assert_eq!(
            rows.numbers("m").unwrap_err().to_string(),
            "read column \"m\" of the answer: no such column, expected one of label, n"
        );
    }

    #[tokio::test]
    async fn a_producer_that_dies_is_no_end_of_the_answer() {
        let (sender, receiver) = mpsc::channel(4);
        let mut answer = Answer::new(batch().schema(), receiver);
        sender.send(Ok(Some(batch()))).await.unwrap();
        drop(sender);
        assert!(answer.next().await.unwrap().is_ok());
        assert!(matches!(answer.next().await, Some(Err(QueryError::Stopped))));
        assert!(answer.next().await.is_none());
    }
}
