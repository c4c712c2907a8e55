//! Athena's rows, which are texts, as columns of their types.

use std::sync::Arc;

use arrow_array::timezone::Tz;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use aws_sdk_athena::types::{ColumnInfo, Row};
use datafusion::arrow::compute::{CastOptions, cast_with_options};

use crate::error::QueryError;

/// The columns of an answer.
pub(super) struct Columns {
    schema: SchemaRef,
    has_head: bool,
}

impl Columns {
    /// The columns that Athena tells of. With `has_head` the first row of the first page holds their names.
    ///
    /// Here a column has one zone, there each time its own: the first time's, by the rows of the first page, is taken for
    /// all of its column. They stay the same instants.
    pub(super) fn new(columns: &[ColumnInfo], has_head: bool, first_page: &[Row]) -> Self {
        let rows = first_page.get(usize::from(has_head)..).unwrap_or_default();
        let field = |(place, column): (usize, &ColumnInfo)| {
            let kind = match column.r#type() {
                "timestamp with time zone" => time_in(zone(rows, place).unwrap_or("UTC")),
                other => arrow_type(other),
            };
            Field::new(column.name(), kind, true)
        };
        let fields: Vec<Field> = columns.iter().enumerate().map(field).collect();
        Self { schema: Arc::new(Schema::new(fields)), has_head }
    }

    pub(super) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// One page of rows.
    ///
    /// # Errors
    /// When a value is not of its column's type; the column is named.
    pub(super) fn batch(
        &self,
        rows: &[Row],
        is_first_page: bool,
    ) -> Result<RecordBatch, QueryError> {
        let heads = usize::from(self.has_head && is_first_page);
        let rows = rows.get(heads..).unwrap_or_default();
        let fields = self.schema.fields().iter().enumerate();
        let columns = fields.map(|(place, field)| column(rows, place, field));
        let columns = columns.collect::<Result<Vec<ArrayRef>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        RecordBatch::try_new_with_options(self.schema(), columns, &options)
            .map_err(|error| QueryError::Failed { cause: error.to_string(), source: error.into() })
    }
}

fn column(rows: &[Row], place: usize, field: &Field) -> Result<ArrayRef, QueryError> {
    let text = |row: &Row| {
        let value = row.data().get(place)?.var_char_value()?;
        Some(plain(value, field.data_type()))
    };
    let texts: StringArray = rows.iter().map(text).collect();
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(&texts, field.data_type(), &strict).map_err(|error| QueryError::Column {
        column: field.name().clone(),
        cause: format!("{error}, expected {}", field.data_type()),
    })
}

/// The zone of the first time in a column, if it is one that is known here.
fn zone(rows: &[Row], place: usize) -> Option<&str> {
    let first = rows.iter().find_map(|row| row.data().get(place)?.var_char_value())?;
    first.split(' ').nth(2).filter(|zone| zone.parse::<Tz>().is_ok())
}

fn time_in(zone: &str) -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(zone.into()))
}

/// A value as Arrow reads it: a time's zone stands behind a blank, and is UTC where none stands.
fn plain(value: &str, wanted: &DataType) -> String {
    match (wanted, value.split(' ').nth(2)) {
        (DataType::Timestamp(..), None) => format!("{value}Z"),
        _ => value.to_owned(),
    }
}

