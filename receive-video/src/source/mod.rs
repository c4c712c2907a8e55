//! Where access units come from: RTSP servers, files, the synthetic scene.
//!
//! All give [`Arrival`]s in decode order, numbered from 0, their time since the epoch's start in `unit.pts`.

mod address;
mod clock_map;
mod error;
mod foreign;
mod offer;
mod prospect;
mod relay;
mod rtsp;
mod signs;
mod timeline;
mod trust;
mod units;
mod watchdog;

use std::time::Duration;

use media::AccessUnit;
use media::h264::support::Unsupported;
use services::config::StreamConfig;
use services::{Clock, Stamp};

pub(crate) use address::Address;
pub use error::{SourceError, SourceErrorKind};
pub(crate) use prospect::{Obstacle, Prospect};
pub(crate) use rtsp::{RtspSource, Sessions};
pub(crate) use signs::Signs;
pub(crate) use timeline::TimelineSource;
pub(crate) use watchdog::{Alarm, Watchdog};

/// Checks that a stream's address is one that can be received, without connecting to it; a file is opened.
///
/// # Errors
/// In words for whoever wrote the configuration; never with the password.
pub fn check_source(stream: &StreamConfig) -> Result<(), SourceError> {
    match Address::of(stream)? {
        Address::File { path, fps } => units::of_file(&path, fps).map(drop),
        Address::Rtsp(camera) => {
            camera.trust.certificates().map(drop).map_err(SourceError::hopeless)
        }
        Address::Scene { .. } => Ok(()),
    }
}

/// An access unit and what is known of it beyond its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    /// Its place in the epoch and its times.
    pub(crate) stamp: Stamp,
    /// Packets before it, or of it, were lost.
    pub(crate) loss: bool,
    /// The unit; `pts` is its media time.
    pub(crate) unit: AccessUnit,
}

/// Something that happened to a source without ending it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Incident {
    /// The word under which events count it.
    pub(crate) kind: &'static str,
    /// What happened and what follows.
    pub(crate) words: String,
}

/// An open source.
pub(crate) enum Source {
    /// An RTSP session.
    Rtsp(Box<RtspSource>),
    /// A file or the scene.
    Timeline(TimelineSource),
}

impl Source {
    /// Opens a source: one epoch.
    ///
    /// # Errors
    /// In words for whoever looks after the camera.
    pub(crate) async fn open(
        address: &Address,
        paced: bool,
        sessions: &Sessions,
        clock: &Clock,
    ) -> Result<Self, SourceError> {
        match address {
            Address::Rtsp(rtsp) => {
                Ok(Self::Rtsp(Box::new(RtspSource::open(rtsp, sessions).await?)))
            }
            Address::File { path, fps } => {
                let (path, fps) = (path.clone(), *fps);
                let (units, incidents) = blocking(move || units::of_file(&path, fps)).await?;
                Ok(Self::Timeline(TimelineSource::start(units, paced, clock).telling(incidents)))
            }
            Address::Scene { scene, frames } => {
                let (scene, frames) = (scene.clone(), *frames);
                let units = blocking(move || units::of_scene(scene, frames)).await?;
                Ok(Self::Timeline(TimelineSource::start(units, paced, clock)))
            }
        }
    }

    /// What its description announces that cannot be decoded, of pictures that may have so many pixels; a file is known
    /// by its units.
    pub(crate) fn announced(&self, max_pixels: u64) -> Option<Unsupported> {
        match self {
            Self::Rtsp(rtsp) => rtsp.announced(max_pixels),
            Self::Timeline(_) => None,
        }
    }

    /// Gives the next access unit; `None` at the end of a file.
    ///
    /// # Errors
    /// The source has ended for another reason.
    ///
    /// # Cancel safety
    /// A dropped call loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Option<Arrival>, SourceError> {
        match self {
            Self::Rtsp(rtsp) => rtsp.next().await.map(Some),
            Self::Timeline(timeline) => timeline.next().await,
        }
    }

    /// Whether packets that made no access unit yet came within so long.
    pub(crate) fn hears(&self, within: Duration) -> bool {
        match self {
            Self::Rtsp(rtsp) => rtsp.hears(within),
            Self::Timeline(_) => false,
        }
    }

    /// Gives what happened since the last call.
    pub(crate) fn incidents(&mut self) -> Vec<Incident> {
        match self {
            Self::Rtsp(rtsp) => rtsp.incidents(),
            Self::Timeline(timeline) => timeline.incidents(),
        }
    }
}

/// Opens units on a thread that may be blocked.
async fn blocking<T: Send + 'static>(
    open: impl FnOnce() -> Result<T, SourceError> + Send + 'static,
) -> Result<T, SourceError> {
    match tokio::task::spawn_blocking(open).await {
        Ok(opened) => opened,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
