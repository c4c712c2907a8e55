//! The engine's errors in plain words, with the place in the SQL and what may have been meant.

use arrow_schema::ArrowError;
use datafusion::common::utils::datafusion_strsim::levenshtein;
use datafusion::common::{Column, DataFusionError, Diagnostic, SchemaError, Span};
use datafusion::sql::sqlparser::parser::ParserError;

use crate::embedded::Limits;
use crate::error::{Position, QueryError, SqlError};

/// What an error is about.
pub(crate) struct Scope<'a> {
    /// The text.
    pub(crate) sql: &'a str,
    /// The tables there are.
    pub(crate) tables: Vec<&'a str>,
    /// The functions there are.
    pub(crate) functions: Vec<String>,
    /// The bounds of what it may use.
    pub(crate) limits: Limits,
}

impl Scope<'_> {
    fn wrong(&self, cause: String, hint: Option<String>, position: Option<Position>) -> QueryError {
        QueryError::Sql(SqlError::new(cause, hint, position, self.sql))
    }
}

/// Tells whether an error may come from a file that is damaged or gone.
pub(crate) fn is_about_files(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::ParquetError(_)
        | DataFusionError::ObjectStore(_)
        | DataFusionError::IoError(_)
        | DataFusionError::External(_) => true,
        DataFusionError::ExecutionJoin(error) => error.is_panic(),
        DataFusionError::ArrowError(error, _) => !matches!(
            **error,
            ArrowError::DivideByZero
                | ArrowError::ArithmeticOverflow(_)
                | ArrowError::CastError(_)
                | ArrowError::ComputeError(_)
                | ArrowError::ParseError(_)
        ),
        _ => false,
    }
}

/// Says in words what the engine reports.
pub(crate) fn translate(error: DataFusionError, scope: &Scope<'_>) -> QueryError {
    // A statement with several faults: the first is enough to go on with.
    let first = error.iter().next().unwrap_or(&error);
    let diagnostic = first.diagnostic();
    let at = diagnostic.and_then(|found| found.span).map(position);
    match first.find_root() {
        DataFusionError::SQL(parser, _) => grammar(parser, scope),
        DataFusionError::SchemaError(fault, _) => schema(fault, at, scope),
        DataFusionError::Plan(message) | DataFusionError::NotImplemented(message) => {
            let (cause, hint) = plan(message, diagnostic, scope);
            let at = at.or_else(|| only_call(refused_call(message)?.0, scope.sql));
            scope.wrong(cause, hint, at)
        }
        DataFusionError::ResourcesExhausted(_) => QueryError::TooLarge(scope.limits),
        DataFusionError::ExecutionJoin(join) if join.is_cancelled() => QueryError::Stopped,
        root => {
            let message = root.message();
            let cause = no_time(&message).unwrap_or_else(|| plain(&message));
            QueryError::Failed { cause, source: Box::new(error) }
        }
    }
}

fn position(span: Span) -> Position {
    let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let (start, end) = (span.start, span.end);
    let width = if start.line == end.line { end.column.saturating_sub(start.column) } else { 1 };
    Position { line: number(start.line), column: number(start.column), width: number(width).max(1) }
}

fn grammar(error: &ParserError, scope: &Scope<'_>) -> QueryError {
    match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => {
            let (cause, at) = split_position(text);
            let at = at.map_or_else(
                || end_of(scope.sql),
                |(line, column)| Position {
                    line,
                    column,
                    width: word_width(scope.sql, line, column),
                },
            );
            scope.wrong(plain(cause), None, Some(at))
        }
        ParserError::RecursionLimitExceeded => {
            scope.wrong("it is nested too deeply".to_owned(), None, None)
        }
    }
}

/// Takes the position off a parser's message (`… at Line: 1, Column: 8`).
fn split_position(text: &str) -> (&str, Option<(usize, usize)>) {
    let parse = || {
        let (cause, place) = text.rsplit_once(" at Line: ")?;
        let (line, column) = place.split_once(", Column: ")?;
        Some((cause, (line.parse().ok()?, column.trim().parse().ok()?)))
    };
    parse().map_or((text, None), |(cause, at)| (cause, Some(at)))
}

fn word_width(sql: &str, line: usize, column: usize) -> usize {
    let line = sql.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    let word = line.chars().skip(column.saturating_sub(1));
    word.take_while(|c| c.is_alphanumeric() || *c == '_').count().max(1)
}

fn end_of(sql: &str) -> Position {
    let lines = sql.trim_end().lines();
    let column = lines.clone().last().map_or(0, |line| line.chars().count()) + 1;
    Position { line: lines.count().max(1), column, width: 1 }
}