/// The Arrow type of one of Athena's (<https://docs.aws.amazon.com/athena/latest/ug/data-types.html>). Times without
/// a zone are UTC: that is what the table holds. What has parts (arrays, maps, rows) stays text.
fn arrow_type(athena: &str) -> DataType {
    match athena {
        "boolean" => DataType::Boolean,
        "tinyint" | "smallint" | "int" | "integer" => DataType::Int32,
        "bigint" => DataType::Int64,
        "float" | "real" => DataType::Float32,
        "double" | "decimal" => DataType::Float64,
        "date" => DataType::Date32,
        "timestamp" => time_in("UTC"),
        _ => DataType::Utf8,
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
    use aws_sdk_athena::types::Datum;

    use super::*;

    fn columns(of: &[(&str, &str)]) -> Columns {
        let info = |(name, kind): &(&str, &str)| {
            ColumnInfo::builder().name(*name).r#type(*kind).build().unwrap()
        };
        Columns::new(&of.iter().map(info).collect::<Vec<_>>(), true, &[])
    }

    fn row(values: &[Option<&str>]) -> Row {
        let datum = |value: &Option<&str>| {
            Datum::builder().set_var_char_value(value.map(str::to_owned)).build()
        };
        Row::builder().set_data(Some(values.iter().map(datum).collect())).build()
    }

    #[test]
    fn texts_become_values_of_their_columns() {
        let kinds =
            [("n", "bigint"), ("share", "decimal"), ("at", "timestamp"), ("label", "varchar")];
        let page = [
            row(&[Some("n"), Some("share"), Some("at"), Some("label")]),
            row(&[Some("7"), Some("0.25"), Some("2026-11-21 08:00:00.125"), Some("person")]),
            row(&[None, None, Some("2026-11-21 08:00:01.000 UTC"), None]),
        ];
        let batch = columns(&kinds).batch(&page, true).unwrap();
        assert_eq!(batch.num_rows(), 2);
        assert_eq!(
            batch.column(0).as_primitive::<Int64Type>().iter().collect::<Vec<_>>(),
            [Some(7), None]
        );
        assert_eq!(batch.column(1).as_primitive::<Float64Type>().value(0), 0.25);
        let at = batch.column(2).as_primitive::<TimestampMicrosecondType>();
        assert_eq!(at.value(1) - at.value(0), 875_000);
        assert_eq!(
            batch.column(3).as_string::<i32>().iter().collect::<Vec<_>>(),
            [Some("person"), None]
        );
    }

    #[test]
    fn times_of_any_zone_are_the_same_instant() {
        let times = ["08:00:00", "08:00:00 UTC", "09:00:00 Europe/Berlin", "13:30:00 +05:30"];
        let rows = times.map(|time| row(&[Some(&format!("2026-11-21 {time}"))]));
        let columns = columns(&[("at", "timestamp with time zone")]);
        let batch = columns.batch(&rows, false).unwrap();
        let at = batch.column(0).as_primitive::<TimestampMicrosecondType>();
        assert_eq!(at.values().to_vec(), [1_795_248_000_000_000; 4]);
    }

    #[test]
    fn a_time_in_a_zone_is_in_it() {
        for (first, zone) in [
            (Some("2026-11-21 09:00:00.000 Europe/Berlin"), "Europe/Berlin"),
            (Some("2026-11-21 13:30:00.000 +05:30"), "+05:30"),
            (Some("2026-11-21 08:00:00.000 UTC"), "UTC"),
            (Some("2026-11-21 08:00:00.000 Mars/Olympus"), "UTC"),
            (None, "UTC"),
        ] {
            let page = [row(&[Some("at")]), row(&[None]), row(&[first])];
            let kind = "timestamp with time zone";
            let info = ColumnInfo::builder().name("at").r#type(kind).build().unwrap();
            let columns = Columns::new(&[info], true, &page);
            assert_eq!(*columns.schema().field(0).data_type(), time_in(zone), "{first:?}");
        }
    }

    #[test]
    fn later_pages_have_no_head() {
        let batch = columns(&[("n", "integer")]).batch(&[row(&[Some("1")])], false).unwrap();
        assert_eq!(batch.num_rows(), 1);
    }

    #[test]
    fn a_value_of_another_type_is_an_error_of_its_column() {
        let error = columns(&[("n", "bigint")]).batch(&[row(&[Some("many")])], false).unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("read column \"n\" of the answer: ") && text.contains("many"),
            "{text}"
        );
    }
}
