//! Rows of answers: one for each detection, or one that says that there is none, or why not.

use services::message::{ObjectRef, STALE};
use services::{CaptureTime, DetectionRow, FrameBatch, FrameEntry, Payload, Status};

use crate::model::Detection;

/// What became of one run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    /// What the model found, maybe nothing.
    Found(Vec<Detection>),
    /// The run came to nothing; trying again may help.
    Failed(String),
    /// Nobody wants the answer any more.
    Stale,
}

impl Answer {
    /// Tells whether trying again would change nothing.
    pub(crate) fn is_final(&self) -> bool {
        !matches!(self, Self::Failed(_))
    }
}

/// What all rows of a batch have in common.
#[derive(Debug)]
pub(crate) struct RowMaker<'a> {
    pub(crate) batch: &'a FrameBatch,
    pub(crate) model_version: &'a str,
    /// The URI of the batch's object, when it has one.
    pub(crate) object_uri: Option<String>,
    pub(crate) worker: &'a str,
}

impl RowMaker<'_> {
    /// Makes a frame's rows, at least one. The same answer always gives the same keys.
    pub(crate) fn rows(
        &self,
        entry: &FrameEntry,
        answer: &Answer,
        inferred_at: CaptureTime,
    ) -> Vec<DetectionRow> {
        let empty = |status| self.row(entry, status, inferred_at);
        let failed = |reason: &str| {
            vec![DetectionRow { reason: Some(reason.to_owned()), ..empty(Status::Error) }]
        };
        match answer {
            Answer::Failed(reason) => failed(reason),
            Answer::Stale => failed(STALE),
            Answer::Found(detections) if detections.is_empty() => vec![empty(Status::None)],
            Answer::Found(detections) => {
                let row = |(index, found)| with_detection(empty(Status::Ok), index, found);
                (0..).zip(detections).map(row).collect()
            }
        }
    }

    fn row(&self, entry: &FrameEntry, status: Status, inferred_at: CaptureTime) -> DetectionRow {
        let batch = self.batch;
        let in_object =
            |value| matches!(batch.payload, Payload::Object(ObjectRef { .. })).then_some(value);
        DetectionRow {
            stream: batch.stream.clone(),
            epoch: batch.epoch,
            stamp: entry.stamp,
            frame_id: batch.frame_id(entry).to_string(),
            model: batch.model.clone(),
            model_version: self.model_version.to_owned(),
            status,
            reason: None,
            detection: 0,
            class_id: None,
            label: None,
            score: None,
            x: None,
            y: None,
            w: None,
            h: None,
            track_id: None,
            extra: None,
            object_uri: self.object_uri.clone(),
            object_offset: in_object(entry.offset),
            object_len: in_object(entry.len),
            inferred_at,
            latency_ms: entry.stamp.captured_at.millis_until(inferred_at).max(0),
            worker: self.worker.to_owned(),
        }
    }
}

fn with_detection(row: DetectionRow, index: u32, found: &Detection) -> DetectionRow {
    DetectionRow {
        detection: index,
        class_id: Some(found.class_id),
        label: Some(found.label.clone()),
        score: Some(found.score),
        x: found.region.map(|region| region.x),
        y: found.region.map(|region| region.y),
        w: found.region.map(|region| region.w),
        h: found.region.map(|region| region.h),
        extra: found.extra.clone(),
        ..row
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use services::{CaptureClock, Epoch, FrameFormat, MediaTime, ModelName, Seq, Stamp, StreamId};

    use super::*;
    use crate::model::Region;

    fn batch() -> FrameBatch {
        FrameBatch {
            v: FrameBatch::VERSION,
            stream: StreamId::new("gate").unwrap(),
            epoch: Epoch(1_732_164_000_000),
            model: ModelName::new("shapes").unwrap(),
            window: 1,
            frames: vec![FrameEntry {
                stamp: Stamp {
                    seq: Seq(42),
                    media_time: MediaTime(90_000),
                    captured_at: CaptureTime(1_000_000),
                    clock: CaptureClock::Rtcp,
                },
                width: 640,
                height: 360,
                format: FrameFormat::Jpeg,
                offset: 100,
                len: 200,
            }],
            payload: Payload::Object(ObjectRef {
                bucket: "frames".into(),
                key: "a/b".into(),
                size: 300,
            }),
            deadline: None,
            reply_to: None,
            traceparent: String::new(),
        }
    }

    /// A row of frame `seq`.
    pub(crate) fn row(seq: u64) -> DetectionRow {
        let [row] = rows(&Answer::Found(vec![])).try_into().unwrap();
        DetectionRow { stamp: Stamp { seq: Seq(seq), ..row.stamp }, ..row }
    }

    fn rows(answer: &Answer) -> Vec<DetectionRow> {
        let batch = batch();
        let object_uri = Some("file:///objects/a/b".to_owned());
        let maker = RowMaker { batch: &batch, model_version: "1", object_uri, worker: "w" };
        maker.rows(&batch.frames[0], answer, CaptureTime(1_250_999))
    }

    fn detection(score: f32) -> Detection {
        let region = Some(Region { x: 0.1, y: 0.2, w: 0.3, h: 0.4 });
        Detection { class_id: 3, label: "star".into(), score, region, extra: None }
    }

    #[test]
    fn each_detection_is_a_row_with_its_index() {
        let rows = rows(&Answer::Found(vec![detection(0.9), detection(0.8)]));
        let indexes: Vec<_> =
            rows.iter().map(|row| (row.detection, row.score, row.status)).collect();
        assert_eq!(indexes, [(0, Some(0.9), Status::Ok), (1, Some(0.8), Status::Ok)]);
        assert_eq!(rows[0].frame_id, "gate/1732164000000/0000000042");
        assert_eq!((rows[0].label.as_deref(), rows[0].h), (Some("star"), Some(0.4)));
        assert_eq!(rows[0].object_offset, Some(100));
        assert_eq!(rows[0].latency_ms, 250);
    }

    #[test]
    fn a_frame_without_detections_is_one_row_that_says_so() {
        let [row] = rows(&Answer::Found(vec![])).try_into().unwrap();
        assert_eq!((row.status, row.detection, row.reason), (Status::None, 0, None));
    }

    #[test]
    fn a_frame_that_failed_is_one_row_with_its_reason() {
        let [row] = rows(&Answer::Failed("decode jpeg: damaged".into())).try_into().unwrap();
        assert_eq!(
            (row.status, row.reason.as_deref()),
            (Status::Error, Some("decode jpeg: damaged"))
        );
        let [row] = rows(&Answer::Stale).try_into().unwrap();
        assert_eq!((row.status, row.reason.as_deref()), (Status::Error, Some("stale")));
    }
}