fn schema(error: &SchemaError, at: Option<Position>, scope: &Scope<'_>) -> QueryError {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let at = at.or_else(|| field.spans.first().map(position));
            let hint = nearest_columns(field, valid_fields);
            scope.wrong(format!("no column \"{}\"", field.flat_name()), Some(hint), at)
        }
        SchemaError::AmbiguousReference { field } => {
            let at = at.or_else(|| field.spans.first().map(position));
            let hint = "write table.column".to_owned();
            scope.wrong(format!("column \"{}\" is in several tables", field.name), Some(hint), at)
        }
        other => scope.wrong(plain(&other.to_string()), None, at),
    }
}

fn nearest_columns(field: &Column, valid: &[Column]) -> String {
    let mut names: Vec<&str> = valid.iter().map(|column| column.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    match nearest(&field.name, &names).as_slice() {
        [] if names.is_empty() => "there are no columns here".to_owned(),
        [] => format!("columns: {}", names.join(", ")),
        near => format!("did you mean {}?", near.join(" or ")),
    }
}

/// Up to three names that differ from `word` in at most two fifths of its letters, nearest first.
fn nearest<'a>(word: &str, names: &[&'a str]) -> Vec<&'a str> {
    let word = word.to_lowercase();
    let most = (word.chars().count() * 2 / 5).max(1);
    let mut near: Vec<(usize, &str)> = names
        .iter()
        .map(|name| (levenshtein(&word, &name.to_lowercase()), *name))
        .filter(|(distance, _)| *distance <= most)
        .collect();
    near.sort_unstable();
    near.into_iter().take(3).map(|(_, name)| name).collect()
}

/// What is wrong, and what may have been meant.
fn plan(
    message: &str,
    diagnostic: Option<&Diagnostic>,
    scope: &Scope<'_>,
) -> (String, Option<String>) {
    if let Some(table) = missing_table(message) {
        let hint = format!("tables: {}", scope.tables.join(", "));
        return (format!("no table \"{table}\""), Some(hint));
    }
    if let Some(function) = missing_table_function(message) {
        let hint = format!("tables: {}", scope.tables.join(", "));
        return (format!("no table function \"{function}\""), Some(hint));
    }
    if let Some(function) = missing_function(message) {
        let names: Vec<&str> = scope.functions.iter().map(String::as_str).collect();
        let near = nearest(function, &names);
        let hint = (!near.is_empty()).then(|| format!("did you mean {}?", near.join(" or ")));
        return (format!("no function \"{function}\""), hint);
    }
    if let Some((function, arguments)) = refused_call(message) {
        return (plain(&format!("function \"{function}\" does not take ({arguments})")), None);
    }
    // A diagnosis without advice says less than the message does.
    let advice = diagnostic.and_then(|told| Some((told, told.helps.first()?)));
    let (cause, hint) = match advice {
        Some((told, help)) => (told.message.as_str(), Some(help.message.as_str())),
        None => (message, None),
    };
    (plain(cause), hint.map(plain))
}

/// The name in `table 'millrace.public.name' not found`.
fn missing_table(message: &str) -> Option<&str> {
    let name = message.strip_prefix("table '")?.strip_suffix("' not found")?;
    Some(name.strip_prefix("millrace.public.").unwrap_or(name))
}

/// The name in `table function 'name' not found`.
fn missing_table_function(message: &str) -> Option<&str> {
    let rest =
        message.strip_prefix("table function '").or(message.strip_prefix("Table function '"));
    rest?.strip_suffix("' not found")
}

/// The name in `Invalid function 'name'.\nDid you mean …`.
fn missing_function(message: &str) -> Option<&str> {
    Some(message.strip_prefix("Invalid function '")?.split_once('\'')?.0)
}

/// The function and the arguments' types in `… argument types 'sum(Utf8)'. You might need …`.
fn refused_call(message: &str) -> Option<(&str, &str)> {
    let (_, rest) =
        message.split_once("No function matches the given name and argument types '")?;
    let (call, _) = rest.split_once(")'. ")?;
    call.split_once('(')
}

/// Where a function is called, when it is called once.
fn only_call(function: &str, sql: &str) -> Option<Position> {
    let call = format!("{function}(");
    let mut calls = sql.lines().zip(1..).flat_map(|(text, line)| {
        // Of ASCII alone, so that places stay what they are.
        let text = text.to_ascii_lowercase();
        let places = text.match_indices(&call).map(|(at, _)| &text[..at]);
        let whole =
            places.filter(|before| !before.ends_with(|c: char| c.is_alphanumeric() || c == '_'));
        whole.map(|before| (line, before.chars().count() + 1)).collect::<Vec<_>>()
    });
    let (line, column) = calls.next()?;
    calls.next().is_none().then_some(Position { line, column, width: function.chars().count() })
}

/// What is wrong with the text in `Error parsing timestamp from '2026-11-21 12:00': error parsing time`.
fn no_time(message: &str) -> Option<String> {
    let (_, rest) = message.split_once(" parsing timestamp from '")?;
    let (text, _) = rest.split_once("': ")?;
    Some(format!("\"{text}\" is no time, expected one such as \"2026-11-21 12:00:00\""))
}

