//! JSON: one array of objects, or one object on each line.

use std::io::{self, Write};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

use super::Form;
use super::value::{Value, Values, quoted};

/// JSON in the making.
pub(super) struct Json<'a> {
    out: &'a mut (dyn Write + Send),
    /// Column names as JSON text.
    names: Vec<String>,
    marks: &'static Marks,
    rows: u64,
}

/// What stands around the objects.
struct Marks {
    first: &'static str,
    between: &'static str,
    last: &'static str,
    none: &'static str,
}

const ARRAY: Marks = Marks { first: "[\n", between: ",\n", last: "\n]\n", none: "[]\n" };
const LINES: Marks = Marks { first: "", between: "\n", last: "\n", none: "" };

impl<'a> Json<'a> {
    /// One array.
    pub(super) fn array(out: &'a mut (dyn Write + Send), columns: &SchemaRef) -> Self {
        Self::new(out, columns, &ARRAY)
    }

    /// One object on each line.
    pub(super) fn lines(out: &'a mut (dyn Write + Send), columns: &SchemaRef) -> Self {
        Self::new(out, columns, &LINES)
    }

    fn new(out: &'a mut (dyn Write + Send), columns: &SchemaRef, marks: &'static Marks) -> Self {
        let names = distinct(columns).iter().map(|name| quoted(name)).collect();
        Self { out, names, marks, rows: 0 }
    }

    fn object(&self, values: impl Iterator<Item = io::Result<Value>>) -> io::Result<String> {
        let mut object = String::from("{");
        for (name, value) in self.names.iter().zip(values) {
            if object.len() > 1 {
                object.push(',');
            }
            object.push_str(name);
            object.push(':');
            object.push_str(&value?.into_json());
        }
        object.push('}');
        Ok(object)
    }
}

impl Form for Json<'_> {
    fn add(&mut self, batch: &RecordBatch) -> io::Result<()> {
        let values = Values::of(batch)?;
        for row in 0..values.rows() {
            let mark = if self.rows == 0 { self.marks.first } else { self.marks.between };
            let object = self.object(values.row(row))?;
            self.out.write_all(mark.as_bytes())?;
            self.out.write_all(object.as_bytes())?;
            self.rows += 1;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        let mark = if self.rows == 0 { self.marks.none } else { self.marks.last };
        self.out.write_all(mark.as_bytes())?;
        self.out.flush()
    }
}

/// The columns' names; the second of a name has a number, for an object keeps one value of each name.
fn distinct(columns: &SchemaRef) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in columns.fields().iter().map(|field| field.name()) {
        let taken = |one: &String| names.contains(one) || columns.index_of(one).is_ok();
        let numbered = || (2..).map(|n| format!("{name}_{n}")).find(|one| !taken(one));
        let one = if names.contains(name) { numbered() } else { None };
        names.push(one.unwrap_or_else(|| name.clone()));
    }
    names
}
