//! Writes an answer as a text table, as one value on each line, as CSV, a JSON array or JSON lines.
//!
//! All but the text table are written batch by batch and hold no more than one. Times are written as ISO 8601, in UTC
//! where a query asks for no other zone; lengths of time as `2 days 03:04:05.678`.

mod csv;
mod json;
mod text;
mod value;
mod vertical;

use std::io::{self, Write};
use std::str::FromStr;

use arrow_array::RecordBatch;

use crate::answer::Answer;
use crate::error::QueryError;

pub use text::MAX_TEXT_ROWS;

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A table for reading: numbers to the right, long fractions cut, at most [`MAX_TEXT_ROWS`] rows.
    #[default]
    Table,
    /// For wide rows: one value on each line under its row's number, with values as in a table and as many rows.
    Vertical,
    /// RFC 4180 with a head; a missing value is an empty field.
    Csv,
    /// One array of objects; a column whose name came before gets a number.
    Json,
    /// One object on each line.
    JsonLines,
}

/// A word that is no format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read format: {0:?} is not known, expected table, vertical, csv, json or jsonl")]
pub struct UnknownFormat(String);

impl Format {
    /// Tells whether it is for reading, rather than for other programs.
    pub fn is_for_reading(self) -> bool {
        matches!(self, Self::Table | Self::Vertical)
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(word: &str) -> Result<Self, UnknownFormat> {
        match word {
            "table" => Ok(Self::Table),
            "vertical" => Ok(Self::Vertical),
            "csv" => Ok(Self::Csv),
            "json" => Ok(Self::Json),
            "jsonl" | "ndjson" => Ok(Self::JsonLines),
            other => Err(UnknownFormat(other.to_owned())),
        }
    }
}

/// An answer that was not written to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrintError {
    /// The query failed on its way.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The reader went away, or the disk is full.
    #[error("write answer: {0}")]
    Write(#[from] io::Error),
}

impl PrintError {
    /// Tells whether the reader closed its end (`… | head`), which is no failure of the program.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Write(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// Writes an answer and tells how many rows it had.
///
/// # Errors
/// When the query fails on its way, or `out` takes no more.
pub async fn print(
    answer: &mut Answer,
    format: Format,
    out: &mut (dyn Write + Send),
) -> Result<u64, PrintError> {
    let mut form: Box<dyn Form + Send + '_> = match format {
        Format::Table => Box::new(text::Text::new(out, answer.columns())),
        Format::Vertical => Box::new(vertical::Vertical::new(out, answer.columns())),
        Format::Csv => Box::new(csv::Csv::new(out, answer.columns())?),
        Format::Json => Box::new(json::Json::array(out, answer.columns())),
        Format::JsonLines => Box::new(json::Json::lines(out, answer.columns())),
    };
    let mut rows = 0;
    while let Some(batch) = answer.next().await {
        let batch = batch?;
        rows += batch.num_rows() as u64;
        form.add(&batch)?;
        if form.is_full() {
            break;
        }
    }
    form.finish()?;
    Ok(rows)
}

/// One way to write batches.
trait Form {
    /// Takes a batch.
    fn add(&mut self, batch: &RecordBatch) -> io::Result<()>;

    /// Tells whether more batches would not be shown.
    fn is_full(&self) -> bool {
        false
    }

    /// Writes what is left.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::builder::{ListBuilder, StringBuilder};
    use arrow_array::{
        Array as _, ArrayRef, BooleanArray, DurationMicrosecondArray, Float32Array, Float64Array,
        Int64Array, StringArray, StructArray, TimestampMicrosecondArray,
    };
    use arrow_schema::Field;
    use tokio::sync::mpsc;

    use super::*;

    const ALL: [Format; 5] =
        [Format::Table, Format::Vertical, Format::Csv, Format::Json, Format::JsonLines];

