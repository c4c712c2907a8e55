//! One value of a column as every form of an answer shows it.

use std::io;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, FieldRef, TimeUnit};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

/// Times as ISO 8601: in UTC, whether the column names that zone or none, for the table's are all UTC.
const IN_UTC: FormatOptions<'static> = times(Some("%Y-%m-%dT%H:%M:%S%.6fZ"));
/// In the column's own zone, with its distance from UTC.
const IN_ZONE: FormatOptions<'static> = times(Some("%Y-%m-%dT%H:%M:%S%.6f%:z"));

const fn times(format: Option<&'static str>) -> FormatOptions<'static> {
    FormatOptions::new()
        .with_timestamp_format(format)
        .with_timestamp_tz_format(format)
        .with_datetime_format(format)
}

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

/// The values of a batch.
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
        let options = match array.data_type() {
            DataType::Timestamp(_, Some(zone)) if zone.as_ref() != "UTC" => &IN_ZONE,
            _ => &IN_UTC,
        };
        let format = ArrayFormatter::try_new(array.as_ref(), options).map_err(unprintable)?;
        Ok(Self { array, missing: array.logical_nulls(), format })
    }

    fn value(&self, row: usize) -> io::Result<Value> {
        if self.missing.as_ref().is_some_and(|missing| missing.is_null(row)) {
            return Ok(Value::Missing);
        }
        if let Some(json) = with_parts(self.array, row)? {
            return Ok(Value::Json(json));
        }
        if let Some(span) = span(self.array, row) {
            return Ok(Value::Text(span));
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

/// A length of time as `2 days 03:04:05.678`; none for what is no length of time.
fn span(array: &ArrayRef, row: usize) -> Option<String> {
    let DataType::Duration(unit) = array.data_type() else { return None };
    let (count, nanos) = match unit {
        TimeUnit::Second => (array.as_primitive::<DurationSecondType>().value(row), 1_000_000_000),
        TimeUnit::Millisecond => {
            (array.as_primitive::<DurationMillisecondType>().value(row), 1_000_000)
        }
        TimeUnit::Microsecond => {
            (array.as_primitive::<DurationMicrosecondType>().value(row), 1_000)
        }
        TimeUnit::Nanosecond => (array.as_primitive::<DurationNanosecondType>().value(row), 1),
    };
    let sign = if count < 0 { "-" } else { "" };
    Some(format!("{sign}{}", span_text(u128::from(count.unsigned_abs()) * nanos)))
}

fn span_text(nanos: u128) -> String {
    let (seconds, fraction) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (hours, minutes, seconds) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    let days = match days {
        0 => String::new(),
        1 => "1 day ".to_owned(),
        days => format!("{days} days "),
    };
    let fraction = format!(".{fraction:09}");
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    format!("{days}{hours:02}:{minutes:02}:{seconds:02}{fraction}")
}

/// The values of an array as JSON, between commas.
fn json(array: &ArrayRef) -> io::Result<String> {
    let column = ColumnValues::of(array)?;
    let values = (0..array.len()).map(|row| Ok(column.value(row)?.into_json()));
    Ok(values.collect::<io::Result<Vec<String>>>()?.join(","))
}

fn unprintable(error: ArrowError) -> io::Error {
    let message = error.to_string();
    // `Parser error: Invalid timezone "Mars": failed to parse timezone`
    let zone = message.split_once("Invalid timezone \"").and_then(|(_, rest)| rest.split_once('"'));
    match zone {
        Some((zone, _)) => {
            let words = format!(
                "\"{zone}\" is no time zone, expected one such as \"Europe/Berlin\" or \"+02:00\""
            );
            io::Error::new(io::ErrorKind::InvalidData, words)
        }
        None => io::Error::new(io::ErrorKind::InvalidData, error),
    }
}

/// Tells whether a column's values are numbers, to stand to the right.
pub(super) fn is_number(r#type: &DataType) -> bool {
    r#type.is_numeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_for_reading() {
        for (nanos, text) in [
            (0, "00:00:00"),
            (1_761_500_000_000, "00:29:21.5"),
            (86_400_000_000_000, "1 day 00:00:00"),
            (1_761_000_000_000_000, "20 days 09:10:00"),
            (1, "00:00:00.000000001"),
        ] {
            assert_eq!(span_text(nanos), text);
        }
    }
}
