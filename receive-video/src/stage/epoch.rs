//! One epoch: arrivals in → closed bundles out. Decoding happens here, and nothing that waits.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use media::h264::{DecodeError, OpenH264Decoder, Sps};
use services::config::{Pick, Size};
use services::{Epoch, Seq, Stamp, StreamId};

use super::encode::{Encodings, key_frame};
use super::lane::{Lane, LaneConfig};
use crate::bundle::{Address, Bundle, Bundler, Frame};
use crate::decode::LazyDecoder;
use crate::sample::{Fate, Sampler, Settled, UnitMeta, reason};
use crate::source::Arrival;

/// `profile_idc` of the Baseline profiles, which have no B-frames (ITU-T H.264 §A.2.1).
const BASELINE: u8 = 66;

/// The word for pictures that cannot be decoded, or made a frame of.
const UNDECODABLE: &str = "undecodable";
/// What is wrong with key frames that are to travel as they came and that nobody could decode.
const NO_PARAMETER_SETS: &str =
    "take key frame: its key frames carry no parameter sets that can be read";

/// What an epoch is made of.
#[derive(Clone, Debug)]
pub(super) struct EpochConfig {
    pub(super) stream: StreamId,
    pub(super) lanes: Vec<LaneConfig>,
    pub(super) bucket: String,
    pub(super) reply_to: Option<String>,
    pub(super) max_pixels: u64,
    pub(super) window_bytes: Size,
}

/// A bundle, and the lane that it is of.
pub(super) type LaneBundle = (usize, Bundle);

/// One epoch of one stream.
pub(super) struct EpochWork {
    pub(super) epoch: Epoch,
    pub(super) lanes: Vec<Lane>,
    /// Size of the pictures, by the last key frame; none when it carries no parameter sets that can be read.
    pub(super) size: Option<(u32, u32)>,
    /// Access units so far, those that came while the stage was busy included.
    pub(super) received: u64,
    sampler: Sampler,
    decoder: LazyDecoder<OpenH264Decoder>,
    key_frame: Option<(Seq, Bytes)>,
}

impl EpochWork {
    /// Begins an epoch.
    ///
    /// # Errors
    /// No decoder can be had.
    pub(super) fn new(config: &EpochConfig, epoch: Epoch) -> Result<Self, DecodeError> {
        let lane = |lane: &LaneConfig| {
            let address = Address {
                stream: config.stream.clone(),
                epoch,
                model: lane.model.clone(),
                bucket: config.bucket.clone(),
                reply_to: config.reply_to.clone(),
            };
            Lane::new(lane.clone(), Bundler::new(address, &lane.sample), config.window_bytes)
        };
        Ok(Self {
            epoch,
            lanes: config.lanes.iter().map(lane).collect(),
            size: None,
            received: 0,
            sampler: Sampler::new(config.lanes.iter().map(|lane| &lane.sample)),
            decoder: LazyDecoder::new(OpenH264Decoder::new(config.max_pixels)?),
            key_frame: None,
        })
    }

    /// Takes the next arrival; gives the bundles that closed by it.
    pub(super) fn unit(&mut self, arrival: Arrival, now: Instant) -> Vec<LaneBundle> {
        let mut bundles = Vec::new();
        let overloaded = self.count_missing(arrival.stamp.seq.0);
        self.receive(1);
        if self.lanes.is_empty() {
            return bundles;
        }
        if overloaded || arrival.loss || self.sampler.in_trouble() {
            let reason = if overloaded { reason::OVERLOAD } else { reason::AFTER_LOSS };
            self.break_runs(reason, now, &mut bundles);
        }
        let Arrival { stamp, loss, unit } = arrival;
        let open = unit.key && !unit.is_idr();
        let meta = UnitMeta { stamp, key: unit.key, open, loss };
        let begins = self.sampler.begins(&meta);
        if unit.key {
            self.meet_key_frame(unit.sps().and_then(Result::ok), begins);
        }
        if begins {
            // The decoder is about to forget the group before; what is found wrong with that group's last
            // pictures must not spoil the new one.
            self.settle_held(now, &mut bundles);
        }
        let mut settled = self.sampler.push(meta);
        if unit.key {
            self.key_frame = Some((stamp.seq, unit.data.clone()));
        }
        if self.needs_decoder(unit.key)
            && let Err(error) = self.decoder.push(stamp.seq, unit, begins)
        {
            let decoding = self.lanes.iter_mut().filter(|lane| lane.config.decodes());
            decoding.for_each(|lane| lane.is_troubled(UNDECODABLE, &error));
            settled.extend(self.sampler.spoil());
        }
        self.settle_all(settled, now, &mut bundles);
        bundles
    }

    /// Counts the next arrival as skipped, without a look at it.
    pub(super) fn skip(&mut self, seq: u64, reason: &str) {
        self.count_missing(seq);
        self.receive(1);
        self.lanes.iter_mut().for_each(|lane| lane.books.skip(reason, 1));
    }

    /// Ends the epoch after `units` access units; gives the last bundles.
    pub(super) fn finish(&mut self, units: u64, now: Instant) -> Vec<LaneBundle> {
        self.count_missing(units);
        let mut bundles = Vec::new();
        self.settle_held(now, &mut bundles);
        bundles.extend(self.close_bundles(|lane| lane.bundler.close()));
        bundles
    }

    /// Gives the bundles that have waited long enough.
    pub(super) fn due(&mut self, now: Instant) -> Vec<LaneBundle> {
        self.close_bundles(|lane| lane.bundler.close_if_due(now))
    }

