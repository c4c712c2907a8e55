//! The one error of the port: what a caller can act on, and where in the SQL it lies.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use services::PortError;
use services::delivery::Gap;

use crate::embedded::Limits;

/// A query that was not answered, or not to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The text is wrong: its grammar, or a name or type in it.
    #[error("read query: {0}")]
    Sql(SqlError),
    /// The text asks for something else than an answer.
    #[error(
        "read query: {found} is refused, expected one question (SELECT, WITH, VALUES, SHOW TABLES, DESCRIBE or EXPLAIN)"
    )]
    Refused {
        /// What was asked for.
        found: String,
    },
    /// The rows cannot be read; the cause names the file.
    #[error("run query: {0}")]
    Rows(#[source] PortError),
    /// Rows that the query needs cannot be read, and whoever asked has no use for an answer without them.
    #[error("run query: {first}{}", and_others(*.others))]
    Gaps {
        /// The first of what cannot be read.
        first: Gap,
        /// How many there are besides.
        others: usize,
    },
    /// The query needs more memory, or more temporary files, than all queries together may have.
    #[error(
        "run query: it needs more than the {0} that queries may use, expected fewer rows: filter by stream or captured_at"
    )]
    TooLarge(Limits),
    /// The engine took longer than the query may.
    #[error(
        "run query: it was not answered within {0:?}, expected fewer rows (filter by stream or captured_at) or more time"
    )]
    TooLong(Duration),
    /// The query failed on the rows' values: a division by zero, a text that is no number.
    #[error("run query: {cause}")]
    Failed {
        /// What failed.
        cause: String,
        /// The engine's error.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The engine ended before the answer was complete: the table was closed, or a bug ended its thread.
    #[error("run query: the engine stopped before the answer was complete")]
    Stopped,
    /// The answer has no such column, or its values are not of the type asked for.
    #[error("read column {column:?} of the answer: {cause}")]
    Column {
        /// The column asked for.
        column: String,
        /// What came and what was expected.
        cause: String,
    },
}

fn and_others(others: usize) -> String {
    if others == 0 { String::new() } else { format!("; and {others} more such gaps") }
}

impl QueryError {
    /// Tells whether the same query may be answered later without anybody changing it.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Rows(error) => error.is_retryable(),
            _ => false,
        }
    }
}

/// A place in the SQL text.
///
/// # Units
/// Lines and columns count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column of the first character.
    pub column: usize,
    /// How many characters are meant, at least one.
    pub width: usize,
}

/// What is wrong with the SQL text, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlError {
    /// What is wrong.
    pub cause: String,
    /// What may have been meant.
    pub hint: Option<String>,
    /// Where it is, when the engine knows.
    pub position: Option<Position>,
    /// The line that the position is on.
    line: Option<String>,
}

impl SqlError {
    /// Makes an error about `sql`.
    pub fn new(cause: String, hint: Option<String>, position: Option<Position>, sql: &str) -> Self {
        let line = position.and_then(|at| sql.lines().nth(at.line.checked_sub(1)?));
        Self { cause, hint, position, line: line.map(str::to_owned) }
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = self.position {
            write!(f, "line {}, column {}: ", at.line, at.column)?;
        }
        f.write_str(&self.cause)?;
        if let Some(hint) = &self.hint {
            write!(f, "; {hint}")?;
        }
        match (self.position, &self.line) {
            (Some(at), Some(line)) => write!(f, "\n{}", Excerpt { at, line }),
            _ => Ok(()),
        }
    }
}

impl StdError for SqlError {}

/// The line with carets under the words that are meant.
struct Excerpt<'a> {
    at: Position,
    line: &'a str,
}

/// Most characters of a line that are shown on either side of the position.
const CONTEXT: usize = 60;

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = self.at.column.saturating_sub(1);
        let skipped = before.saturating_sub(CONTEXT);
        // A tab would put the caret elsewhere than the word; other control characters don't print.
        let shown: String = (self.line.chars().skip(skipped))
            .take(before - skipped + self.at.width + CONTEXT)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let gutter = self.at.line.to_string();
        let carets = self.at.width.clamp(1, CONTEXT);
        writeln!(f, "  {gutter} | {}", shown.trim_end())?;
        write!(f, "  {:gutter$} | ", "", gutter = gutter.len())?;
        write!(f, "{:indent$}{}", "", "^".repeat(carets), indent = before - skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(sql: &str, line: usize, column: usize, width: usize) -> String {
        let at = Position { line, column, width };
        SqlError::new("no column \"x\"".into(), None, Some(at), sql).to_string()
    }

    #[test]
    fn carets_lie_under_the_word() {
        insta::assert_snapshot!(error("SELECT *\nFROM t\n\tWHERE lable = 1", 3, 8, 5), @r#"
        line 3, column 8: no column "x"
          3 |  WHERE lable = 1
            |        ^^^^^
        "#);
    }

    #[test]
    fn a_long_line_is_cut_around_the_word() {
        let sql = format!("SELECT {} lable {}", "a, ".repeat(100), "b ".repeat(100));
        let shown = error(&sql, 1, 309, 5);
        assert!(shown.lines().all(|line| line.chars().count() < 140), "{shown}");
        let caret = shown.lines().nth(2).unwrap().find('^').unwrap();
        assert_eq!(&shown.lines().nth(1).unwrap()[caret..caret + 5], "lable");
    }

    #[test]
    fn a_position_beyond_the_text_is_told_without_a_line() {
        assert_eq!(error("SELECT 1", 7, 1, 1), "line 7, column 1: no column \"x\"");
    }
}
