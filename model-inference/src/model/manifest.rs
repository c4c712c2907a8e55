//! The manifest beside an ONNX file: what the file does not say about itself (`docs/models.md`).

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use services::ModelName;

use super::ModelError;
use super::metadata::parse_names;
use crate::postprocess::Head;
use crate::postprocess::ssd::{BoxFormat, BoxUnit};
use crate::preprocess::{ColourOrder, Fit};

/// What a manifest says. Every key may be left out.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// What the model is called where no configuration names it.
    #[serde(default)]
    pub name: Option<ModelName>,
    /// The version that rows carry instead of the file's content hash.
    #[serde(default)]
    pub version: Option<String>,
    /// The task.
    #[serde(default)]
    pub task: Option<Task>,
    /// Width and height of the input in pixels.
    #[serde(default)]
    pub input_size: Option<(u32, u32)>,
    /// The order of the colour planes.
    #[serde(default)]
    pub colour: ColourOrder,
    /// The factor that makes a byte a value; 1/255 when absent.
    #[serde(default)]
    pub scale: Option<f32>,
    /// What is taken from each scaled value, in red, green, blue order.
    #[serde(default)]
    pub mean: Option<[f32; 3]>,
    /// What each value is divided by after that, in red, green, blue order.
    #[serde(default)]
    pub std: Option<[f32; 3]>,
    /// How pictures are fitted into the input.
    #[serde(default)]
    pub resize: Option<Fit>,
    /// How the outputs are read.
    #[serde(default)]
    pub head: Option<Head>,
    /// The labels, or a file with one label a line beside the manifest.
    #[serde(default)]
    pub labels: Option<Labels>,
    /// When a detection counts.
    #[serde(default)]
    pub thresholds: Thresholds,
    /// Classes that a classification answers with.
    #[serde(default)]
    pub top_k: Option<usize>,
    /// Whether only boxes of the same class suppress each other.
    #[serde(default)]
    pub class_aware: Option<bool>,
    /// Most detections of one picture.
    #[serde(default)]
    pub max_detections: Option<usize>,
    /// How the boxes of an `ssd` head are written.
    #[serde(default)]
    pub ssd: SsdKeys,
}

/// The task of a model, in ultralytics' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Boxes.
    Detect,
    /// Classes of the whole picture.
    Classify,
}

/// When a detection counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// Scores up to this are dropped.
    #[serde(default)]
    pub score: Option<f32>,
    /// Boxes that overlap more than this are one.
    #[serde(default)]
    pub iou: Option<f32>,
}

/// How the boxes of an `ssd` head are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SsdKeys {
    /// The order of a box's numbers.
    #[serde(default)]
    pub boxes: BoxFormat,
    /// Their unit.
    #[serde(default)]
    pub unit: BoxUnit,
    /// Whether the first column of the scores is the background's; told by the number of labels when absent.
    #[serde(default)]
    pub background: Option<bool>,
}

/// Labels in the manifest or in a file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a list of labels or the name of a file with one label a line")]
pub enum Labels {
    /// The labels themselves.
    List(Vec<String>),
    /// A file beside the manifest: one label a line, or the whole of it as ultralytics' `names`.
    File(PathBuf),
}

/// Labels with the place they were found at, for errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedLabels {
    /// The labels in the order of the classes.
    pub labels: Vec<String>,
    /// `labels.txt`, `model.toml` or `the metadata`.
    pub place: String,
}

impl Manifest {
    /// Reads a model's manifest: `explicit`, else `<file>.toml` or `model.toml` beside the file, else an empty
    /// one. Gives the path it was found at.
    ///
    /// # Errors
    /// When `explicit` is missing, or a manifest is unreadable or malformed.
    pub fn find(
        model: &Path,
        explicit: Option<&Path>,
    ) -> Result<(Self, Option<PathBuf>), ModelError> {
        let beside = || {
            let candidates = [model.with_extension("toml"), model.with_file_name("model.toml")];
            candidates.into_iter().find(|path| path.is_file())
        };
        match explicit.map(Path::to_owned).or_else(beside) {
            Some(path) => Ok((Self::read(&path)?, Some(path))),
            None => Ok((Self::default(), None)),
        }
    }

