//! Pictures and key frames → frames as models want them; lanes that want the same share one encoding.

use std::sync::Arc;

use bytes::Bytes;
use media::Picture;
use media::jpeg::{self, JpegError};
use services::config::SampleConfig;
use services::{FrameFormat, Stamp};

use crate::bundle::Frame;

/// The frame of a key frame as it came.
pub(super) fn key_frame(stamp: Stamp, (width, height): (u32, u32), bytes: Bytes) -> Frame {
    Frame { stamp, width, height, format: FrameFormat::H264, bytes }
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
        let bytes = jpeg::encode(&picture, quality)?.into();
        let (stamp, width, height) = (self.stamp, picture.width(), picture.height());
        let frame = Arc::new(Frame { stamp, width, height, format: FrameFormat::Jpeg, bytes });
        self.made.push((max_width, quality, Arc::clone(&frame)));
        Ok(frame)
    }
}
