//! SQL over the rows: the port [`Table`], its embedded adapter, and the views and named queries in `sql/`.
//!
//! | table | one row per |
//! |---|---|
//! | `detections` | row as it was delivered, twice when it was delivered twice |
//! | `detections_unique` | `(frame_id, model, detection)` |
//! | `frames` | `(frame_id, model)` |
//!
//! # Contract of [`Table`]
//! * A query sees one consistent moment: every row accepted by the delivery stream before the call is there
//!   exactly as often as it was accepted, no matter whether it moves into a file meanwhile.
//! * Rows that a query needs and that cannot be read are gaps of its [`Answer`], named behind its last batch; all others are
//!   in it. What is worked out of all rows has none of a file that turns out to be damaged while it is read; where rows were
//!   given before, the gap says so.
//! * Only questions are answered. Whatever would change rows, settings or files, or read a file that is not
//!   part of the table, is refused with [`QueryError::Refused`] before anything runs.
//! * Rows come in batches as they are found; nothing is held but a few batches. Dropping the [`Answer`] ends
//!   the query.
//! * Memory has a bound, and so have the temporary files for what does not fit into it; a query beyond them fails with
//!   [`QueryError::TooLarge`] and harms no other.
//! * Nobody retries a query inside. [`QueryError::is_retryable`] tells whether the caller may.
//!
//! On AWS ([`AthenaTable`]) "accepted" is "written by Firehose": up to its buffer interval later. There the
//! workgroup's limit of bytes read stands in for the bound of memory.
//!
//! Invariant: this crate reads and never writes; it may run beside the processes that write.

mod answer;
mod athena;
mod batches;
mod detections;
mod embedded;
mod error;
mod files;
mod functions;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod gaps;
mod guarded;
mod heads;
pub mod print;
mod query;
mod range;
mod repeats;
mod sql;
mod translate;
mod unique;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use services::config::{Backend, Config};
use services::{DataFolder, PortError};
use tokio::time::{Instant, timeout};

pub use answer::{Answer, Rows};
pub use athena::AthenaTable;
pub use embedded::{EmbeddedTable, Limits};
pub use error::{Position, QueryError, SqlError};
pub use range::TimeRange;
pub use sql::{NAMED_QUERIES, NamedQuery, VIEWS, View, named_query};

/// Answers SQL over the rows. The crate's page tells its contract.
#[async_trait]
pub trait Table: fmt::Debug + Send + Sync {
    /// Runs one query and gives its columns at once and its rows as they are found.
    ///
    /// # Errors
    /// When the text is no query, names what does not exist, or the rows cannot be read. What goes wrong later
    /// comes out of [`Answer::next`].
    async fn query(&self, sql: &str) -> Result<Answer, QueryError>;

    /// Waits until the queries whose answers were dropped have ended, where they run elsewhere.
    async fn idle(&self) {}
}

/// Asks a question that may take the engine `time` in all; how long the answer's reader takes does not count.
///
/// # Errors
/// As [`Table::query`], and [`QueryError::TooLong`].
pub async fn query_within(
    table: &dyn Table,
    sql: &str,
    time: Duration,
) -> Result<Answer, QueryError> {
    let started = Instant::now();
    let answer = timeout(time, table.query(sql)).await.map_err(|_| QueryError::TooLong(time))??;
    Ok(answer.within(time, time.saturating_sub(started.elapsed())))
}

/// Opens the table of the backend that the configuration names.
///
/// # Errors
/// As [`EmbeddedTable::open`] and [`AthenaTable::open`].
pub async fn open(config: &Config) -> Result<Box<dyn Table>, PortError> {
    Ok(match config.backend {
        Backend::Embedded => Box::new(EmbeddedTable::open(&DataFolder::new(&config.data))?),
        Backend::Aws => Box::new(AthenaTable::open(&config.aws).await?),
    })
}
