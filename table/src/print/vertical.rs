//! One value on each line: for rows that are wider than a screen.

use std::io::{self, Write};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

use super::Form;
use super::text::{MAX_TEXT_ROWS, is_unlabelled, printable, shown, write_end};
use super::value::{Value, Values};

/// Characters of a row's headline.
const HEADLINE: usize = 40;

/// Rows in the making.
pub(super) struct Vertical<'a> {
    out: &'a mut (dyn Write + Send),
    columns: SchemaRef,
    /// Column names, all of one width.
    names: Vec<String>,
    rows: usize,
    more: bool,
    unlabelled: bool,
}

impl<'a> Vertical<'a> {
    pub(super) fn new(out: &'a mut (dyn Write + Send), columns: &SchemaRef) -> Self {
        let names: Vec<String> =
            columns.fields().iter().map(|field| printable(field.name())).collect();
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        let names = names.iter().map(|name| format!("{name:width$}")).collect();
        let columns = Arc::clone(columns);
        Self { out, columns, names, rows: 0, more: false, unlabelled: false }
    }

    fn write_row(&mut self, row: Vec<Value>) -> io::Result<()> {
        self.rows += 1;
        self.unlabelled |= is_unlabelled(&row, &self.columns);
        let headline = format!("─ row {} ", self.rows);
        writeln!(self.out, "{headline:─<HEADLINE$}")?;
        for ((value, field), name) in row.into_iter().zip(self.columns.fields()).zip(&self.names) {
            let text = shown(value, field.name());
            let mut lines = text.lines();
            writeln!(self.out, "{name}  {}", lines.next().unwrap_or_default())?;
            for line in lines {
                writeln!(self.out, "{:width$}  {line}", "", width = name.chars().count())?;
            }
        }
        Ok(())
    }
}

impl Form for Vertical<'_> {
    fn add(&mut self, batch: &RecordBatch) -> io::Result<()> {
        let values = Values::of(batch)?;
        let room = MAX_TEXT_ROWS - self.rows;
        self.more = values.rows() > room;
        for row in 0..values.rows().min(room) {
            self.write_row(values.row(row).collect::<io::Result<_>>()?)?;
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.more
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        write_end(self.out, self.rows, self.more, self.unlabelled)?;
        self.out.flush()
    }
}
