//! The text table: for reading, so it is cut in length and its fractions are short.

use std::io::{self, Write};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, TableComponent, presets};

use super::Form;
use super::value::{Value, Values, is_number};

/// Most rows of a text table.
pub const MAX_TEXT_ROWS: usize = 1_000;
/// Digits after the point.
const DECIMALS: usize = 4;
/// Below this, [`DECIMALS`] digits would show a zero.
const SMALLEST: f64 = 0.000_05;
/// What stands for a value that is missing.
const MISSING: &str = "-";
/// The column of whose values one has to know what it means that there is none.
const LABEL: &str = "label";
/// What it means.
const UNLABELLED: &str = "a row without a label is of a frame in which nothing was found (status none) or that failed (status error)";
/// The column whose texts are lines: what EXPLAIN tells.
const PLAN: &str = "plan";

/// A text table in the making.
pub(super) struct Text<'a> {
    out: &'a mut (dyn Write + Send),
    table: Table,
    columns: SchemaRef,
    rows: usize,
    more: bool,
    unlabelled: bool,
}

impl<'a> Text<'a> {
    pub(super) fn new(out: &'a mut (dyn Write + Send), columns: &SchemaRef) -> Self {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        table.set_style(TableComponent::HeaderLines, '─');
        table.set_style(TableComponent::MiddleHeaderIntersections, '─');
        table.set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(columns.fields().iter().map(|field| printable(field.name())));
        for (column, field) in table.column_iter_mut().zip(columns.fields()) {
            if is_number(field.data_type()) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        Self { out, table, columns: Arc::clone(columns), rows: 0, more: false, unlabelled: false }
    }
}

impl Form for Text<'_> {
    fn add(&mut self, batch: &RecordBatch) -> io::Result<()> {
        let values = Values::of(batch)?;
        let room = MAX_TEXT_ROWS - self.rows;
        self.more = values.rows() > room;
        for row in 0..values.rows().min(room) {
            let row = values.row(row).collect::<io::Result<Vec<Value>>>()?;
            self.unlabelled |= is_unlabelled(&row, &self.columns);
            let cells = row.into_iter().zip(self.columns.fields());
            self.table.add_row(cells.map(|(value, field)| Cell::new(shown(value, field.name()))));
            self.rows += 1;
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.more
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        for line in self.table.lines() {
            writeln!(self.out, "{}", line.trim_end())?;
        }
        write_end(self.out, self.rows, self.more, self.unlabelled)
    }
}

/// Tells whether the row has the table's column for labels, and none in it.
pub(super) fn is_unlabelled(row: &[Value], columns: &SchemaRef) -> bool {
    let mut fields = row.iter().zip(columns.fields());
    fields.any(|(value, field)| *value == Value::Missing && field.name() == LABEL)
}

/// Writes how many rows were shown, and what is not plain about them.
pub(super) fn write_end(
    out: &mut dyn Write,
    rows: usize,
    more: bool,
    unlabelled: bool,
) -> io::Result<()> {
    if unlabelled {
        writeln!(out, "{MISSING} is no value; {UNLABELLED}")?;
    }
    match rows {
        rows if more => writeln!(
            out,
            "the first {rows} rows; there are more: add LIMIT, or print csv, json or jsonl"
        ),
        1 => writeln!(out, "1 row"),
        rows => writeln!(out, "{rows} rows"),
    }
}

/// A value as those who read see it.
pub(super) fn shown(value: Value, column: &str) -> String {
    match value {
        Value::Missing => MISSING.to_owned(),
        Value::Real(text) => short(&text),
        Value::Whole(text) | Value::Bool(text) => text,
        Value::Text(text) if column == PLAN => {
            text.lines().map(printable).collect::<Vec<_>>().join("\n")
        }
        Value::Json(text) | Value::Text(text) => printable(&text),
    }
}

/// A fraction with at most [`DECIMALS`] digits, as written when that would make it look like zero.
fn short(text: &str) -> String {
    match text.parse::<f64>() {
        Ok(number) if number == 0.0 || number.abs() >= SMALLEST => {
            let cut = format!("{number:.DECIMALS$}");
            cut.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        _ => text.to_owned(),
    }
}

/// Text without what a terminal would obey.
pub(super) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { shown.extend(c.escape_debug()) } else { shown.push(c) }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_short_and_never_a_false_zero() {
        for (full, shown) in [
            ("0.8432194829", "0.8432"),
            ("2.0", "2"),
            ("1e-9", "1e-9"),
            ("0.0", "0"),
            ("-0.5", "-0.5"),
        ] {
            assert_eq!(short(full), shown);
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown_instead() {
        assert_eq!(printable("\u{1b}[2Jgrün\n"), "\\u{1b}[2Jgrün\\n");
    }
}