    fn batch() -> RecordBatch {
        let seen = TimestampMicrosecondArray::from(vec![1_500_000, 1_795_262_400_000_000, 0]);
        RecordBatch::try_from_iter_with_nullable([
            (
                "label",
                Arc::new(StringArray::from(vec![Some("bottle"), Some("a,\"b\"\n\u{1b}[31m"), None]))
                    as Arc<dyn arrow_array::Array>,
                true,
            ),
            ("n", Arc::new(Int64Array::from(vec![Some(1_234_567), Some(-1), None])), true),
            ("score", Arc::new(Float32Array::from(vec![Some(0.87), Some(f32::NAN), None])), true),
            ("mean", Arc::new(Float64Array::from(vec![2.0 / 3.0, 1e-9, 1234.5])), true),
            ("seen", Arc::new(seen.with_timezone("UTC")), true),
            ("odd", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])), true),
        ])
        .unwrap()
    }

    async fn printed(format: Format, batches: Vec<RecordBatch>) -> (String, u64) {
        let (sender, receiver) = mpsc::channel(batches.len() + 1);
        let mut answer = Answer::new(batch().schema(), receiver);
        for item in batches.into_iter().map(Some).chain([None]) {
            sender.send(Ok(item)).await.unwrap();
        }
        let mut out = Vec::new();
        let rows = print(&mut answer, format, &mut out).await.unwrap();
        (String::from_utf8(out).unwrap(), rows)
    }

    async fn printed_one(format: Format, batch: RecordBatch) -> String {
        let (sender, receiver) = mpsc::channel(2);
        let mut answer = Answer::new(batch.schema(), receiver);
        sender.send(Ok(Some(batch))).await.unwrap();
        sender.send(Ok(None)).await.unwrap();
        let mut out = Vec::new();
        print(&mut answer, format, &mut out).await.unwrap();
        String::from_utf8(out).unwrap()
    }

    #[tokio::test]
    async fn a_time_in_a_zone_is_told_in_that_zone() {
        let seen = TimestampMicrosecondArray::from(vec![1_500_000]).with_timezone("Europe/Berlin");
        let batch = RecordBatch::try_from_iter([("seen", Arc::new(seen) as _)]).unwrap();
        for format in ALL {
            let text = printed_one(format, batch.clone()).await;
            assert!(text.contains("1970-01-01T01:00:01.500000+01:00"), "{text}");
        }
    }

    #[tokio::test]
    async fn a_length_of_time_is_no_iso_period() {
        let ages: ArrayRef = Arc::new(DurationMicrosecondArray::from(vec![-1_761_500_000]));
        let batch = RecordBatch::try_from_iter([("age", ages)]).unwrap();
        for format in ALL {
            let text = printed_one(format, batch.clone()).await;
            assert!(text.contains("-00:29:21.5") && !text.contains("PT"), "{text}");
        }
    }

    #[tokio::test]
    async fn a_wide_row_is_told_value_by_value() {
        insta::assert_snapshot!(printed(Format::Vertical, vec![batch()]).await.0);
        assert_eq!(printed(Format::Vertical, vec![]).await.0, "0 rows\n");
        let (long, _) = printed(Format::Vertical, vec![batch(); MAX_TEXT_ROWS / 3 + 2]).await;
        assert_eq!(long.matches("─ row ").count(), MAX_TEXT_ROWS);
        assert!(long.lines().last().unwrap().starts_with("the first 1000 rows; there are more"));
    }

    #[tokio::test]
    async fn a_label_that_is_missing_is_explained() {
        for format in [Format::Table, Format::Vertical] {
            let (text, _) = printed(format, vec![batch()]).await;
            assert!(text.contains("a row without a label"), "{text}");
            let (text, _) = printed(format, vec![batch().slice(0, 1)]).await;
            assert!(!text.contains("a row without a label"), "{text}");
        }
    }

    #[tokio::test]
    async fn json_keeps_columns_of_one_name_and_what_has_parts() {
        let mut labels = ListBuilder::new(StringBuilder::new());
        labels.append_value([Some("a\"b"), None]);
        let labels: ArrayRef = Arc::new(labels.finish());
        let number = |n: i64| Arc::new(Int64Array::from(vec![n])) as ArrayRef;
        let seen = TimestampMicrosecondArray::from(vec![0]).with_timezone("Europe/Berlin");
        let at: ArrayRef = Arc::new(seen);
        let field = |name, array: &ArrayRef| Field::new(name, array.data_type().clone(), true);
        let fields =
            [(Arc::new(field("at", &at)), at), (Arc::new(field("n", &number(1))), number(1))];
        let both: ArrayRef = Arc::new(StructArray::from(fields.to_vec()));
        let columns = [("n", number(1)), ("n", number(2)), ("n_2", number(3))];
        let columns = columns.into_iter().chain([("labels", labels), ("both", both)]);
        let text =
            printed_one(Format::JsonLines, RecordBatch::try_from_iter(columns).unwrap()).await;
        assert_eq!(
            text,
            "{\"n\":1,\"n_3\":2,\"n_2\":3,\"labels\":[\"a\\\"b\",null],\
             \"both\":{\"at\":\"1970-01-01T01:00:00.000000+01:00\",\"n\":1}}\n"
        );
    }

    #[tokio::test]
    async fn a_plan_has_its_lines() {
        let plan: ArrayRef = Arc::new(StringArray::from(vec!["Sort\n  Scan \u{1b}[31m"]));
        let batch =
            RecordBatch::try_from_iter([("plan_type", plan.clone()), ("plan", plan)]).unwrap();
        let text = printed_one(Format::Table, batch).await;
        let lines: Vec<_> = text.lines().skip(2).map(str::trim_end).collect();
        assert!(lines[0].ends_with("Sort") && lines[1].ends_with("  Scan \\u{1b}[31m"), "{text}");
    }

    /// A pipe that nobody reads any more.
    struct ClosedPipe;

    impl Write for ClosedPipe {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    #[tokio::test]
    async fn a_closed_pipe_is_told_apart_in_every_format() {
        // More than a writer holds back, so that writing fails before the end too.
        for (format, rows) in ALL.into_iter().flat_map(|format| [(format, 1), (format, 20_000)]) {
            let (sender, receiver) = mpsc::channel(2);
            let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1; rows]));
            let batch = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
            let mut answer = Answer::new(batch.schema(), receiver);
            sender.send(Ok(Some(batch))).await.unwrap();
            sender.send(Ok(None)).await.unwrap();
            let error = print(&mut answer, format, &mut ClosedPipe).await.unwrap_err();
            assert!(error.is_closed_pipe(), "{format:?}, {rows} rows: {error}");
        }
    }

    #[tokio::test]
    async fn a_table_is_for_reading() {
        insta::assert_snapshot!(printed(Format::Table, vec![batch()]).await.0);
    }

    #[tokio::test]
    async fn csv_keeps_every_digit() {
        insta::assert_snapshot!(printed(Format::Csv, vec![batch()]).await.0);
    }

    #[tokio::test]
    async fn json_is_one_array_over_all_batches() {
        let (text, rows) = printed(Format::Json, vec![batch(), batch().slice(0, 1)]).await;
        assert_eq!(rows, 4);
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read.as_array().unwrap().len(), 4);
        insta::assert_snapshot!(text);
    }

    #[tokio::test]
    async fn json_lines_are_each_an_object() {
        let (text, _) = printed(Format::JsonLines, vec![batch()]).await;
        let labels: Vec<_> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["label"].clone())
            .collect();
        assert_eq!(labels[1], "a,\"b\"\n\u{1b}[31m");
        assert!(labels[2].is_null());
    }

    #[tokio::test]
    async fn an_answer_without_rows_has_its_columns() {
        let (table, rows) = printed(Format::Table, vec![]).await;
        assert_eq!(rows, 0);
        assert!(table.contains("label") && table.ends_with("0 rows\n"), "{table}");
        assert_eq!(printed(Format::Csv, vec![]).await.0, "label,n,score,mean,seen,odd\n");
        assert_eq!(printed(Format::Json, vec![]).await.0, "[]\n");
        assert_eq!(printed(Format::JsonLines, vec![]).await.0, "");
    }

    #[tokio::test]
    async fn a_long_answer_is_cut_for_reading_and_said_so() {
        let batches = vec![batch(); MAX_TEXT_ROWS / 3 + 2];
        let (table, _) = printed(Format::Table, batches).await;
        let last = table.lines().last().unwrap();
        assert_eq!(
            last,
            "the first 1000 rows; there are more: add LIMIT, or print csv, json or jsonl"
        );
    }

    #[test]
    fn a_format_is_read_from_its_name() {
        assert_eq!("jsonl".parse(), Ok(Format::JsonLines));
        assert_eq!(
            "xml".parse::<Format>().unwrap_err().to_string(),
            "read format: \"xml\" is not known, expected table, vertical, csv, json or jsonl"
        );
    }
}
