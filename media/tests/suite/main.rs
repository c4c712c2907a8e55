//! Tests of `media` through its public interface, on the synthetic scene and on real clips.

mod annexb;
mod clips;
mod codec;
mod container;
mod pictures;
mod support;
