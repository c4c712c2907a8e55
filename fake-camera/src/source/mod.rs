//! Where a camera's access units come from: endless, in decoding order, timestamps going on without a break.

mod file;
mod looped;
mod scene;

use media::AccessUnit;

use crate::config::Source;
use crate::error::SourceError;
use crate::rtp::TICKS_PER_SECOND;
use crate::rtsp::StreamFacts;

use self::scene::SceneFootage;

/// Endless access units; after an error there are no more.
pub(crate) type Roll = Box<dyn Iterator<Item = Result<AccessUnit, SourceError>>>;

/// What must be known of a source before its first access unit is sent.
#[derive(Clone, Debug)]
pub(crate) struct Preview {
    pub(crate) facts: StreamFacts,
    /// How much later than its turn in decoding order a picture is shown at most.
    ///
    /// # Units
    /// Ticks of 1/90,000 second.
    pub(crate) reorder_ticks: i64,
}

/// A source that has been looked into, and can be rolled again and again.
#[derive(Debug)]
pub(crate) enum Footage {
    File(file::FileFootage),
    Scene(SceneFootage),
}

impl Footage {
    /// Looks into a source. Takes a while: reads a file's first seconds, or encodes a scene that repeats.
    pub(crate) fn open(source: &Source) -> Result<(Self, Preview), SourceError> {
        match source {
            Source::File(path) => {
                let (file, preview) = file::FileFootage::open(path)?;
                Ok((Self::File(file), preview))
            }
            Source::Scene(scene) => {
                let (scene, preview) = SceneFootage::open(scene)?;
                Ok((Self::Scene(scene), preview))
            }
        }
    }

    /// Starts over: a file from its beginning, a scene with its next frame; the first unit is a key frame.
    ///
    /// `size` in pixels is another than the configured one; files don't know it.
    pub(crate) fn roll(&self, size: Option<(u32, u32)>) -> Result<Roll, SourceError> {
        match self {
            Self::File(file) => Ok(Box::new(file.roll()?)),
            Self::Scene(scene) => scene.roll(size),
        }
    }

    /// Whether the size of its pictures can be changed.
    pub(crate) fn can_resize(&self) -> bool {
        matches!(self, Self::Scene(_))
    }
}

/// Reads what must be known out of the first units; `None` when they don't begin with a key frame.
fn preview(units: &[AccessUnit]) -> Option<Preview> {
    let key = units.first().filter(|unit| unit.key)?;
    let facts =
        StreamFacts { frame_rate: frame_rate(units), ..StreamFacts::of_key_frame(&key.data)? };
    let reorder_ticks = units.iter().map(|unit| unit.pts - unit.dts).max().unwrap_or(0);
    Some(Preview { facts, reorder_ticks })
}

/// Counts the frames in a second, to a hundredth.
fn frame_rate(units: &[AccessUnit]) -> Option<String> {
    let ticks = units.last()?.dts - units.first()?.dts;
    let steps = i64::try_from(units.len()).ok()? - 1;
    let hundredths = (steps * 100 * TICKS_PER_SECOND + ticks / 2).checked_div(ticks)?;
    Some(format!("{}.{:02}", hundredths / 100, hundredths % 100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_rate_is_counted_over_all_steps() {
        let unit = |dts| AccessUnit::from_annex_b(&[0, 0, 1, 0x41][..], dts, dts);
        let units: Vec<_> = (0..100).map(|i| unit(i * 3_017)).collect();
        assert_eq!(frame_rate(&units).as_deref(), Some("29.83"));
        assert_eq!(frame_rate(&units[..1]), None);
    }
}
