//! Identities: streams, epochs, sequence numbers, models, and the frame id made of them.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::time::CaptureTime;

/// A name that is not allowed, with the rule it breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {found:?} is not allowed: {rule}")]
pub struct InvalidName {
    what: &'static str,
    found: String,
    rule: &'static str,
}

const NAME_RULE: &str =
    "1 to 64 of the characters a-z, A-Z, 0-9, '-', '_' and '.', the first a letter or a digit";

fn check_name(what: &'static str, name: &str) -> Result<(), InvalidName> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let well_formed = (1..=64).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(allowed);
    if well_formed {
        Ok(())
    } else {
        Err(InvalidName { what, found: name.chars().take(80).collect(), rule: NAME_RULE })
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(extend("pattern" = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"))]
        pub struct $type(String);

        impl $type {
            /// Checks and takes a name.
            ///
            /// # Errors
            /// When it is empty, longer than 64 bytes, or has a character that no file name, object key and
            /// SQL text would take unchanged.
            pub fn new(name: impl Into<String>) -> Result<Self, InvalidName> {
                let name = name.into();
                check_name($what, &name)?;
                Ok(Self(name))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidName;
            fn try_from(name: String) -> Result<Self, InvalidName> {
                Self::new(name)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;
            fn from_str(name: &str) -> Result<Self, InvalidName> {
                Self::new(name)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name!(
    /// One video source's id (`gate`, `city-traffic`).
    StreamId,
    "stream id"
);
name!(
    /// A model's name (`shapes`, `fastestdet`).
    ModelName,
    "model name"
);

/// One unbroken connection of a stream: UTC milliseconds at its start.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// When the connection began.
    pub fn begin(self) -> CaptureTime {
        CaptureTime(i64::try_from(self.0).unwrap_or(i64::MAX).saturating_mul(1_000))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:013}", self.0)
    }
}

/// An access unit's number within its epoch, from 0 in decode order, counted before anything is skipped.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:010}", self.0)
    }
}

/// The one key of a frame from camera to row to screen: `stream/epoch/seq`, zero-padded so that text order
/// is time order within a stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FrameId {
    /// The stream it came from.
    pub stream: StreamId,
    /// The connection it came over.
    pub epoch: Epoch,
    /// Its number within the connection.
    pub seq: Seq,
}

impl fmt::Display for FrameId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.stream, self.epoch, self.seq)
    }
}

/// A text that is not `stream/epoch/seq`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("frame id {0:?} is not stream/epoch/seq")]
pub struct InvalidFrameId(String);

impl FromStr for FrameId {
    type Err = InvalidFrameId;

    fn from_str(text: &str) -> Result<Self, InvalidFrameId> {
        let parse = || {
            let (rest, seq) = text.rsplit_once('/')?;
            let (stream, epoch) = rest.rsplit_once('/')?;
            Some(Self {
                stream: StreamId::new(stream).ok()?,
                epoch: Epoch(epoch.parse().ok()?),
                seq: Seq(seq.parse().ok()?),
            })
        };
        parse().ok_or_else(|| InvalidFrameId(text.chars().take(120).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(epoch: u64, seq: u64) -> FrameId {
        let stream = StreamId::new("gate").unwrap();
        FrameId { stream, epoch: Epoch(epoch), seq: Seq(seq) }
    }

    #[test]
    fn a_frame_id_reads_back_from_its_text() {
        let id = frame(1_732_164_000_000, 42);
        assert_eq!(id.to_string(), "gate/1732164000000/0000000042");
        assert_eq!(id.to_string().parse::<FrameId>().unwrap(), id);
    }

    #[test]
    fn text_order_is_time_order() {
        let mut by_text = [frame(2, 9), frame(1, 10), frame(1, 9)].map(|id| id.to_string());
        by_text.sort();
        assert_eq!(by_text, [frame(1, 9), frame(1, 10), frame(2, 9)].map(|id| id.to_string()));
    }

    #[test]
    fn names_that_would_leave_a_folder_or_a_key_are_refused() {
        for name in ["", "..", ".hidden", "a/b", "a b", "ü", "-x", &"a".repeat(65)] {
            assert!(StreamId::new(name).is_err(), "{name:?} was taken");
        }
    }
}
