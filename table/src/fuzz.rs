//! What fuzzing asks of this crate: each function takes any bytes and panics where a promise of the parser is broken.
//!
//! `fuzz/` runs them on made-up bytes; the tests below run them on what `fuzz/corpus/` keeps.

use std::sync::{Arc, LazyLock};

use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use services::delivery::table_schema;
use tokio::runtime::{Builder, Runtime};

use crate::embedded::Limits;
use crate::error::QueryError;
use crate::query::question;
use crate::sql::VIEWS;
use crate::translate::{Scope, translate};

/// Threads with the stack that planning needs, and the table with its views, empty.
static PLANNER: LazyLock<(Runtime, SessionContext)> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let config = SessionConfig::new()
        .with_information_schema(true)
        .set_bool("datafusion.sql_parser.collect_spans", true);
    let context = SessionContext::new_with_config(config);
    let rows = MemTable::try_new(table_schema(), vec![Vec::new()]).expect("no rows fit");
    context.register_table("detections", Arc::new(rows)).expect("it is the first");
    for view in &VIEWS {
        runtime.block_on(context.sql(view.sql)).expect("the views are sound");
    }
    (runtime, context)
});

/// A query from its text to its plan: what is wrong with it is said in words, with a place that lies in the text.
pub fn sql(bytes: &[u8]) {
    let Ok(sql) = std::str::from_utf8(bytes) else { return };
    let statement = match question(sql) {
        Ok(statement) => statement,
        Err(error) => return assert_is_told(&error, sql),
    };
    let (runtime, context) = &*PLANNER;
    if let Err(error) = runtime.block_on(context.state().statement_to_plan(statement)) {
        let limits = Limits::default();
        let scope = Scope { sql, tables: vec!["detections"], functions: Vec::new(), limits };
        assert_is_told(&translate(error, &scope), sql);
    }
}

fn assert_is_told(error: &QueryError, sql: &str) {
    assert!(!error.to_string().is_empty());
    let QueryError::Sql(error) = error else { return };
    if let Some(at) = error.position {
        let lines = sql.split('\n').count();
        assert!(
            (1..=lines).contains(&at.line) && at.column >= 1 && at.width >= 1,
            "{at:?} in {sql:?}"
        );
    }
}

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::replay::replay;

    #[test]
    fn sql() {
        replay("sql", super::sql);
    }
}
