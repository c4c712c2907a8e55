//! The manifest beside an ONNX file: what the file does not say about itself (`docs/models.md`).

use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use services::{ModelName, config};

use super::ModelError;
use super::metadata::parse_names;
use super::scores::Scores;
use crate::postprocess::Head;
use crate::postprocess::ssd::{BoxFormat, BoxUnit};
use crate::preprocess::{ColourOrder, Fit};

/// Largest number that bytes are scaled by.
const LARGEST_FACTOR: f32 = 1e9;
/// Smallest number that they are divided by.
const SMALLEST_DIVISOR: f32 = 1e-9;

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
    pub colour: Option<ColourOrder>,
    /// The factor that makes a byte a value; 1/255 when absent.
    #[serde(default, deserialize_with = "finite")]
    pub scale: Option<f32>,
    /// What is taken from each scaled value, in red, green, blue order.
    #[serde(default, deserialize_with = "finite_each")]
    pub mean: Option<[f32; 3]>,
    /// What each value is divided by after that, in red, green, blue order.
    #[serde(default, deserialize_with = "divisors")]
    pub std: Option<[f32; 3]>,
    /// How pictures are fitted into the input.
    #[serde(default)]
    pub resize: Option<Fit>,
    /// How the outputs are read.
    #[serde(default)]
    pub head: Option<Head>,
    /// What a classification's outputs are.
    #[serde(default)]
    pub scores: Option<Scores>,
    /// The labels, or a file with one label a line beside the manifest.
    #[serde(default)]
    pub labels: Option<Labels>,
    /// When a detection counts.
    #[serde(default)]
    pub thresholds: Thresholds,
    /// Classes that a classification answers with.
    #[serde(default, deserialize_with = "positive")]
    pub top_k: Option<usize>,
    /// Whether only boxes of the same class suppress each other.
    #[serde(default)]
    pub class_aware: Option<bool>,
    /// Most detections of one picture.
    #[serde(default, deserialize_with = "positive")]
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
    #[serde(default, deserialize_with = "fraction")]
    pub score: Option<f32>,
    /// Boxes that overlap more than this are one.
    #[serde(default, deserialize_with = "fraction")]
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
        toml::from_str(&text).map_err(|error| ModelError::Manifest {
            path: path.to_owned(),
            cause: explain(&text, &error),
        })
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
                let manifest = path.unwrap_or(Path::new(""));
                let text =
                    read_text("labels", &manifest.with_file_name(file)).map_err(|error| {
                        let cause = format!("key `labels`: {error}");
                        ModelError::Manifest { path: manifest.to_owned(), cause }
                    })?;
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

/// Reads a value that has to pass `fits`, which is what `wanted` says; the parser adds the line.
fn checked<'de, D: Deserializer<'de>, T: Deserialize<'de> + fmt::Debug>(
    from: D,
    wanted: &str,
    fits: impl Fn(&T) -> bool,
) -> Result<Option<T>, D::Error> {
    let value = T::deserialize(from)?;
    if fits(&value) {
        return Ok(Some(value));
    }
    Err(D::Error::custom(format!("{value:?} came, expected {wanted}")))
}

fn fraction<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f32>, D::Error> {
    checked(from, "0 to 1", |value| (0.0..=1.0).contains(value))
}

fn finite<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f32>, D::Error> {
    checked(from, "a number within ±1e9", is_factor)
}

fn finite_each<'de, D: Deserializer<'de>>(from: D) -> Result<Option<[f32; 3]>, D::Error> {
    checked(from, "numbers within ±1e9", |values: &[f32; 3]| values.iter().all(is_factor))
}

fn divisors<'de, D: Deserializer<'de>>(from: D) -> Result<Option<[f32; 3]>, D::Error> {
    let fits =
        |values: &[f32; 3]| values.iter().all(|v| is_factor(v) && v.abs() >= SMALLEST_DIVISOR);
    checked(from, "numbers from 1e-9 to 1e9 to divide by", fits)
}

