//! One query from its text to its last batch, on the table's own threads.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use datafusion::common::DataFusionError;
use datafusion::dataframe::DataFrame;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::SQLOptions;
use datafusion::physical_plan::EmptyRecordBatchStream;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::Statement as SqlStatement;
use futures::StreamExt as _;
use services::delivery::{Snapshot, snapshot, table_schema};
use services::{ErrorKind, PortError};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::answer::{BatchSender, Sent};
use crate::detections::{Detections, filed};
use crate::embedded::Limits;
use crate::error::{QueryError, SqlError};
use crate::files::{FiledRows, store};
use crate::functions;
use crate::gaps::Gaps;
use crate::heads;
use crate::sql::VIEWS;
use crate::translate::{Scope, translate};
use crate::unique::Unique;

/// The name of the one table that is no view.
const DETECTIONS: &str = "detections";
/// The name of the view that is not run as its text has it.
const UNIQUE: &str = "detections_unique";

/// What is known of an answer before its first row.
pub(crate) struct Planned {
    pub(crate) columns: SchemaRef,
    /// Rows of the table that are not in it: all of them are known behind the last batch.
    pub(crate) gaps: Arc<Gaps>,
}

/// A query that runs.
struct Started {
    frame: DataFrame,
    rows: SendableRecordBatchStream,
    gaps: Arc<Gaps>,
}

/// A query and what it runs on.
pub(crate) struct Query {
    pub(crate) sql: String,
    pub(crate) moment: Moment,
    pub(crate) context: SessionContext,
    pub(crate) limits: Limits,
    /// Cancelled before the table's threads end.
    pub(crate) closed: CancellationToken,
}

impl Query {
    /// Runs the query: its plan (or why there is none) to `planned`, then batches to `batches`.
    pub(crate) async fn run(
        self,
        mut planned: oneshot::Sender<Result<Planned, QueryError>>,
        batches: BatchSender,
    ) {
        let started = tokio::select! {
            biased;
            () = planned.closed() => return,
            started = self.start() => started,
        };
        let started = match started {
            Ok(started) => started,
            Err(error) => {
                // Nobody waits any more where sending fails, here and below.
                let _ = planned.send(Err(error));
                return;
            }
        };
        let plan = Planned { columns: started.rows.schema(), gaps: Arc::clone(&started.gaps) };
        if planned.send(Ok(plan)).is_ok() {
            tokio::select! {
                biased;
                () = batches.closed() => {}
                () = self.send_all(started, &batches) => {}
            }
        }
    }

    async fn start(&self) -> Result<Started, QueryError> {
        let statement = question(&self.sql)?;
        let moment = self.moment.clone();
        let (detections, gaps) =
            blocking(move || moment.detections()).await?.map_err(QueryError::Rows)?;
        let frame = match self.plan(statement, detections).await {
            Ok(frame) => frame,
            Err(Planning::Refused(error)) => return Err(error),
            Err(Planning::Failed(error)) => return Err(self.failed(error)),
        };
        match frame.clone().execute_stream().await {
            Ok(rows) => Ok(Started { frame, rows, gaps }),
            Err(error) => Err(self.failed(error)),
        }
    }

    async fn plan(
        &self,
        statement: Statement,
        detections: Detections,
    ) -> Result<DataFrame, Planning> {
        if let Some(store) = detections.store() {
            self.context.register_object_store(filed().as_ref(), store);
        }
        functions::all().into_iter().for_each(|function| self.context.register_udf(function));
        self.context.register_table(DETECTIONS, Arc::new(detections))?;
        for view in VIEWS {
            self.context.sql(view.sql).await?;
            if view.name == UNIQUE {
                Unique::replace(view, &self.context).await?;
            }
        }
        let plan = self.context.state().statement_to_plan(statement).await?;
        let only_questions = SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        only_questions.verify_plan(&plan).map_err(|_| Planning::Refused(refused(&self.sql)))?;
        let statement = question(&self.sql).map_err(Planning::Refused)?;
        Ok(self.context.execute_logical_plan(heads::as_written(&statement, plan)).await?)
    }

    async fn send_all(&self, mut started: Started, batches: &BatchSender) {
        loop {
            let item = self.next(&mut started).await;
            let more = matches!(item, Ok(Some(_)));
            if batches.send(item).await.is_err() || !more {
                return;
            }
        }
    }

    /// The next rows. Until there are any, the query begins anew whenever a file turns out to be damaged, so that no answer
    /// is worked out of a part of its rows.
    async fn next(&self, started: &mut Started) -> Sent {
        let failed = |error| self.failed(error);
        loop {
            let batch = started.rows.next().await.transpose().map_err(failed)?;
            if batch.as_ref().is_some_and(|batch| batch.num_rows() == 0) {
                continue;
            }
            if started.gaps.may_begin() {
                return Ok(batch);
            }
            // What it holds is free for the one that takes its place.
            started.rows = Box::pin(EmptyRecordBatchStream::new(started.rows.schema()));
            started.rows = started.frame.clone().execute_stream().await.map_err(failed)?;
        }
    }

    /// Says in words what the engine reports.
    fn failed(&self, error: DataFusionError) -> QueryError {
        // The engine's own tasks may end first, each with an error that only says that it was cancelled.
        if self.closed.is_cancelled() {
            return QueryError::Stopped;
        }
        translate(error, &self.scope())
    }

