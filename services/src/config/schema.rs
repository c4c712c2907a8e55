//! The keys of the configuration file and their defaults.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::fingerprint::Fingerprint;
use super::mask::masked;
use super::value::{Size, Span};
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

/// One camera or file.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamConfig {
    /// `rtsp://[user:password@]host[:port]/path`, `rtsps://` likewise for RTSP in TLS, `file:PATH` (MP4 or `.h264`), or `scene:` (the synthetic
    /// scene, with `?seed=…&width=…&height=…&fps=…&seconds=…`).
    pub url: String,
    /// The user name, when it is not part of the URL.
    #[serde(default)]
    pub username: Option<String>,
    /// The password, when it is not part of the URL; best given as `"${NAME}"`.
    #[serde(default)]
    pub password: Option<String>,
    /// `rtsps://`: a file of certificates in PEM, of whoever issued the camera's, or its own; those that this machine trusts
    /// when absent.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// `rtsps://`: the SHA-256 fingerprint of the camera's certificate, which then need not be issued by anybody, nor for its
    /// name, nor for this time.
    #[serde(default)]
    pub certificate_sha256: Option<Fingerprint>,
    /// How RTP travels from an RTSP server.
    #[serde(default)]
    pub transport: Transport,
    /// The models that are asked about this stream; all of them when the key is absent.
    #[serde(default)]
    pub models: Option<Vec<ModelName>>,
    /// A camera that sends no access unit for so long is connected to anew: more than the time between two of its pictures.
    #[serde(default = "default_silence")]
    pub silence: Span,
    /// A camera whose clock is further from this machine's is not believed: its capture times go by arrival.
    #[serde(default = "default_clock_bound")]
    pub clock_bound: Span,
    /// Most bytes a second that a camera may go on sending; one that wants to send more is refused.
    #[serde(default = "default_max_rate")]
    pub max_rate: Size,
    /// Files and scenes: read at the speed of their timeline rather than as fast as it goes.
    #[serde(default)]
    pub paced: bool,
    /// Files: begin again at the end, as a new epoch.
    #[serde(default)]
    pub repeat: bool,
    /// Frames per second of a bare `.h264` file that does not say.
    #[serde(default)]
    pub fps: Option<f64>,
    /// What happens to frames that the spool has no room for; `block` for files, else `drop-oldest`.
    #[serde(default)]
    pub policy: Option<SpoolPolicy>,
}

impl StreamConfig {
    /// Whether frames come when their time has come: those of a file or scene that is read as fast as it goes do not.
    pub fn is_timely(&self) -> bool {
        self.paced || !["file:", "scene:"].iter().any(|scheme| self.url.starts_with(scheme))
    }

    /// The URL without what may be secret in it: `rtsp://***@host/path`.
    pub fn shown_url(&self) -> String {
        if self.url.starts_with("file:") || self.url.starts_with("scene:") {
            return self.url.clone();
        }
        let is_scheme = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric());
        let parts = self.url.split_once("://").filter(|(scheme, _)| is_scheme(scheme));
        let Some((scheme, rest)) = parts else { return "***".to_owned() };
        // Up to the last '@': a password may hold any character, '/' and '?' by mistake too.
        let (user, rest) = match rest.rsplit_once('@') {
            // Nobody can tell whether the '@' ends a password, or is part of one in the query.
            Some((before, _)) if before.contains('?') => return format!("{scheme}://***"),
            Some((_, rest)) => ("***@", rest),
            None => ("", rest),
        };
        match rest.split_once('?') {
            Some((path, _)) => format!("{scheme}://{user}{}?***", masked(path)),
            None => format!("{scheme}://{user}{}", masked(rest)),
        }
    }

    /// Tells whether the source cannot be made to wait: a camera, not a file or scene read at leisure.
    pub fn is_live(&self) -> bool {
        self.url.starts_with("rtsp:") || self.is_secure()
    }

    /// Tells whether it is a camera that speaks TLS.
    pub fn is_secure(&self) -> bool {
        self.url.starts_with("rtsps:")
    }

    /// What happens to frames that the spool has no room for.
    pub fn spool_policy(&self) -> SpoolPolicy {
        let default = if self.is_live() { SpoolPolicy::DropOldest } else { SpoolPolicy::Block };
        self.policy.unwrap_or(default)
    }
}

