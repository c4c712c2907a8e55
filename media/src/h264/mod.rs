//! H.264: NAL units, parameter sets, access units out of a byte stream, decoding and encoding.

pub mod nal;
pub mod sps;
