//! Runs the parts of a process: the first one to end ends all, and an end is a drain with a bound.

use std::any::Any;
use std::time::Duration;

use anyhow::Context as _;
use services::counted;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// The parts of a process.
#[derive(Debug, Default)]
pub struct Parts {
    tasks: JoinSet<Ended>,
}

#[derive(Debug)]
struct Ended {
    name: &'static str,
    result: anyhow::Result<()>,
}

impl Parts {
    /// Starts a part.
    pub fn spawn(
        &mut self,
        name: &'static str,
        part: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        self.tasks.spawn(async move { Ended { name, result: part.await } });
    }

    /// Waits for the first end, or `shutdown`; then lets the others drain for `drain`.
    ///
    /// # Errors
    /// The first error of a part, with its name; or the names of those that did not drain in time.
    ///
    /// # Panics
    /// When a part panicked: with its panic.
    pub async fn supervise(
        mut self,
        shutdown: &CancellationToken,
        drain: Duration,
    ) -> anyhow::Result<()> {
        let first = self.first_end(shutdown).await;
        shutdown.cancel();
        let rest = tokio::time::timeout(drain, self.remaining()).await;
        let rest = rest.unwrap_or_else(|_| {
            let parts = counted(self.tasks.len(), "part");
            Err(anyhow::anyhow!("drain: {parts} did not end within {drain:?}"))
        });
        first.and(rest)
    }

    async fn first_end(&mut self, shutdown: &CancellationToken) -> anyhow::Result<()> {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => Ok(()),
            ended = self.tasks.join_next() => ended.map_or(Ok(()), resumed),
        }
    }

    async fn remaining(&mut self) -> anyhow::Result<()> {
        let mut first = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            first = first.and(resumed(ended));
        }
        first
    }
}

/// The result of a part, with its name.
fn resumed(ended: Result<Ended, JoinError>) -> anyhow::Result<()> {
    match ended.map_err(JoinError::try_into_panic) {
        Ok(Ended { name, result }) => result.context(name),
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        Err(Err(_)) => {
            let panic: Box<dyn Any + Send> =
                Box::new("a part was aborted, and nobody aborts parts");
            std::panic::resume_unwind(panic)
        }
    }
}

#[cfg(test)]
mod tests {
    use services::stop::DRAIN;

    use super::*;

    /// A part that runs until it is told to stop.
    async fn patient(shutdown: CancellationToken) -> anyhow::Result<()> {
        shutdown.cancelled().await;
        Ok(())
    }

    #[tokio::test]
    async fn the_first_part_to_fail_ends_all_with_its_error() {
        let shutdown = CancellationToken::new();
        let mut parts = Parts::default();
        parts.spawn("worker", patient(shutdown.clone()));
        parts.spawn("receiver", async { anyhow::bail!("no route") });
        let error = parts.supervise(&shutdown, DRAIN).await.unwrap_err();
        assert_eq!(format!("{error:#}"), "receiver: no route");
        assert!(shutdown.is_cancelled());
    }

    #[tokio::test]
    async fn the_first_part_that_is_done_ends_all() {
        let shutdown = CancellationToken::new();
        let mut parts = Parts::default();
        parts.spawn("receiver", async { Ok(()) });
        parts.spawn("worker", patient(shutdown.clone()));
        parts.supervise(&shutdown, DRAIN).await.unwrap();
        assert!(shutdown.is_cancelled());
    }

    #[tokio::test]
    async fn a_part_that_does_not_drain_is_not_waited_for_forever() {
        let shutdown = CancellationToken::new();
        let mut parts = Parts::default();
        parts.spawn("worker", std::future::pending());
        shutdown.cancel();
        let error = parts.supervise(&shutdown, Duration::from_millis(1)).await.unwrap_err();
        assert_eq!(error.to_string(), "drain: 1 part did not end within 1ms");
    }

    #[tokio::test]
    #[should_panic(expected = "invariant")]
    async fn a_panic_is_a_bug_and_stays_one() {
        let shutdown = CancellationToken::new();
        let mut parts = Parts::default();
        parts.spawn("worker", async { panic!("invariant") });
        parts.supervise(&shutdown, DRAIN).await.ok();
    }
}
