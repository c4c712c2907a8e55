//! How a model was understood, for people: what was told by the manifest or the file, and what was guessed.

use std::fmt::Write as _;

use super::manifest::Manifest;
use super::metadata::Metadata;
use crate::preprocess::InputFormat;

/// Labels that are shown before the rest is only counted.
const SHOWN_LABELS: usize = 5;

/// What one model came to, beside what it was made of.
pub(super) struct Understood<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) metadata: &'a Metadata,
    pub(super) input: &'a InputFormat,
    /// Pictures per run.
    pub(super) window: u32,
    /// The head's name, and the outputs' names and shapes.
    pub(super) head: &'a str,
    pub(super) outputs: String,
    pub(super) labels: &'a [String],
    /// Scores up to this are dropped, boxes that overlap by more are one.
    pub(super) score: f32,
    pub(super) iou: f32,
}

impl Understood<'_> {
    /// One line for each of head, size, colour, scale, labels and thresholds, with where it comes from.
    pub(super) fn lines(&self) -> String {
        let rows = [
            ("head", self.head()),
            ("input", self.size()),
            ("colour", self.colour()),
            ("values", self.values()),
            ("fit", self.fit()),
            ("labels", self.labels()),
            ("thresholds", self.thresholds()),
        ];
        let mut text = String::new();
        for (name, words) in rows {
            writeln!(text, "  {name:<10}  {words}").expect("a string takes all");
        }
        text.trim_end().to_owned()
    }

    fn head(&self) -> String {
        let origin = match (self.manifest.head, self.manifest.task) {
            (Some(_), _) => TOLD,
            (None, _) if self.head != "classification" => "guessed by the outputs",
            (None, Some(_)) => "by the manifest's task",
            (None, None) => "by the file's task",
        };
        format!("{}, {origin}: {}", self.head, self.outputs)
    }

    fn size(&self) -> String {
        let pictures =
            if self.window == 1 { String::new() } else { format!(", {} pictures", self.window) };
        format!("{} x {} pixels{pictures}", self.input.width, self.input.height)
    }

    fn colour(&self) -> String {
        let name = format!("{:?}", self.input.order).to_lowercase();
        format!("{name}, {}", told(self.manifest.colour.is_some()))
    }

    fn values(&self) -> String {
        let manifest = self.manifest;
        let is_told = manifest.scale.is_some() || manifest.mean.is_some() || manifest.std.is_some();
        let [low, high] = [0.0, 255.0].map(|byte| {
            let value = |plane: usize| byte * self.input.scale[plane] + self.input.shift[plane];
            [value(0), value(1), value(2)]
        });
        format!("{} for black to {} for white, {}", plain(low), plain(high), told(is_told))
    }

    fn fit(&self) -> String {
        let name = format!("{:?}", self.input.fit).to_lowercase();
        let origin =
            if self.manifest.resize.is_some() { TOLD } else { "guessed: usual for the head" };
        format!("{name}, {origin}")
    }

    fn labels(&self) -> String {
        let origin = match (&self.manifest.labels, &self.metadata.labels) {
            (Some(_), _) => TOLD,
            (None, Some(_)) => "by the file",
            (None, None) => "numbered: neither manifest nor file names them",
        };
        let shown = self.labels.iter().take(SHOWN_LABELS).map(String::as_str);
        let more = if self.labels.len() > SHOWN_LABELS { ", …" } else { "" };
        let shown: Vec<&str> = shown.collect();
        format!("{} ({}{more}), {origin}", self.labels.len(), shown.join(", "))
    }

    fn thresholds(&self) -> String {
        let thresholds = &self.manifest.thresholds;
        let usual = |is_told: bool| if is_told { TOLD } else { "as usual" };
        format!(
            "scores above {}, {}; boxes that overlap by more than {} are one, {}",
            self.score,
            usual(thresholds.score.is_some()),
            self.iou,
            usual(thresholds.iou.is_some()),
        )
    }
}

const TOLD: &str = "by the manifest";

fn told(is_told: bool) -> &'static str {
    if is_told { TOLD } else { "guessed" }
}

/// One number where all planes have the same.
fn plain(planes: [f32; 3]) -> String {
    let shown = planes
        .map(|value| format!("{value:.3}").trim_end_matches('0').trim_end_matches('.').to_owned());
    if shown.iter().all(|value| *value == shown[0]) {
        shown[0].clone()
    } else {
        format!("[{}]", shown.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::{ColourOrder, Fit};

    fn lines(manifest: &Manifest, metadata: &Metadata) -> String {
        let (scale, shift) = manifest.normalisation();
        let order = manifest.colour.unwrap_or_default();
        let input =
            InputFormat { width: 320, height: 192, fit: Fit::Letterbox, order, scale, shift };
        let labels = ["circle", "square"].map(str::to_owned);
        let (head, outputs) = ("yolov8", "\"output0\" [1, 6, 1260]".to_owned());
        let (window, score, iou) = (1, 0.25, 0.45);
        let labels = &labels;
        let input = &input;
        Understood { manifest, metadata, input, window, head, outputs, labels, score, iou }.lines()
    }

    #[test]
    fn what_nobody_tells_is_said_to_be_guessed() {
        assert_eq!(
            lines(&Manifest::default(), &Metadata::default()),
            "  head        yolov8, guessed by the outputs: \"output0\" [1, 6, 1260]\n  \
             input       320 x 192 pixels\n  \
             colour      rgb, guessed\n  \
             values      0 for black to 1 for white, guessed\n  \
             fit         letterbox, guessed: usual for the head\n  \
             labels      2 (circle, square), numbered: neither manifest nor file names them\n  \
             thresholds  scores above 0.25, as usual; boxes that overlap by more than 0.45 are one, as usual"
        );
    }

    #[test]
    fn what_the_manifest_tells_is_said_to_be_its_own() {
        let manifest = Manifest {
            colour: Some(ColourOrder::Bgr),
            mean: Some([0.5, 0.25, 0.5]),
            ..Manifest::default()
        };
        let said =
            lines(&manifest, &Metadata { task: Some("detect".into()), ..Metadata::default() });
        for words in [
            "head        yolov8, guessed by the outputs",
            "colour      bgr, by the manifest",
            "values      [-0.5, -0.25, -0.5] for black to [0.5, 0.75, 0.5] for white, by the manifest",
        ] {
            assert!(said.contains(words), "{words:?} in\n{said}");
        }
    }
}