    /// Reads the manifest at `path`.
    ///
    /// # Errors
    /// When it is unreadable or malformed: the error names line, key, what was found and what was wanted.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        let text = read_text("manifest", path)?;
        let refuse = |cause| ModelError::Manifest { path: path.to_owned(), cause };
        let manifest: Self =
            toml::from_str(&text).map_err(|error| refuse(explain(&text, &error)))?;
        manifest.check().map_err(refuse)?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), String> {
        let fraction = |key: &str, value: Option<f32>| match value {
            Some(value) if !(0.0..=1.0).contains(&value) => {
                Err(format!("thresholds.{key} is {value}, expected 0 to 1"))
            }
            _ => Ok(()),
        };
        fraction("score", self.thresholds.score)?;
        fraction("iou", self.thresholds.iou)?;
        let numbers = self.mean.iter().chain(&self.std).flatten().chain(&self.scale);
        if numbers.into_iter().any(|value| !value.is_finite()) {
            return Err("scale, mean and std have to be finite numbers".into());
        }
        if self.std.is_some_and(|std| std.contains(&0.0)) {
            return Err("std has a 0, expected numbers to divide by".into());
        }
        let counts = [("top_k", self.top_k), ("max_detections", self.max_detections)];
        match counts.iter().find(|(_, count)| *count == Some(0)) {
            Some((key, _)) => Err(format!("{key} is 0, expected at least 1")),
            None => Ok(()),
        }
    }

    /// The labels that the manifest gives or names, `path` being the manifest's own.
    ///
    /// # Errors
    /// When the file it names cannot be read.
    pub fn labels(&self, path: Option<&Path>) -> Result<Option<NamedLabels>, ModelError> {
        let file_name = |path: &Path| {
            path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
        };
        match &self.labels {
            None => Ok(None),
            Some(Labels::List(labels)) => Ok(Some(NamedLabels {
                labels: labels.clone(),
                place: path.map_or_else(|| "the manifest".into(), file_name),
            })),
            Some(Labels::File(file)) => {
                let folder = path.and_then(Path::parent).unwrap_or(Path::new(""));
                let text = read_text("labels", &folder.join(file))?;
                Ok(Some(NamedLabels { labels: label_lines(&text), place: file_name(file) }))
            }
        }
    }

    /// Factor and summand that make a byte a value, in red, green, blue order.
    pub fn normalisation(&self) -> ([f32; 3], [f32; 3]) {
        let scale = self.scale.unwrap_or(1.0 / 255.0);
        let (mean, std) = (self.mean.unwrap_or([0.0; 3]), self.std.unwrap_or([1.0; 3]));
        let summand = |i: usize| -mean[i] / std[i];
        (std.map(|std| scale / std), [summand(0), summand(1), summand(2)])
    }
}

fn read_text(what: &'static str, path: &Path) -> Result<String, ModelError> {
    fs::read_to_string(path).map_err(|cause| ModelError::Read {
        what,
        path: path.to_owned(),
        cause,
    })
}

/// Takes one label a line; the last empty lines do not count.
fn label_lines(text: &str) -> Vec<String> {
    parse_names(text)
        .unwrap_or_else(|| text.trim_end().lines().map(|line| line.trim().to_owned()).collect())
}