impl fmt::Debug for StreamConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |secret: &Option<String>| secret.as_ref().map(|_| "***");
        f.debug_struct("StreamConfig")
            .field("url", &self.shown_url())
            .field("username", &hidden(&self.username))
            .field("password", &hidden(&self.password))
            .field("ca", &self.ca)
            .field("certificate_sha256", &self.certificate_sha256)
            .field("transport", &self.transport)
            .field("models", &self.models)
            .field("silence", &self.silence)
            .field("clock_bound", &self.clock_bound)
            .field("max_rate", &self.max_rate)
            .field("paced", &self.paced)
            .field("repeat", &self.repeat)
            .field("fps", &self.fps)
            .field("policy", &self.policy)
            .finish()
    }
}

fn default_silence() -> Span {
    Span::from_millis(10_000)
}

/// No zone of the world is closer to UTC than a quarter of an hour, but for those that are UTC.
fn default_clock_bound() -> Span {
    Span::from_millis(300_000)
}

/// Four times what cameras of 8K send.
fn default_max_rate() -> Size {
    Size::from_bytes(16 << 20)
}

/// How RTP travels from an RTSP server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Interleaved in the RTSP connection (RFC 2326 §10.12).
    #[default]
    Tcp,
    /// Over UDP.
    Udp,
}

/// What happens to frames that the spool has no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SpoolPolicy {
    /// The source waits.
    Block,
    /// The oldest bundle in the spool is given up.
    DropOldest,
    /// All bundles in the spool of the same model are given up.
    Latest,
}

/// One model and what it wants to see.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The ONNX file. Its manifest is `model.toml`, or the file's name with `.toml`, beside it.
    #[serde(default)]
    pub path: Option<PathBuf>,
    /// An algorithm that is no ONNX file: `circles`, or `sleep:DURATION`.
    #[serde(default)]
    pub algorithm: Option<String>,
    /// The manifest, when it does not lie beside the file.
    #[serde(default)]
    pub manifest: Option<PathBuf>,
    /// Most bytes of the ONNX file's tensors: its constants, and what one run holds at once.
    #[serde(default = "two_gibibytes")]
    pub max_bytes: Size,
    /// Which access units become frames, and how they travel.
    #[serde(default)]
    pub sample: SampleConfig,
}

fn two_gibibytes() -> Size {
    Size::from_bytes(2 << 30)
}

/// Which access units become frames for a model, and how they travel.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SampleConfig {
    /// The period of runs, on media time.
    pub every: Span,
    /// Which picture stands for a due time.
    pub pick: Pick,
    /// How frames travel.
    pub encode: Encode,
    /// Frames per run.
    pub frames: u32,
    /// Pictures from one frame of a run to the next.
    pub step: u32,
    /// Pictures wider than this are scaled down before they are encoded.
    pub max_width: Option<u32>,
    /// JPEG quality, 1 to 100.
    pub quality: u8,
    /// Most runs in one bundle (one object, one message).
    pub max_frames: u32,
    /// Longest that a frame waits for its bundle to fill.
    pub max_delay: Span,
    /// How a bundle's bytes travel.
    pub payload: PayloadChoice,
}

impl Default for SampleConfig {
    fn default() -> Self {
        Self {
            every: Span::from_millis(1_000),
            pick: Pick::default(),
            encode: Encode::default(),
            frames: 1,
            step: 1,
            max_width: None,
            quality: 85,
            max_frames: 10,
            max_delay: Span::from_millis(1_000),
            payload: PayloadChoice::default(),
        }
    }
}

/// Which picture stands for a due time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Pick {
    /// The first key frame at or after it: key frames alone are decoded.
    #[default]
    Keyframe,
    /// The first picture at or after it: a group of pictures is decoded up to the last one wanted.
    Exact,
}

/// How frames travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encode {
    /// As JPEG files.
    #[default]
    Jpeg,
    /// As the key frames that came: the receiver decodes nothing.
    H264,
}

/// How a bundle's bytes travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PayloadChoice {
    /// As an object, named in the message.
    #[default]
    Object,
    /// In the message; bundles close before the message would grow past the queue's limit.
    Inline,
    /// By whichever is cheaper by the list prices of AWS.
    Auto,
}

