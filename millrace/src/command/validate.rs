//! `millrace validate`: the configuration, checked as far as that goes without a camera. Models are loaded.

use std::process::ExitCode;

use anyhow::{bail, ensure};
use model_inference::model;
use services::config::{Config, schema_json};
use services::counted;

use crate::cli::ValidateArgs;
use crate::screen::Screen;

pub(crate) fn run(args: &ValidateArgs, screen: &Screen) -> anyhow::Result<ExitCode> {
    if args.schema {
        screen.say(schema_json())?;
        return Ok(ExitCode::SUCCESS);
    }
    let file = args.site.file();
    let survey = args.site.survey();
    let mut mistakes: Vec<String> = survey.mistakes.iter().map(ToString::to_string).collect();
    let is_whole = |table: &str| {
        !survey.mistakes.iter().any(|mistake| mistake.key().starts_with(&format!("{table}.")))
    };
    let Some(config) = survey.config else { return refuse(mistakes) };
    ensure!(
        file.is_some() || !mistakes.is_empty() || !is_empty(&config),
        "no millrace.toml here; \"millrace init\" writes one to start from"
    );
    let models = load_models(&config, is_whole, &mut mistakes);
    check_streams(&config, is_whole, &mut mistakes);
    if !mistakes.is_empty() {
        return refuse(mistakes);
    }
    screen.say(format!(
        "{}: {} and {} are well described; data in {}",
        file.map_or("the environment".to_owned(), |file| file.display().to_string()),
        counted(config.streams.len(), "stream"),
        counted(config.models.len(), "model"),
        config.data.display()
    ))?;
    for understood in models {
        screen.say(understood)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn is_empty(config: &Config) -> bool {
    config.streams.is_empty() && config.models.is_empty()
}

/// Fails with all mistakes, a line each.
fn refuse(mistakes: Vec<String>) -> anyhow::Result<ExitCode> {
    match mistakes.as_slice() {
        [mistake] => bail!("{mistake}"),
        _ => bail!("{} mistakes\n  {}", mistakes.len(), mistakes.join("\n  ")),
    }
}

/// Loads the models of which nothing was left out; gives how each was understood.
fn load_models(
    config: &Config,
    is_whole: impl Fn(&str) -> bool,
    mistakes: &mut Vec<String>,
) -> Vec<String> {
    let mut understood = Vec::new();
    for (name, settings) in
        config.models.iter().filter(|(name, _)| is_whole(&format!("models.{name}")))
    {
        match model::load(name, settings) {
            Ok(model) => understood.extend(
                model
                    .understood()
                    .map(|lines| format!("model \"{name}\" is understood as\n{lines}")),
            ),
            Err(error) => mistakes.push(format!("model \"{name}\": {error}")),
        }
    }
    understood
}

fn check_streams(config: &Config, is_whole: impl Fn(&str) -> bool, mistakes: &mut Vec<String>) {
    for (id, stream) in config.streams.iter().filter(|(id, _)| is_whole(&format!("streams.{id}"))) {
        if let Err(error) = receive_video::check_source(stream) {
            mistakes.push(format!("stream \"{id}\": {error}"));
        }
    }
}
