//! From a queue message to pictures: the batch read and checked, its bytes fetched, each frame decoded.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use media::h264::{Decoder, OpenH264Decoder};
use media::{AccessUnit, Picture, RgbImage, jpeg};
use services::message::ObjectRef;
use services::object_store::Bucket;
use services::retry::{Backoff, WaitsFor};
use services::{ErrorKind, FrameBatch, FrameEntry, FrameFormat, Payload, PortError, counted};

use crate::model::{Model, PictureSize};

/// Most bytes of a batch's payload: bounds what one message can make a worker hold.
pub(crate) const MAX_PAYLOAD_BYTES: u64 = 256 << 20;
/// How often a store that denies an object is asked before the try counts as failed: over half a minute in all. A
/// bucket that may not be listed denies what is missing, so that no end of it need come.
const DENIED_ATTEMPTS: u32 = 10;

/// Reads a message that was sent to `model`.
///
/// # Errors
/// The reason for the dead letters, when no later try could read it.
pub(crate) fn parse(body: &str, model: &Model, bucket: &str) -> Result<FrameBatch, String> {
    let batch = FrameBatch::from_json(body).map_err(|error| error.to_string())?;
    let refuse = |cause: String| Err(format!("read frame batch: {cause}"));
    if batch.model != model.name {
        return refuse(format!(
            "it asks model {:?}, this is {:?}",
            batch.model.as_str(),
            model.name.as_str()
        ));
    }
    if batch.window != model.window {
        return refuse(format!(
            "it has {} per run, model {:?} takes {}",
            counted(batch.window, "frame"),
            model.name.as_str(),
            model.window
        ));
    }
    match &batch.payload {
        Payload::Object(object) if object.bucket != bucket => refuse(format!(
            "its object is in bucket {:?}, this worker reads {bucket:?}",
            object.bucket
        )),
        Payload::Object(_) if span(&batch).end > MAX_PAYLOAD_BYTES => refuse(format!(
            "its frames take {} bytes, at most {MAX_PAYLOAD_BYTES} are read",
            span(&batch).end
        )),
        Payload::Inline(_) => match inline(&batch) {
            Ok(_) => Ok(batch),
            Err(error) => refuse(error.to_string()),
        },
        Payload::Object(_) => Ok(batch),
    }
}

/// The bytes of the payload that the batch's frames lie in.
pub(crate) fn span(batch: &FrameBatch) -> Range<u64> {
    let start = batch.frames.iter().map(|entry| entry.offset).min().unwrap_or(0);
    let end =
        batch.frames.iter().map(|entry| entry.offset.saturating_add(entry.len)).max().unwrap_or(0);
    start..end
}

/// A batch's bytes, from the first frame's on.
#[derive(Clone, Debug)]
pub(crate) struct FetchedPayload {
    bytes: Bytes,
    start: u64,
}

impl FetchedPayload {
    /// A frame's own bytes.
    fn frame(&self, entry: &FrameEntry) -> Option<Bytes> {
        let start = usize::try_from(entry.offset.checked_sub(self.start)?).ok()?;
        let end = start.checked_add(usize::try_from(entry.len).ok()?)?;
        (end <= self.bytes.len()).then(|| self.bytes.slice(start..end))
    }
}

/// Gets a batch's bytes, asking again for as long as the store is away, and for a while when it denies them;
/// `on_trouble` hears of it.
///
/// # Errors
/// When the object is missing or shorter than the message says, or stays denied.
pub(crate) async fn fetch(
    batch: &FrameBatch,
    bucket: &Bucket,
    on_trouble: impl Fn(&PortError),
) -> Result<FetchedPayload, PortError> {
    let object = match &batch.payload {
        Payload::Object(object) => object,
        Payload::Inline(_) => return inline(batch),
    };
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
    let mut patience = Patience::default();
    loop {
        match get(object, span(batch), bucket).await {
            Err(error) if patience.lasts(&error) => on_trouble(&error),
            result => return result,
        }
        backoff.pause().await;
    }
}

/// Decides whether a store that gave no object is asked again.
#[derive(Debug, Default)]
struct Patience {
    denied: u32,
}

