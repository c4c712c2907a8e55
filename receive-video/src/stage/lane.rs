//! One model's interest in a stream during one epoch: its books, the frames its runs hold, its open bundle.

use std::collections::BTreeMap;
use std::sync::Arc;

use services::config::{Encode, SampleConfig, Size};
use services::{MediaTime, ModelName};

use crate::bundle::{Bundler, Frame};
use crate::sample::Run;
use crate::status::Trouble;
use crate::store::Books;

/// A model and how it samples.
#[derive(Clone, Debug)]
pub(crate) struct LaneConfig {
    pub(crate) model: ModelName,
    pub(crate) sample: SampleConfig,
}

impl LaneConfig {
    /// Tells whether it wants pictures; else key frames as they came.
    pub(super) fn decodes(&self) -> bool {
        self.sample.encode == Encode::Jpeg
    }
}

/// A lane while its epoch lasts.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) config: LaneConfig,
    pub(super) bundler: Bundler,
    pub(super) books: Books,
    /// What keeps it from giving frames, since the last one that it gave.
    pub(super) trouble: Option<Trouble>,
    frames: BTreeMap<MediaTime, Arc<Frame>>,
    most: Size,
}

/// The windows of a model would take more memory than they may.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "gather windows of model \"{model}\": its frames have more than window_bytes ({} bytes): set fewer frames, a smaller \
     step or max_width, or a longer every",
    .most.bytes()
)]
pub(super) struct TooManyFrames {
    model: ModelName,
    most: Size,
}

impl Lane {
    pub(super) fn new(config: LaneConfig, bundler: Bundler, most: Size) -> Self {
        let (books, frames) = (Books::default(), BTreeMap::new());
        Self { config, bundler, books, trouble: None, frames, most }
    }

    /// Keeps a frame for the runs that are open.
    ///
    /// # Errors
    /// They hold too many bytes: all that was kept is forgotten, so that none of them will be whole.
    pub(super) fn keep(&mut self, frame: Arc<Frame>) -> Result<(), TooManyFrames> {
        self.frames.insert(frame.stamp.media_time, frame);
        let held: u64 = self.frames.values().map(|frame| frame.bytes.len() as u64).sum();
        if self.config.sample.frames == 1 || held <= self.most.bytes() {
            return Ok(());
        }
        self.forget();
        Err(TooManyFrames { model: self.config.model.clone(), most: self.most })
    }

    /// Takes note of what keeps it from giving frames.
    pub(super) fn is_troubled(&mut self, kind: &'static str, words: impl ToString) {
        self.trouble.get_or_insert_with(|| Trouble { kind, words: words.to_string() });
    }

    /// Forgets the frames of runs that are not to be completed.
    pub(super) fn forget(&mut self) {
        self.frames.clear();
    }

    /// The frames of a run, if all of them could be had; what the runs still open do not need is forgotten.
    pub(super) fn complete(&mut self, run: &Run) -> Option<Vec<Arc<Frame>>> {
        let frames = run.times.iter().map(|time| self.frames.get(time).cloned()).collect();
        match run.still_open {
            Some(oldest) => self.frames = self.frames.split_off(&oldest),
            None => self.frames.clear(),
        }
        frames
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use bytes::Bytes;
    use services::config::{Pick, Span};
    use services::{Epoch, FrameFormat, StreamId};

    use super::*;
    use crate::bundle::Address;
    use crate::sample::tests::stamp;
    use crate::sample::{Fate, Sampler, UnitMeta};

    const PICTURES: i64 = 200;
    const GROUP: i64 = 25;

    /// Groups of 25 pictures as they come: without B-frames, or with two before every other picture.
    fn decode_order(b_frames: bool) -> Vec<i64> {
        let place = |n: i64| match (n % GROUP, (n % GROUP) % 3) {
            _ if !b_frames => n,
            (0, _) => n,
            (_, 1) => n + 2,
            _ => n - 1,
        };
        (0..PICTURES).map(place).collect()
    }

    fn lane(sample: SampleConfig) -> Lane {
        let address = Address {
            stream: StreamId::new("gate").unwrap(),
            epoch: Epoch(7),
            model: ModelName::new("shapes").unwrap(),
            bucket: "objects".into(),
            reply_to: None,
        };
        let bundler = Bundler::new(address, &sample);
        let config = LaneConfig { model: ModelName::new("shapes").unwrap(), sample };
        Lane::new(config, bundler, Size::from_bytes(1 << 20))
    }

    fn frame(seq: u64, media_time: MediaTime) -> Arc<Frame> {
        Arc::new(Frame {
            stamp: stamp(seq, media_time),
            width: 320,
            height: 180,
            format: FrameFormat::Jpeg,
            bytes: Bytes::new(),
        })
    }

    /// The runs of a stream whose pictures can all be had, by the numbers in which they are shown.
    fn runs(sample: &SampleConfig, depth: Option<u32>, decode_order: &[i64]) -> Vec<Vec<i64>> {
        let (mut sampler, mut lane) = (Sampler::new([sample]), lane(sample.clone()));
        sampler.declare_reorder(depth);
        let mut batches = Vec::new();
        for (seq, n) in (0..).zip(decode_order) {
            let (time, key) = (MediaTime(n * 3_600), n % GROUP == 0);
            let stamp = stamp(seq, time);
            batches.push(sampler.push(UnitMeta { stamp, key, open: false, loss: false }));
        }
        batches.push(sampler.finish());
        let mut runs = Vec::new();
        for settled in batches.into_iter().flatten() {
            for (_, fate) in settled.fates {
                let n = decode_order[usize::try_from(settled.stamp.seq.0).unwrap()];
                if !matches!(fate, Fate::Skip(_)) {
                    lane.keep(frame(settled.stamp.seq.0, MediaTime(n * 3_600))).unwrap();
                }
                if let Fate::Take(run) = fate {
                    let frames = lane.complete(&run).expect("all its pictures are there");
                    runs.push(
                        frames.iter().map(|frame| frame.stamp.media_time.0 / 3_600).collect(),
                    );
                    lane.bundler.push(&frames, Instant::now());
                }
            }
        }
        assert!(lane.frames.len() < 25, "{} frames are kept", lane.frames.len());
        runs
    }

    #[test]
    fn no_run_of_an_undamaged_stream_is_lost_whatever_order_its_pictures_come_in() {
        for (every, frames, step) in [(25, 25, 1), (1, 3, 2), (2, 2, 1), (25, 3, 2), (25, 1, 1)] {
            let sample = SampleConfig {
                pick: Pick::Exact,
                every: Span::from_millis(every * 40),
                frames,
                step,
                ..SampleConfig::default()
            };
            let run = |first: i64| -> Vec<i64> {
                (0..i64::from(frames)).map(|n| first + n * i64::from(step)).collect()
            };
            let every = usize::try_from(every).unwrap();
            let firsts = (0..PICTURES).step_by(every).map(run);
            let wanted: Vec<_> = firsts.filter(|run| run.last() < Some(&PICTURES)).collect();
            for (b_frames, depth) in
                [(true, Some(1)), (true, None), (false, Some(0)), (false, None)]
            {
                let got = runs(&sample, depth, &decode_order(b_frames));
                assert_eq!(
                    got, wanted,
                    "every {every}, {frames} × {step}, B-frames {b_frames}, {depth:?}"
                );
            }
        }
    }
}
