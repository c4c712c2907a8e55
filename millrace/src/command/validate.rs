//! `millrace validate`: the configuration, checked as far as that goes without a camera. Models are loaded.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use services::config::{Config, schema_json};

use crate::cli::ValidateArgs;
use crate::screen::Screen;

pub(crate) fn run(args: &ValidateArgs, screen: &Screen) -> anyhow::Result<ExitCode> {
    if args.schema {
        screen.say(schema_json())?;
        return Ok(ExitCode::SUCCESS);
    }
    let config = args.site.load()?;
    let file = args.site.file();
    ensure!(
        file.is_some() || !(config.streams.is_empty() && config.models.is_empty()),
        "no millrace.toml here; \"millrace init\" writes one to start from"
    );
    check_files(&config)?;
    screen.say(format!(
        "{}: {} and {} are well described; data in {}",
        file.map_or("the environment".to_owned(), |file| file.display().to_string()),
        counted(config.streams.len(), "stream"),
        counted(config.models.len(), "model"),
        config.data.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn check_files(config: &Config) -> anyhow::Result<()> {
    for (name, model) in &config.models {
        model_inference::model::load(name, model).with_context(|| format!("model \"{name}\""))?;
    }
    for (id, stream) in &config.streams {
        receive_video::check_address(stream).with_context(|| format!("stream \"{id}\""))?;
        if let Some(path) = stream.url.strip_prefix("file:") {
            check_file(Path::new(path.strip_prefix("//").unwrap_or(path)))
                .with_context(|| format!("stream \"{id}\""))?;
        }
    }
    Ok(())
}

fn check_file(path: &Path) -> anyhow::Result<()> {
    let found = path.metadata().with_context(|| format!("open {path:?}"))?;
    ensure!(found.is_file(), "open {path:?}: not a file");
    Ok(())
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