    /// When [`due`](Self::due) has to be asked again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.lanes.iter().filter_map(|lane| lane.bundler.deadline()).min()
    }

    /// Settles what the sampler still holds of the group.
    fn settle_held(&mut self, now: Instant, bundles: &mut Vec<LaneBundle>) {
        let settled = self.sampler.finish();
        self.settle_all(settled, now, bundles);
    }

    fn settle_all(&mut self, settled: Vec<Settled>, now: Instant, bundles: &mut Vec<LaneBundle>) {
        let mut settled: VecDeque<Settled> = settled.into();
        while !settled.is_empty() {
            self.settle_next(&mut settled, now, bundles);
        }
    }

    fn close_bundles(
        &mut self,
        mut close: impl FnMut(&mut Lane) -> Option<Bundle>,
    ) -> Vec<LaneBundle> {
        let lanes = self.lanes.iter_mut().enumerate();
        lanes.filter_map(|(index, lane)| Some((index, close(lane)?))).collect()
    }

    /// Settles what is before a hole: no run may span it.
    fn break_runs(&mut self, reason: &'static str, now: Instant, bundles: &mut Vec<LaneBundle>) {
        let settled = self.sampler.interrupt(reason);
        self.settle_all(settled, now, bundles);
        self.lanes.iter_mut().for_each(Lane::forget);
    }

    /// Counts the units up to this one that did not come: a source leaves units out when the stage is busy. Tells whether
    /// there are any.
    fn count_missing(&mut self, seq: u64) -> bool {
        let missing = seq.saturating_sub(self.received);
        if missing > 0 {
            self.receive(missing);
            self.lanes.iter_mut().for_each(|lane| lane.books.skip(reason::OVERLOAD, missing));
        }
        missing > 0
    }

    fn receive(&mut self, n: u64) {
        self.received += n;
        self.lanes.iter_mut().for_each(|lane| lane.books.receive(n));
    }

    fn meet_key_frame(&mut self, sps: Option<Sps>, begins: bool) {
        self.size = sps.as_ref().map(|sps| (sps.width, sps.height));
        let Some(sps) = sps.filter(|_| begins) else { return };
        let depth = if sps.profile == BASELINE { Some(0) } else { sps.reorder };
        self.sampler.declare_reorder(depth);
    }

    fn needs_decoder(&self, key: bool) -> bool {
        let decodes = self.lanes.iter().any(|lane| lane.config.decodes());
        decodes && !self.sampler.in_trouble() && (key || self.sampler.has(Pick::Exact))
    }

    fn settle_next(
        &mut self,
        settled: &mut VecDeque<Settled>,
        now: Instant,
        bundles: &mut Vec<LaneBundle>,
    ) {
        let Some(Settled { stamp, last_word, fates }) = settled.pop_front() else { return };
        let mut encodings = None;
        let mut refused = false;
        for (index, fate) in fates {
            let Fate::Skip(reason) = fate else {
                let frame = self.frame(index, stamp, &mut encodings);
                refused |= frame.is_none() && self.lanes[index].config.decodes();
                bundles.extend(self.picked(index, frame, fate, now));
                continue;
            };
            self.lanes[index].books.skip(reason, 1);
        }
        if last_word {
            self.decoder.release(stamp.seq);
        }
        if refused {
            settled.extend(self.sampler.spoil());
        }
    }

    /// Makes the frame of a unit that a lane wants; `None` when it cannot be decoded.
    fn frame(
        &mut self,
        index: usize,
        stamp: Stamp,
        encodings: &mut Option<Encodings>,
    ) -> Option<Arc<Frame>> {
        let lane = &mut self.lanes[index];
        if !lane.config.decodes() {
            let (_, bytes) = self.key_frame.as_ref().filter(|(key, _)| *key == stamp.seq)?;
            let Some(size) = self.size else {
                lane.is_troubled(UNDECODABLE, NO_PARAMETER_SETS);
                return None;
            };
            return Some(Arc::new(key_frame(stamp, size, bytes.clone())));
        }
        if encodings.is_none() {
            match self.decoder.picture(stamp.seq) {
                Ok(picture) => *encodings = Some(Encodings::new(stamp, picture)),
                Err(error) => lane.is_troubled(UNDECODABLE, error),
            }
        }
        let frame = encodings.as_mut()?.get(&lane.config.sample);
        frame.map_err(|error| lane.is_troubled(UNDECODABLE, error)).ok()
    }

    fn picked(
        &mut self,
        index: usize,
        frame: Option<Arc<Frame>>,
        fate: Fate,
        now: Instant,
    ) -> Vec<LaneBundle> {
        let lane = &mut self.lanes[index];
        let decoded = frame.is_some();
        if let Some(Err(too_many)) = frame.map(|frame| lane.keep(frame)) {
            lane.is_troubled("window-too-large", too_many);
        }
        let (run, otherwise) = match fate {
            Fate::Take(run) => (lane.complete(&run), reason::CONTEXT_LOST),
            Fate::Context(reason) | Fate::Skip(reason) => (None, reason),
        };
        let closed = match run {
            Some(run) => {
                lane.trouble = None;
                lane.bundler.push(&run, now)
            }
            None => {
                if decoded {
                    lane.books.skip(otherwise, 1)
                } else {
                    lane.books.undecodable()
                }
                Vec::new()
            }
        };
        closed.into_iter().map(|bundle| (index, bundle)).collect()
    }
}
