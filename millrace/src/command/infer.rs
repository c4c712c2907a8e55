//! `millrace infer`: the workers alone.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::ensure;
use millrace::{Millrace, Parts};
use services::ModelName;

use super::attend::attend;
use crate::cli::InferArgs;
use crate::screen::Screen;

pub(crate) async fn run(args: InferArgs, mut screen: Screen) -> anyhow::Result<ExitCode> {
    let mut config = args.site.load_without_streams()?;
    let chosen = args.models.into_iter().map(ModelName::new).collect::<Result<BTreeSet<_>, _>>()?;
    for name in &chosen {
        let known: Vec<&str> = config.models.keys().map(ModelName::as_str).collect();
        let is_known = config.models.contains_key(name);
        ensure!(is_known, "model \"{name}\" is not defined; defined: {}", known.join(", "));
    }
    if !chosen.is_empty() {
        config.keep_models(|name| chosen.contains(name));
    }
    ensure!(!config.models.is_empty(), "infer: no model is defined");
    config.infer.worker = args.worker.or(config.infer.worker);
    let millrace = Millrace::start_parts(config, Parts::Infer).await?;
    attend(millrace, &mut screen).await?;
    Ok(ExitCode::SUCCESS)
}
