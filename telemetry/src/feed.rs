//! What becomes of results on their way to whoever watches.

use std::fmt;
use std::sync::Arc;

use services::counted;
use services::feed::ResultFeed;

use crate::health::{State, Verdict};
use crate::metrics::Page;
use crate::part::Part;

/// The feed of a process.
#[derive(Debug)]
pub(crate) struct Feed(pub(crate) Arc<dyn ResultFeed>);

impl Part for Feed {
    fn states(&self) -> Vec<State> {
        let words = match self.0.lost() {
            0 => "none was lost".to_owned(),
            lost => format!("{} lost on the way", counted(lost, "result")),
        };
        vec![State { kind: "feeds", name: "results".to_owned(), words, verdict: Verdict::Good }]
    }

    fn write_metrics(&self, page: &mut Page<'_>) -> fmt::Result {
        let lost = [(Vec::new(), self.0.lost())];
        page.counter("results_lost", "Results dropped on their way to the feed", lost)
    }
}
