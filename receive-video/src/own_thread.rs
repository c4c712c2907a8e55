//! Work on a thread and an async runtime of its own: whatever it does with them, nobody else waits.

use std::any::Any;

use anyhow::Context as _;
use tokio::runtime;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Does the work that `make` makes on a thread called `name`; dropped, the work is dropped there.
///
/// # Errors
/// No thread can be started.
///
/// # Panics
/// When the work does, with its panic.
pub(crate) async fn on_own_thread<W: Future<Output: Send + 'static>>(
    name: String,
    make: impl FnOnce() -> W + Send + 'static,
) -> anyhow::Result<W::Output> {
    let dropped = CancellationToken::new();
    let (done, result) = oneshot::channel();
    let stop = dropped.clone();
    let work = move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        if let Some(output) = runtime.block_on(stop.run_until_cancelled(make())) {
            done.send(output).ok();
        }
        // What still blocks a thread is nobody's business any more.
        runtime.shutdown_background();
        Ok(())
    };
    let thread = std::thread::Builder::new().name(name).spawn(work).context("start a thread")?;
    let _guard = dropped.drop_guard();
    if let Ok(output) = result.await {
        return Ok(output);
    }
    let ended: Result<anyhow::Result<()>, Box<dyn Any + Send>> =
        tokio::task::spawn_blocking(move || thread.join()).await?;
    match ended {
        Ok(ended) => ended.context("start async runtime")?,
        Err(panic) => std::panic::resume_unwind(panic),
    }
    anyhow::bail!("the thread ended without a result")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn work_that_never_lets_go_of_its_thread_holds_nobody_up() {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let stuck = on_own_thread("stuck".into(), move || async move { held.recv().is_ok() });
        let stuck = tokio::spawn(stuck);
        let other = on_own_thread("other".into(), || async { 7 });
        assert_eq!(other.await.unwrap(), 7);
        release.send(()).unwrap();
        assert!(stuck.await.unwrap().unwrap());
    }

    #[tokio::test]
    async fn a_panic_is_the_works_own() {
        let work = on_own_thread("bad".into(), || async { panic!("invariant") });
        let ended: Result<anyhow::Result<()>, _> = tokio::spawn(work).await;
        let panic = ended.unwrap_err().into_panic();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"invariant"));
    }

    #[tokio::test]
    async fn what_is_dropped_here_is_dropped_there() {
        let (alive, ended) = oneshot::channel::<()>();
        let work = on_own_thread("dropped".into(), || async move {
            std::future::pending::<()>().await;
            drop(alive);
        });
        let started = tokio::time::timeout(Duration::from_millis(10), work).await;
        assert!(started.is_err());
        assert!(tokio::time::timeout(Duration::from_secs(30), ended).await.unwrap().is_err());
    }
}
