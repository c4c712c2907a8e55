//! Runs in → bundles out: one object (or one inline payload) and one message each.
//!
//! A bundle closes when it holds `max_frames` runs, when its first run has waited `max_delay`, before its message
//! would outgrow the queue's limit, and when it is told to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use services::config::{PayloadChoice, SampleConfig};
use services::message::ObjectRef;
use services::price::{PayloadPrices, RETENTION_DAYS};
use services::queue::MAX_MESSAGE_BYTES;
use services::{
    CaptureTime, Epoch, FrameBatch, FrameEntry, FrameFormat, MediaTime, ModelName, Payload, Seq,
    Stamp, StreamId,
};

/// Most bytes of one object, so that a worker can hold a few.
const MAX_OBJECT_BYTES: usize = 32 << 20;

/// An encoded picture on its way to a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) stamp: Stamp,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) format: FrameFormat,
    pub(crate) bytes: Bytes,
}

/// Whose frames a bundler bundles.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    pub(crate) stream: StreamId,
    pub(crate) epoch: Epoch,
    pub(crate) model: ModelName,
    /// The bucket that objects go to.
    pub(crate) bucket: String,
    /// Where results are wanted besides the table.
    pub(crate) reply_to: Option<String>,
}

/// A closed bundle, complete but for its trace context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bundle {
    /// The message, its `traceparent` still empty.
    pub(crate) batch: FrameBatch,
    /// The bytes of the object that the message names; none when they travel in the message.
    pub(crate) object: Option<(String, Bytes)>,
    /// Runs in it: so many frames are taken with it.
    pub(crate) runs: u64,
    /// Media time of the last frame taken with it.
    pub(crate) last_taken: MediaTime,
    /// When its first run came.
    pub(crate) opened: Instant,
    /// When its last run came.
    pub(crate) newest: Instant,
}

impl Bundle {
    /// What it takes in the spool, in bytes: its message, and its object.
    pub(crate) fn size(&self, message: &str) -> u64 {
        message.len() as u64 + self.payload()
    }

    /// Bytes of its object.
    pub(crate) fn payload(&self) -> u64 {
        self.object.as_ref().map_or(0, |(_, bytes)| bytes.len() as u64)
    }

    /// The deadline of answers that nobody wants `fresh` after its last run came, if it is `now` by this machine's clock.
    /// What a camera's clock says has no part in it.
    pub(crate) fn deadline(&self, fresh: Duration, now: (CaptureTime, Instant)) -> CaptureTime {
        let (CaptureTime(time), instant) = now;
        let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        let waited = micros(instant.saturating_duration_since(self.newest));
        CaptureTime(time.saturating_sub(waited).saturating_add(micros(fresh)))
    }
}

/// Bundles the runs of one model in one epoch.
#[derive(Debug)]
pub(crate) struct Bundler {
    address: Address,
    window: u32,
    choice: PayloadChoice,
    max_runs: u64,
    max_delay: Duration,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    since: Instant,
    newest: Instant,
    runs: u64,
    entries: Vec<FrameEntry>,
    offsets: BTreeMap<Seq, u64>,
    payload: Vec<u8>,
}

impl Bundler {
    /// A bundler without an open bundle.
    pub(crate) fn new(address: Address, sample: &SampleConfig) -> Self {
        Self {
            address,
            window: sample.frames.max(1),
            choice: sample.payload,
            max_runs: u64::from(sample.max_frames.max(1)),
            max_delay: sample.max_delay.duration(),
            open: None,
        }
    }

    /// Adds a run; gives the bundles that closed by it.
    pub(crate) fn push(&mut self, run: &[Arc<Frame>], now: Instant) -> Vec<Bundle> {
        let mut closed = Vec::new();
        if self.open.as_ref().is_some_and(|open| !self.has_room(open, run)) {
            closed.extend(self.close());
        }
        let open = self.open.get_or_insert_with(|| Open::new(now));
        open.add(run, now);
        if open.runs >= self.max_runs {
            closed.extend(self.close());
        }
        closed
    }

