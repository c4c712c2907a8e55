//! The table's columns: what a row is in Arrow, and so in Parquet.
//!
//! # Shape
//! Text is UTF-8, counts and offsets are signed (Athena knows no unsigned integers), times are microseconds UTC.
//! The partition columns `dt` and `hour` are not in the files: their path tells them.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, Float32Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::message::DetectionRow;
use crate::time::CaptureTime;

const UTC: &str = "UTC";

/// The schema of a file of the table `detections`.
pub fn arrow_schema() -> SchemaRef {
    Columns::of(&[]).schema()
}

/// The schema of the table `detections`: [`arrow_schema`], and the partition columns `dt` and `hour`.
pub fn table_schema() -> SchemaRef {
    Columns::of(&[]).partitioned(&[]).schema()
}

/// The rows as a file holds them, of the schema [`arrow_schema`].
pub fn to_record_batch(rows: &[DetectionRow]) -> RecordBatch {
    Columns::of(rows).into_batch()
}

/// The rows as the table shows them, of the schema [`table_schema`]; `hours` has the partition of each row.
pub(super) fn to_table_batch(rows: &[DetectionRow], hours: &[Hour]) -> RecordBatch {
    Columns::of(rows).partitioned(hours).into_batch()
}

/// An hour of delivery, UTC: one partition of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hour(
    /// Whole hours since 1970-01-01T00:00:00Z.
    pub i64,
);

impl Hour {
    /// The hour that a time lies in.
    pub fn of(time: CaptureTime) -> Self {
        Self(time.0.div_euclid(3_600_000_000))
    }

    /// The hour that a file's path tells (`…/dt=YYYY-MM-DD/hour=HH/…`).
    pub fn of_path(file: &Path) -> Option<Self> {
        let mut folders = file.parent()?.components().rev();
        let mut value = |column: &str| {
            let folder = folders.next()?.as_os_str().to_str()?;
            folder.strip_prefix(column)?.strip_prefix('=').map(str::to_owned)
        };
        let (hour, dt) = (value("hour")?, value("dt")?);
        let start: jiff::Timestamp = format!("{dt}T{hour}:00:00Z").parse().ok()?;
        Some(Self(start.as_second().div_euclid(3_600)))
    }

    /// When it begins.
    pub fn begin(self) -> CaptureTime {
        CaptureTime(self.0.saturating_mul(3_600_000_000))
    }

    /// The day, `YYYY-MM-DD`.
    pub fn dt(self) -> String {
        self.text(0..10)
    }

    /// The hour of the day, two digits.
    pub fn hour(self) -> String {
        self.text(11..13)
    }

    fn text(self, range: std::ops::Range<usize>) -> String {
        let start = self.0.checked_mul(3_600).map(jiff::Timestamp::from_second);
        let start = start.and_then(Result::ok).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        start.to_string()[range].to_owned()
    }
}

/// `2026-11-21 12:00 UTC`, its begin.
impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}:00 UTC", self.dt(), self.hour())
    }
}

struct Columns<'a> {
    rows: &'a [DetectionRow],
    fields: Vec<Field>,
    arrays: Vec<ArrayRef>,
}

impl<'a> Columns<'a> {
    fn of(rows: &'a [DetectionRow]) -> Self {
        let mut columns = Self { rows, fields: Vec::new(), arrays: Vec::new() };
        columns.text("stream", |row| row.stream.as_str());
        columns.long("epoch", |row| signed(row.epoch.0));
        columns.long("seq", |row| signed(row.stamp.seq.0));
        columns.text("frame_id", |row| &row.frame_id);
        columns.long("media_time", |row| row.stamp.media_time.0);
        columns.time("captured_at", |row| row.stamp.captured_at);
        columns.text("clock", |row| row.stamp.clock.as_str());
        columns.text("model", |row| row.model.as_str());
        columns.text("model_version", |row| &row.model_version);
        columns.text("status", |row| row.status.as_str());
        columns.maybe_text("reason", |row| row.reason.as_deref());
        columns.int("detection", |row| small(row.detection));
        columns.maybe_int("class_id", |row| row.class_id.map(small));
        columns.maybe_text("label", |row| row.label.as_deref());
        columns.maybe_real("score", |row| row.score);
        columns.maybe_real("x", |row| row.x);
        columns.maybe_real("y", |row| row.y);
        columns.maybe_real("w", |row| row.w);
        columns.maybe_real("h", |row| row.h);
        columns.maybe_text("track_id", |row| row.track_id.as_deref());
        columns.maybe_text("extra", |row| row.extra.as_deref());
        columns.maybe_text("object_uri", |row| row.object_uri.as_deref());
        columns.maybe_long("object_offset", |row| row.object_offset.map(signed));
        columns.maybe_long("object_len", |row| row.object_len.map(signed));
        columns.time("inferred_at", |row| row.inferred_at);
        columns.long("latency_ms", |row| row.latency_ms);
        columns.text("worker", |row| &row.worker);
        columns
    }

    fn partitioned(mut self, hours: &[Hour]) -> Self {
        let dt = StringArray::from_iter_values(hours.iter().map(|hour| hour.dt()));
        let hour = StringArray::from_iter_values(hours.iter().map(|hour| hour.hour()));
        self.add(Field::new("dt", DataType::Utf8, false), Arc::new(dt));
        self.add(Field::new("hour", DataType::Utf8, false), Arc::new(hour));
        self
    }

