//! How one model's outputs become detections: head, labels and thresholds, settled when the model is loaded.

use services::counted;

use super::manifest::{Manifest, NamedLabels, Task};
use super::metadata::Metadata;
use super::scores::Scores;
use super::{Detection, Region};
use crate::postprocess::ssd::Layout;
use crate::postprocess::{
    Candidate, Head, Suppression, Tensor, TensorShape, classify, end2end, fastestdet, list, nms,
    ssd, yolo,
};
use crate::preprocess::{Fit, Placement};

const DEFAULT_SCORE: f32 = 0.25;
const DEFAULT_IOU: f32 = 0.45;
const DEFAULT_MAX_DETECTIONS: usize = 300;
const DEFAULT_TOP_K: usize = 5;

/// A head with all that it needs, checked against the shapes of the outputs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reading {
    decoder: Decoder,
    labels: Vec<String>,
    score: f32,
    top_k: usize,
    suppression: Suppression,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Decoder {
    Classification(Scores),
    Yolov5,
    Yolov8,
    End2end,
    Ssd(Layout, ssd::Reading),
    Fastestdet,
}

impl Reading {
    /// Settles how outputs of these shapes are read; the manifest's word counts before the metadata's, and before what
    /// the graph says of a classification's scores.
    ///
    /// # Errors
    /// When head and shapes, or labels and classes, do not fit each other: both are named.
    pub(super) fn new(
        manifest: &Manifest,
        metadata: &Metadata,
        labels: Option<NamedLabels>,
        outputs: &[TensorShape],
        scores: Option<Scores>,
    ) -> Result<Self, String> {
        let from_metadata = |labels| NamedLabels { labels, place: "the metadata".into() };
        let labels = labels.or_else(|| metadata.labels.clone().map(from_metadata));
        let head = head(manifest, metadata, labels.as_ref(), outputs)?;
        let columns = head.classes(outputs).map_err(|mismatch| mismatch.to_string())?;
        let scores = manifest.scores.or(scores);
        let decoder = decoder(head, manifest, labels.as_ref(), outputs, scores)?;
        let classes = match decoder {
            Decoder::Ssd(layout, reading) => Some(layout.classes - usize::from(reading.background)),
            _ => columns,
        };
        let suppression = Suppression {
            iou: manifest.thresholds.iou.unwrap_or(DEFAULT_IOU),
            class_aware: manifest.class_aware.unwrap_or(true),
            max_detections: manifest.max_detections.unwrap_or(DEFAULT_MAX_DETECTIONS),
        };
        let usual_score = if head == Head::Classification { 0.0 } else { DEFAULT_SCORE };
        Ok(Self {
            decoder,
            labels: settle_labels(labels, classes, outputs)?,
            score: manifest.thresholds.score.unwrap_or(usual_score),
            top_k: manifest.top_k.unwrap_or(DEFAULT_TOP_K),
            suppression,
        })
    }

    /// The head's name, as a manifest writes it.
    pub(super) fn head_name(&self) -> &'static str {
        match self.decoder {
            Decoder::Classification(_) => "classification",
            Decoder::Yolov5 => "yolov5",
            Decoder::Yolov8 => "yolov8",
            Decoder::End2end => "end2end",
            Decoder::Ssd(..) => "ssd",
            Decoder::Fastestdet => "fastestdet",
        }
    }

    /// The labels of all classes.
    pub(super) fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Scores up to the first are dropped; boxes that overlap by more than the second are one.
    pub(super) fn thresholds(&self) -> (f32, f32) {
        (self.score, self.suppression.iou)
    }

    /// How pictures are usually fitted in for this head.
    pub(super) fn usual_fit(&self) -> Fit {
        match self.decoder {
            Decoder::Classification(_) => Fit::Crop,
            Decoder::Fastestdet | Decoder::Ssd(..) => Fit::Stretch,
            Decoder::Yolov5 | Decoder::Yolov8 | Decoder::End2end => Fit::Letterbox,
        }
    }

    /// Reads the outputs of a run on a picture that was placed in an input of `size`.
    ///
    /// # Errors
    /// When an output has not a single finite value, or a classification's one that is not, or that is no probability
    /// where it has to be: the model computes nothing here.
    pub(super) fn detections(
        &self,
        outputs: &[Tensor<'_>],
        size: (f32, f32),
        placement: &Placement,
    ) -> Result<Vec<Detection>, String> {
        let void = |output: &Tensor<'_>| {
            !output.values.is_empty() && !output.values.iter().any(|value| value.is_finite())
        };
        if let Some(i) = outputs.iter().position(void) {
            return Err(format!("output {i} has no finite value"));
        }
        if let Decoder::Classification(scores) = self.decoder {
            let ranked = classify::top(outputs[0], scores, self.top_k, self.score)?;
            return Ok(ranked
                .into_iter()
                .map(|(class, score)| self.detection(class, score, None))
                .collect());
        }
        let candidates = self.candidates(outputs, size);
        let kept = self.suppress(candidates);
        if kept.unsound > 0 {
            tracing::debug!(
                dropped = kept.unsound,
                "model gave boxes that are not finite or empty"
            );
        }
        let restored = kept.candidates.iter().filter_map(|candidate| {
            let region = placement.restore(candidate.corners)?;
            Some(self.detection(candidate.class_id, candidate.score.min(1.0), Some(region)))
        });
        Ok(restored.collect())
    }

    fn candidates(&self, outputs: &[Tensor<'_>], size: (f32, f32)) -> Vec<Candidate> {
        match self.decoder {
            Decoder::Classification(_) => Vec::new(),
            Decoder::Yolov5 => yolo::candidates_v5(outputs[0], self.score),
            Decoder::Yolov8 => yolo::candidates_v8(outputs[0], self.score),
            Decoder::End2end => end2end::candidates(outputs[0], self.labels.len(), self.score),
            Decoder::Ssd(layout, reading) => {
                let (boxes, scores) = (outputs[layout.boxes], outputs[layout.scores]);
                ssd::candidates(boxes, scores, reading, size, self.score)
            }
            Decoder::Fastestdet => fastestdet::candidates(outputs[0], size, self.score),
        }
    }

    fn suppress(&self, candidates: Vec<Candidate>) -> nms::Kept {
        if self.decoder != Decoder::End2end {
            return self.suppression.apply(candidates);
        }
        let mut kept = nms::ranked(candidates);
        kept.candidates.truncate(self.suppression.max_detections);
        kept
    }

    fn detection(&self, class_id: u32, score: f32, region: Option<Region>) -> Detection {
        let label = self.labels.get(class_id as usize).cloned();
        let label = label.unwrap_or_else(|| numbered(class_id as usize));
        Detection { class_id, label, score, region, extra: None }
    }
}

