//! How much of a kind is kept.

use std::time::Duration;

/// How much is kept of a kind. With both bounds, what either lets go goes; with none, all is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// What is older goes.
    pub age: Option<Duration>,
    /// Beyond so many bytes, the oldest goes.
    pub bytes: Option<u64>,
}

impl Keep {
    /// Tells whether nothing ever goes.
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }
}
