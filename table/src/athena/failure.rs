//! Why a query came to nothing, in Athena's words and at the place in the SQL that they name.

use aws_sdk_athena::types::QueryExecutionStatus;
use services::{ErrorKind, PortError};

use crate::error::{Position, QueryError, SqlError};

/// The error of a query that ended in `state`.
pub(super) fn of(state: &str, status: Option<&QueryExecutionStatus>, sql: &str) -> QueryError {
    let reason =
        status.and_then(|status| status.state_change_reason()).unwrap_or("no reason given");
    if let Some(error) = in_sql(reason, sql) {
        return error;
    }
    let error = status.and_then(|status| status.athena_error());
    let cause = format!("Athena: {state}: {reason}");
    if error.is_some_and(|error| error.retryable()) {
        return QueryError::Rows(PortError::because(ErrorKind::Unavailable, "run query", cause));
    }
    QueryError::Failed { cause: cause.clone(), source: cause.into() }
}

/// The error of a text that names its place: `COLUMN_NOT_FOUND: line 1:8: Column 'x' cannot be resolved`.
pub(super) fn in_sql(reason: &str, sql: &str) -> Option<QueryError> {
    let (before, rest) = reason.split_once("line ")?;
    let (place, words) = rest.split_once(": ")?;
    let (line, column) = place.split_once(':')?;
    let (line, column) = (line.parse().ok()?, column.parse().ok()?);
    let width = width_at(sql, line, column);
    let position = Position { line, column, width };
    let code = before.trim().trim_end_matches(':');
    let cause = match code {
        "" | "SYNTAX_ERROR" => words.to_owned(),
        code => format!("{words} ({code})"),
    };
    Some(QueryError::Sql(SqlError::new(cause, None, Some(position), sql)))
}

/// How long the word is that begins at a place.
fn width_at(sql: &str, line: usize, column: usize) -> usize {
    let line = line.checked_sub(1).and_then(|line| sql.lines().nth(line)).unwrap_or_default();
    let rest = line.chars().skip(column.saturating_sub(1));
    rest.take_while(|c| c.is_alphanumeric() || *c == '_').count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_with_a_place_points_into_the_text() {
        let reason = "COLUMN_NOT_FOUND: line 2:7: Column 'lable' cannot be resolved";
        let sql = "SELECT count(*)\nWHERE lable = 1";
        let text = in_sql(reason, sql).unwrap().to_string();
        insta::assert_snapshot!(text, @r"
        read query: line 2, column 7: Column 'lable' cannot be resolved (COLUMN_NOT_FOUND)
          2 | WHERE lable = 1
            |       ^^^^^
        ");
    }

    #[test]
    fn a_reason_without_a_place_is_told_as_it_is() {
        let status = QueryExecutionStatus::builder()
            .state_change_reason("Query exhausted resources: bytes scanned limit was exceeded")
            .build();
        let error = of("FAILED", Some(&status), "SELECT 1");
        assert!(!error.is_retryable());
        assert_eq!(
            error.to_string(),
            "run query: Athena: FAILED: Query exhausted resources: bytes scanned limit was exceeded"
        );
    }

    #[test]
    fn a_failure_that_may_pass_is_retryable() {
        let error = aws_sdk_athena::types::AthenaError::builder().retryable(true).build();
        let status = QueryExecutionStatus::builder().athena_error(error).build();
        assert!(of("FAILED", Some(&status), "SELECT 1").is_retryable());
        assert!(!of("CANCELLED", None, "SELECT 1").is_retryable());
    }
}
