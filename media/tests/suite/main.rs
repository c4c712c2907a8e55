//! Tests of `media` through its public interface, on the synthetic scene and on real clips.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "what helps a test may do as a test does"
)]

mod annexb;
mod clips;
mod codec;
mod container;
mod ffmpeg;
mod kinds;
mod pictures;
mod support;
