//! The synthetic scene, encoded: live, with frame numbers that go on forever, or once and looped.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use media::AccessUnit;
use media::h264::{Encoder, EncoderConfig};
use media::scene::{Scene, SceneConfig};

use super::looped::Rounds;
use super::{Preview, Roll, preview};
use crate::config::{SceneSource, frames_in};
use crate::error::SourceError;

/// A scene that can be encoded again and again.
#[derive(Debug)]
pub(crate) struct SceneFootage {
    source: SceneSource,
    /// The number of the next frame of the live scene.
    next_frame: Arc<AtomicU64>,
    /// The clip of a scene that repeats, for the size it was last asked for in.
    clip: Mutex<Option<Clip>>,
}

#[derive(Clone, Debug)]
struct Clip {
    size: (u32, u32),
    units: Arc<[AccessUnit]>,
}

impl SceneFootage {
    /// Encodes the first frame, or the whole clip if it repeats.
    pub(crate) fn open(source: &SceneSource) -> Result<(Self, Preview), SourceError> {
        let footage =
            Self { source: source.clone(), next_frame: Arc::default(), clip: Mutex::default() };
        let size = (source.scene.width, source.scene.height);
        let units = match source.repeat {
            Some(_) => footage.clip(size)?,
            None => {
                Shooting::new(source, size, Arc::default())?.take(1).collect::<Result<_, _>>()?
            }
        };
        let mut preview = preview(&units).expect("the encoder begins with a key frame");
        preview.facts.frame_rate = Some(source.scene.fps.to_string());
        Ok((footage, preview))
    }

    /// Goes on with the next frame, or starts the clip over.
    pub(crate) fn roll(&self, size: Option<(u32, u32)>) -> Result<Roll, SourceError> {
        let size = size.unwrap_or((self.source.scene.width, self.source.scene.height));
        match self.source.repeat {
            Some(_) => Ok(Box::new(repeat(self.clip(size)?))),
            None => Ok(Box::new(Shooting::new(&self.source, size, Arc::clone(&self.next_frame))?)),
        }
    }

    fn clip(&self, size: (u32, u32)) -> Result<Arc<[AccessUnit]>, SourceError> {
        let mut clip = self.clip.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(clip) = clip.as_ref().filter(|clip| clip.size == size) {
            return Ok(Arc::clone(&clip.units));
        }
        let span = self.source.repeat.unwrap_or_default();
        let count = usize::try_from(frames_in(self.source.scene.fps, span)).unwrap_or(usize::MAX);
        let units: Arc<[AccessUnit]> = Shooting::new(&self.source, size, Arc::default())?
            .take(count)
            .collect::<Result<_, _>>()?;
        *clip = Some(Clip { size, units: Arc::clone(&units) });
        Ok(units)
    }
}

fn repeat(units: Arc<[AccessUnit]>) -> impl Iterator<Item = Result<AccessUnit, SourceError>> {
    let mut rounds = Rounds::default();
    (0..units.len()).cycle().map(move |i| {
        if i == 0 {
            rounds.end();
        }
        let mut unit = units[i].clone();
        rounds.place(&mut unit);
        Ok(unit)
    })
}

/// A scene and its encoder.
struct Shooting {
    scene: Scene,
    encoder: Encoder,
    next_frame: Arc<AtomicU64>,
}

impl Shooting {
    fn new(
        source: &SceneSource,
        (width, height): (u32, u32),
        next_frame: Arc<AtomicU64>,
    ) -> Result<Self, SourceError> {
        let config = SceneConfig { width, height, ..source.scene.clone() };
        let encoder = EncoderConfig {
            width,
            height,
            fps: config.fps,
            bitrate: source.bitrate,
            key_interval: source.key_interval,
        };
        let encoder = Encoder::new(encoder).map_err(|error| SourceError::Scene(error.into()))?;
        let scene = Scene::new(config).map_err(|error| SourceError::Scene(error.into()))?;
        Ok(Self { scene, encoder, next_frame })
    }

    fn shoot(&mut self) -> Result<AccessUnit, SourceError> {
        let rendered = self.scene.render(self.next_frame.fetch_add(1, Relaxed));
        let unit = self.encoder.encode(&rendered.picture, false);
        unit.map_err(|error| SourceError::Scene(error.into()))
    }
}

impl Iterator for Shooting {
    type Item = Result<AccessUnit, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.shoot())
    }
}