    fn schema(self) -> SchemaRef {
        Arc::new(Schema::new(self.fields))
    }

    fn into_batch(self) -> RecordBatch {
        RecordBatch::try_new(Arc::new(Schema::new(self.fields)), self.arrays)
            .expect("every column has its field's type and one value per row")
    }

    fn add(&mut self, field: Field, array: ArrayRef) {
        self.fields.push(field);
        self.arrays.push(array);
    }

    fn text(&mut self, name: &str, value: impl Fn(&'a DetectionRow) -> &'a str) {
        let array = StringArray::from_iter_values(self.rows.iter().map(value));
        self.add(Field::new(name, DataType::Utf8, false), Arc::new(array));
    }

    fn maybe_text(&mut self, name: &str, value: impl Fn(&'a DetectionRow) -> Option<&'a str>) {
        let array = self.rows.iter().map(value).collect::<StringArray>();
        self.add(Field::new(name, DataType::Utf8, true), Arc::new(array));
    }

    fn int(&mut self, name: &str, value: impl Fn(&'a DetectionRow) -> i32) {
        let array = Int32Array::from_iter_values(self.rows.iter().map(value));
        self.add(Field::new(name, DataType::Int32, false), Arc::new(array));
    }

    fn maybe_int(&mut self, name: &str, value: impl Fn(&'a DetectionRow) -> Option<i32>) {
        let array = self.rows.iter().map(value).collect::<Int32Array>();
        self.add(Field::new(name, DataType::Int32, true), Arc::new(array));
    }

    fn long(&mut self, name: &str, value: impl Fn(&'a DetectionRow) -> i64) {
        let array = Int64Array::from_iter_values(self.rows.iter().map(value));
        self.add(Field::new(name, DataType::Int64, false), Arc::new(array));
    }

    fn maybe_long(&mut self, name: &str, value: impl Fn(&'a DetectionRow) -> Option<i64>) {
        let array = self.rows.iter().map(value).collect::<Int64Array>();
        self.add(Field::new(name, DataType::Int64, true), Arc::new(array));
    }

    fn maybe_real(&mut self, name: &str, value: impl Fn(&'a DetectionRow) -> Option<f32>) {
        let array = self.rows.iter().map(value).collect::<Float32Array>();
        self.add(Field::new(name, DataType::Float32, true), Arc::new(array));
    }

    fn time(&mut self, name: &str, value: impl Fn(&'a DetectionRow) -> CaptureTime) {
        let micros = self.rows.iter().map(|row| value(row).0);
        let array = TimestampMicrosecondArray::from_iter_values(micros).with_timezone(UTC);
        let r#type = DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()));
        self.add(Field::new(name, r#type, false), Arc::new(array));
    }
}

/// SQLite, Arrow's readers and Athena know no unsigned 64 bits; nothing here comes near the difference.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn small(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray as _;
    use arrow_array::types::{Float32Type, Int32Type, Int64Type, TimestampMicrosecondType};

    use super::*;
    use crate::delivery::tests::row;

    #[test]
    fn an_hour_is_the_partition_of_its_times() {
        let noon = CaptureTime(1_795_262_399_999_999);
        assert_eq!(CaptureTime(noon.0).to_string(), "2026-11-21T11:59:59.999999Z");
        let hour = Hour::of(noon);
        assert_eq!((hour.dt().as_str(), hour.hour().as_str()), ("2026-11-21", "11"));
        assert_eq!(Hour::of(CaptureTime(-1)), Hour(-1));
        let file =
            format!("/table/detections/dt={}/hour={}/part-1.parquet", hour.dt(), hour.hour());
        assert_eq!(Hour::of_path(Path::new(&file)), Some(hour));
        for other in ["part-1.parquet", "/dt=x/hour=11/part-1.parquet", "/hour=11/part-1.parquet"] {
            assert_eq!(Hour::of_path(Path::new(other)), None);
        }
    }

    #[test]
    fn the_columns_are_the_fields_of_a_row_in_order() {
        let json = serde_json::to_value(row("gate", 1, 0)).unwrap();
        let fields: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
        let mut columns: Vec<_> =
            arrow_schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(table_schema().fields().len(), columns.len() + 2);
        columns.sort_by_key(|column| fields.iter().position(|field| field == column));
        assert_eq!(columns, fields);
    }

    #[test]
    fn values_keep_their_meaning_in_columns() {
        let rows = [row("gate", 1, 0), row("gate", 2, 1)];
        let batch = to_table_batch(&rows, &[Hour(0), Hour(1)]);
        assert_eq!(batch.schema(), table_schema());
        let column = |name| batch.column_by_name(name).unwrap();
        let text = |name| column(name).as_string::<i32>().value(1);
        assert_eq!(text("frame_id"), "gate/0000000000007/0000000002");
        assert_eq!((text("dt"), text("hour"), text("status")), ("1970-01-01", "01", "ok"));
        assert!(column("reason").is_null(1));
        assert_eq!(column("seq").as_primitive::<Int64Type>().value(1), 2);
        assert_eq!(column("detection").as_primitive::<Int32Type>().value(1), 1);
        assert_eq!(column("score").as_primitive::<Float32Type>().value(1), 0.5);
        let captured_at = column("captured_at").as_primitive::<TimestampMicrosecondType>();
        assert_eq!(captured_at.value(1), rows[1].stamp.captured_at.0);
    }
}