    fn scope(&self) -> Scope<'_> {
        let state = self.context.state();
        let functions = (state.scalar_functions().keys())
            .chain(state.aggregate_functions().keys())
            .chain(state.window_functions().keys());
        Scope {
            sql: &self.sql,
            tables: [DETECTIONS].into_iter().chain(VIEWS.iter().map(|view| view.name)).collect(),
            functions: functions.cloned().collect(),
            limits: self.limits,
        }
    }
}

/// Why there is no plan.
enum Planning {
    Refused(QueryError),
    Failed(DataFusionError),
}

impl From<DataFusionError> for Planning {
    fn from(error: DataFusionError) -> Self {
        Self::Failed(error)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, QueryError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| QueryError::Stopped)
}

/// The moment at which a query sees the table.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    buffer: PathBuf,
    held: Option<Snapshot>,
}

impl Moment {
    /// When it is asked; from the buffer's path.
    pub(crate) fn now(buffer: PathBuf) -> Self {
        Self { buffer, held: None }
    }

    /// Holds the moment that is now.
    pub(crate) fn hold(self) -> Result<Self, PortError> {
        Ok(Self { held: Some(self.snapshot()?), ..self })
    }

    fn detections(&self) -> Result<(Detections, Arc<Gaps>), PortError> {
        let Snapshot { files, buffered, gaps, reading } = self.snapshot()?;
        let folder = self.buffer.parent().unwrap_or(Path::new("."));
        let root = std::path::absolute(folder)
            .map_err(|error| PortError::io(format!("make path {folder:?} absolute"), error))?;
        let look = |file| FiledRows::look(&root, file);
        let filed = files.into_iter().map(look).collect::<Result<Vec<_>, _>>()?;
        let store = if filed.is_empty() { None } else { Some(store(&root)?) };
        let gaps = Arc::new(Gaps::new(gaps));
        Ok((Detections::new(filed, store, buffered, Arc::clone(&gaps), reading), gaps))
    }

    fn snapshot(&self) -> Result<Snapshot, PortError> {
        if let Some(held) = &self.held {
            return Ok(held.clone());
        }
        match snapshot(&self.buffer) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(nothing_yet()),
            taken => taken,
        }
    }
}

fn nothing_yet() -> Snapshot {
    let buffered = RecordBatch::new_empty(table_schema());
    Snapshot { files: Vec::new(), buffered, gaps: Vec::new(), reading: None }
}

/// Reads the text and takes it when it is one question.
pub(crate) fn question(sql: &str) -> Result<Statement, QueryError> {
    let scope = Scope { sql, tables: Vec::new(), functions: Vec::new(), limits: Limits::default() };
    let mut statements = DFParserBuilder::new(sql)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| translate(error, &scope))?;
    let statement = statements.pop_front().ok_or_else(|| {
        let cause = "it is empty, expected a question such as SELECT count(*) FROM detections";
        QueryError::Sql(SqlError::new(cause.into(), None, None, sql))
    })?;
    if !statements.is_empty() {
        let found = format!("a list of {} statements", statements.len() + 1);
        return Err(QueryError::Refused { found });
    }
    if asks(&statement) { Ok(statement) } else { Err(refused(sql)) }
}

fn asks(statement: &Statement) -> bool {
    match statement {
        Statement::Statement(statement) => matches!(
            **statement,
            SqlStatement::Query(_)
                | SqlStatement::Explain { .. }
                | SqlStatement::ExplainTable { .. }
                | SqlStatement::ShowTables { .. }
                | SqlStatement::ShowColumns { .. }
        ),
        Statement::Explain(_) => true,
        _ => false,
    }
}

fn refused(sql: &str) -> QueryError {
    let word = sql.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("--"));
    let word = word.and_then(|line| line.split(|c: char| !c.is_alphanumeric()).next());
    QueryError::Refused {
        found: match word.map(str::to_uppercase).as_deref() {
            None | Some("") => "it".to_owned(),
            Some("SELECT" | "WITH") => "a query that writes".to_owned(),
            Some("EXPLAIN") => "an explanation of what is no question".to_owned(),
            Some(word) => word.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(sql: &str) -> String {
        question(sql).unwrap_err().to_string()
    }

    #[test]
    fn questions_are_taken() {
        for sql in [
            "SELECT 1",
            "SELECT 1;",
            "-- why\nWITH a AS (SELECT 1) SELECT * FROM a",
            "VALUES (1)",
            "EXPLAIN SELECT 1",
            "DESCRIBE detections",
            "SHOW TABLES",
        ] {
            assert!(question(sql).is_ok(), "{sql} was refused: {}", refusal(sql));
        }
    }

    #[test]
    fn everything_else_is_refused_by_its_name() {
        for (sql, name) in [
            ("DROP TABLE detections", "DROP"),
            ("insert into detections values (1)", "INSERT"),
            ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'", "CREATE"),
            ("COPY detections TO '/tmp/x.csv'", "COPY"),
            ("SET datafusion.execution.batch_size = 1", "SET"),
            ("-- quiet\nDELETE FROM detections", "DELETE"),
            ("SELECT 1; SELECT 2", "a list of 2 statements"),
        ] {
            assert!(refusal(sql).starts_with(&format!("read query: {name} is refused")), "{sql}");
        }
    }

    #[test]
    fn an_empty_text_is_told_what_was_expected() {
        insta::assert_snapshot!(refusal(" \n-- nothing\n"), @"read query: it is empty, expected a question such as SELECT count(*) FROM detections");
    }
}
