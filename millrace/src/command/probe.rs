//! `millrace probe`: what a camera or file sends.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use services::StreamId;
use services::config::{Overrides, StreamConfig, parse};

use super::site::scheme;
use crate::cli::ProbeArgs;
use crate::screen::Screen;

/// What can be looked at.
const WANTED: &str = "rtsp://HOST[:PORT]/PATH (rtsps:// in TLS), a video file, scene:, or the id of a stream of the configuration";

pub(crate) async fn run(args: &ProbeArgs, screen: &Screen) -> anyhow::Result<ExitCode> {
    let stream = stream(args)?;
    let report = receive_video::probe(&stream).await;
    // What is wrong with a file names it.
    let report = match stream.url.strip_prefix("file:") {
        Some(_) => report?,
        None => report.with_context(|| format!("probe {}", stream.shown_url()))?,
    };
    screen.say(report.to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// What is to be looked at: a URL, a stream of the configuration, or a file.
fn stream(args: &ProbeArgs) -> anyhow::Result<StreamConfig> {
    let source = &args.source;
    if scheme(source).is_some() {
        return described_by(source);
    }
    let configured = StreamId::new(source).ok().map(|id| configured(args, &id));
    match configured {
        Some(Ok(stream)) => Ok(stream),
        _ if Path::new(source).exists() => described_by(&format!("file:{source}")),
        Some(Err(error)) => Err(error),
        // It may be a URL whose beginning is missing: what comes before '@' is nobody's to see.
        None if source.contains('@') => bail!("SOURCE (not shown) is no file; wanted {WANTED}"),
        None => bail!("SOURCE {source:?} is no file; wanted {WANTED}"),
    }
}

/// The stream of the configuration that is named.
fn configured(args: &ProbeArgs, id: &StreamId) -> anyhow::Result<StreamConfig> {
    let file = args.site.file();
    let mut streams = args.site.load()?.streams;
    if let Some(stream) = streams.remove(id) {
        return Ok(stream);
    }
    let known: Vec<&str> = streams.keys().map(StreamId::as_str).collect();
    let of = match (file, known.is_empty()) {
        (None, _) => "there is no millrace.toml here".to_owned(),
        (Some(file), true) => format!("{} defines no stream", file.display()),
        (Some(file), false) => format!("{} defines {}", file.display(), known.join(", ")),
    };
    bail!("\"{id}\" is neither a file nor a stream of the configuration ({of}); wanted {WANTED}")
}

fn described_by(url: &str) -> anyhow::Result<StreamConfig> {
    let shown =
        scheme(url).filter(|scheme| !matches!(*scheme, "rtsp" | "rtsps" | "file" | "scene"));
    if let Some(scheme) = shown {
        bail!("SOURCE begins with \"{scheme}:\"; wanted {WANTED}");
    }
    let mut flags = Overrides::default();
    flags.set("SOURCE", &["streams", "probed", "url"], url);
    let streams = parse(None, &BTreeMap::new(), &flags)?.streams;
    Ok(streams.into_values().next().expect("the URL makes one stream"))
}