/// So that what is made of a byte by all of them is finite, too.
fn is_factor(value: &f32) -> bool {
    value.abs() <= LARGEST_FACTOR
}

fn positive<'de, D: Deserializer<'de>>(from: D) -> Result<Option<usize>, D::Error> {
    checked(from, "at least 1", |count| *count > 0)
}

fn read_text(what: &'static str, path: &Path) -> Result<String, ModelError> {
    fs::read_to_string(path).map_err(|cause| ModelError::Read {
        what,
        path: path.to_owned(),
        cause: match cause.kind() {
            io::ErrorKind::InvalidData => io::Error::other("its text is not UTF-8"),
            _ => cause,
        },
    })
}

/// Takes one label a line; the last empty lines do not count.
fn label_lines(text: &str) -> Vec<String> {
    parse_names(text)
        .unwrap_or_else(|| text.trim_end().lines().map(|line| line.trim().to_owned()).collect())
}

/// Says where in `text` the error is: `line 3: …`.
fn explain(text: &str, error: &toml::de::Error) -> String {
    let message = in_words(error.message().trim());
    match error.span() {
        Some(span) => {
            let before = text.get(..span.start).unwrap_or(text);
            let number = before.matches('\n').count() + 1;
            let line = text.lines().nth(number - 1).unwrap_or("").trim();
            format!("line {number}, `{line}`: {message}")
        }
        None => message,
    }
}

/// What serde says, in the words of a manifest.
fn in_words(message: &str) -> String {
    let message = match message.split_once(", expected ") {
        Some((found, wanted)) => format!("{found}, expected {}", config::in_words(wanted)),
        None => message.to_owned(),
    };
    message.replace("unknown field", "unknown key").replace("unknown variant", "unknown word")
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
    fn a_mistake_is_told_in_the_words_of_a_manifest() {
        for (text, words) in [
            ("thresholds = 0.5", "floating point `0.5`, expected a table"),
            ("input_size = [-1, 2]", "integer `-1`, expected a whole number that is not negative"),
            ("heads = \"yolov8\"", "unknown key `heads`, expected one of `name`"),
            ("head = \"yolov9\"", "unknown word `yolov9`, expected one of `classification`"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn text_of_another_encoding_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.toml");
        fs::write(&path, b"name = \"\xe9\"").unwrap();
        let error = Manifest::read(&path).unwrap_err().to_string();
        assert!(error.ends_with("model.toml\": its text is not UTF-8"), "{error}");
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
            scores = "logits"
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
            ("thresholds = { score = 1.5 }", &["line 1", "score", "1.5 came, expected 0 to 1"]),
            ("top_k = 1\n[thresholds]\niou = nan", &["line 3", "iou", "NaN came"]),
            ("scale = inf", &["line 1", "scale", "inf came, expected a number within"]),
            ("mean = [0.0, nan, 0.0]", &["line 1", "mean", "expected numbers within"]),
            ("\nstd = [1.0, 0.0, 1.0]", &["line 2", "std", "expected numbers from 1e-9"]),
            ("scale = 1e38", &["line 1", "scale", "expected a number within ±1e9"]),
            ("std = [1.0, 0.5, 1e-40]", &["line 1", "std", "expected numbers from 1e-9"]),
            ("top_k = 0", &["line 1", "top_k", "0 came, expected at least 1"]),
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
    fn a_missing_label_file_is_named_with_the_manifest_and_its_key() {
        let labels = Some(Labels::File("none.txt".into()));
        let manifest = Manifest { labels, ..Manifest::default() };
        let error = manifest.labels(Some(Path::new("/models/gate.toml"))).unwrap_err().to_string();
        let expected =
            "read manifest \"/models/gate.toml\": key `labels`: read labels \"/models/none.txt\": ";
        assert!(error.starts_with(expected), "{error}");
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
