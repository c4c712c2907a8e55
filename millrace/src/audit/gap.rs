//! What of the durable state could not be read.

use std::fmt;

use serde::Serialize;
use services::{ModelName, StreamId};

use super::Key;

/// A part of the durable state that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// Whose it is.
    #[serde(flatten)]
    pub place: Place,
    /// Why it could not be read; the file is named.
    pub cause: String,
}

/// Whose state could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// A stream's spool, with its accounts.
    Spool(StreamId),
    /// A model's queue, with its dead letters.
    Queue(ModelName),
    /// A file of the table, or a row in its buffer.
    Table(String),
}

impl Place {
    pub(super) fn concerns(&self, key: &Key) -> bool {
        match self {
            Self::Spool(stream) => key.stream == *stream,
            Self::Queue(model) => key.model == *model,
            Self::Table(_) => true,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spool(stream) => write!(f, "the spool of stream {stream}"),
            Self::Queue(model) => write!(f, "the queue of model {model}"),
            Self::Table(part) => write!(f, "{part} of the table"),
        }
    }
}
