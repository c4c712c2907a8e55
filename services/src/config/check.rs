//! What the keys mean together: bounds, and keys that exclude or need each other.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

use super::check_aws::check_aws;
use super::error::{ConfigError, Place, Problem};
use super::schema::{
    Backend, Config, DeliveryConfig, Encode, InferConfig, KeepConfig, ModelConfig, Pick,
    QueueConfig, ReceiveConfig, RetentionConfig, SampleConfig, StreamConfig, TelemetryConfig,
    Transport,
};
use super::torn::{TORN_PASSWORD, holds_torn_password, parts};
use super::value::Span;
use crate::delivery::MAX_BATCH_BYTES;
use crate::id::{ModelName, StreamId};

/// A key's path, and what is wrong with it.
pub(super) type Violation = (Vec<String>, Problem);
pub(super) type Checked = Result<(), Violation>;

impl Config {
    /// Checks a configuration that a program made; [`load`](super::load) does it for files.
    ///
    /// # Errors
    /// Names the first key that breaks a rule.
    pub fn check(&self) -> Result<(), ConfigError> {
        check(self).map_err(|(path, problem)| ConfigError::new(Place::Program, path, problem))
    }

    /// Leaves out the streams that are not chosen; none of them when none is.
    ///
    /// # Errors
    /// When a chosen one is not defined.
    pub fn choose_streams(&mut self, chosen: &[StreamId]) -> Result<(), Undefined> {
        Undefined::among("stream", &self.streams, chosen)?;
        self.streams.retain(|id, _| chosen.is_empty() || chosen.contains(id));
        Ok(())
    }

    /// Leaves out the models that are not chosen; none of them when none is.
    ///
    /// # Errors
    /// When a chosen one is not defined.
    pub fn choose_models(&mut self, chosen: &[ModelName]) -> Result<(), Undefined> {
        Undefined::among("model", &self.models, chosen)?;
        let is_kept = |name: &ModelName| chosen.is_empty() || chosen.contains(name);
        self.models.retain(|name, _| is_kept(name));
        self.aws.fifo.retain(is_kept);
        Ok(())
    }
}

/// A stream or model that was chosen and is not in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} \"{chosen}\" is not defined; defined: {defined}")]
pub struct Undefined {
    kind: &'static str,
    chosen: String,
    defined: String,
}

impl Undefined {
    fn among<K: Ord + Display, V>(
        kind: &'static str,
        defined: &BTreeMap<K, V>,
        chosen: &[K],
    ) -> Result<(), Self> {
        let Some(unknown) = chosen.iter().find(|name| !defined.contains_key(name)) else {
            return Ok(());
        };
        let defined: Vec<String> = defined.keys().map(K::to_string).collect();
        Err(Self { kind, chosen: unknown.to_string(), defined: defined.join(", ") })
    }
}

/// Checks what the types alone do not say.
pub(super) fn check(config: &Config) -> Checked {
    for (id, stream) in &config.streams {
        let at = Key(vec!["streams".to_owned(), id.to_string()]);
        check_stream(stream, config, &at)?;
    }
    for (name, model) in &config.models {
        let at = Key(vec!["models".to_owned(), name.to_string()]);
        check_model(model, &at)?;
        check_sample(&model.sample, &at.to("sample"))?;
    }
    check_receive(&config.receive, &Key::root("receive"))?;
    check_infer(&config.infer, &Key::root("infer"))?;
    check_queue(&config.queue, &Key::root("queue"))?;
    check_delivery(&config.delivery, &Key::root("delivery"))?;
    check_retention(config, &Key::root("retention"))?;
    check_aws(config, &Key::root("aws"))?;
    check_telemetry(&config.telemetry, &Key::root("telemetry"))
}

/// The path of the key that is being checked.
pub(super) struct Key(Vec<String>);

impl Key {
    pub(super) fn root(name: &str) -> Self {
        Self(vec![name.to_owned()])
    }

    pub(super) fn to(&self, name: &str) -> Self {
        Self([self.0.as_slice(), &[name.to_owned()]].concat())
    }

    pub(super) fn wrong(self, found: impl ToString, wanted: impl Into<String>) -> Violation {
        (self.0, Problem::Wrong { found: found.to_string(), wanted: wanted.into() })
    }

    pub(super) fn rule(self, words: impl Into<String>) -> Violation {
        (self.0, Problem::Rule(words.into()))
    }