/// Bounds and waits of the receiver.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReceiveConfig {
    /// Most bytes that one stream's spool may hold.
    pub spool_bytes: Size,
    /// Most pixels of a picture; larger ones are refused before they are decoded.
    pub max_pixels: u64,
    /// Most bytes that the frames of the windows of one model on one stream may have while they are gathered.
    pub window_bytes: Size,
    /// Access units between a source and its sampler; a full channel makes the source wait.
    pub channel_units: usize,
    /// Their bytes, the one that the sampler works on included; one is let in whatever its size.
    pub channel_bytes: Size,
    /// Shortest wait before a stream is connected to again.
    pub backoff_min: Span,
    /// Longest wait before a stream is connected to again.
    pub backoff_max: Span,
    /// Wait after a camera refused the password, or sent what is not supported.
    pub backoff_unauthorized: Span,
    /// Longest that connecting may take, up to the camera's answer that it plays.
    pub connect_timeout: Span,
    /// A stream that sends access units but no key frame for so long, and in 30 of them, is connected to anew.
    pub key_frame_timeout: Span,
}

impl Default for ReceiveConfig {
    fn default() -> Self {
        Self {
            spool_bytes: Size::from_bytes(256 << 20),
            max_pixels: 8_192 * 4_320,
            window_bytes: Size::from_bytes(128 << 20),
            channel_units: 64,
            channel_bytes: Size::from_bytes(8 << 20),
            backoff_min: Span::from_millis(500),
            backoff_max: Span::from_millis(30_000),
            backoff_unauthorized: Span::from_millis(60_000),
            connect_timeout: Span::from_millis(5_000),
            key_frame_timeout: Span::from_millis(30_000),
        }
    }
}

/// Bounds and waits of the workers.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct InferConfig {
    /// Model instances, each on one thread of its own; 0 for one per core.
    pub instances: usize,
    /// Most messages taken ahead of the model, per model: fewer where they could not start within half a second.
    pub prefetch: usize,
    /// How long a message is one worker's alone; extended while it works.
    pub lease: Span,
    /// Longest wait for a message in one call.
    pub wait: Span,
    /// Most pixels of a frame; larger ones are refused before they are decoded.
    pub max_pixels: u64,
    /// The worker's name in rows; host name and process id when absent.
    pub worker: Option<String>,
}

impl Default for InferConfig {
    fn default() -> Self {
        Self {
            instances: 0,
            prefetch: 16,
            lease: Span::from_millis(30_000),
            wait: Span::from_millis(1_000),
            max_pixels: 8_192 * 4_320,
            worker: None,
        }
    }
}

/// Bounds of the embedded queues.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QueueConfig {
    /// Receives before a message goes to the dead letters.
    pub max_receives: u32,
    /// Most bytes of one queue, messages and dead letters together; past it, senders keep theirs in the spool.
    pub max_bytes: Size,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self { max_receives: 5, max_bytes: Size::from_bytes(1 << 30) }
    }
}

/// When buffered rows become files.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DeliveryConfig {
    /// Rows in the buffer that make a file due.
    pub max_rows: u32,
    /// Age of the oldest row in the buffer that makes a file due.
    pub max_age: Span,
    /// Most bytes that the buffer may hold; past it, workers wait.
    pub max_bytes: Size,
}

impl Default for DeliveryConfig {
    fn default() -> Self {
        Self {
            max_rows: 100_000,
            max_age: Span::from_millis(300_000),
            max_bytes: Size::from_bytes(1 << 30),
        }
    }
}

/// What of the data folder is kept; all of it, where a key is absent.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionConfig {
    /// The objects with the frames of bundles.
    pub objects: KeepConfig,
    /// The table's filed rows, by hours of delivery.
    pub rows: KeepConfig,
    /// The accounts of past epochs in a stream's spool; what goes of them goes into a sum.
    pub accounts: KeepConfig,
}

/// How much of a kind is kept. With both bounds, what either lets go goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeepConfig {
    /// What is older goes.
    pub age: Option<Span>,
    /// Beyond so many bytes, the oldest goes.
    pub bytes: Option<Size>,
}

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
