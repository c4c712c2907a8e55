//! CSV as RFC 4180 has it, with a head and line feeds.

use std::io::{self, Write};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use csv::Writer;

use super::Form;
use super::value::{Value, Values};

/// CSV in the making.
pub(super) struct Csv<'a> {
    out: Writer<&'a mut (dyn Write + Send)>,
}

impl<'a> Csv<'a> {
    pub(super) fn new(out: &'a mut (dyn Write + Send), columns: &SchemaRef) -> io::Result<Self> {
        let mut out = Writer::from_writer(out);
        out.write_record(columns.fields().iter().map(|field| field.name())).map_err(io_error)?;
        Ok(Self { out })
    }
}

impl Form for Csv<'_> {
    fn add(&mut self, batch: &RecordBatch) -> io::Result<()> {
        let values = Values::of(batch)?;
        for row in 0..values.rows() {
            for value in values.row(row) {
                self.out.write_field(field(value?)).map_err(io_error)?;
            }
            self.out.write_record(None::<&[u8]>).map_err(io_error)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.out.flush()
    }
}

/// The writer's own error, of its own kind: `From` makes all of them `Other`.
fn io_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        kind => io::Error::other(format!("{kind:?}")),
    }
}

fn field(value: Value) -> String {
    match value {
        Value::Missing => String::new(),
        Value::Whole(text)
        | Value::Real(text)
        | Value::Bool(text)
        | Value::Json(text)
        | Value::Text(text) => text,
    }
}
