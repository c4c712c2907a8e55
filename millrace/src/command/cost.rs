//! `millrace cost`: what a month on AWS costs, from the configuration or from a running system's rows.

use std::process::ExitCode;

use anyhow::ensure;
use millrace::cost::{Assumptions, Estimate, Measured, estimate, hints, measure, plan, write_text};
use serde::Serialize;
use services::config::{Backend, Config};
use services::price::{PRICES, Price};

use crate::cli::CostArgs;
use crate::screen::Screen;

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    estimate: Estimate,
    /// Frames and seconds of video that the load was measured over.
    measured: Option<Extent>,
    hints: Vec<String>,
    prices: &'static [Price],
}

#[derive(Clone, Copy, Serialize)]
struct Extent {
    frames: f64,
    seconds: f64,
}

pub(crate) async fn run(args: &CostArgs, screen: &Screen) -> anyhow::Result<ExitCode> {
    ensure!(
        args.measured || args.range.range()?.is_all(),
        "--since and --until are for --measured"
    );
    let report = if args.measured { measured(args).await? } else { planned(args)? };
    if args.json {
        screen.say(serde_json::to_string_pretty(&report)?)?;
    } else {
        screen.print(&text(&report)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn planned(args: &CostArgs) -> anyhow::Result<Report> {
    let config = args.site.load()?;
    let assumptions = args.assumptions(&config);
    let loads = plan(&config, &assumptions);
    ensure!(!loads.is_empty(), "estimate cost: the configuration has no model with a stream");
    let hints = hints(&config, &assumptions);
    let estimate = estimate(config.streams.len() as f64, loads, assumptions);
    Ok(Report { estimate, measured: None, hints, prices: &PRICES })
}

async fn measured(args: &CostArgs) -> anyhow::Result<Report> {
    let config = args.site.load_without_streams()?;
    let assumptions = args.assumptions(&config);
    if config.backend == Backend::Embedded {
        args.site.data_folder()?;
    }
    let table = table::open(&config).await?;
    let Measured { cameras, loads, frames, seconds } =
        measure(table.as_ref(), args.range.range()?, &config.aws, &assumptions).await?;
    let assumptions = assumptions.measured(&loads);
    let estimate = estimate(cameras, loads, assumptions);
    let extent = Extent { frames, seconds };
    Ok(Report { estimate, measured: Some(extent), hints: Vec::new(), prices: &PRICES })
}

fn text(report: &Report) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    if let Some(Extent { frames, seconds }) = report.measured {
        let hours = seconds / 3_600.0;
        let line = format!(
            "Measured over {frames:.0} frames in {hours:.2} hours of video, once for each model; the size and the rows \
             of a frame below are measured, too.\n\n"
        );
        text.extend_from_slice(line.as_bytes());
    }
    write_text(&report.estimate, &mut text)?;
    for hint in &report.hints {
        text.extend_from_slice(format!("\nHint: {hint}\n").as_bytes());
    }
    Ok(text)
}

impl CostArgs {
    fn assumptions(&self, config: &Config) -> Assumptions {
        let default = Assumptions::of(config);
        Assumptions {
            frame_bytes: self.frame_bytes.map_or(default.frame_bytes, f64::from),
            rows_per_frame: self.rows_per_frame.unwrap_or(default.rows_per_frame),
            retention_days: self.retention_days.map_or(default.retention_days, f64::from),
            queries_per_day: self.queries_per_day.map_or(default.queries_per_day, f64::from),
            workers: self.workers.map_or(default.workers, f64::from),
            ..default
        }
    }
}
