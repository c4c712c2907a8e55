//! One query from its start to its last page, or to its cancellation.

use std::time::Duration;

use aws::error::port_error;
use aws_sdk_athena::error::SdkError;
use aws_sdk_athena::operation::get_query_results::GetQueryResultsOutput;
use aws_sdk_athena::operation::start_query_execution::StartQueryExecutionError;
use aws_sdk_athena::types::{
    QueryExecution, QueryExecutionContext, QueryExecutionState, ResultConfiguration, StatementType,
};
use services::retry::Backoff;
use services::{ErrorKind, PortError};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::Place;
use super::failure;
use super::values::Columns;
use crate::answer::BatchSender;
use crate::error::QueryError;

/// The wait after the first look at a query's state, and the longest.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// How often a call is made in all before what it says of being away or busy is believed.
const ATTEMPTS: u32 = 8;
/// Rows of a page: the most that Athena gives
/// (<https://docs.aws.amazon.com/athena/latest/APIReference/API_GetQueryResults.html>).
const PAGE_ROWS: i32 = 1_000;

/// The answer's columns, and the bytes that were read for it.
pub(super) type Planned = oneshot::Sender<Result<(arrow_schema::SchemaRef, u64), QueryError>>;

/// A query and where it runs.
pub(super) struct Run {
    pub(super) place: Place,
    pub(super) sql: String,
}

impl Run {
    /// Runs the query: columns (or why there are none) to `planned`, then batches to `batches`; stops it when
    /// nobody listens any more.
    pub(super) async fn run(self, mut planned: Planned, batches: BatchSender) {
        let id = match self.start().await {
            Ok(id) => id,
            Err(error) => {
                // Nobody waits any more where sending fails, here and below.
                let _ = planned.send(Err(error));
                return;
            }
        };
        let ended = tokio::select! {
            biased;
            () = planned.closed() => return self.stop(&id).await,
            ended = self.ended(&id) => ended,
        };
        let first = match ended {
            Ok(execution) => self.first_page(&id, &execution).await,
            Err(error) => Err(error),
        };
        match first {
            Ok((page, columns, scanned)) => {
                if planned.send(Ok((columns.schema(), scanned))).is_ok() {
                    self.send_all(&id, page, &columns, &batches).await;
                }
            }
            Err(error) => {
                let _ = planned.send(Err(error));
            }
        }
    }

    /// Starts the query; gives its id.
    async fn start(&self) -> Result<String, QueryError> {
        let Place { client, database, workgroup, output } = &self.place;
        let context = QueryExecutionContext::builder().database(database).build();
        let output = output
            .as_ref()
            .map(|output| ResultConfiguration::builder().output_location(output).build());
        // The token makes a second try of the same start the same query.
        let token = format!("{:032x}", rand::random::<u128>());
        let mut patience = Patience::new();
        let started = loop {
            let started = client
                .start_query_execution()
                .query_string(&self.sql)
                .query_execution_context(context.clone())
                .set_result_configuration(output.clone())
                .work_group(workgroup)
                .client_request_token(&token)
                .send()
                .await;
            match started {
                Ok(started) => break started,
                Err(error) => patience.after(self.not_started(&error)).await?,
            }
        };
        let id = started.query_execution_id;
        id.ok_or_else(|| away(self.attempt("start"), "athena:StartQueryExecution: no id came"))
    }

    fn not_started(&self, error: &SdkError<StartQueryExecutionError>) -> QueryError {
        let words = error.as_service_error().and_then(|error| error.meta().message());
        let of_sql = words.and_then(|words| failure::in_sql(words, &self.sql));
        of_sql.unwrap_or_else(|| {
            let attempt = self.attempt("start");
            QueryError::Rows(port_error(attempt, "athena:StartQueryExecution", error))
        })
    }

    /// Waits until the query has ended well.
    async fn ended(&self, id: &str) -> Result<QueryExecution, QueryError> {
        let mut wait = FIRST_WAIT;
        loop {
            let execution = self.execution(id).await?;
            let status = execution.status();
            match status.and_then(|status| status.state()) {
                Some(QueryExecutionState::Succeeded) => return Ok(execution),
                Some(QueryExecutionState::Queued | QueryExecutionState::Running) => {}
                state => {
                    let state = state.map_or("UNKNOWN", QueryExecutionState::as_str);
                    return Err(failure::of(state, status, &self.sql));
                }
            }
            sleep(wait).await;
            wait = (wait * 3 / 2).min(LONGEST_WAIT);
        }
    }