impl Patience {
    fn lasts(&mut self, error: &PortError) -> bool {
        self.denied += u32::from(error.kind() == ErrorKind::Denied);
        WaitsFor::Permission.covers(error) && self.denied < DENIED_ATTEMPTS
    }
}

async fn get(
    object: &ObjectRef,
    span: Range<u64>,
    bucket: &Bucket,
) -> Result<FetchedPayload, PortError> {
    let whole = span == (0..object.size);
    let range = (!whole).then(|| span.clone());
    let bytes = bucket.store.get(&object.key, range).await?;
    let expected = span.end - span.start;
    if bytes.len() as u64 != expected {
        let cause = format!("{} bytes came, the message says {expected}", bytes.len());
        let attempt = format!("get object {:?} in bucket {:?}", object.key, object.bucket);
        return Err(PortError::because(ErrorKind::Corrupt, attempt, cause));
    }
    Ok(FetchedPayload { bytes, start: span.start })
}

fn inline(batch: &FrameBatch) -> Result<FetchedPayload, PortError> {
    let bytes = batch.payload.inline_bytes().unwrap_or_else(|| Ok(Vec::new()));
    let bytes = bytes
        .map_err(|error| PortError::new(ErrorKind::Corrupt, "decode inline payload", error))?;
    Ok(FetchedPayload { bytes: bytes.into(), start: 0 })
}

/// Why one frame of a payload is no picture.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("read frame at bytes {offset}+{len}: the payload is shorter")]
    Outside { offset: u64, len: u64 },
    #[error(transparent)]
    Jpeg(#[from] jpeg::JpegError),
    #[error(transparent)]
    H264(#[from] media::h264::DecodeError),
    #[error("decode h264: no picture came of the key frame")]
    NoPicture,
}

/// Decodes a frame, at no larger a size than the model needs.
///
/// # Errors
/// When its bytes are damaged or not all there, or it claims more than `max_pixels` pixels.
pub(crate) fn decode(
    entry: &FrameEntry,
    payload: &FetchedPayload,
    model: &Model,
    max_pixels: u64,
) -> Result<RgbImage, FrameError> {
    let bytes =
        payload.frame(entry).ok_or(FrameError::Outside { offset: entry.offset, len: entry.len })?;
    match entry.format {
        FrameFormat::Jpeg => {
            let at_least = model.needs((entry.width, entry.height));
            Ok(jpeg::decode(&bytes, at_least, max_pixels)?)
        }
        FrameFormat::H264 => {
            key_frame(bytes, entry, model.needs((entry.width, entry.height)), max_pixels)
        }
    }
}

/// The width at which a picture, its aspect kept, still covers a size.
fn covering_width(picture: &Picture, (width, height): PictureSize) -> u32 {
    let by_height = u64::from(height) * u64::from(picture.width());
    let by_height = by_height.div_ceil(u64::from(picture.height()));
    u32::try_from(by_height).map_or(u32::MAX, |by_height| by_height.max(width))
}

fn key_frame(
    bytes: Bytes,
    entry: &FrameEntry,
    at_least: Option<PictureSize>,
    max_pixels: u64,
) -> Result<RgbImage, FrameError> {
    let unit = AccessUnit::from_annex_b(bytes, entry.stamp.media_time.0, entry.stamp.media_time.0);
    let mut decoder = OpenH264Decoder::new(max_pixels)?;
    let mut pictures = decoder.decode(&unit)?;
    pictures.extend(decoder.flush()?);
    let picture = pictures.into_iter().next().ok_or(FrameError::NoPicture)?;
    let picture = match at_least {
        Some(size) => picture.scaled(covering_width(&picture, size)),
        None => picture,
    };
    Ok(picture.to_rgb())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_away_is_waited_for_and_a_denial_not_for_ever() {
        let error = |kind| PortError::because(kind, "get object", "no");
        let mut patience = Patience::default();
        assert!((0..10_000).all(|_| patience.lasts(&error(ErrorKind::Unavailable))));
        let denials = (1..).find(|_| !patience.lasts(&error(ErrorKind::Denied)));
        assert_eq!(denials, Some(DENIED_ATTEMPTS));
        assert!(!Patience::default().lasts(&error(ErrorKind::NotFound)));
    }
}
