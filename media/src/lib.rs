//! Access units in, pictures out: H.264, JPEG, colour, MP4, and the synthetic scene that stands in for a camera.
//!
//! Invariant: this crate opens no sockets, reads no clocks and knows no other crate of the workspace. Time is
//! an argument everywhere: presentation time in ticks of 1/90,000 second.

pub mod access_unit;
pub mod colour;
pub mod frame_rate;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod h264;
pub mod jpeg;
pub mod mp4;
mod number;
pub mod picture;
pub mod scene;

pub use access_unit::AccessUnit;
pub use colour::{Colour, Matrix};
pub use frame_rate::FrameRate;
pub use picture::{Picture, PictureError, Planes, RgbImage};
