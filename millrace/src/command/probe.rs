//! `millrace probe`: what a camera or file sends.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Context as _;
use services::StreamId;
use services::config::{Overrides, StreamConfig, parse};

use crate::cli::ProbeArgs;
use crate::screen::Screen;

pub(crate) async fn run(args: &ProbeArgs, screen: &Screen) -> anyhow::Result<ExitCode> {
    let stream = stream(args)?;
    let report = receive_video::probe(&stream)
        .await
        .with_context(|| format!("probe {}", stream.shown_url()))?;
    screen.say(report.to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// The stream of the configuration that is named, or one that a URL alone describes.
fn stream(args: &ProbeArgs) -> anyhow::Result<StreamConfig> {
    let id = match StreamId::new(&args.url) {
        Ok(id) => id,
        Err(_) => return described_by(&args.url),
    };
    let stream = args.site.load()?.streams.remove(&id);
    stream.with_context(|| format!("stream \"{id}\" is not defined, and it is no URL either"))
}

fn described_by(url: &str) -> anyhow::Result<StreamConfig> {
    let mut flags = Overrides::default();
    flags.set("URL", &["streams", "probed", "url"], url);
    let streams = parse(None, &BTreeMap::new(), &flags)?.streams;
    Ok(streams.into_values().next().expect("the URL makes one stream"))
}