    /// When the open bundle has waited long enough.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.open.as_ref().map(|open| open.since + self.max_delay)
    }

    /// Closes the open bundle if it has waited long enough.
    pub(crate) fn close_if_due(&mut self, now: Instant) -> Option<Bundle> {
        if self.deadline()? <= now { self.close() } else { None }
    }

    /// Closes the open bundle, if there is one.
    pub(crate) fn close(&mut self) -> Option<Bundle> {
        self.open.take().map(|open| self.bundle(open))
    }

    fn has_room(&self, open: &Open, run: &[Arc<Frame>]) -> bool {
        let bytes = open.payload.len() + open.bytes_added_by(run);
        let entries = open.entries.len() + run.len();
        let inline = self.choice != PayloadChoice::Inline || fits_inline(bytes, entries);
        inline && bytes <= MAX_OBJECT_BYTES && fits_inline(0, entries)
    }

    fn bundle(&self, open: Open) -> Bundle {
        let last_taken = open.entries.last().map_or(MediaTime(0), |entry| entry.stamp.media_time);
        let (runs, opened, newest) = (open.runs, open.since, open.newest);
        let (payload, object) = if self.goes_inline(open.payload.len(), open.entries.len()) {
            (Payload::inline(&open.payload), None)
        } else {
            let key = self.key(&open.entries);
            let bytes = Bytes::from(open.payload);
            let bucket = self.address.bucket.clone();
            let object = ObjectRef { bucket, key: key.clone(), size: bytes.len() as u64 };
            (Payload::Object(object), Some((key, bytes)))
        };
        let batch = FrameBatch {
            v: FrameBatch::VERSION,
            stream: self.address.stream.clone(),
            epoch: self.address.epoch,
            model: self.address.model.clone(),
            window: self.window,
            frames: open.entries,
            payload,
            deadline: None,
            reply_to: self.address.reply_to.clone(),
            traceparent: String::new(),
        };
        Bundle { batch, object, runs, last_taken, opened, newest }
    }

    fn goes_inline(&self, bytes: usize, entries: usize) -> bool {
        match self.choice {
            PayloadChoice::Object => false,
            PayloadChoice::Inline => fits_inline(bytes, entries),
            PayloadChoice::Auto => {
                let envelope = FrameBatch::longest_envelope(entries);
                let prices = PayloadPrices::of(bytes as f64, envelope as f64, RETENTION_DAYS);
                prices.inline_is_cheaper()
            }
        }
    }

    /// No two bundles of a model begin with the same frame, so no two have the same key.
    fn key(&self, entries: &[FrameEntry]) -> String {
        let Address { stream, epoch, model, .. } = &self.address;
        let first = entries.first().map_or(Seq(0), |entry| entry.stamp.seq);
        let one = entries.iter().all(|entry| entry.stamp.seq == first);
        let suffix = match entries.first().map(|entry| entry.format) {
            Some(FrameFormat::H264) => "h264",
            _ if one => "jpg",
            _ => "mjpeg",
        };
        format!("frames/{stream}/{epoch}/{first}-{model}.{suffix}")
    }
}

impl Open {
    fn new(since: Instant) -> Self {
        let (entries, offsets, payload) = Default::default();
        Self { since, newest: since, runs: 0, entries, offsets, payload }
    }

    fn bytes_added_by(&self, run: &[Arc<Frame>]) -> usize {
        let new = run.iter().filter(|frame| !self.offsets.contains_key(&frame.stamp.seq));
        new.map(|frame| frame.bytes.len()).sum()
    }

    fn add(&mut self, run: &[Arc<Frame>], now: Instant) {
        self.runs += 1;
        self.newest = now;
        for frame in run {
            let offset = *self.offsets.entry(frame.stamp.seq).or_insert_with(|| {
                let offset = self.payload.len() as u64;
                self.payload.extend_from_slice(&frame.bytes);
                offset
            });
            self.entries.push(entry(frame, offset));
        }
    }
}

fn entry(frame: &Frame, offset: u64) -> FrameEntry {
    FrameEntry {
        stamp: frame.stamp,
        width: frame.width,
        height: frame.height,
        format: frame.format,
        offset,
        len: frame.bytes.len() as u64,
    }
}

