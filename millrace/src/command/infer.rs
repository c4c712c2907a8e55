//! `millrace infer`: the workers alone.

use std::process::ExitCode;

use anyhow::ensure;
use millrace::Millrace;
use services::descriptors::Roles;

use super::attend::attend;
use crate::cli::InferArgs;
use crate::screen::Screen;

pub(crate) async fn run(args: InferArgs, mut screen: Screen) -> anyhow::Result<ExitCode> {
    let mut config = args.site.load_for_worker(args.worker.as_deref())?;
    config.choose_models(&args.models)?;
    ensure!(!config.models.is_empty(), "infer: no model is defined");
    let millrace = Millrace::start_in(config, Roles::WORKERS).await?;
    attend(millrace, &mut screen).await?;
    Ok(ExitCode::SUCCESS)
}
