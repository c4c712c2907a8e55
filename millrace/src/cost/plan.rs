//! The load that a configuration asks for.

use services::ModelName;
use services::config::{Config, ModelConfig, PayloadChoice, SampleConfig, Span};
use services::price;
use services::queue::MAX_MESSAGE_BYTES;
use services::stop::POLL;

use super::load::envelope_bytes;
use super::{Assumptions, Load, estimate};

/// A hint has to save this share of the bill, and these dollars a camera.
const WORTH_SHARE: f64 = 0.05;
const WORTH_DOLLARS: f64 = 0.05;

impl Assumptions {
    /// What is assumed when nobody says, with the waits of a configuration.
    pub fn of(config: &Config) -> Self {
        Self {
            frame_bytes: 60_000.0,
            rows_per_frame: 2.0,
            retention_days: price::RETENTION_DAYS,
            rows_retention_days: 395.0,
            queries_per_day: 24.0,
            workers: 1.0,
            wait: config.infer.wait.duration().min(POLL).as_secs_f64(),
        }
    }
}

/// The loads of all models, each stream taken for a camera that never pauses.
pub fn plan(config: &Config, assumptions: &Assumptions) -> Vec<Load> {
    let loads = config.models.iter().map(|(name, model)| load(config, name, model, assumptions));
    loads.filter(|load| load.streams > 0.0).collect()
}

fn load(config: &Config, name: &ModelName, model: &ModelConfig, assumed: &Assumptions) -> Load {
    let sample = &model.sample;
    let asks = |models: &Option<Vec<ModelName>>| {
        models.as_ref().is_none_or(|models| models.contains(name))
    };
    let streams = config.streams.values().filter(|stream| asks(&stream.models)).count();
    let window = f64::from(sample.frames.max(1));
    let frames_per_bundle = frames_per_bundle(sample, window * assumed.frame_bytes);
    let mut load = Load {
        model: name.to_string(),
        streams: streams as f64,
        period: sample.every.duration().as_secs_f64(),
        frames_per_bundle,
        entries_per_bundle: frames_per_bundle * window,
        bundle_bytes: frames_per_bundle * window * assumed.frame_bytes,
        rows_per_frame: assumed.rows_per_frame.max(1.0),
        inline: false,
        fifo: config.aws.fifo.contains(name),
    };
    load.inline = goes_inline(sample.payload, &load);
    load
}

fn goes_inline(choice: PayloadChoice, load: &Load) -> bool {
    let prices = load.payload_prices();
    match choice {
        PayloadChoice::Object => false,
        PayloadChoice::Inline => prices.inline.is_some(),
        PayloadChoice::Auto => prices.inline_is_cheaper(),
    }
}

/// Frames that surely come while a bundle waits, as far as it takes them.
fn frames_per_bundle(sample: &SampleConfig, frame_bytes: f64) -> f64 {
    let (delay, every) = (sample.max_delay.duration(), sample.every.duration());
    let in_time = (delay.as_secs_f64() / every.as_secs_f64()).ceil().max(1.0);
    let frames = in_time.min(f64::from(sample.max_frames.max(1)));
    if sample.payload != PayloadChoice::Inline {
        return frames;
    }
    let entry = (envelope_bytes(1.0) - envelope_bytes(0.0)) * f64::from(sample.frames.max(1));
    let room = MAX_MESSAGE_BYTES as f64 - envelope_bytes(0.0);
    frames.min((room / (entry + price::base64_bytes(frame_bytes))).floor()).max(1.0)
}

/// What would make the site cheaper.
pub fn hints(config: &Config, assumptions: &Assumptions) -> Vec<String> {
    let mut hints = Vec::new();
    for (name, model) in &config.models {
        let mut patient = config.clone();
        let every = model.sample.every.duration();
        let full = every * model.sample.max_frames;
        if let Some(sample) = patient.models.get_mut(name).map(|model| &mut model.sample) {
            sample.max_delay = sample.max_delay.duration().max(full).into();
        }
        if let Some(saved) = saving(config, &patient, assumptions, assumptions) {
            let (delay, full) = (model.sample.max_delay, Span::from(full));
            hints.push(format!(
                "model {name}: max_delay = \"{delay}\" closes bundles before they are full; \"{full}\" would save \
                 ${saved:.2} a camera and month, and frames would wait that long"
            ));
        }
    }
    let longest = POLL.as_secs_f64();
    let patient = Assumptions { wait: longest, ..assumptions.clone() };
    if let Some(saved) = saving(config, config, assumptions, &patient) {
        hints.push(format!(
            "infer.wait = \"{longest}s\" would save ${saved:.2} a camera and month in calls that wait in vain"
        ));
    }
    hints
}

/// What a change saves per camera, if it is worth while.
fn saving(before: &Config, after: &Config, had: &Assumptions, has: &Assumptions) -> Option<f64> {
    let cameras = before.streams.len() as f64;
    let dollars = |config: &Config, assumptions: &Assumptions| {
        let loads = plan(config, assumptions);
        estimate(cameras, loads, assumptions.clone()).dollars_per_camera
    };
    let (old, new) = (dollars(before, had), dollars(after, has));
    let saved = old - new;
    (saved >= WORTH_DOLLARS && saved >= old * WORTH_SHARE).then_some(saved)
}
