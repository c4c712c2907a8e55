//! What can go wrong in starting a camera and in putting a fault on it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use thiserror::Error;

/// Why the server did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// A mount's name can't be part of a URL.
    #[error("name camera {0:?}: only letters, digits, '-', '_' and '.', 1 to 64 of them")]
    Name(String),
    /// No camera is configured.
    #[error("start cameras: none is configured")]
    NoCamera,
    /// A camera allows neither TCP nor UDP.
    #[error("start camera {0:?}: it allows no transport")]
    NoTransport(String),
    /// A camera's source can't be read or made.
    #[error("start camera {camera:?}")]
    Source {
        /// The mount.
        camera: String,
        /// Why.
        source: SourceError,
    },
    /// A fault to start with makes no sense.
    #[error("start camera {camera:?}")]
    Fault {
        /// The mount.
        camera: String,
        /// Why.
        source: FaultError,
    },
    /// The control address can be reached from elsewhere.
    #[error("bind control to {0}: it is not a loopback address")]
    ControlNotLoopback(SocketAddr),
    /// An address is taken or not ours.
    #[error("bind {what} to {addr}")]
    Bind {
        /// `rtsp` or `control`.
        what: &'static str,
        /// The address asked for.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// Why a camera has no pictures.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The file is missing, damaged or holds no H.264.
    #[error("read video {path:?}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file holds no picture, or none that a viewer can start with.
    #[error("read video {0:?}: no key frame with parameter sets in it")]
    NoKeyFrame(PathBuf),
    /// The synthetic scene can't be made so.
    #[error("encode scene")]
    Scene(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The thread that makes pictures could not be started.
    #[error("start a thread for pictures")]
    Thread(#[source] io::Error),
}

/// Why a fault was not put on a camera.
#[derive(Debug, Error)]
#[error("set fault: {reason}")]
pub struct FaultError {
    reason: String,
    unknown_camera: bool,
}

impl FaultError {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), unknown_camera: false }
    }

    pub(crate) fn unknown_camera(name: &str) -> Self {
        Self { reason: format!("there is no camera {name:?}"), unknown_camera: true }
    }

    /// Tells whether there is no camera of that name, rather than something wrong with the fault.
    pub fn is_unknown_camera(&self) -> bool {
        self.unknown_camera
    }
}
