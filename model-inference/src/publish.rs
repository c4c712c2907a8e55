//! Answers on their way to people's eyes, as soon as they exist and whatever becomes of their rows.

use std::sync::Arc;

use services::feed::ResultFeed;
use services::message::STALE;
use services::{CaptureTime, FrameBatch, FrameEntry, FrameResult, Status};

use crate::rows::Answer;

/// Publishes a frame's answer where its message asked for it. What finds no room is the feed's to count.
pub(crate) fn publish(
    feed: &dyn ResultFeed,
    batch: &FrameBatch,
    entry: &FrameEntry,
    answer: &Answer,
    inferred_at: CaptureTime,
) {
    let result = result(batch, entry, answer, inferred_at);
    if let Err(error) = feed.publish(Arc::new(result), batch.reply_to.as_deref()) {
        tracing::debug!(%error, "result not published");
    }
}

fn result(
    batch: &FrameBatch,
    entry: &FrameEntry,
    answer: &Answer,
    inferred_at: CaptureTime,
) -> FrameResult {
    let (status, reason, detections) = match answer {
        Answer::Found(found) if found.is_empty() => (Status::None, None, Vec::new()),
        Answer::Found(found) => (Status::Ok, None, found.clone()),
        Answer::Failed(reason) => (Status::Error, Some(reason.clone()), Vec::new()),
        Answer::Stale => (Status::Error, Some(STALE.to_owned()), Vec::new()),
    };
    FrameResult {
        v: FrameResult::VERSION,
        stream: batch.stream.clone(),
        epoch: batch.epoch,
        stamp: entry.stamp,
        model: batch.model.clone(),
        status,
        reason,
        detections,
        inferred_at,
        latency_ms: entry.stamp.captured_at.millis_until(inferred_at).max(0),
    }
}
