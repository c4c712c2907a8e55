//! One value of a column as every form of an answer shows it.

use std::io;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Schema};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

/// Times as ISO 8601 in UTC, whether the column names that zone or none: the table's are all UTC.
const TIME: Option<&str> = Some("%Y-%m-%dT%H:%M:%S%.6fZ");
const OPTIONS: FormatOptions<'static> = FormatOptions::new()
    .with_timestamp_format(TIME)
    .with_timestamp_tz_format(TIME)
    .with_datetime_format(TIME);

/// A value, ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// There is none.
    Missing,
    /// A whole number, in decimal.
    Whole(String),
    /// A finite number with a fraction, with the digits that it takes to read it back.
    Real(String),
    /// `true` or `false`.
    Bool(String),
    /// A list or a struct, as JSON.
    Json(String),
    /// Anything else.
    Text(String),
}

impl Value {
    /// The value as JSON.
    pub(super) fn into_json(self) -> String {
        match self {
            Self::Missing => "null".to_owned(),
            Self::Whole(text) | Self::Real(text) | Self::Bool(text) | Self::Json(text) => text,
            Self::Text(text) => quoted(&text),
        }
    }
}

/// A text as JSON.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The same rows, with times of all zones in UTC.
pub(super) fn in_utc(batch: &RecordBatch) -> io::Result<RecordBatch> {
    let columns = batch.columns().iter().map(utc).collect::<io::Result<Vec<_>>>()?;
    let schema = batch.schema();
    let fields = schema.fields().iter().zip(&columns).map(|(field, column)| {
        Field::new(field.name(), column.data_type().clone(), field.is_nullable())
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema, columns, &rows).map_err(unprintable)
}

fn utc(array: &ArrayRef) -> io::Result<ArrayRef> {
    match array.data_type() {
        DataType::Timestamp(unit, Some(_)) => {
            cast(array, &DataType::Timestamp(*unit, Some("UTC".into()))).map_err(unprintable)
        }
        _ => Ok(Arc::clone(array)),
    }
}

/// The values of a batch whose times are [`in_utc`].
pub(super) struct Values<'a> {
    rows: usize,
    columns: Vec<ColumnValues<'a>>,
}

struct ColumnValues<'a> {
    array: &'a ArrayRef,
    missing: Option<NullBuffer>,
    format: ArrayFormatter<'a>,
}

impl<'a> Values<'a> {
    /// The values of `batch`.
    pub(super) fn of(batch: &'a RecordBatch) -> io::Result<Self> {
        let columns = batch.columns().iter().map(ColumnValues::of);
        Ok(Self { rows: batch.num_rows(), columns: columns.collect::<io::Result<_>>()? })
    }

    /// How many rows there are.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The values of a row, column by column.
    pub(super) fn row(&self, row: usize) -> impl Iterator<Item = io::Result<Value>> + '_ {
        self.columns.iter().map(move |column| column.value(row))
    }
}

impl<'a> ColumnValues<'a> {
    fn of(array: &'a ArrayRef) -> io::Result<Self> {
        let format = ArrayFormatter::try_new(array.as_ref(), &OPTIONS).map_err(unprintable)?;
        Ok(Self { array, missing: array.logical_nulls(), format })
    }

    fn value(&self, row: usize) -> io::Result<Value> {
        if self.missing.as_ref().is_some_and(|missing| missing.is_null(row)) {
            return Ok(Value::Missing);
        }
        if let Some(json) = with_parts(self.array, row)? {
            return Ok(Value::Json(json));
        }
        let text = self.format.value(row).try_to_string().map_err(unprintable)?;
        Ok(match self.array.data_type() {
            DataType::Boolean => Value::Bool(text),
            whole if whole.is_integer() => Value::Whole(text),
            // Infinities and NaN are words, in JSON too.
            real if real.is_numeric() && text.ends_with(|c: char| c.is_ascii_digit()) => {
                Value::Real(text)
            }
            _ => Value::Text(text),
        })
    }
}

/// A list or a struct as JSON; none for what has no parts.
fn with_parts(array: &ArrayRef, row: usize) -> io::Result<Option<String>> {
    let items = match array.data_type() {
        DataType::List(_) => array.as_list::<i32>().value(row),
        DataType::LargeList(_) => array.as_list::<i64>().value(row),
        DataType::FixedSizeList(..) => array.as_fixed_size_list().value(row),
        DataType::Struct(fields) => {
            let member = |(field, column): (&FieldRef, &ArrayRef)| {
                Ok(format!("{}:{}", quoted(field.name()), json(&column.slice(row, 1))?))
            };
            let members = fields.iter().zip(array.as_struct().columns()).map(member);
            let members = members.collect::<io::Result<Vec<String>>>()?;
            return Ok(Some(format!("{{{}}}", members.join(","))));
        }
        _ => return Ok(None),
    };
    Ok(Some(format!("[{}]", json(&items)?)))
}

/// The values of an array as JSON, between commas.
fn json(array: &ArrayRef) -> io::Result<String> {
    let array = utc(array)?;
    let column = ColumnValues::of(&array)?;
    let values = (0..array.len()).map(|row| Ok(column.value(row)?.into_json()));
    Ok(values.collect::<io::Result<Vec<String>>>()?.join(","))
}

fn unprintable(error: ArrowError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Tells whether a column's values are numbers, to stand to the right.
pub(super) fn is_number(r#type: &DataType) -> bool {
    r#type.is_numeric()
}
