//! The configuration as a user meets it: what a file gives, and what each mistake says.

mod layers;
mod mistakes;
mod secrets;
mod values;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::*;

const GATE: &str = "[streams.gate]\nurl = \"rtsp://admin:hunter2@10.0.0.5/main\"\n";

fn read(text: &str) -> Result<Config, ConfigError> {
    read_with(text, &[])
}

fn read_with(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let environment: BTreeMap<String, String> =
        environment.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    parse(Some((text, Path::new("etc/millrace.toml"))), &environment, &Overrides::default())
}

fn error(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

fn model(config: &Config, name: &str) -> ModelConfig {
    config.models[&name.parse().unwrap()].clone()
}

fn stream(config: &Config, id: &str) -> StreamConfig {
    config.streams[&id.parse().unwrap()].clone()
}
