//! The threads that decode frames for one model.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use media::RgbImage;
use services::FrameEntry;
use tokio::sync::oneshot;

use super::threads::{Threads, ThreadsEnded};
use crate::model::Model;
use crate::panic::words;
use crate::receive::{self, FetchedPayload};

/// Threads that decode. They end when it is dropped.
#[derive(Debug)]
pub(super) struct Decoders(Threads<DecodeJob>);

#[derive(Debug)]
struct DecodeJob {
    window: Vec<FrameEntry>,
    payload: FetchedPayload,
    reply: oneshot::Sender<Decoded>,
}

/// A window that was decoded, or why not all of it could be.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) pictures: Result<Vec<RgbImage>, String>,
    /// How long it took, from its begin on its thread.
    pub(super) took: Duration,
}

impl Decoders {
    /// Starts `count` threads that decode pictures of up to `max_pixels` pixels, as small as the model takes them.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(model: &Arc<Model>, count: usize, max_pixels: u64) -> io::Result<Self> {
        let name = format!("{}-decode", model.name);
        let model = Arc::clone(model);
        let server = move || {
            let model = Arc::clone(&model);
            move |job| serve(job, &model, max_pixels)
        };
        Ok(Self(Threads::start(&name, count, server)?))
    }

    /// Decodes the frames of a window.
    ///
    /// # Cancel safety
    /// What nobody waits for any more is not begun.
    pub(super) async fn decode(&self, window: &[FrameEntry], payload: &FetchedPayload) -> Decoded {
        let (reply, decoded) = oneshot::channel();
        let job = DecodeJob { window: window.to_vec(), payload: payload.clone(), reply };
        let decoded = match self.0.give(job).await {
            Ok(()) => decoded.await.map_err(|_| ThreadsEnded),
            Err(ended) => Err(ended),
        };
        decoded.unwrap_or_else(|ThreadsEnded| {
            let why = "decode frame: the threads have ended".to_owned();
            Decoded { pictures: Err(why), took: Duration::ZERO }
        })
    }
}

fn serve(DecodeJob { window, payload, reply }: DecodeJob, model: &Model, max_pixels: u64) {
    if reply.is_closed() {
        return;
    }
    let began = Instant::now();
    let decode = || {
        let frames = window.iter();
        frames.map(|entry| receive::decode(entry, &payload, model, max_pixels)).collect()
    };
    let decoded: Result<Result<Vec<RgbImage>, _>, _> = catch_unwind(AssertUnwindSafe(decode));
    let pictures = match decoded {
        Ok(pictures) => pictures.map_err(|error| error.to_string()),
        Err(panic) => Err(format!("decode frame: it panicked: {}", words(panic.as_ref()))),
    };
    // Whoever asked may have gone away meanwhile.
    let _ = reply.send(Decoded { pictures, took: began.elapsed() });
}
