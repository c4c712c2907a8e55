//! From a window's bytes to its answer: decoded and run on threads of their own, the windows of one message, and of
//! several, side by side.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use services::FrameEntry;
use telemetry::trace::{self, Span};
use tokio::sync::Semaphore;

use super::decoders::{Decoded, Decoders};
use super::intake::Run;
use super::pool::{Pool, Ran};
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

    /// A window's answer, and how long it was worked for.
    ///
    /// # Cancel safety
    /// What nobody waits for any more is not begun.
    pub(super) async fn answer(
        &self,
        window: &[FrameEntry],
        payload: &FetchedPayload,
        span: &Span,
        run: Run,
    ) -> (Answer, Duration) {
        let _window = self.windows.acquire().await.expect("it is never closed");
        let decoding = self.decoders.decode(window, payload);
        let Decoded { pictures, took: decode } = trace::inside(span, "decode", decoding).await;
        let pictures = match pictures {
            Ok(pictures) => pictures,
            Err(reason) => return (Answer::Failed(reason), decode),
        };
        match trace::inside(span, "run", self.pool.run(pictures, run)).await {
            Ok(Ran { found: Ok(detections), took }) => (Answer::Found(detections), decode + took),
            Ok(Ran { found: Err(error), took }) => {
                (Answer::Failed(error.to_string()), decode + took)
            }
            Err(error) => (Answer::Failed(error.to_string()), decode),
        }
    }
}
