//! `millrace up`: everything that the configuration names, in this process.

use std::process::ExitCode;

use anyhow::ensure;
use millrace::Millrace;
use telemetry::program::SiteArgs;

use super::attend::attend;
use crate::screen::Screen;

pub(crate) async fn run(args: &SiteArgs, mut screen: Screen) -> anyhow::Result<ExitCode> {
    let config = args.load()?;
    ensure!(
        !config.streams.is_empty(),
        "start: no stream is defined; \"millrace init\" writes a configuration to start from"
    );
    ensure!(!config.models.is_empty(), "start: no model is defined");
    let millrace = Millrace::start(config).await?;
    attend(millrace, &mut screen).await?;
    Ok(ExitCode::SUCCESS)
}