    fn within(&self, name: &str, found: u64, least: u64, most: u64) -> Checked {
        if (least..=most).contains(&found) {
            Ok(())
        } else {
            Err(self.to(name).wrong(found, format!("{least} to {most}")))
        }
    }

    fn span(&self, name: &str, found: Span, least: Span, most: Span) -> Checked {
        if (least..=most).contains(&found) {
            Ok(())
        } else {
            Err(self.to(name).wrong(found, format!("{least} to {most}")))
        }
    }
}

const fn ms(millis: u64) -> Span {
    Span::from_millis(millis)
}

const DAY: Span = ms(86_400_000);
/// Nothing younger goes: a message that names it may be on its way.
const LEAST_KEPT: Span = ms(600_000);
const TEN_YEARS: Span = ms(3_650 * 86_400_000);
/// Pictures from the first to the last of a window: eleven minutes at 25 a second.
const MAX_WINDOW: u64 = 16_384;
/// SQS ends a lease 12 hours after the receive, and refuses to extend it past that: with longer leases, an extension
/// would run into it early.
const LONGEST_LEASE: Span = ms(3_600_000);
/// Half of it are rows that wait to be filed, the other half is room for the largest put.
const LEAST_BUFFER_BYTES: u64 = 2 * MAX_BATCH_BYTES as u64;

/// Schemes of video that are not received.
const FOREIGN_SCHEMES: [&str; 8] = ["rtmp", "rtmps", "http", "https", "udp", "rtp", "srt", "onvif"];

