//! `millrace receive`: the receiver alone.

use std::process::ExitCode;

use anyhow::ensure;
use millrace::Millrace;
use services::descriptors::Roles;

use super::attend::attend;
use crate::cli::ReceiveArgs;
use crate::screen::Screen;

pub(crate) async fn run(args: ReceiveArgs, mut screen: Screen) -> anyhow::Result<ExitCode> {
    let mut config = args.site.load()?;
    config.choose_streams(&args.streams)?;
    ensure!(!config.streams.is_empty(), "receive: no stream is defined");
    let millrace = Millrace::start_in(config, Roles::RECEIVER).await?;
    attend(millrace, &mut screen).await?;
    Ok(ExitCode::SUCCESS)
}
