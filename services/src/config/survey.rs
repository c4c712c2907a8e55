//! All mistakes of a configuration at once: what is wrong is left out, and the rest is read again.
//!
//! A mistake that another one brings about is none of its own: a stream's model that is left out because of a mistake
//! of its own is not said to be unknown.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::{ConfigError, Place, Problem};
use super::fill::fill;
use super::load::{Overrides, environment, lay_over, read, settle};
use super::schema::Config;
use super::tree::Node;

/// What is wrong with a configuration, and what it says besides.
#[derive(Debug, Default)]
pub struct Survey {
    /// The configuration without what is wrong; none where nothing can be read without it.
    pub config: Option<Config>,
    /// All mistakes, in the order in which they were found.
    pub mistakes: Vec<ConfigError>,
    left_out: Vec<Vec<String>>,
}

/// Does what [`load`](super::load) does, and does not stop at the first mistake.
pub fn survey(file: Option<&Path>, overrides: &Overrides) -> Survey {
    let text = match file.map(|file| Ok((read(file)?, file))).transpose() {
        Ok(text) => text,
        Err(error) => return Survey { mistakes: vec![error], ..Survey::default() },
    };
    let text = text.as_ref().map(|(text, file)| (text.as_str(), *file));
    match environment() {
        Ok(environment) => survey_text(text, &environment, overrides),
        Err(error) => Survey { mistakes: vec![error], ..Survey::default() },
    }
}

/// Does what [`survey`] does with a text (and the name of its file) and an environment already read.
pub(super) fn survey_text(
    text: Option<(&str, &Path)>,
    environment: &BTreeMap<String, String>,
    overrides: &Overrides,
) -> Survey {
    let mut survey = Survey::default();
    let parsed = text
        .map_or_else(|| Ok(Node::empty(Place::Program)), |(text, file)| Node::parse(text, file));
    match parsed {
        Ok(tree) => survey.read(tree, text.map(|(_, file)| file), environment, overrides),
        Err(error) => survey.mistakes.push(error),
    }
    survey
}

impl Survey {
    fn read(
        &mut self,
        mut tree: Node,
        file: Option<&Path>,
        environment: &BTreeMap<String, String>,
        overrides: &Overrides,
    ) {
        let mut filled = tree.clone();
        while let Err(error) = fill(&mut filled, &mut Vec::new(), environment) {
            if !self.leave_out(error, &mut tree) {
                return;
            }
            filled = tree.clone();
        }
        lay_over(&mut filled, environment, overrides);
        filled.hide_secrets();
        loop {
            match settle(&filled, file, overrides) {
                Ok(config) => break self.config = Some(config),
                Err(error) => {
                    if !self.leave_out(error, &mut filled) {
                        break;
                    }
                }
            }
        }
    }

    /// Takes what is wrong out of the tree; tells whether that could be done.
    fn leave_out(&mut self, error: ConfigError, tree: &mut Node) -> bool {
        let path = error.path().to_vec();
        if self.forget_models(&path, tree) {
            return true;
        }
        if !self.brought_about(&error, tree) {
            self.mistakes.push(error);
        }
        let removed = (1..=path.len()).rev().find(|&length| tree.remove(&path[..length]));
        self.left_out.extend(removed.map(|length| path[..length].to_vec()));
        removed.is_some()
    }

    /// Tells whether a mistake comes of what was left out.
    fn brought_about(&self, error: &ConfigError, tree: &Node) -> bool {
        let path = error.path();
        match error.problem() {
            Problem::Missing(key) => {
                self.left_out.contains(&[path, std::slice::from_ref(key)].concat())
            }
            Problem::Rule(_) => self.lacks_models_of(path, tree) || self.lacks_neighbour_of(path),
            Problem::Wrong { .. } => self.lacks_models_of(path, tree),
            _ => false,
        }
    }

    /// Takes the models that were left out themselves out of a list that names models; tells whether it named some.
    fn forget_models(&self, path: &[String], tree: &mut Node) -> bool {
        let is_left_out = |name: &str| {
            self.left_out
                .iter()
                .any(|left| left.len() == 2 && left[0] == "models" && left[1] == name)
        };
        let listed = tree.get(path).filter(|_| names_models(path)).map(Node::texts);
        let mut forgotten = listed.unwrap_or_default();
        forgotten.retain(|(_, name)| is_left_out(name));
        forgotten.iter().for_each(|(index, _)| {
            tree.remove(&[path, &[index.to_string()]].concat());
        });
        !forgotten.is_empty()
    }

    /// Tells whether a key names models, and all of them were left out, or one where it cannot be told which it names.
    fn lacks_models_of(&self, path: &[String], tree: &Node) -> bool {
        let is_list = tree.get(path).is_some_and(|node| !node.texts().is_empty());
        let longest = if is_list { 1 } else { 2 };
        let is_lacked = |left: &Vec<String>| left.len() <= longest && left[0] == "models";
        names_models(path) && self.left_out.iter().any(is_lacked)
    }

    /// Tells whether a key of the same table, or of the table itself, was left out, which a rule may speak of.
    fn lacks_neighbour_of(&self, path: &[String]) -> bool {
        let table = |path: &[String]| path.split_last().map(|(_, table)| table.to_vec());
        // The values of a list say nothing of each other.
        let is_key =
            |path: &[String]| path.last().is_some_and(|piece| piece.parse::<usize>().is_err());
        let is_near = |left: &Vec<String>| {
            let of_left = table(left);
            of_left.as_deref() == Some(path)
                || (path.len() > 2 && is_key(path) && of_left == table(path))
        };
        self.left_out.iter().any(|left| is_key(left) && is_near(left))
    }
}

/// Tells whether a key's value is a list of models.
fn names_models(path: &[String]) -> bool {
    match path {
        [streams, _, models] => streams == "streams" && models == "models",
        [aws, fifo] => aws == "aws" && fifo == "fifo",
        _ => false,
    }
}