fn numbered(class: usize) -> String {
    format!("class_{class}")
}

fn head(
    manifest: &Manifest,
    metadata: &Metadata,
    labels: Option<&NamedLabels>,
    outputs: &[TensorShape],
) -> Result<Head, String> {
    if let Some(head) = manifest.head {
        return Ok(head);
    }
    let classify = match (manifest.task, metadata.task.as_deref()) {
        (Some(task), _) => task == Task::Classify,
        (None, None | Some("detect")) => false,
        (None, Some("classify")) => true,
        (None, Some(task)) => {
            return Err(format!("its task is {task:?}, expected \"detect\" or \"classify\""));
        }
    };
    if classify {
        return Ok(Head::Classification);
    }
    let count = labels.map(|labels| labels.labels.len());
    // A head that fits but for the number of labels is the better guess: the error then names the labels.
    Head::infer(outputs, count).or_else(|| Head::infer(outputs, None)).ok_or_else(|| {
        format!(
            "no head is known for the outputs {}: name one as `head` in the manifest",
            list(outputs)
        )
    })
}

fn decoder(
    head: Head,
    manifest: &Manifest,
    labels: Option<&NamedLabels>,
    outputs: &[TensorShape],
    scores: Option<Scores>,
) -> Result<Decoder, String> {
    Ok(match head {
        Head::Classification => Decoder::Classification(scores.ok_or_else(|| {
            format!(
                "output {} may hold probabilities or logits, and its operators do not tell: say `scores = \
                 \"probabilities\"` or `scores = \"logits\"` in the manifest",
                list(outputs)
            )
        })?),
        Head::Yolov5 => Decoder::Yolov5,
        Head::Yolov8 => Decoder::Yolov8,
        Head::End2end => Decoder::End2end,
        Head::Fastestdet => Decoder::Fastestdet,
        Head::Ssd => {
            let layout = Layout::find(outputs).expect("the head's shapes are checked before");
            let by_count =
                || labels.is_some_and(|labels| labels.labels.len() + 1 == layout.classes);
            let background = manifest.ssd.background.unwrap_or_else(by_count);
            let (format, unit) = (manifest.ssd.boxes, manifest.ssd.unit);
            Decoder::Ssd(layout, ssd::Reading { format, unit, background })
        }
    })
}

