//! The clauses of the delivery stream's contract, run against every adapter by [`delivery_contract!`].
//!
//! [`delivery_contract!`]: crate::delivery_contract

use async_trait::async_trait;

use super::{DeliveryStream, MAX_BATCH_BYTES, MAX_BATCH_RECORDS, MAX_RECORD_BYTES};
use crate::error::ErrorKind;
use crate::id::{Epoch, FrameId, ModelName, Seq, StreamId};
use crate::message::{DetectionRow, Status};
use crate::stamp::Stamp;
use crate::time::{CaptureClock, CaptureTime, MediaTime};

/// A delivery stream and a way to see what it brought into the table.
#[async_trait]
pub trait Delivered: Send + Sync {
    /// The stream under test.
    fn stream(&self) -> &dyn DeliveryStream;

    /// The frame ids of all rows in the table, sorted, each as often as it is there.
    async fn frame_ids(&self) -> Vec<String>;
}

/// Makes one test of each clause. The argument is a closure that gives a [`Delivered`] with an empty table; after
/// `await`, an async closure that gives one, or none where there is no server.
#[macro_export]
macro_rules! delivery_contract {
    (await $make:expr) => {
        $crate::delivery_contract!($make;
            accepted_rows_are_in_the_table,
            a_row_that_is_too_long_fails_alone,
            a_row_whose_time_the_table_does_not_hold_fails_alone,
            a_batch_over_the_limits_is_refused_whole
        );
    };
    ($make:expr) => {
        $crate::delivery_contract!(await async || Some(($make)()));
    };
    ($make:expr; $($clause:ident),+) => {
        $(#[tokio::test]
        async fn $clause() {
            let Some(delivered) = ($make)().await else { return };
            $crate::delivery::contract::$clause(&delivered).await;
        })+
    };
}

/// `Ok` for a row means it is in the table, once per delivery.
pub async fn accepted_rows_are_in_the_table(delivered: &dyn Delivered) {
    let rows: Vec<_> = (0..7).map(|seq| row("gate", seq, 0)).collect();
    for part in [&rows[..4], &rows[4..], &rows[..1]] {
        let outcomes = delivered.stream().put(part).await.expect("the batch is within the limits");
        assert_eq!(outcomes.len(), part.len());
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    }
    let mut expected: Vec<_> =
        rows.iter().chain(&rows[..1]).map(|row| row.frame_id.clone()).collect();
    expected.sort();
    assert_eq!(delivered.frame_ids().await, expected);
}

/// A row over the limit of one record has its own outcome; the others are accepted.
pub async fn a_row_that_is_too_long_fails_alone(delivered: &dyn Delivered) {
    let long = DetectionRow { extra: Some("x".repeat(MAX_RECORD_BYTES)), ..row("gate", 1, 0) };
    fails_alone(long, delivered).await;
}

/// A row whose time is no time of the table has its own outcome; the others are accepted.
pub async fn a_row_whose_time_the_table_does_not_hold_fails_alone(delivered: &dyn Delivered) {
    let early = captured_at(CaptureTime(i64::MIN), row("gate", 1, 0));
    fails_alone(early, delivered).await;
}

async fn fails_alone(bad: DetectionRow, delivered: &dyn Delivered) {
    let rows = [row("gate", 0, 0), bad, row("gate", 2, 0)];
    let outcomes = delivered.stream().put(&rows).await.expect("the batch is within the limits");
    let kinds: Vec<_> =
        outcomes.iter().map(|outcome| outcome.as_ref().err().map(|error| error.kind())).collect();
    assert_eq!(kinds, [None, Some(ErrorKind::Invalid), None]);
    let expected = [&rows[0], &rows[2]].map(|row| row.frame_id.clone());
    assert_eq!(delivered.frame_ids().await, expected);
}

/// Too many rows, too many bytes or none at all: the outer error, and no row is accepted.
pub async fn a_batch_over_the_limits_is_refused_whole(delivered: &dyn Delivered) {
    let many: Vec<_> = (0..=MAX_BATCH_RECORDS as u64).map(|seq| row("gate", seq, 0)).collect();
    let extra = Some("x".repeat(MAX_BATCH_BYTES / 8));
    let heavy: Vec<_> =
        (0..8).map(|seq| DetectionRow { extra: extra.clone(), ..row("gate", seq, 0) }).collect();
    for rows in [&many[..], &heavy, &[]] {
        let error = delivered.stream().put(rows).await.expect_err("the batch is over a limit");
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    assert_eq!(delivered.frame_ids().await, [""; 0]);
}

/// A row, captured at another time.
pub fn captured_at(captured_at: CaptureTime, row: DetectionRow) -> DetectionRow {
    DetectionRow { stamp: Stamp { captured_at, ..row.stamp }, ..row }
}

/// A row of a detection, of epoch 7 of a stream.
pub fn row(stream: &str, seq: u64, detection: u32) -> DetectionRow {
    let stream = StreamId::new(stream).expect("the name is well formed");
    let (epoch, seq) = (Epoch(7), Seq(seq));
    let captured_at = CaptureTime(1_795_262_000_000_000 + i64::from(detection));
    DetectionRow {
        frame_id: FrameId { stream: stream.clone(), epoch, seq }.to_string(),
        stream,
        epoch,
        stamp: Stamp {
            seq,
            media_time: MediaTime(90_000),
            captured_at,
            clock: CaptureClock::Arrival,
        },
        model: ModelName::new("shapes").expect("the name is well formed"),
        model_version: "1".to_owned(),
        status: Status::Ok,
        reason: None,
        detection,
        class_id: Some(3),
        label: Some("circle".to_owned()),
        score: Some(0.5),
        x: Some(0.25),
        y: Some(0.25),
        w: Some(0.5),
        h: Some(0.5),
        track_id: None,
        extra: None,
        object_uri: Some("file:///objects/frames/gate.jpg".to_owned()),
        object_offset: Some(0),
        object_len: Some(40_000),
        inferred_at: CaptureTime(captured_at.0 + 80_000),
        latency_ms: 80,
        worker: "worker-1".to_owned(),
    }
}
