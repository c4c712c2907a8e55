//! What can be asked about frames: named, versioned algorithms, ONNX files being one kind.

pub mod algorithm;
pub mod circles;
pub mod manifest;
pub mod metadata;
mod mistaken;
pub mod onnx;
mod reading;
pub mod scores;
pub mod sleep;
mod understood;

use std::path::PathBuf;

use services::config::ModelConfig;
use services::{ModelName, counted};

pub use algorithm::{Algorithm, Model, PictureSize};
pub use services::{Detection, Region};

/// A model that cannot be loaded or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A file of the model is missing or unreadable.
    #[error("read {what} {path:?}: {cause}")]
    Read {
        /// What the file is: `model`, `manifest`, `labels`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it could not be read.
        cause: std::io::Error,
    },
    /// The manifest is not what `docs/models.md` describes.
    #[error("read manifest {path:?}: {cause}")]
    Manifest {
        /// The manifest file.
        path: PathBuf,
        /// Line, key, what was found and what was wanted.
        cause: String,
    },
    /// The ONNX file and its manifest do not make a model that can be run here.
    #[error("load model {path:?}: {cause}")]
    Load {
        /// The ONNX file.
        path: PathBuf,
        /// What came and what was expected.
        cause: String,
    },
    /// The configuration names an algorithm that does not exist, or contradicts itself or the model.
    #[error("load model: {0}")]
    Unknown(String),
    /// A run failed.
    #[error("run model: {0}")]
    Run(String),
}

/// Loads the model that a section of the configuration asks for.
///
/// Takes seconds for an ONNX file, as its graph is optimised: not for an async task.
///
/// # Errors
/// When a file is missing or malformed, when the tensors do not fit the head, the labels the classes, or the frames
/// per run the model.
pub fn load(name: &ModelName, config: &ModelConfig) -> Result<Model, ModelError> {
    let model = match (&config.path, &config.algorithm) {
        (Some(path), None) => {
            onnx::load(name, path, config.manifest.as_deref(), config.max_bytes.bytes())
        }
        (None, Some(algorithm)) => built_in(name, algorithm),
        _ => Err(ModelError::Unknown(format!(
            "{name:?} has both or neither of `path` and `algorithm`, expected one"
        ))),
    }?;
    let (takes, wanted) = (model.window, config.sample.frames);
    if takes != wanted {
        return Err(ModelError::Unknown(format!(
            "{name} takes {} per run, the configuration has `sample.frames` = {wanted}",
            counted(takes, "frame")
        )));
    }
    Ok(model)
}

fn built_in(name: &ModelName, algorithm: &str) -> Result<Model, ModelError> {
    let (kind, argument) = algorithm.split_once(':').unwrap_or((algorithm, ""));
    match (kind, argument) {
        ("circles", "") => circles::model(name.clone()),
        ("sleep", duration) if !duration.is_empty() => sleep::model(name.clone(), duration),
        _ => Err(ModelError::Unknown(format!(
            "algorithm {algorithm:?} is not known, expected \"circles\" or \"sleep:DURATION\""
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(toml: &str) -> ModelConfig {
        toml::from_str(toml).unwrap()
    }

    #[test]
    fn an_unknown_algorithm_is_named() {
        let name = ModelName::new("x").unwrap();
        let error = load(&name, &config("algorithm = \"circle\"")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "load model: algorithm \"circle\" is not known, expected \"circles\" or \"sleep:DURATION\""
        );
    }

    #[test]
    fn a_number_of_frames_that_the_model_does_not_take_is_named() {
        let name = ModelName::new("x").unwrap();
        let twice = "algorithm = \"circles\"\nsample = { frames = 2 }";
        let error = load(&name, &config(twice)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "load model: x takes 1 frame per run, the configuration has `sample.frames` = 2"
        );
    }

    #[test]
    fn a_missing_model_file_is_named() {
        let name = ModelName::new("x").unwrap();
        let error = load(&name, &config("path = \"/nowhere/x.onnx\"")).unwrap_err();
        assert!(error.to_string().starts_with("read model \"/nowhere/x.onnx\": "), "{error}");
    }
}
