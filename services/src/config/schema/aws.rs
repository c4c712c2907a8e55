//! The names of what is used on AWS.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::id::ModelName;

/// The names of what is used on AWS. Region, credentials and endpoints come from the SDK's default chain.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AwsConfig {
    /// What the names of queues, delivery stream, workgroup and database begin with.
    pub prefix: String,
    /// The bucket of frames; `PREFIX-frames` when absent.
    pub bucket: Option<String>,
    /// The delivery stream of rows; `PREFIX-detections` when absent.
    pub delivery_stream: Option<String>,
    /// The models whose queues are FIFO queues (`PREFIX-MODEL.fifo`): a stream's batches in order, one at a time.
    pub fifo: Vec<ModelName>,
    /// The queue that results of this receiver's frames are sent to besides the table.
    pub reply_queue: Option<String>,
    /// The database of the table `detections`; the prefix with `_` for `-` when absent.
    pub database: Option<String>,
    /// The workgroup of queries; the prefix when absent.
    pub workgroup: Option<String>,
    /// Where queries' results go, `s3://BUCKET/PREFIX/`; the workgroup's own place when absent.
    pub query_output: Option<String>,
}

impl Default for AwsConfig {
    fn default() -> Self {
        Self {
            prefix: "millrace".to_owned(),
            bucket: None,
            delivery_stream: None,
            fifo: Vec::new(),
            reply_queue: None,
            database: None,
            workgroup: None,
            query_output: None,
        }
    }
}

impl AwsConfig {
    /// The bucket of frames.
    pub fn bucket(&self) -> String {
        self.bucket.clone().unwrap_or_else(|| format!("{}-frames", self.prefix))
    }

    /// The delivery stream of rows.
    pub fn delivery_stream(&self) -> String {
        self.delivery_stream.clone().unwrap_or_else(|| format!("{}-detections", self.prefix))
    }

    /// The queue of a model. SQS takes no `.` in names but the one of `.fifo`.
    pub fn queue(&self, model: &ModelName) -> String {
        let end = if self.fifo.contains(model) { ".fifo" } else { "" };
        format!("{}-{}{end}", self.prefix, model.as_str().replace('.', "_"))
    }

    /// The database of the table `detections`.
    pub fn database(&self) -> String {
        self.database.clone().unwrap_or_else(|| self.prefix.replace('-', "_"))
    }

    /// The workgroup of queries.
    pub fn workgroup(&self) -> String {
        self.workgroup.clone().unwrap_or_else(|| self.prefix.clone())
    }
}
