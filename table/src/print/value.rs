//! One value of a column as every form of an answer shows it.

use std::io;

use arrow_array::{Array, RecordBatch};
use arrow_schema::{ArrowError, DataType};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

/// Times as ISO 8601 in UTC, whether the column names its zone or not: the table's are all UTC.
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
    /// Anything else.
    Text(String),
}

/// The values of a batch.
pub(super) struct Values<'a> {
    rows: usize,
    columns: Vec<ColumnValues<'a>>,
}

struct ColumnValues<'a> {
    r#type: &'a DataType,
    missing: Option<NullBuffer>,
    format: ArrayFormatter<'a>,
}

impl<'a> Values<'a> {
    /// The values of `batch`.
    pub(super) fn of(batch: &'a RecordBatch) -> io::Result<Self> {
        let columns = batch.columns().iter().map(|array| {
            Ok(ColumnValues {
                r#type: array.data_type(),
                missing: array.logical_nulls(),
                format: ArrayFormatter::try_new(array.as_ref(), &OPTIONS).map_err(unprintable)?,
            })
        });
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

impl ColumnValues<'_> {
    fn value(&self, row: usize) -> io::Result<Value> {
        if self.missing.as_ref().is_some_and(|missing| missing.is_null(row)) {
            return Ok(Value::Missing);
        }
        let text = self.format.value(row).try_to_string().map_err(unprintable)?;
        Ok(match self.r#type {
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

fn unprintable(error: ArrowError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Tells whether a column's values are numbers, to stand to the right.
pub(super) fn is_number(r#type: &DataType) -> bool {
    r#type.is_numeric()
}
