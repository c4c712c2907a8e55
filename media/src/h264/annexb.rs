//! Access units out of a raw H.264 byte stream (Annex B), such as a `.h264` file.

use thiserror::Error;

use super::nal::{Nal, NalType, push_nal, start_code};
use super::parameter_sets::ParameterSets;
use super::slice::{Order, OrderCount, Slice, SliceReader};
use super::sps::Sps;
use crate::access_unit::AccessUnit;
use crate::frame_rate::FrameRate;

/// The largest access unit taken: level 5.2 has no larger ones.
pub const MAX_UNIT_BYTES: usize = 16 << 20;

/// The stream cannot be cut into access units.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("read h264 stream: no picture ends within {MAX_UNIT_BYTES} bytes")]
pub struct AnnexBError;

/// Cuts a byte stream into access units, by ITU-T H.264 §7.4.1.2.
///
/// A byte stream has no timestamps. Pictures are taken to be one frame apart, at the rate given, else at the rate of
/// the stream's own parameter set, else at 25 per second. With B-frames, presentation order follows the picture order
/// count, which encoders raise by two from frame to frame.
pub struct AnnexBReader {
    buffer: Vec<u8>,
    /// Bytes of the buffer in which no start code begins.
    searched: usize,
    unit: Vec<u8>,
    slice: Option<Slice>,
    idr: bool,
    slices: SliceReader,
    parameters: ParameterSets,
    timeline: Timeline,
}

impl AnnexBReader {
    /// Makes a reader; `fps` goes before what the stream says.
    pub fn new(fps: Option<FrameRate>) -> Self {
        Self {
            buffer: Vec::new(),
            searched: 0,
            unit: Vec::new(),
            slice: None,
            idr: false,
            slices: SliceReader::default(),
            parameters: ParameterSets::default(),
            timeline: Timeline { fps, ..Timeline::default() },
        }
    }

    /// Takes the stream's next bytes and gives the access units that they complete.
    ///
    /// # Errors
    /// What came is no H.264 stream: nothing ends within [`MAX_UNIT_BYTES`].
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<AccessUnit>, AnnexBError> {
        self.buffer.extend_from_slice(bytes);
        let mut units = Vec::new();
        let mut done = 0;
        while let Some(found) = start_code(&self.buffer[self.searched..]) {
            let at = self.searched + found;
            units.extend(self.take_nal(done, at));
            done = at + 3;
            self.searched = done;
        }
        self.buffer.drain(..done);
        self.searched = self.buffer.len().saturating_sub(2);
        if self.buffer.len() + self.unit.len() > MAX_UNIT_BYTES {
            return Err(AnnexBError);
        }
        Ok(units)
    }

    /// Gives the last access unit, which the end of the stream completes.
    pub fn finish(mut self) -> Vec<AccessUnit> {
        let end = self.buffer.len();
        let mut units: Vec<AccessUnit> = self.take_nal(0, end).into_iter().collect();
        units.extend(self.complete_unit());
        units
    }

    /// Takes the NAL unit that lies in a part of the buffer.
    fn take_nal(&mut self, from: usize, to: usize) -> Option<AccessUnit> {
        let bytes = self.buffer[from..to].to_vec();
        let end = bytes.iter().rposition(|&byte| byte != 0)? + 1;
        let nal = Nal::new(&bytes[..end])?;
        if self.unit.is_empty() && self.slice.is_none() && !is_known(nal) {
            return None;
        }
        let slice = nal.is_slice().then(|| self.slices.read(nal));
        let completed =
            self.begins_unit(nal, slice.as_ref()).then(|| self.complete_unit()).flatten();
        self.add(nal, slice);
        completed
    }

    fn begins_unit(&self, nal: Nal<'_>, slice: Option<&Slice>) -> bool {
        let Some(previous) = &self.slice else {
            return false;
        };
        match (slice, nal.unit_type()) {
            (Some(slice), _) => slice.begins_picture(previous),
            (None, NalType::Delimiter | NalType::Sps | NalType::Pps | NalType::Sei) => true,
            (None, NalType::Other(14..=18)) => true,
            _ => false,
        }
    }

    fn add(&mut self, nal: Nal<'_>, slice: Option<Slice>) {
        self.slices.observe(nal);
        self.parameters.observe(nal);
        self.timeline.observe(nal);
        self.idr |= nal.unit_type() == NalType::Idr;
        push_nal(&mut self.unit, nal.bytes());
        self.slice = slice.or(self.slice.take());
    }

    fn complete_unit(&mut self) -> Option<AccessUnit> {
        let data = std::mem::take(&mut self.unit);
        let idr = std::mem::take(&mut self.idr);
        let slice = self.slice.take()?;
        let (pts, dts) = self.timeline.next(&slice, idr);
        Some(AccessUnit::complete(data, &self.parameters, pts, dts))
    }
}

/// Tells whether a NAL unit may begin the stream's first access unit; the rest of a cut-off one may not.
fn is_known(nal: Nal<'_>) -> bool {
    nal.bytes()[0] & 0x80 == 0 && !matches!(nal.unit_type(), NalType::Other(_))
}

/// Gives times to pictures that have none.
#[derive(Default)]
struct Timeline {
    fps: Option<FrameRate>,
    reorder: Option<u32>,
    /// Pictures so far.
    index: i64,
    /// Index of the last IDR picture.
    base: i64,
    count: OrderCount,
    /// The picture from which the rate holds, and its time: those before it came without one.
    rated: (i64, i64),
    /// Decoding time of the picture before.
    decoded: Option<i64>,
}

impl Timeline {
    /// Takes notice of the stream's own frame rate, once.
    fn observe(&mut self, nal: Nal<'_>) {
        if nal.unit_type() != NalType::Sps {
            return;
        }
        if let Ok(sps) = Sps::from_nal(nal.bytes()) {
            if self.fps.is_none() && sps.frame_rate.is_some() {
                self.rated = (self.index, self.ticks(self.index));
                self.fps = sps.frame_rate;
            }
            self.reorder = self.reorder.or(sps.reorder);
        }
    }

    /// Presentation and decoding time of the next picture.
    fn next(&mut self, slice: &Slice, idr: bool) -> (i64, i64) {
        if idr {
            self.base = self.index;
        }
        // Without a word from the stream: two pictures may be reordered, as most encoders do.
        let reorder = i64::from(self.reorder.unwrap_or(2));
        let (place, decoding) = match slice.header.as_ref().map(|header| (header, header.order())) {
            Some((header, &Order::LowerBits { lsb, values, .. })) if reorder > 0 => {
                let count = self.count.next(lsb, values, idr, header.is_referenced());
                (self.base + count.div_euclid(2), self.index - reorder)
            }
            _ => (self.index, self.index),
        };
        self.index += 1;
        // Later than it might be where reordering was told after pictures that came without it.
        let decoding = self.ticks(decoding);
        let decoding = self.decoded.map_or(decoding, |before| before.max(decoding));
        self.decoded = Some(decoding);
        (self.ticks(place), decoding)
    }

    fn ticks(&self, place: i64) -> i64 {
        let fps = self.fps.unwrap_or(FrameRate::new(25, 1).expect("25 and 1 are not zero"));
        let (from, at) = self.rated;
        let ticks = fps.pts(place.abs_diff(from));
        if place < from { at.saturating_sub(ticks) } else { at.saturating_add(ticks) }
    }
}
