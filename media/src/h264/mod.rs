//! H.264: NAL units, parameter sets, access units out of a byte stream, decoding and encoding.

pub mod annexb;
mod assembly;
pub mod decode;
pub mod encode;
pub mod nal;
mod order;
pub(crate) mod parameter_sets;
mod profile;
mod raw;
mod slice;
pub mod sps;

pub use annexb::AnnexBReader;
pub use assembly::built_with_assembly;
pub use decode::{DecodeError, Decoder, OpenH264Decoder};
pub use encode::{EncodeError, Encoder, EncoderConfig};
pub use sps::{Sps, SpsError};
