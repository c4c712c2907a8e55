//! H.264: NAL units, parameter sets, access units out of a byte stream, decoding and encoding.

pub mod annexb;
mod assembly;
mod bits;
#[cfg(test)]
mod changing;
pub mod decode;
pub mod encode;
mod entry;
pub mod nal;
mod order;
mod parameter_sets;
mod profile;
mod raw;
pub(crate) mod sei;
mod sequence;
pub(crate) mod slice;
pub mod sps;
pub mod support;

pub use annexb::AnnexBReader;
pub use assembly::built_with_assembly;
pub use decode::{DecodeError, Decoder, OpenH264Decoder};
pub use encode::{EncodeError, Encoder, EncoderConfig};
pub use parameter_sets::ParameterSets;
pub use sei::Orientation;
pub use sps::{Chroma, Sps, SpsError};
pub use support::Unsupported;
