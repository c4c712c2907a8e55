//! The table on AWS: Athena over the files that Firehose wrote.
//!
//! A query is started, asked after until it has ended, and its rows are read in pages. What Athena began it goes on
//! with, and is paid for, so a task of its own follows each query: when its answer is dropped it stops the query,
//! and an answer of Athena that fails to come is asked for again. Rows are seen once Firehose has written them,
//! which takes up to its buffer interval.

mod failure;
mod run;
mod values;

use std::fmt;

use async_trait::async_trait;
use aws::error::port_error;
use aws_sdk_athena::Client;
use services::PortError;
use services::config::AwsConfig;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use crate::Table;
use crate::answer::Answer;
use crate::error::QueryError;
use crate::query::question;
use run::Run;

/// Batches that wait for a reader before no further page is asked for.
const BATCHES_AHEAD: usize = 2;

/// The table `detections` in a database of the Glue catalog, asked through a workgroup.
pub struct AthenaTable {
    place: Place,
    running: TaskTracker,
}

/// Where queries run.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) client: Client,
    pub(crate) database: String,
    pub(crate) workgroup: String,
    /// Where results go; the workgroup's own place when absent.
    pub(crate) output: Option<String>,
}

impl fmt::Debug for AthenaTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AthenaTable").field("place", &self.place).finish_non_exhaustive()
    }
}

impl AthenaTable {
    /// Opens the table that a configuration names, by the SDK's default chain.
    ///
    /// # Errors
    /// When the workgroup does not exist, or Athena may not be asked; it is named.
    pub async fn open(config: &AwsConfig) -> Result<Self, PortError> {
        let sdk = aws::chain().load().await;
        Self::open_with(Client::new(&sdk), config).await
    }

    async fn open_with(client: Client, config: &AwsConfig) -> Result<Self, PortError> {
        let (database, workgroup) = (config.database(), config.workgroup());
        let place = Place { client, database, workgroup, output: config.query_output.clone() };
        let asked = place.client.get_work_group().work_group(&place.workgroup).send().await;
        asked.map_err(|error| {
            let attempt = format!("open workgroup {:?}", place.workgroup);
            port_error(attempt, "athena:GetWorkGroup", &error)
        })?;
        Ok(Self { place, running: TaskTracker::new() })
    }
}

#[async_trait]
impl Table for AthenaTable {
    async fn query(&self, sql: &str) -> Result<Answer, QueryError> {
        question(sql)?;
        let (planned, columns) = oneshot::channel();
        let (batches, receiver) = mpsc::channel(BATCHES_AHEAD);
        let run = Run { place: self.place.clone(), sql: sql.to_owned() };
        self.running.spawn(run.run(planned, batches));
        let (columns, scanned_bytes) = columns.await.map_err(|_| QueryError::Stopped)??;
        Ok(Answer::new(columns, receiver).with_scanned_bytes(scanned_bytes))
    }

    async fn idle(&self) {
        self.running.close();
        self.running.wait().await;
        self.running.reopen();
    }
}

#[cfg(test)]
mod tests;