fn fits_inline(bytes: usize, entries: usize) -> bool {
    FrameBatch::longest_envelope(entries) + bytes.div_ceil(3) * 4 <= MAX_MESSAGE_BYTES
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use services::CaptureClock;
    use services::config::Span;
    use services::message::MAX_REPLY_TO_BYTES;

    use super::*;

    fn sample(max_frames: u32, payload: PayloadChoice) -> SampleConfig {
        let max_delay = Span::from_millis(1_000);
        SampleConfig { max_frames, payload, max_delay, ..SampleConfig::default() }
    }

    fn bundler(sample: &SampleConfig) -> Bundler {
        let address = Address {
            stream: StreamId::new("gate").unwrap(),
            epoch: Epoch(1_732_164_000_000),
            model: ModelName::new("shapes").unwrap(),
            bucket: "objects".into(),
            reply_to: Some("x".repeat(MAX_REPLY_TO_BYTES)),
        };
        Bundler::new(address, sample)
    }

    fn frame(seq: u64, bytes: usize) -> Arc<Frame> {
        Arc::new(Frame {
            stamp: Stamp {
                seq: Seq(seq),
                media_time: MediaTime(i64::try_from(seq).unwrap() * 3_600),
                captured_at: CaptureTime::LATEST,
                clock: CaptureClock::Arrival,
            },
            width: u32::MAX,
            height: u32::MAX,
            format: FrameFormat::Jpeg,
            bytes: vec![seq.to_le_bytes()[0]; bytes].into(),
        })
    }

    #[test]
    fn a_bundle_closes_when_it_is_full() {
        let mut bundler = bundler(&sample(2, PayloadChoice::Object));
        let now = Instant::now();
        assert_eq!(bundler.push(&[frame(0, 3)], now), []);
        let closed = bundler.push(&[frame(25, 4)], now);
        let (key, bytes) = closed[0].object.clone().unwrap();
        assert_eq!(key, "frames/gate/1732164000000/0000000000-shapes.mjpeg");
        assert_eq!(&bytes[..], [0, 0, 0, 25, 25, 25, 25]);
        let places: Vec<_> = closed[0].batch.frames.iter().map(|f| (f.offset, f.len)).collect();
        assert_eq!(places, [(0, 3), (3, 4)]);
        assert_eq!((closed[0].runs, closed[0].last_taken), (2, MediaTime(90_000)));
        assert_eq!(closed[0].batch.reply_to.as_ref().map(String::len), Some(MAX_REPLY_TO_BYTES));
        assert!(bundler.close().is_none());
    }

    #[test]
    fn a_bundle_closes_when_its_first_run_has_waited_long_enough() {
        let mut bundler = bundler(&sample(10, PayloadChoice::Object));
        let now = Instant::now();
        bundler.push(&[frame(0, 3)], now);
        bundler.push(&[frame(1, 3)], now + Duration::from_millis(900));
        assert_eq!(bundler.deadline(), Some(now + Duration::from_secs(1)));
        assert!(bundler.close_if_due(now + Duration::from_millis(999)).is_none());
        assert_eq!(bundler.close_if_due(now + Duration::from_secs(1)).unwrap().runs, 2);
    }

    #[test]
    fn a_deadline_counts_from_when_the_last_run_came_whatever_the_camera_s_clock_says() {
        let mut bundler = bundler(&sample(2, PayloadChoice::Object));
        let start = Instant::now();
        bundler.push(&[frame(0, 3)], start);
        let closed = bundler.push(&[frame(25, 3)], start + Duration::from_secs(1));
        assert_eq!(closed[0].batch.frames[1].stamp.captured_at, CaptureTime::LATEST);
        let now = (CaptureTime(100_000_000), start + Duration::from_secs(4));
        let deadline = closed[0].deadline(Duration::from_secs(2), now);
        assert_eq!(deadline, CaptureTime(99_000_000), "three seconds ago, and two");
    }

    #[test]
    fn overlapping_runs_repeat_entries_but_not_bytes() {
        let mut bundler = bundler(&SampleConfig { frames: 2, ..sample(2, PayloadChoice::Object) });
        let now = Instant::now();
        bundler.push(&[frame(0, 5), frame(1, 5)], now);
        let closed = bundler.push(&[frame(1, 5), frame(2, 5)], now);
        let batch = &closed[0].batch;
        assert_eq!(batch.frames.iter().map(|f| f.offset).collect::<Vec<_>>(), [0, 5, 5, 10]);
        assert_eq!(closed[0].object.as_ref().unwrap().1.len(), 15);
        assert_eq!(batch.answered().map(|f| f.stamp.seq.0).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn a_run_that_alone_is_too_large_for_a_message_travels_as_an_object() {
        let mut bundler = bundler(&sample(1, PayloadChoice::Inline));
        let closed = bundler.push(&[frame(0, MAX_MESSAGE_BYTES)], Instant::now());
        assert!(closed[0].object.is_some());
        let closed = bundler.push(&[frame(1, 1_000)], Instant::now());
        assert!(closed[0].object.is_none());
    }

    #[test]
    fn the_cheaper_way_is_chosen() {
        let mut bundler = bundler(&sample(10, PayloadChoice::Auto));
        let mut is_object = |bytes| {
            let frames = (0..10).map(|seq| frame(seq, bytes));
            let closed: Vec<_> =
                frames.flat_map(|frame| bundler.push(&[frame], Instant::now())).collect();
            closed[0].object.is_some()
        };
        assert!(!is_object(3_000));
        assert!(!is_object(30_000));
        assert!(is_object(70_000));
        assert!(is_object(300_000));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn every_run_is_in_one_bundle_and_every_message_within_the_limit(
            sizes in proptest::collection::vec(1_usize..300_000, 1..12),
            max_frames in 1_u32..20,
            payload in proptest::sample::select(vec![
                PayloadChoice::Object, PayloadChoice::Inline, PayloadChoice::Auto,
            ]),
        ) {
            let mut bundler = bundler(&sample(max_frames, payload));
            let mut bundles = Vec::new();
            for (seq, size) in (0..).zip(&sizes) {
                bundles.extend(bundler.push(&[frame(seq, *size)], Instant::now()));
            }
            bundles.extend(bundler.close());
            let mut seqs = Vec::new();
            for mut bundle in bundles {
                bundle.batch.traceparent = "0".repeat(55);
                let text = bundle.batch.to_json();
                prop_assert!(text.len() <= MAX_MESSAGE_BYTES, "{} bytes", text.len());
                prop_assert!(bundle.runs <= u64::from(max_frames));
                prop_assert!(payload != PayloadChoice::Inline || bundle.object.is_none());
                let read = FrameBatch::from_json(&text).unwrap();
                seqs.extend(read.answered().map(|frame| frame.stamp.seq.0));
            }
            prop_assert_eq!(seqs, (0..sizes.len() as u64).collect::<Vec<_>>());
        }
    }
}
