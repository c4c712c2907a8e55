//! What becomes of results on their way to whoever watches.

use std::fmt;
use std::sync::Arc;

use services::feed::ResultFeed;

use crate::health::State;
use crate::metrics::Page;
use crate::part::Part;

/// The feed of a process.
#[derive(Debug)]
pub(crate) struct Feed(pub(crate) Arc<dyn ResultFeed>);

impl Part for Feed {
    fn states(&self) -> Vec<State> {
        Vec::new()
    }

    fn write_metrics(&self, page: &mut Page<'_>) -> fmt::Result {
        let lost = [(Vec::new(), self.0.lost())];
        page.counter("results_lost", "Results dropped on their way to the feed", lost)
    }
}
