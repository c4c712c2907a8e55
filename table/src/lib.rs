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
//! * Only questions are answered. Whatever would change rows, settings or files, or read a file that is not
//!   part of the table, is refused with [`QueryError::Refused`] before anything runs.
//! * Rows come in batches as they are found; nothing is held but a few batches. Dropping the [`Answer`] ends
//!   the query.
//! * Memory has a bound; a query beyond it fails with [`QueryError::TooLarge`] and harms no other.
//! * Nobody retries inside. [`QueryError::is_retryable`] tells whether the caller may.
//!
//! Invariant: this crate reads and never writes; it may run beside the processes that write.

mod answer;
mod audit;
mod detections;
mod embedded;
mod error;
mod files;
pub mod print;
mod query;
mod sql;
mod translate;

use std::fmt;

use async_trait::async_trait;

pub use answer::{Answer, Rows};
pub use audit::{AnsweredFrames, answered};
pub use embedded::{EmbeddedTable, Limits};
pub use error::{Position, QueryError, SqlError};
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
}
