//! receive-video.
