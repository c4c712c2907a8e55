//! The load that a running system has had, read from its rows.

use anyhow::{Context as _, ensure};
use services::config::AwsConfig;
use table::{Rows, Table, TimeRange};

use super::{Assumptions, Load};

/// Per model: its streams, its frames and what they took, and the media time they cover within their epochs.
const LOADS: &str = "\
SELECT
    model,
    COUNT(DISTINCT stream) AS streams,
    SUM(frames) AS frames,
    SUM(frames - 1) AS steps,
    SUM(answers) AS answers,
    SUM(objects) AS objects,
    SUM(bytes) AS bytes,
    SUM(ticks) AS ticks
FROM (
    SELECT
        model, stream, epoch,
        COUNT(*) AS frames,
        SUM(CASE WHEN detections > 1 THEN detections ELSE 1 END) AS answers,
        COUNT(DISTINCT object_uri) AS objects,
        SUM(object_len) AS bytes,
        MAX(media_time) - MIN(media_time) AS ticks
    FROM frames
    GROUP BY model, stream, epoch
) AS epochs
GROUP BY model
ORDER BY model";

const CAMERAS: &str = "SELECT COUNT(DISTINCT stream) AS cameras FROM frames";

/// Media time counts so many ticks a second.
const TICKS: f64 = 90_000.0;

/// What the rows tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Streams with rows.
    pub cameras: f64,
    /// The load of each model.
    pub loads: Vec<Load>,
    /// Frames that were read about.
    pub frames: f64,
    /// Seconds of video that they cover, over all streams and models.
    pub seconds: f64,
}

/// Reads the load from the table's frames of a range of time. Windows count as their last frame, of which alone the rows tell.
///
/// # Errors
/// When the table cannot be read, or holds too little to tell a rate.
pub async fn measure(
    table: &dyn Table,
    range: TimeRange,
    aws: &AwsConfig,
    assumptions: &Assumptions,
) -> anyhow::Result<Measured> {
    let rows = table.query(&range.over(LOADS)).await?.collect().await?;
    let cameras = table.query(&range.over(CAMERAS)).await?.collect().await?;
    let cameras = numbers(&cameras, "cameras")?.first().copied().unwrap_or(0.0);
    let models = rows.texts("model")?;
    let columns = ["streams", "frames", "steps", "answers", "objects", "bytes", "ticks"];
    let columns = columns.map(|name| numbers(&rows, name));
    let [streams, frames, steps, answers, objects, bytes, ticks] = transpose(columns)?;
    let mut measured = Measured { cameras, loads: Vec::new(), frames: 0.0, seconds: 0.0 };
    for (index, model) in models.into_iter().enumerate() {
        let counts = Counts {
            model: model.unwrap_or_default(),
            streams: streams[index],
            frames: frames[index],
            steps: steps[index],
            answers: answers[index],
            objects: objects[index],
            bytes: bytes[index],
            seconds: ticks[index] / TICKS,
        };
        measured.frames += counts.frames;
        measured.seconds += counts.seconds;
        measured.loads.extend(counts.load(aws, assumptions));
    }
    ensure!(
        !measured.loads.is_empty(),
        "measure the load: the table has no two frames of one epoch and model in that time"
    );
    Ok(measured)
}

/// What the table tells of one model.
#[derive(Clone, Debug)]
struct Counts {
    model: String,
    streams: f64,
    frames: f64,
    /// Frames that follow another one of their epoch.
    steps: f64,
    answers: f64,
    objects: f64,
    bytes: f64,
    seconds: f64,
}

impl Counts {
    /// The load; none when no time passed between frames.
    fn load(self, aws: &AwsConfig, assumptions: &Assumptions) -> Option<Load> {
        if self.steps <= 0.0 || self.seconds <= 0.0 {
            return None;
        }
        let inline = self.objects < 1.0;
        // What travelled in messages is not in the rows: each frame is taken for a message of its own.
        let bundles = if inline { self.frames } else { self.objects };
        let bytes = if inline { self.frames * assumptions.frame_bytes } else { self.bytes };
        let fifo = aws.fifo.iter().any(|model| model.as_str() == self.model);
        Some(Load {
            model: self.model,
            streams: self.streams,
            period: self.seconds / self.steps,
            frames_per_bundle: self.frames / bundles,
            entries_per_bundle: self.frames / bundles,
            bundle_bytes: bytes / bundles,
            rows_per_frame: self.answers / self.frames,
            inline,
            fifo,
        })
    }
}

/// A column of numbers; what is null counts as nothing.
fn numbers(rows: &Rows, column: &str) -> anyhow::Result<Vec<f64>> {
    let values = rows.numbers(column).context("measure the load")?;
    Ok(values.into_iter().map(|value| value.unwrap_or(0.0)).collect())
}

fn transpose<const N: usize>(
    columns: [anyhow::Result<Vec<f64>>; N],
) -> anyhow::Result<[Vec<f64>; N]> {
    let mut all = [const { Vec::new() }; N];
    for (slot, column) in all.iter_mut().zip(columns) {
        *slot = column?;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use services::config::{Config, Overrides, parse};

    use super::*;

    fn counts() -> Counts {
        Counts {
            model: "shapes".to_owned(),
            streams: 2.0,
            frames: 1_002.0,
            steps: 1_000.0,
            answers: 3_006.0,
            objects: 100.2,
            bytes: 50_100_000.0,
            seconds: 2_000.0,
        }
    }

    #[test]
    fn a_load_is_told_by_its_counts() {
        let aws = AwsConfig { fifo: vec!["shapes".parse().unwrap()], ..AwsConfig::default() };
        let load = counts().load(&aws, &Assumptions::of(&config())).unwrap();
        assert_eq!((load.period, load.streams, load.rows_per_frame), (2.0, 2.0, 3.0));
        assert_eq!((load.frames_per_bundle.round(), load.bundle_bytes.round()), (10.0, 500_000.0));
        assert!(load.fifo && !load.inline);
    }

    #[test]
    fn a_single_frame_tells_no_rate() {
        let one = Counts { frames: 1.0, steps: 0.0, seconds: 0.0, ..counts() };
        assert!(one.load(&AwsConfig::default(), &Assumptions::of(&config())).is_none());
    }

    #[test]
    fn frames_without_objects_travelled_in_messages() {
        let inline = Counts { objects: 0.0, bytes: 0.0, ..counts() };
        let load = inline.load(&AwsConfig::default(), &Assumptions::of(&config())).unwrap();
        assert!(load.inline);
        assert_eq!((load.frames_per_bundle, load.bundle_bytes), (1.0, 60_000.0));
    }

    fn config() -> Config {
        parse(None, &BTreeMap::new(), &Overrides::default()).unwrap()
    }
}
