//! Pictures and key frames → frames as models want them; lanes that want the same share one encoding.

use std::sync::Arc;

use bytes::Bytes;
use media::Picture;
use media::jpeg::{self, JpegError};
use services::config::SampleConfig;
use services::{CaptureClock, CaptureTime, FrameFormat, MediaTime, Seq};

use crate::bundle::Frame;

/// What is known of a unit before it is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) seq: u64,
    pub(super) media_time: MediaTime,
    pub(super) captured_at: CaptureTime,
    pub(super) clock: CaptureClock,
}

impl Stamp {
    /// The frame of a key frame as it came.
    pub(super) fn key_frame(self, size: (u32, u32), bytes: Bytes) -> Frame {
        self.frame(size, FrameFormat::H264, bytes)
    }

    fn frame(self, (width, height): (u32, u32), format: FrameFormat, bytes: Bytes) -> Frame {
        Frame {
            seq: Seq(self.seq),
            media_time: self.media_time,
            captured_at: self.captured_at,
            clock: self.clock,
            width,
            height,
            format,
            bytes,
        }
    }
}

/// The encodings of one picture so far.
#[derive(Debug)]
pub(super) struct Encodings {
    stamp: Stamp,
    picture: Picture,
    made: Vec<(Option<u32>, u8, Arc<Frame>)>,
}

impl Encodings {
    /// None yet.
    pub(super) fn new(stamp: Stamp, picture: Picture) -> Self {
        Self { stamp, picture, made: Vec::new() }
    }

    /// The picture as a lane wants it.
    pub(super) fn get(&mut self, sample: &SampleConfig) -> Result<Arc<Frame>, JpegError> {
        let (max_width, quality) = (sample.max_width, sample.quality);
        let same =
            |(width, q, _): &&(Option<u32>, u8, Arc<Frame>)| *width == max_width && *q == quality;
        if let Some((_, _, frame)) = self.made.iter().find(same) {
            return Ok(Arc::clone(frame));
        }
        let narrow = max_width.is_some_and(|width| self.picture.width() > width);
        let picture = match max_width {
            Some(width) if narrow => self.picture.scaled(width),
            _ => self.picture.clone(),
        };
        let bytes = jpeg::encode(&picture, quality)?;
        let size = (picture.width(), picture.height());
        let frame = Arc::new(self.stamp.frame(size, FrameFormat::Jpeg, bytes.into()));
        self.made.push((max_width, quality, Arc::clone(&frame)));
        Ok(frame)
    }
}
