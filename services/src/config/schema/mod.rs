//! The keys of the configuration file and their defaults.

mod aws;
mod bounds;
mod model;
mod stream;

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

pub use aws::AwsConfig;
pub use bounds::{
    DeliveryConfig, InferConfig, KeepConfig, QueueConfig, ReceiveConfig, RetentionConfig,
};
pub use model::{Encode, ModelConfig, PayloadChoice, Pick, SampleConfig};
pub use stream::{SpoolPolicy, StreamConfig, Transport};

use crate::id::{ModelName, StreamId};

/// The configuration file, `millrace.toml`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The folder in which everything lies that has to outlive the process.
    #[serde(default = "default_data")]
    pub data: PathBuf,
    /// Where store, queue and table are: `embedded` (in `data`) or `aws`.
    #[serde(default)]
    pub backend: Backend,
    /// The cameras and files, by stream id.
    #[serde(default)]
    pub streams: BTreeMap<StreamId, StreamConfig>,
    /// The models, by name.
    #[serde(default)]
    pub models: BTreeMap<ModelName, ModelConfig>,
    /// Bounds and waits of the receiver.
    #[serde(default)]
    pub receive: ReceiveConfig,
    /// Bounds and waits of the workers.
    #[serde(default)]
    pub infer: InferConfig,
    /// Bounds of the embedded queues.
    #[serde(default)]
    pub queue: QueueConfig,
    /// When buffered rows become files.
    #[serde(default)]
    pub delivery: DeliveryConfig,
    /// What of the data folder is kept; all of it, where a key is absent.
    #[serde(default)]
    pub retention: RetentionConfig,
    /// The names of what is used on AWS.
    #[serde(default)]
    pub aws: AwsConfig,
    /// What the process tells of itself.
    #[serde(default)]
    pub telemetry: TelemetryConfig,
}

fn default_data() -> PathBuf {
    PathBuf::from("data")
}

/// Where store, queue and table are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// In the data folder of this machine.
    #[default]
    Embedded,
    /// In S3, SQS, Firehose and Athena, by the SDK's own settings for region, credentials and endpoints.
    Aws,
}

/// What the process tells of itself.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// `HOST:PORT` of `/healthz`, `/readyz` and `/metrics`; not served when absent.
    pub listen: Option<String>,
    /// The OTLP/HTTP endpoint that traces are sent to, `http://HOST:4318`; not sent when absent.
    pub otlp: Option<String>,
    /// The share of bundles that are traced, 0 to 1.
    pub trace_ratio: f64,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { listen: None, otlp: None, trace_ratio: 1.0 }
    }
}
