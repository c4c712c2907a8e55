//! From a window's bytes to its answer: decoded and run on threads of their own, the windows of one message, and of
//! several, side by side.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use services::{CaptureTime, FrameEntry};
use telemetry::trace::{self, Span};
use tokio::sync::Semaphore;

use super::decoders::{Decoded, Decoders};
use super::intake::RunTicket;
use super::pool::{Pool, Ran};
use super::until::Until;
use crate::model::Model;
use crate::receive::FetchedPayload;
use crate::rows::Answer;

/// The threads of one model.
#[derive(Debug)]
pub(super) struct Answerer {
    decoders: Decoders,
    pool: Pool,
    /// Windows that are being decoded, wait for an instance as pictures, or are being run.
    windows: Semaphore,
}

/// What became of a window.
#[derive(Debug)]
pub(super) struct WindowAnswer {
    pub(super) answer: Answer,
    /// When that was known.
    pub(super) at: CaptureTime,
    /// Decode and run, without what was waited for.
    pub(super) worked: Duration,
}

impl WindowAnswer {
    /// An answer that took no work.
    pub(super) fn of(answer: Answer, at: CaptureTime) -> Self {
        Self { answer, at, worked: Duration::ZERO }
    }
}

impl Answerer {
    /// Starts threads for `instances` of the model, and as many that decode for them.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(model: &Arc<Model>, instances: usize, max_pixels: u64) -> io::Result<Self> {
        Ok(Self {
            decoders: Decoders::start(model, instances, max_pixels)?,
            pool: Pool::start(model, instances)?,
            windows: Semaphore::new(2 * instances),
        })
    }

    /// A window's answer; a stale one's is that it is.
    ///
    /// # Cancel safety
    /// What nobody waits for any more is not begun.
    pub(super) async fn answer(
        &self,
        window: &[FrameEntry],
        payload: &FetchedPayload,
        span: &Span,
        run: RunTicket,
        until: &Until,
    ) -> WindowAnswer {
        let _window = self.windows.acquire().await.expect("it is never closed");
        if until.is_past() {
            return WindowAnswer::of(Answer::Stale, until.now());
        }
        let decoding = self.decoders.decode(window, payload);
        let Decoded { pictures, took: decode } = trace::inside(span, "decode", decoding).await;
        let failed = |reason| (Answer::Failed(reason), until.now(), Duration::ZERO);
        let (answer, at, ran) = match pictures {
            Err(reason) => failed(reason),
            Ok(pictures) => {
                let running = self.pool.run(pictures, run, until.clone());
                match trace::inside(span, "run", running).await {
                    Ok(Some(Ran { found: Ok(found), at, took })) => {
                        (Answer::Found(found), at, took)
                    }
                    Ok(Some(Ran { found: Err(error), at, took })) => {
                        (Answer::Failed(error.to_string()), at, took)
                    }
                    Ok(None) => (Answer::Stale, until.now(), Duration::ZERO),
                    Err(error) => failed(error.to_string()),
                }
            }
        };
        WindowAnswer { answer, at, worked: decode + ran }
    }
}
