//! A data folder with rows, for the tests.

use std::path::Path;
use std::time::Duration;

use services::delivery::{BufferedDelivery, DeliveryOptions, DeliveryStream as _, Filer};
use services::{
    CaptureClock, CaptureTime, DataFolder, DetectionRow, Epoch, FrameId, MadeUpClock, MediaTime,
    ModelName, Seq, Stamp, Status, StreamId,
};
use table::{EmbeddedTable, Limits, Rows, Table as _};
use tempfile::TempDir;

/// 2026-11-21T12:00:00Z
pub(crate) const NOON: CaptureTime = CaptureTime(1_795_262_400_000_000);

/// A data folder of its own, and the way of rows into it.
pub(crate) struct Site {
    data: DataFolder,
    /// Removed at the end, where it is the test's own.
    _folder: Option<TempDir>,
    clock: MadeUpClock,
    pub(crate) delivery: BufferedDelivery,
    pub(crate) filer: Filer,
}

impl Site {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let site = Self::within(folder.path());
        Self { _folder: Some(folder), ..site }
    }

    /// A data folder that the test names.
    pub(crate) fn within(folder: &Path) -> Self {
        let data = DataFolder::new(folder);
        let clock = MadeUpClock::at(NOON);
        let options = DeliveryOptions::default();
        let (delivery, filer) =
            BufferedDelivery::open_with_filer(&data.table(), &options, &clock.clock()).unwrap();
        Self { data, _folder: None, clock, delivery, filer }
    }

    pub(crate) fn data(&self) -> DataFolder {
        self.data.clone()
    }

    pub(crate) fn open(&self) -> EmbeddedTable {
        EmbeddedTable::open(&self.data()).unwrap()
    }

    pub(crate) fn open_with(&self, limits: Limits) -> EmbeddedTable {
        EmbeddedTable::open_with(&self.data(), limits).unwrap()
    }

    pub(crate) async fn deliver(&self, rows: &[DetectionRow]) {
        for outcome in self.delivery.put(rows).await.unwrap() {
            outcome.unwrap();
        }
    }

    /// Moves all rows into files; later rows are of a later hour.
    pub(crate) async fn file(&self) {
        self.filer.file_all().await.unwrap();
        self.clock.advance(Duration::from_secs(3_600));
    }

    pub(crate) async fn ask(&self, sql: &str) -> Rows {
        rows(&self.open(), sql).await
    }
}

pub(crate) async fn rows(table: &EmbeddedTable, sql: &str) -> Rows {
    let answer = table.query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    answer.collect().await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

pub(crate) async fn count(table: &EmbeddedTable, sql: &str) -> i64 {
    rows(table, sql).await.integers("n").unwrap()[0].unwrap()
}

/// A row of the frame `seq` of the stream `gate`, one frame a second from [`NOON`] on.
pub(crate) fn row(seq: u64) -> DetectionRow {
    let stream = StreamId::new("gate").unwrap();
    let id = FrameId { stream: stream.clone(), epoch: Epoch(7), seq: Seq(seq) };
    let media_time = MediaTime(i64::try_from(seq).unwrap() * MediaTime::HZ);
    let captured_at = NOON.after(media_time);
    DetectionRow {
        stream,
        epoch: Epoch(7),
        stamp: Stamp { seq: Seq(seq), media_time, captured_at, clock: CaptureClock::Rtcp },
        frame_id: id.to_string(),
        model: ModelName::new("shapes").unwrap(),
        model_version: "v1".to_owned(),
        status: Status::Ok,
        reason: None,
        detection: 0,
        class_id: Some(0),
        label: Some("circle".to_owned()),
        score: Some(0.5),
        x: Some(0.1),
        y: Some(0.2),
        w: Some(0.3),
        h: Some(0.4),
        track_id: None,
        extra: None,
        object_uri: Some("file:frames/gate/1.jpg".to_owned()),
        object_offset: Some(0),
        object_len: Some(1_000),
        inferred_at: CaptureTime(captured_at.0 + 40_000),
        latency_ms: 40,
        worker: "w1".to_owned(),
    }
}

/// The only row of a frame in which nothing was found.
pub(crate) fn nothing(seq: u64) -> DetectionRow {
    let none = DetectionRow { status: Status::None, class_id: None, label: None, ..row(seq) };
    DetectionRow { score: None, x: None, y: None, w: None, h: None, ..none }
}

/// The only row of a frame that could not be answered.
pub(crate) fn failed(seq: u64, reason: &str) -> DetectionRow {
    DetectionRow { status: Status::Error, reason: Some(reason.to_owned()), ..nothing(seq) }
}