/// Checks that there is a label for each class; without any, classes are numbered.
fn settle_labels(
    labels: Option<NamedLabels>,
    classes: Option<usize>,
    outputs: &[TensorShape],
) -> Result<Vec<String>, String> {
    match (labels, classes) {
        (Some(named), Some(classes)) if named.labels.len() != classes => Err(format!(
            "{} has {}, output {} has {classes} class{}",
            named.place,
            counted(named.labels.len(), "label"),
            list(outputs),
            if classes == 1 { "" } else { "es" }
        )),
        (Some(named), _) => Ok(named.labels),
        (None, Some(classes)) => Ok((0..classes).map(numbered).collect()),
        (None, None) => {
            Err(format!("output {} does not tell its classes: labels are needed", list(outputs)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postprocess::shapes;

    fn labels(n: usize) -> Option<NamedLabels> {
        let labels = (0..n).map(|i| format!("thing {i}")).collect();
        Some(NamedLabels { labels, place: "labels.txt".into() })
    }

    fn reading(n: Option<usize>, outputs: &[&[usize]]) -> Result<Reading, String> {
        let labels = n.and_then(labels);
        Reading::new(&Manifest::default(), &Metadata::default(), labels, &shapes(outputs), None)
    }

    #[test]
    fn a_wrong_number_of_labels_is_named_with_both_counts() {
        assert_eq!(
            reading(Some(79), &[&[1, 84, 8400]]).unwrap_err(),
            "labels.txt has 79 labels, output \"output0\" [1, 84, 8400] has 80 classes"
        );
    }

    #[test]
    fn channels_may_be_more_than_anchors() {
        let wide: &[&[usize]] = &[&[1, 605, 525]];
        assert_eq!(reading(Some(601), wide).unwrap().decoder, Decoder::Yolov8);
        let manifest = Manifest { head: Some(Head::Yolov8), ..Manifest::default() };
        let metadata = Metadata::default();
        let told = Reading::new(&manifest, &metadata, None, &shapes(wide), None).unwrap();
        assert_eq!((told.decoder, told.labels.len()), (Decoder::Yolov8, 601));
    }

    #[test]
    fn a_grid_that_nobody_names_is_not_read() {
        assert_eq!(
            reading(None, &[&[1, 21, 64, 96]]).unwrap_err(),
            "no head is known for the outputs \"output0\" [1, 21, 64, 96]: name one as `head` in the manifest"
        );
    }

    #[test]
    fn a_task_that_has_no_head_is_named() {
        let metadata = Metadata { task: Some("pose".into()), ..Metadata::default() };
        let outputs = shapes(&[&[1, 56, 8400]]);
        let error =
            Reading::new(&Manifest::default(), &metadata, labels(1), &outputs, None).unwrap_err();
        assert_eq!(error, "its task is \"pose\", expected \"detect\" or \"classify\"");
    }

    #[test]
    fn a_classification_that_may_be_read_in_two_ways_is_not_guessed() {
        let classify = |scores, told| {
            let manifest = Manifest { scores, task: Some(Task::Classify), ..Manifest::default() };
            let outputs = shapes(&[&[1, 3]]);
            Reading::new(&manifest, &Metadata::default(), None, &outputs, told)
                .map(|reading| reading.decoder)
        };
        let error = classify(None, None).unwrap_err();
        assert!(error.contains("probabilities or logits"), "{error}");
        let (probabilities, logits) = (Some(Scores::Probabilities), Some(Scores::Logits));
        assert_eq!(classify(None, logits), Ok(Decoder::Classification(Scores::Logits)));
        let word = Ok(Decoder::Classification(Scores::Probabilities));
        assert_eq!(classify(probabilities, logits), word, "the manifest's word counts");
    }

    #[test]
    fn classes_without_labels_are_numbered_where_the_shape_tells_how_many() {
        assert_eq!(reading(None, &[&[1, 6, 100]]).unwrap().labels, ["class_0", "class_1"]);
        assert!(reading(None, &[&[1, 300, 6]]).unwrap_err().contains("labels are needed"));
    }

    #[test]
    fn the_background_of_an_ssd_is_told_by_the_number_of_labels() {
        let background = |n| match reading(n, &[&[1, 9, 3], &[1, 9, 4]]).unwrap().decoder {
            Decoder::Ssd(_, reading) => reading.background,
            decoder => panic!("{decoder:?}"),
        };
        assert!(background(Some(2)));
        assert!(!background(Some(3)));
        assert!(!background(None));
        assert!(reading(Some(5), &[&[1, 9, 3], &[1, 9, 4]]).is_err());
    }

    #[test]
    fn an_output_without_a_finite_value_is_an_error_not_an_empty_answer() {
        let reading = reading(Some(2), &[&[1, 6, 8]]).unwrap();
        let placement = Placement::new(Fit::Stretch, (8, 8), (8, 8)).unwrap();
        let output = Tensor { shape: &[1, 6, 8], values: &[f32::NAN; 48] };
        let error = reading.detections(&[output], (8.0, 8.0), &placement).unwrap_err();
        assert_eq!(error, "output 0 has no finite value");
    }

    #[test]
    fn boxes_come_back_to_the_picture_with_their_labels() {
        let reading = reading(Some(2), &[&[1, 6, 8]]).unwrap();
        let placement = Placement::new(Fit::Letterbox, (200, 100), (100, 100)).unwrap();
        let mut values = [0.0; 48];
        for (row, value) in [50.0, 50.0, 20.0, 25.0, 0.1, 0.9].into_iter().enumerate() {
            values[row * 8] = value;
        }
        let output = Tensor { shape: &[1, 6, 8], values: &values };
        let found = reading.detections(&[output], (100.0, 100.0), &placement).unwrap();
        let region = Region { x: 0.4, y: 0.25, w: 0.2, h: 0.5 };
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].label.as_str(), found[0].region), ("thing 1", Some(region)));
    }
}
