//! `millrace receive`: the receiver alone.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::ensure;
use millrace::{Millrace, Parts};
use services::StreamId;

use super::attend::attend;
use crate::cli::ReceiveArgs;
use crate::screen::Screen;

pub(crate) async fn run(args: ReceiveArgs, mut screen: Screen) -> anyhow::Result<ExitCode> {
    let mut config = args.site.load()?;
    let chosen = args.streams.into_iter().map(StreamId::new).collect::<Result<BTreeSet<_>, _>>()?;
    for id in &chosen {
        let known: Vec<&str> = config.streams.keys().map(StreamId::as_str).collect();
        let is_known = config.streams.contains_key(id);
        ensure!(is_known, "stream \"{id}\" is not defined; defined: {}", known.join(", "));
    }
    config.streams.retain(|id, _| chosen.is_empty() || chosen.contains(id));
    ensure!(!config.streams.is_empty(), "receive: no stream is defined");
    let millrace = Millrace::start_parts(config, Parts::Receive).await?;
    attend(millrace, &mut screen).await?;
    Ok(ExitCode::SUCCESS)
}