/// Says where in `text` the error is: `line 3: …`.
fn explain(text: &str, error: &toml::de::Error) -> String {
    let message = error.message().trim();
    match error.span() {
        Some(span) => {
            let before = text.get(..span.start).unwrap_or(text);
            let number = before.matches('\n').count() + 1;
            let line = text.lines().nth(number - 1).unwrap_or("").trim();
            format!("line {number}, `{line}`: {message}")
        }
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Manifest, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.toml");
        fs::write(&path, text).unwrap();
        Manifest::read(&path).map_err(|error| {
            error.to_string().split_once("model.toml\": ").expect("the file is named").1.to_owned()
        })
    }

    #[test]
    fn a_full_manifest_is_read() {
        let manifest = read(
            r#"
            name = "fastestdet"
            version = "7"
            task = "detect"
            input_size = [352, 352]
            colour = "bgr"
            scale = 1.0
            mean = [123.0, 117.0, 104.0]
            std = [58.0, 57.0, 57.0]
            resize = "stretch"
            head = "fastestdet"
            labels = "coco.names"
            thresholds = { score = 0.65, iou = 0.45 }
            top_k = 3
            class_aware = false
            max_detections = 100
            ssd = { boxes = "yxyx", unit = "pixel", background = true }
            "#,
        )
        .unwrap();
        assert_eq!(manifest.head, Some(Head::Fastestdet));
        assert_eq!(manifest.labels, Some(Labels::File("coco.names".into())));
        assert_eq!(manifest.thresholds.score, Some(0.65));
    }

    #[test]
    fn errors_name_the_line_the_key_and_what_was_wanted() {
        let cases = [
            (
                "colour = \"rgb\"\nhaed = \"yolov8\"",
                &["line 2", "haed", "expected one of", "`head`"][..],
            ),
            ("head = \"yolov9\"", &["line 1", "head", "yolov9", "`yolov8`"]),
            ("labels = 5", &["line 1", "labels", "a list of labels or the name of a file"]),
            ("input_size = 640", &["line 1", "input_size", "640"]),
            ("head = ", &["line 1"]),
            ("thresholds = { score = 1.5 }", &["thresholds.score is 1.5, expected 0 to 1"]),
            ("std = [1.0, 0.0, 1.0]", &["std has a 0"]),
            ("top_k = 0", &["top_k is 0, expected at least 1"]),
        ];
        for (text, parts) in cases {
            let error = read(text).unwrap_err();
            for part in parts {
                assert!(error.contains(part), "{text:?}: {part:?} is not in {error:?}");
            }
        }
    }

    #[test]
    fn the_manifest_named_after_the_file_is_taken_first() {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("gate.onnx");
        assert_eq!(Manifest::find(&model, None).unwrap(), (Manifest::default(), None));
        fs::write(folder.path().join("model.toml"), "top_k = 1").unwrap();
        assert_eq!(Manifest::find(&model, None).unwrap().0.top_k, Some(1));
        fs::write(folder.path().join("gate.toml"), "top_k = 2").unwrap();
        assert_eq!(Manifest::find(&model, None).unwrap().0.top_k, Some(2));
        assert!(Manifest::find(&model, Some(Path::new("/nowhere.toml"))).is_err());
    }

    #[test]
    fn labels_lie_in_a_file_beside_the_manifest() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("labels.txt"), "person\r\nbicycle \n\n").unwrap();
        let manifest =
            Manifest { labels: Some(Labels::File("labels.txt".into())), ..Manifest::default() };
        let labels = manifest.labels(Some(&folder.path().join("model.toml"))).unwrap().unwrap();
        let expected = ["person", "bicycle"].map(String::from).to_vec();
        assert_eq!(labels, NamedLabels { labels: expected, place: "labels.txt".into() });
    }

    #[test]
    fn normalisation_is_folded_into_a_factor_and_a_summand() {
        let manifest = Manifest {
            scale: Some(1.0),
            mean: Some([10.0, 20.0, 30.0]),
            std: Some([2.0, 4.0, 5.0]),
            ..Manifest::default()
        };
        assert_eq!(manifest.normalisation(), ([0.5, 0.25, 0.2], [-5.0, -5.0, -6.0]));
    }
}