    async fn execution(&self, id: &str) -> Result<QueryExecution, QueryError> {
        let call = "athena:GetQueryExecution";
        let mut patience = Patience::new();
        let answer = loop {
            let asked = self.place.client.get_query_execution().query_execution_id(id).send().await;
            match asked {
                Ok(answer) => break answer,
                Err(error) => patience.after(self.failed("ask after", call, &error)).await?,
            }
        };
        answer.query_execution.ok_or_else(|| {
            away(self.attempt("ask after"), &format!("{call}: an empty answer came"))
        })
    }

    async fn first_page(
        &self,
        id: &str,
        execution: &QueryExecution,
    ) -> Result<(GetQueryResultsOutput, Columns, u64), QueryError> {
        let page = self.page(id, None).await?;
        let metadata = page.result_set().and_then(|set| set.result_set_metadata());
        // Names come as a first row with what a SELECT finds, and not with what SHOW or DESCRIBE list.
        let has_head = execution.statement_type() != Some(&StatementType::Utility);
        let rows = page.result_set().map_or(&[][..], |set| set.rows());
        let columns =
            Columns::new(metadata.map_or(&[], |found| found.column_info()), has_head, rows);
        let scanned = execution.statistics().and_then(|found| found.data_scanned_in_bytes());
        Ok((page, columns, scanned.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0)))
    }

    async fn page(
        &self,
        id: &str,
        token: Option<&str>,
    ) -> Result<GetQueryResultsOutput, QueryError> {
        let mut patience = Patience::new();
        loop {
            let asked = self.place.client.get_query_results().query_execution_id(id);
            let asked = asked.max_results(PAGE_ROWS).set_next_token(token.map(str::to_owned));
            match asked.send().await {
                Ok(page) => return Ok(page),
                Err(error) => {
                    let error = self.failed("read", "athena:GetQueryResults", &error);
                    patience.after(error).await?;
                }
            }
        }
    }

    async fn send_all(
        &self,
        id: &str,
        first: GetQueryResultsOutput,
        columns: &Columns,
        batches: &BatchSender,
    ) {
        let mut is_first = true;
        let mut page = Ok(first);
        loop {
            let (item, token) = match page {
                Ok(page) => {
                    let rows = page.result_set().map_or(&[][..], |set| set.rows());
                    (columns.batch(rows, is_first).map(Some), page.next_token)
                }
                Err(error) => (Err(error), None),
            };
            let failed = item.is_err();
            if batches.send(item).await.is_err() || failed {
                return;
            }
            let Some(token) = token else { break };
            is_first = false;
            page = self.page(id, Some(&token)).await;
        }
        let _ = batches.send(Ok(None)).await;
    }

    /// Ends a query that nobody waits for.
    async fn stop(&self, id: &str) {
        // Where this fails, nobody is left to tell: Athena ends the query by its own time limit.
        let _ = self.place.client.stop_query_execution().query_execution_id(id).send().await;
    }

    fn attempt(&self, verb: &str) -> String {
        format!("{verb} query in workgroup {:?}", self.place.workgroup)
    }

    fn failed<E>(&self, verb: &str, call: &str, error: &SdkError<E>) -> QueryError
    where
        E: aws_sdk_athena::error::ProvideErrorMetadata + std::error::Error + 'static,
    {
        QueryError::Rows(port_error(self.attempt(verb), call, error))
    }
}

fn away(attempt: String, cause: &str) -> QueryError {
    QueryError::Rows(PortError::because(ErrorKind::Unavailable, attempt, cause))
}

/// How long calls are made again while Athena is away or busy: the query goes on there all the same.
struct Patience {
    backoff: Backoff,
    left: u32,
}

impl Patience {
    fn new() -> Self {
        Self { backoff: Backoff::new(FIRST_WAIT, LONGEST_WAIT), left: ATTEMPTS - 1 }
    }

    /// Waits before a further try; gives the error back when it will not pass, or not soon.
    async fn after(&mut self, error: QueryError) -> Result<(), QueryError> {
        if self.left == 0 || !error.is_retryable() {
            return Err(error);
        }
        self.left -= 1;
        self.backoff.pause().await;
        Ok(())
    }
}