fn check_stream(stream: &StreamConfig, config: &Config, at: &Key) -> Checked {
    check_url(stream, &at.to("url"))?;
    let unknown = |name: &&ModelName| !config.models.contains_key(*name);
    let unknown: Vec<_> = stream.models.iter().flatten().filter(unknown).collect();
    if !unknown.is_empty() {
        let names: Vec<_> = unknown.iter().map(|name| format!("\"{name}\"")).collect();
        let (model, are) = if names.len() == 1 { ("model", "is") } else { ("models", "are") };
        let known: Vec<&str> = config.models.keys().map(|name| name.as_str()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let words = format!("{model} {} {are} not defined; defined: {known}", names.join(", "));
        return Err(at.to("models").rule(words));
    }
    if stream.password.is_some() && stream.username.is_none() {
        return Err(at.to("username").rule("missing beside the password"));
    }
    check_tls(stream, at)?;
    if let Some(fps) = stream.fps.filter(|fps| !(0.1..=1_000.0).contains(fps)) {
        return Err(at.to("fps").wrong(fps, "0.1 to 1000"));
    }
    at.span("silence", stream.silence, ms(100), DAY)?;
    at.span("clock_bound", stream.clock_bound, ms(1_000), DAY)?;
    at.within("max_rate", stream.max_rate.bytes(), 1 << 20, 1 << 30)
}

fn check_tls(stream: &StreamConfig, at: &Key) -> Checked {
    let (ca, pin) = (stream.ca.is_some(), stream.certificate_sha256.is_some());
    if stream.is_secure() {
        if ca && pin {
            return Err(at
                .to("ca")
                .rule("certificate_sha256 names the certificate itself: keep one"));
        }
        if stream.transport == Transport::Udp {
            return Err(at
                .to("transport")
                .rule("\"udp\" is not encrypted: rtsps:// wants \"tcp\""));
        }
        return Ok(());
    }
    match [("ca", ca), ("certificate_sha256", pin)].into_iter().find(|(_, set)| *set) {
        Some((key, _)) => Err(at.to(key).rule("is for rtsps:// alone")),
        None => Ok(()),
    }
}

fn check_url(stream: &StreamConfig, at: &Key) -> Checked {
    let refuse = |why: &str| Err(Key(at.0.clone()).rule(why.to_owned()));
    let no_url = |why: &str| {
        refuse(&format!(
            "{why}, wanted rtsp://HOST[:PORT]/PATH (rtsps:// in TLS), file:PATH or scene:"
        ))
    };
    match stream.url.split_once(':') {
        Some(("rtsp" | "rtsps", rest)) => {
            let Some(rest) = rest.strip_prefix("//") else { return no_url("has no \"//\"") };
            let (authority, rest) = parts(rest);
            let host = authority.rsplit('@').next().unwrap_or_default();
            if holds_torn_password(authority, rest) {
                return refuse(TORN_PASSWORD);
            }
            if host.is_empty() || host.starts_with(':') {
                return no_url("names no host");
            }
            if authority.contains('@') && stream.username.is_some() {
                return refuse("has a user name, and so has the key \"username\": keep one");
            }
            Ok(())
        }
        Some(("file", path)) if !path.is_empty() => Ok(()),
        Some(("scene", _)) => Ok(()),
        // Of anything else, what stands before the colon may be a user's name, or worse.
        Some((scheme, rest)) if FOREIGN_SCHEMES.contains(&scheme) && rest.starts_with("//") => {
            no_url(&format!("begins with \"{scheme}:\""))
        }
        _ => no_url("is no URL"),
    }
}

fn check_model(model: &ModelConfig, at: &Key) -> Checked {
    at.within("max_bytes", model.max_bytes.bytes(), 1 << 20, 1 << 40)?;
    match (&model.path, &model.algorithm) {
        (Some(_), Some(_)) => Err(at.to("algorithm").rule("excludes the key \"path\": keep one")),
        (None, None) => {
            Err(Key(at.0.clone()).rule("needs \"path\" (an ONNX file) or \"algorithm\""))
        }
        (Some(path), None) => check_onnx(path, at),
        (None, Some(name)) if is_algorithm(name) => match model.manifest {
            Some(_) => {
                Err(at.to("manifest").rule("belongs to a \"path\", not to an \"algorithm\""))
            }
            None => Ok(()),
        },
        (None, Some(name)) => {
            let found = format!("{name:?}");
            Err(at.to("algorithm").wrong(found, "\"circles\" or \"sleep:DURATION\""))
        }
    }
}

fn check_onnx(path: &Path, at: &Key) -> Checked {
    if path.as_os_str().is_empty() {
        Err(at.to("path").wrong("\"\"", "an ONNX file"))
    } else {
        Ok(())
    }
}

fn is_algorithm(name: &str) -> bool {
    let sleep = |span: &str| span.parse::<Span>().is_ok_and(|span| (ms(0)..=DAY).contains(&span));
    name == "circles" || name.strip_prefix("sleep:").is_some_and(sleep)
}

fn check_sample(sample: &SampleConfig, at: &Key) -> Checked {
    at.span("every", sample.every, ms(1), DAY)?;
    at.within("frames", sample.frames.into(), 1, 256)?;
    at.within("step", sample.step.into(), 1, 10_000)?;
    check_window(sample, at)?;
    at.within("quality", sample.quality.into(), 1, 100)?;
    at.within("max_frames", sample.max_frames.into(), 1, 256)?;
    at.span("max_delay", sample.max_delay, ms(0), ms(3_600_000))?;
    if let Some(fresh) = sample.fresh {
        at.span("fresh", fresh, ms(100), DAY)?;
        if fresh <= sample.max_delay {
            let words = format!(
                "{fresh} is over before a bundle has waited to fill (max_delay = \"{}\"): wanted more than that",
                sample.max_delay
            );
            return Err(at.to("fresh").rule(words));
        }
    }
    if let Some(width) = sample.max_width {
        at.within("max_width", width.into(), 16, 16_384)?;
    }
    if sample.encode == Encode::H264 {
        let needs = |name: &str, words: &str| {
            Err(at
                .to(name)
                .rule(format!("encode = \"h264\" sends key frames as they came: {words}")))
        };
        if sample.pick != Pick::Keyframe {
            return needs("pick", "wanted pick = \"keyframe\"");
        }
        if sample.frames != 1 {
            return needs("frames", "wanted frames = 1");
        }
        if sample.max_width.is_some() {
            return needs("max_width", "they cannot be scaled down");
        }
    }
    Ok(())
}

/// A window is remembered picture by picture until it is whole, and so are all that began meanwhile.
fn check_window(sample: &SampleConfig, at: &Key) -> Checked {
    let pictures = u64::from(sample.frames) * u64::from(sample.step);
    if sample.frames > 1 && pictures > MAX_WINDOW {
        return Err(at.to("step").rule(format!(
            "frames × step = {} × {} makes windows of {pictures} pictures: wanted {MAX_WINDOW} at most",
            sample.frames, sample.step
        )));
    }
    Ok(())
}

fn check_receive(receive: &ReceiveConfig, at: &Key) -> Checked {
    at.within("spool_bytes", receive.spool_bytes.bytes(), 1 << 20, 1 << 40)?;
    at.within("max_pixels", receive.max_pixels, 256, 1 << 30)?;
    at.within("window_bytes", receive.window_bytes.bytes(), 1 << 20, 1 << 36)?;
    at.within("channel_units", receive.channel_units as u64, 1, 4_096)?;
    at.within("channel_bytes", receive.channel_bytes.bytes(), 1 << 20, 1 << 30)?;
    at.span("backoff_min", receive.backoff_min, ms(10), DAY)?;
    at.span("backoff_max", receive.backoff_max, receive.backoff_min, DAY)?;
    at.span("backoff_unauthorized", receive.backoff_unauthorized, receive.backoff_min, DAY)?;
    at.span("connect_timeout", receive.connect_timeout, ms(100), DAY)?;
    at.span("key_frame_timeout", receive.key_frame_timeout, ms(100), DAY)
}

fn check_infer(infer: &InferConfig, at: &Key) -> Checked {
    at.within("instances", infer.instances as u64, 0, 256)?;
    at.within("prefetch", infer.prefetch as u64, 1, 64)?;
    at.span("lease", infer.lease, ms(1_000), LONGEST_LEASE)?;
    at.span("wait", infer.wait, ms(10), ms(5_000))?;
    at.within("max_pixels", infer.max_pixels, 256, 1 << 30)
}

fn check_queue(queue: &QueueConfig, at: &Key) -> Checked {
    at.within("max_receives", queue.max_receives.into(), 1, 1_000)?;
    at.within("max_bytes", queue.max_bytes.bytes(), 1 << 20, 1 << 40)
}

fn check_delivery(delivery: &DeliveryConfig, at: &Key) -> Checked {
    at.within("max_rows", delivery.max_rows.into(), 1, 10_000_000)?;
    at.span("max_age", delivery.max_age, ms(100), DAY)?;
    at.within("max_bytes", delivery.max_bytes.bytes(), LEAST_BUFFER_BYTES, 1 << 40)
}

fn check_retention(config: &Config, at: &Key) -> Checked {
    let on_aws = "the bucket's lifecycle removes objects (frames_days of the Terraform module)";
    let RetentionConfig { objects, rows, accounts } = &config.retention;
    refuse_on_aws(*objects, config.backend, on_aws, &at.to("objects"))?;
    check_keep(*objects, &at.to("objects"))?;
    let on_aws = "the bucket's lifecycle removes rows (rows_days of the Terraform module)";
    refuse_on_aws(*rows, config.backend, on_aws, &at.to("rows"))?;
    check_keep(*rows, &at.to("rows"))?;
    check_keep(*accounts, &at.to("accounts"))
}

/// Refuses to keep less of a kind where that is somebody else's to decide.
fn refuse_on_aws(keep: KeepConfig, backend: Backend, on_aws: &str, at: &Key) -> Checked {
    if backend == Backend::Aws && keep != KeepConfig::default() {
        let words = format!("is about the data folder, and backend = \"aws\" keeps none: {on_aws}");
        return Err(Key(at.0.clone()).rule(words));
    }
    Ok(())
}

/// Checks how much is kept of a kind.
fn check_keep(keep: KeepConfig, at: &Key) -> Checked {
    if let Some(age) = keep.age {
        at.span("age", age, LEAST_KEPT, TEN_YEARS)?;
    }
    keep.bytes.map_or(Ok(()), |bytes| at.within("bytes", bytes.bytes(), 1 << 20, 1 << 50))
}

fn check_telemetry(telemetry: &TelemetryConfig, at: &Key) -> Checked {
    let is_address = |text: &String| {
        text.rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    if let Some(listen) = telemetry.listen.as_ref().filter(|text| !is_address(text)) {
        return Err(at.to("listen").wrong(format!("{listen:?}"), "HOST:PORT"));
    }
    if let Some(otlp) = &telemetry.otlp {
        check_otlp(otlp, at.to("otlp"))?;
    }
    if (0.0..=1.0).contains(&telemetry.trace_ratio) {
        Ok(())
    } else {
        Err(at.to("trace_ratio").wrong(telemetry.trace_ratio, "0 to 1"))
    }
}

/// The endpoint is named in the log: it holds no secrets.
fn check_otlp(otlp: &str, at: Key) -> Checked {
    if otlp.contains(['@', '?']) {
        let words = "must not hold a user name, a password or a query, for it is logged: \
                     set OTEL_EXPORTER_OTLP_HEADERS";
        return Err(at.rule(words));
    }
    match otlp.strip_prefix("http://") {
        Some(rest) if !rest.starts_with(['/', ':']) && !rest.is_empty() => Ok(()),
        _ => Err(at.wrong(format!("{otlp:?}"), "http://HOST:PORT")),
    }
}