/// What may stand before a message's own words.
const PREAMBLES: [&str; 3] = ["Internal error: ", "Parser error: ", "Cast error: "];
/// What may follow them: who noticed, the same words again, and advice for those who wrote the engine.
const ADDENDA: [&str; 5] = [
    ": Optimizer rule '",
    ": Arrow error: ",
    ": Execution error: ",
    "\ncaused by",
    "\nThis issue was likely caused by",
];

/// The engine's names of types, and SQL's.
const TYPES: [(&str, &str); 9] = [
    ("Timestamp(µs, \"UTC\")", "timestamp"),
    ("Timestamp(ns)", "timestamp"),
    ("Date32", "date"),
    ("Int64", "bigint"),
    ("Int32", "int"),
    ("Float64", "double"),
    ("Float32", "float"),
    ("Utf8View", "text"),
    ("Utf8", "text"),
];

/// A message as the project writes them: its own words alone, lower case at its start, no full stop at its end,
/// names in double quotes, types as SQL has them.
fn plain(message: &str) -> String {
    if message.starts_with("getFieldAccess not supported") {
        return "subscripts such as [1] are not supported".to_owned();
    }
    let own = PREAMBLES.iter().fold(message, |own, words| own.strip_prefix(words).unwrap_or(own));
    let own = ADDENDA.iter().fold(own, |own, words| own.split(words).next().unwrap_or(own));
    let message = double_quoted(own.trim().trim_end_matches('.'));
    let message = TYPES.iter().fold(message, |message, (engine, sql)| message.replace(engine, sql));
    let mut letters = message.chars();
    match (letters.next(), letters.next()) {
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            first.to_lowercase().chain(message.chars().skip(1)).collect()
        }
        _ => message,
    }
}

/// A message with double quotes for its single ones, but for apostrophes inside words.
fn double_quoted(message: &str) -> String {
    let letters: Vec<char> = message.chars().collect();
    let is_letter = |at: Option<usize>| {
        at.and_then(|at| letters.get(at)).is_some_and(|letter| letter.is_alphanumeric())
    };
    let quote = |(at, letter): (usize, &char)| match letter {
        '\'' if is_letter(at.checked_sub(1)) && is_letter(Some(at + 1)) => '\'',
        '\'' => '"',
        other => *other,
    };
    letters.iter().enumerate().map(quote).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parsers_message_gives_its_position_away() {
        assert_eq!(
            split_position("Expected: an expression, found: FROM at Line: 2, Column: 8"),
            ("Expected: an expression, found: FROM", Some((2, 8)))
        );
        assert_eq!(split_position("found: EOF"), ("found: EOF", None));
    }

    #[test]
    fn an_end_that_comes_too_early_is_after_the_last_word() {
        let at = end_of("SELECT a\nFROM  \n");
        assert_eq!((at.line, at.column), (2, 5));
        assert_eq!(end_of("").column, 1);
    }

    #[test]
    fn near_names_are_offered_nearest_first() {
        let names = ["label", "latency_ms", "model", "score", "scores"];
        assert_eq!(nearest("lable", &names), ["label"]);
        assert_eq!(nearest("Score", &names), ["score", "scores"]);
        assert_eq!(nearest("colour", &names), Vec::<&str>::new());
    }

    #[test]
    fn a_function_is_placed_where_it_is_called_once() {
        let at = |sql| only_call("sum", sql).map(|at| (at.line, at.column, at.width));
        assert_eq!(at("SELECT 'ü',\n checksum(a), SUM(a)"), Some((2, 15, 3)));
        assert_eq!(at("SELECT sum(a), sum(b)"), None);
    }

    #[test]
    fn messages_are_cut_to_their_own_words() {
        let message = "Internal error: It's so: Arrow error: It's so\ncaused by\nit";
        assert_eq!(plain(message), "it's so");
    }

    #[test]
    fn types_are_named_as_in_sql() {
        for (message, told) in [
            (
                "Cannot cast string 'x' to value of Int32 type",
                "cannot cast string \"x\" to value of int type",
            ),
            ("Cannot compare Timestamp(µs, \"UTC\") > Int64", "cannot compare timestamp > bigint"),
            (
                "getFieldAccess not supported by ExprPlanner: RawFieldAccessExpr { … }",
                "subscripts such as [1] are not supported",
            ),
        ] {
            assert_eq!(plain(message), told);
        }
    }

    #[test]
    fn messages_start_low_and_end_without_a_stop() {
        assert_eq!(plain("Divide by zero error."), "divide by zero error");
        assert_eq!(plain("SQL isn't 'x y'"), "SQL isn't \"x y\"");
    }
}
