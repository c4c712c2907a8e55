//! `millrace init`: a commented configuration to start from.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, bail};

use crate::cli::InitArgs;
use crate::screen::Screen;

const TEMPLATE: &str = include_str!("../init.toml");

pub(crate) fn run(args: &InitArgs, screen: &Screen) -> anyhow::Result<ExitCode> {
    let path = args.path.display();
    let attempt = || format!("write configuration {path}");
    let mut file = match OpenOptions::new().write(true).create_new(true).open(&args.path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{}: it exists already", attempt())
        }
        file => file.with_context(attempt)?,
    };
    file.write_all(TEMPLATE.as_bytes()).with_context(attempt)?;
    screen.say(format!(
        "wrote {path}: put your camera and model into it, then \"millrace validate\""
    ))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use services::config::{Overrides, parse};

    use super::TEMPLATE;

    fn streams_and_models(text: &str) -> (usize, usize) {
        let environment = BTreeMap::from([("GATE_PASSWORD".to_owned(), "secret".to_owned())]);
        let config =
            parse(Some((text, Path::new("millrace.toml"))), &environment, &Overrides::default())
                .unwrap();
        (config.streams.len(), config.models.len())
    }

    #[test]
    fn the_template_loads_as_it_is() {
        assert_eq!(streams_and_models(TEMPLATE), (1, 1));
    }

    #[test]
    fn the_template_loads_with_every_commented_key() {
        let uncomment = |line: &str| match line.strip_prefix("#~ ") {
            Some(key) => key.to_owned(),
            None => line.to_owned(),
        };
        let text: Vec<String> = TEMPLATE.lines().map(uncomment).collect();
        assert_ne!(text.join("\n"), TEMPLATE.trim_end());
        assert_eq!(streams_and_models(&text.join("\n")), (2, 2));
    }
}
