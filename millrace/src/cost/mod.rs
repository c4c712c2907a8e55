//! What a site costs on AWS in a month: its load in, dollars item by item out.
//!
//! The load comes from a configuration ([`plan`]) or from the rows of a running system ([`measure`]). Counted is what
//! grows with frames; machines, network and logs are not.

mod line;
mod load;
mod measured;
mod plan;
mod text;

use serde::Serialize;
use services::price::{
    self, ATHENA_SCAN, FIREHOSE_INGEST, GIB, MONTH_DAYS, PayloadPrices, S3_GET, S3_PUT,
    SQS_STANDARD,
};

pub use line::Line;
pub use load::Load;
pub use measured::{Measured, measure};
pub use plan::{hints, plan};
pub use text::write_text;

use load::CALLS_ONE_BY_ONE;

/// Bytes of a row in a Parquet file.
const ROW_PARQUET_BYTES: f64 = 100.0;
/// Files of rows that the delivery stream writes in an hour.
const ROW_FILES_PER_HOUR: f64 = 12.0;

/// What nobody can know from a configuration.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Assumptions {
    /// Bytes of an encoded frame.
    pub frame_bytes: f64,
    /// Rows of a frame; one at least, for a frame in which nothing was found is a row too.
    pub rows_per_frame: f64,
    /// Days that frames are kept.
    pub retention_days: f64,
    /// Days that rows are kept.
    pub rows_retention_days: f64,
    /// Questions to the table, each reading the rows of one day.
    pub queries_per_day: f64,
    /// Worker processes for each model.
    pub workers: f64,
    /// Seconds that a worker's call waits for messages.
    pub wait: f64,
}

impl Assumptions {
    /// The same, with the size and the rows of a frame as these loads have them.
    #[must_use]
    pub fn measured(self, loads: &[Load]) -> Self {
        let sum = |of: fn(&Load) -> f64| loads.iter().map(|load| load.frames() * of(load)).sum();
        let frames: f64 = sum(|_| 1.0);
        if frames <= 0.0 {
            return self;
        }
        let bytes: f64 = sum(|load| load.bundle_bytes / load.frames_per_bundle);
        let rows: f64 = sum(|load| load.rows_per_frame);
        Self { frame_bytes: bytes / frames, rows_per_frame: rows / frames, ..self }
    }
}

/// A month of a site.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Cameras and files.
    pub cameras: f64,
    /// Dollars for the site.
    pub dollars: f64,
    /// Dollars for one camera.
    pub dollars_per_camera: f64,
    /// What they are for.
    pub lines: Vec<Line>,
    /// The same frames one by one.
    pub comparison: Comparison,
    /// The loads.
    pub loads: Vec<Load>,
    /// What bringing one bundle of each load to a worker costs, by either way.
    pub payloads: Vec<PayloadPrices>,
    /// What was assumed.
    pub assumptions: Assumptions,
    /// When and where the prices hold.
    pub prices_as_of: &'static str,
    /// The region that the prices hold for.
    pub region: &'static str,
}

/// Bringing frames to workers and rows to the delivery stream, against one PUT, one message, one GET and one record
/// for each frame. Storage, conversion and queries cost the same either way and are left out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Dollars per camera.
    pub dollars: f64,
    /// Dollars per camera, one by one.
    pub dollars_one_by_one: f64,
    /// The share of PUTs in that.
    pub puts_one_by_one: f64,
    /// API calls per 1,000 frames.
    pub calls: f64,
    /// API calls per 1,000 frames, one by one.
    pub calls_one_by_one: f64,
}

/// Adds up what a month of these loads costs.
pub fn estimate(cameras: f64, loads: Vec<Load>, assumptions: Assumptions) -> Estimate {
    let mut lines: Vec<Line> = Vec::new();
    for load in &loads {
        for line in load.lines(&assumptions) {
            match lines.iter_mut().find(|known| known.item == line.item) {
                Some(known) => known.add(&line),
                None => lines.push(line),
            }
        }
    }
    lines.extend(of_table(&loads, &assumptions));
    let dollars: f64 = lines.iter().map(|line| line.dollars).sum();
    let comparison = compare(cameras, &loads, &lines, &assumptions);
    Estimate {
        cameras,
        dollars,
        dollars_per_camera: dollars / cameras,
        lines,
        comparison,
        payloads: loads.iter().map(Load::payload_prices).collect(),
        loads,
        assumptions,
        prices_as_of: price::AS_OF,
        region: price::REGION,
    }
}

/// What the table costs, however many streams write into it.
fn of_table(loads: &[Load], assumptions: &Assumptions) -> [Line; 2] {
    let rows: f64 = loads.iter().map(|load| load.frames() * load.rows_per_frame).sum();
    let day = rows * ROW_PARQUET_BYTES / MONTH_DAYS;
    let read = assumptions.queries_per_day * MONTH_DAYS * price::athena_terabytes(day);
    let files = ROW_FILES_PER_HOUR * 24.0 * MONTH_DAYS;
    [Line::other("S3 PUT of rows", files, &S3_PUT), Line::other("Athena", read, &ATHENA_SCAN)]
}

fn compare(cameras: f64, loads: &[Load], lines: &[Line], assumptions: &Assumptions) -> Comparison {
    let transport = lines.iter().filter(|line| line.is_transport);
    let frames: f64 = loads.iter().map(Load::frames).sum();
    let calls: f64 = loads.iter().map(|load| load.calls(assumptions)).sum();
    let puts: f64 = S3_PUT.of(frames);
    let others = |load: &Load| {
        let messages = SQS_STANDARD.of(3.0 * load.frames());
        let records = FIREHOSE_INGEST.of(load.frames() * load.record_bytes(1.0) / GIB);
        S3_GET.of(load.frames()) + messages + records
    };
    let one_by_one = puts + loads.iter().map(others).sum::<f64>();
    Comparison {
        dollars: transport.map(|line| line.dollars).sum::<f64>() / cameras,
        dollars_one_by_one: one_by_one / cameras,
        puts_one_by_one: puts / one_by_one,
        calls: calls / frames * 1e3,
        calls_one_by_one: CALLS_ONE_BY_ONE * 1e3,
    }
}

#[cfg(test)]
mod tests;
