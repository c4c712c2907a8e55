//! Runs the parts of a process: the first essential one to end ends all, and an end is a drain with a bound.

use std::any::Any;
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// What the end of a part means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Its work is the process's: its end, done or failed, ends the others.
    Essential,
    /// Others may go on without it.
    Helper,
}

/// The parts of a process.
#[derive(Debug, Default)]
pub struct Parts {
    tasks: JoinSet<Ended>,
}

#[derive(Debug)]
struct Ended {
    name: &'static str,
    role: Role,
    result: anyhow::Result<()>,
}

impl Parts {
    /// Starts a part.
    pub fn spawn(
        &mut self,
        name: &'static str,
        role: Role,
        part: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        self.tasks.spawn(async move { Ended { name, role, result: part.await } });
    }

    /// Waits for the end: a part that ends all, or `shutdown`; then lets the others drain for `drain`.
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
            let count = self.tasks.len();
            Err(anyhow::anyhow!("drain: {count} parts did not end within {drain:?}"))
        });
        first.and(rest)
    }

    async fn first_end(&mut self, shutdown: &CancellationToken) -> anyhow::Result<()> {
        loop {
            let ended = tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                ended = self.tasks.join_next() => ended,
            };
            let Some(ended) = ended else { return Ok(()) };
            let Ended { name, role, result } = resumed(ended);
            let result = result.with_context(|| name.to_owned());
            if role == Role::Essential || result.is_err() {
                return result;
            }
        }
    }

    async fn remaining(&mut self) -> anyhow::Result<()> {
        let mut first = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            let Ended { name, result, .. } = resumed(ended);
            first = first.and(result.with_context(|| name.to_owned()));
        }
        first
    }
}

fn resumed(ended: Result<Ended, JoinError>) -> Ended {
    match ended.map_err(JoinError::try_into_panic) {
        Ok(ended) => ended,
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
    use telemetry::stop::DRAIN;

    use super::*;

    /// A part that runs until it is told to stop.
    async fn patient(shutdown: CancellationToken) -> anyhow::Result<()> {
        shutdown.cancelled().await;
        Ok(())
    }

    #[tokio::test]
    async fn the_first_essential_part_to_fail_ends_all_with_its_error() {
        let shutdown = CancellationToken::new();
        let mut parts = Parts::default();
        parts.spawn("worker", Role::Essential, patient(shutdown.clone()));
        parts.spawn("receiver", Role::Essential, async { anyhow::bail!("no route") });
        let error = parts.supervise(&shutdown, DRAIN).await.unwrap_err();
        assert_eq!(format!("{error:#}"), "receiver: no route");
        assert!(shutdown.is_cancelled());
    }

    #[tokio::test]
    async fn a_helper_that_is_done_ends_nobody() {
        let shutdown = CancellationToken::new();
        let mut parts = Parts::default();
        parts.spawn("filer", Role::Helper, async { Ok(()) });
        let stop = shutdown.clone();
        parts.spawn("receiver", Role::Essential, async move {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            assert!(!stop.is_cancelled(), "the filer's end stopped the others");
            Ok(())
        });
        parts.spawn("worker", Role::Essential, patient(shutdown.clone()));
        parts.supervise(&shutdown, DRAIN).await.unwrap();
    }

    #[tokio::test]
    async fn a_part_that_does_not_drain_is_not_waited_for_forever() {
        let shutdown = CancellationToken::new();
        let mut parts = Parts::default();
        parts.spawn("worker", Role::Essential, std::future::pending());
        shutdown.cancel();
        let error = parts.supervise(&shutdown, Duration::from_millis(1)).await.unwrap_err();
        assert_eq!(error.to_string(), "drain: 1 parts did not end within 1ms");
    }

    #[tokio::test]
    #[should_panic(expected = "invariant")]
    async fn a_panic_is_a_bug_and_stays_one() {
        let shutdown = CancellationToken::new();
        let mut parts = Parts::default();
        parts.spawn("worker", Role::Essential, async { panic!("invariant") });
        parts.supervise(&shutdown, DRAIN).await.ok();
    }
}
