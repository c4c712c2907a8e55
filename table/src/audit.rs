//! The table's part of the audit: how many frames have their answer.

use services::{Epoch, ModelName, StreamId};

use crate::Table;
use crate::answer::Rows;
use crate::error::QueryError;
use crate::sql::named_query;

/// Frames of one connection that one model answered in one way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnsweredFrames {
    /// The stream.
    pub stream: StreamId,
    /// The connection.
    pub epoch: Epoch,
    /// The model.
    pub model: ModelName,
    /// What the model said: `ok`, `none` or `error`.
    pub status: String,
    /// How many distinct frames.
    pub frames: u64,
}

/// Counts the frames that have their answer in the table, in the order stream, epoch, model, status.
///
/// A frame whose dead letter was replayed counts once, by its answer.
///
/// # Errors
/// When the query fails, or a row's stream or model is no name.
pub async fn answered(table: &dyn Table) -> Result<Vec<AnsweredFrames>, QueryError> {
    let query = named_query("answered").expect("sql/queries/answered.sql is in the list");
    read(&table.query(query.sql).await?.collect().await?)
}

fn read(rows: &Rows) -> Result<Vec<AnsweredFrames>, QueryError> {
    let streams = rows.texts("stream")?;
    let epochs = rows.integers("epoch")?;
    let models = rows.texts("model")?;
    let statuses = rows.texts("status")?;
    let frames = rows.integers("frames")?;
    (0..rows.len())
        .map(|row| {
            Ok(AnsweredFrames {
                stream: parsed("stream", streams[row].clone(), StreamId::new)?,
                epoch: Epoch(parsed("epoch", epochs[row], u64::try_from)?),
                model: parsed("model", models[row].clone(), ModelName::new)?,
                status: parsed("status", statuses[row].clone(), Ok::<_, String>)?,
                frames: parsed("frames", frames[row], u64::try_from)?,
            })
        })
        .collect()
}

fn parsed<V, T, E: std::fmt::Display>(
    column: &str,
    value: Option<V>,
    parse: impl Fn(V) -> Result<T, E>,
) -> Result<T, QueryError> {
    let failed = |cause: String| QueryError::Column { column: column.to_owned(), cause };
    let value =
        value.ok_or_else(|| failed("a value is missing, expected one in every row".into()))?;
    parse(value).map_err(|error| failed(error.to_string()))
}
