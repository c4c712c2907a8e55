//! An algorithm with a set run time that finds nothing: for load tests of everything around a model.

use std::thread;
use std::time::Duration;

use media::RgbImage;
use services::ModelName;
use services::config::Span;

use super::{Algorithm, Detection, Model, ModelError};

struct Sleep(Duration);

impl Algorithm for Sleep {
    fn run(&mut self, _pictures: &[RgbImage]) -> Result<Vec<Detection>, ModelError> {
        thread::sleep(self.0);
        Ok(Vec::new())
    }
}

/// Makes the model `sleep:DURATION`.
///
/// # Errors
/// When `duration` is none.
pub(super) fn model(name: ModelName, duration: &str) -> Result<Model, ModelError> {
    let parsed = toml::Value::String(duration.to_owned()).try_into::<Span>();
    let span = parsed.map_err(|_| {
        ModelError::Unknown(format!(
            "algorithm \"sleep:{duration}\" has no duration such as \"20ms\" after its colon"
        ))
    })?;
    let duration = span.duration();
    let version = format!("sleep-{span}");
    let model = Model::new(name, version, move || Ok(Box::new(Sleep(duration))))?;
    Ok(model.needing(|_| Some((8, 8))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_read_or_refused_in_words() {
        let name = ModelName::new("nap").unwrap();
        assert_eq!(model(name.clone(), "20ms").unwrap().version, "sleep-20ms");
        let error = model(name, "long").unwrap_err();
        assert!(error.to_string().contains("sleep:long"), "{error}");
    }
}
