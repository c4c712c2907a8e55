//! What a part of a program owes whoever watches it.

use std::fmt;

use async_trait::async_trait;

use crate::health::State;
use crate::metrics::Page;

/// A part of a program that tells how it is, and counts what it does.
#[async_trait]
pub trait Part: fmt::Debug + Send + Sync {
    /// Looks again at what has to be asked for; called before the others, and bounded in time by the part.
    async fn refresh(&self) {}

    /// How each of its things is.
    fn states(&self) -> Vec<State>;

    /// Writes its metrics: all families always, those without samples too.
    ///
    /// # Errors
    /// Those of the page.
    fn write_metrics(&self, page: &mut Page<'_>) -> fmt::Result;
}
