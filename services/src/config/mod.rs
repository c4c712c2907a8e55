//! The one configuration file, parsed once into checked values before any I/O.
//!
//! `schema/` holds the file's keys and their defaults, `value.rs` the durations and sizes. `load.rs` goes
//! through the steps: `tree.rs` reads TOML with the place of every value, `fill.rs` fills in `${NAME}`,
//! variables (but for Kubernetes' own, `service_links.rs`) and flags are laid over it, `decode.rs` gives the values their types, `check.rs` says what they
//! mean together.

mod check;
mod check_aws;
mod decode;
mod embedded;
mod error;
mod fill;
mod fingerprint;
mod load;
mod mask;
mod schema;
mod service_links;
mod survey;
mod torn;
mod tree;
mod twice;
mod value;

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;

pub use check::Undefined;
pub use decode::in_words;
pub use error::{ConfigError, Place, Problem};
pub use fingerprint::{Fingerprint, InvalidFingerprint};
pub use load::{Overrides, find_file, load, load_place, load_without_streams, parse, schema_json};
pub use mask::masked;
pub use schema::{
    AwsConfig, Backend, Config, DeliveryConfig, Encode, InferConfig, KeepConfig, ModelConfig,
    PayloadChoice, Pick, QueueConfig, ReceiveConfig, RetentionConfig, SampleConfig, SpoolPolicy,
    StreamConfig, TelemetryConfig, Transport,
};
pub use survey::{Survey, survey};
pub use torn::{TORN_PASSWORD, torn};
pub use value::{InvalidSpan, Size, Span};
