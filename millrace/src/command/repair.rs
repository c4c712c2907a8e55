//! `millrace repair`: the table's list and its files brought together again.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use services::clock::Clock;
use services::config::Backend;
use services::counted;
use services::delivery::{Repaired, repair};
use telemetry::program::SiteArgs;

use crate::screen::Screen;

pub(crate) async fn run(args: &SiteArgs, screen: &Screen) -> anyhow::Result<ExitCode> {
    ensure!(
        args.place()?.backend == Backend::Embedded,
        "repair the table: it is on AWS, where Firehose and Glue keep it; a table in a data folder was expected"
    );
    let table = args.data_folder()?.table();
    let now = Clock::system().now();
    let repaired = tokio::task::spawn_blocking(move || repair(&table, now));
    let repaired = repaired.await.context("repair the table")??;
    screen.print(told(&repaired).as_bytes())?;
    ensure!(
        repaired.unread.is_empty(),
        "repair the table: {} of its files and folders could not be read, and stay as they are",
        repaired.unread.len()
    );
    Ok(ExitCode::SUCCESS)
}

/// Says what was done, a line for each file.
fn told(repaired: &Repaired) -> String {
    let mut text = String::new();
    let mut line = |words: String| writeln!(text, "{words}").expect("a string takes all text");
    if repaired.made_buffer {
        line(
            "made a new buffer: what was accepted and not yet filed is gone with the old one"
                .into(),
        );
    }
    for loss in &repaired.taken_out {
        line(format!(
            "taken out: {}, up to {}: {}",
            loss.place,
            counted(loss.rows, "row"),
            loss.reason
        ));
    }
    for file in &repaired.listed {
        line(format!("listed: {}, {}", file.path, counted(file.rows, "row")));
    }
    if !repaired.made_buffer && !repaired.listed.is_empty() {
        line("rows that are listed now may be there twice: detections_unique and frames show each once".into());
    }
    for (file, why) in &repaired.left_alone {
        line(format!("left alone: {}: {why}", file.display()));
    }
    for (file, why) in &repaired.unread {
        line(format!("not read: {}: {why}", file.display()));
    }
    if text.is_empty() {
        text.push_str("nothing to repair: every file of the table is listed and can be read\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use services::CaptureTime;
    use services::delivery::{Loss, Relisted};

    #[test]
    fn what_was_done_is_told_line_by_line() {
        let repaired = Repaired {
            made_buffer: false,
            listed: vec![Relisted { path: "detections/a.parquet".into(), rows: 7 }],
            taken_out: vec![Loss {
                place: "detections/b.parquet".into(),
                rows: 324,
                reason: "no such file".into(),
                found_at: CaptureTime(0),
            }],
            left_alone: vec![("/table/c.parquet".into(), "no Parquet".into())],
            unread: vec![("/table/d.parquet".into(), "Input/output error".into())],
        };
        insta::assert_snapshot!(told(&repaired), @r"
        taken out: detections/b.parquet, up to 324 rows: no such file
        listed: detections/a.parquet, 7 rows
        rows that are listed now may be there twice: detections_unique and frames show each once
        left alone: /table/c.parquet: no Parquet
        not read: /table/d.parquet: Input/output error
        ");
        assert!(told(&Repaired::default()).starts_with("nothing to repair"));
    }
}
