//! An RTSP server for looped files and the synthetic scene, with faults on demand: a camera for tests and demos.
//!
//! Each camera has one live timeline in real time, which all its viewers share, over RTP in the RTSP
//! connection or over UDP, with RTCP sender reports and, if asked for, a login. What a bad camera does
//! ([`Fault`]) it does too, from the start or from a given moment on.
//!
//! Layers: `source` gives access units, `camera` paces them, `viewer` makes packets of them for one client,
//! `connection` holds the sockets. `rtp`, `rtsp` and `impair` decide without I/O.

mod camera;
mod config;
mod connection;
mod control;
mod error;
mod fault;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod impair;
mod rtp;
mod rtsp;
mod server;
mod source;
mod udp;
mod viewer;

pub use config::{AuthScheme, CameraConfig, Feed, Login, SceneSource, Source, Transports};
pub use error::{FaultError, SourceError, StartError};
pub use fault::{Fault, Faults, JumpingClock, Marked, SdpFault};
pub use server::{CameraStatus, FakeCamera};
