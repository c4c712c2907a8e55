//! The frames that messages name.

use super::work::Work;
use crate::delivery::retired::FramesOf;
use crate::error::{ErrorKind, PortError};
use crate::id::Seq;
use crate::message::FrameBatch;
use crate::queue::{Held, QueueReader};

impl Work {
    /// Calls `with` for each frame that a message or a dead letter asks an answer for, once or more often. Of a queue that
    /// cannot be read a warning tells; what it names is not known then.
    ///
    /// # Errors
    /// When it cannot be listed which queues there are.
    pub(super) fn each_waiting(
        &self,
        mut with: impl FnMut(&FramesOf, Seq),
    ) -> Result<(), PortError> {
        let Some(folder) = &self.queues else { return Ok(()) };
        for model in folder.models()? {
            let visit = |queue: QueueReader| {
                queue.visit(|message| {
                    let (Held::Live(body) | Held::Dead(body)) = message;
                    let Ok(batch) = FrameBatch::from_json(body) else { return };
                    let (stream, model) = (batch.stream.clone(), batch.model.clone());
                    let of = FramesOf { stream, epoch: batch.epoch, model };
                    batch.answered().for_each(|frame| with(&of, frame.stamp.seq));
                })
            };
            match QueueReader::open(folder.queue(&model)).and_then(visit) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    tracing::warn!(%error, "frames may leave with their time that it names");
                }
                _ => {}
            }
        }
        Ok(())
    }
}
