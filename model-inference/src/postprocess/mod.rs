//! From a model's output tensors to detections: one file per head, and non-maximum suppression.
//!
//! Heads give [`Candidate`]s in pixels of the model's input; [`Placement`](crate::preprocess::Placement) takes
//! them back to the picture.

pub mod classify;
pub mod end2end;
pub mod fastestdet;
pub mod nms;
pub mod ssd;
pub mod yolo;

use std::fmt;

use serde::Deserialize;

pub use nms::{Candidate, Suppression};

/// How a model's outputs are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Head {
    /// `[1, classes]`: a score for each class of the whole picture.
    Classification,
    /// `[1, n, 5 + classes]`: centre, size, objectness, class scores.
    Yolov5,
    /// `[1, 4 + classes, n]`: centre, size, class scores (YOLOv8, v9, v11).
    Yolov8,
    /// `[1, n, 6]`: corners, score, class; suppressed within the model (YOLOv10, exports with NMS).
    End2end,
    /// `[1, n, 4]` boxes and `[1, n, classes]` scores.
    Ssd,
    /// `[1, 5 + classes, rows, columns]`: FastestDet's grid.
    Fastestdet,
}

impl Head {
    const ALL: [Self; 6] = [
        Self::Classification,
        Self::Fastestdet,
        Self::Ssd,
        Self::End2end,
        Self::Yolov8,
        Self::Yolov5,
    ];

    /// The head's name in a manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Classification => "classification",
            Self::Yolov5 => "yolov5",
            Self::Yolov8 => "yolov8",
            Self::End2end => "end2end",
            Self::Ssd => "ssd",
            Self::Fastestdet => "fastestdet",
        }
    }

    /// The shapes that the head reads, in words.
    pub fn expects(self) -> &'static str {
        match self {
            Self::Classification => "[1, classes]",
            Self::Yolov5 => "[1, n, 5 + classes]",
            Self::Yolov8 => "[1, 4 + classes, n]",
            Self::End2end => "[1, n, 6]",
            Self::Ssd => "[1, n, 4] and [1, n, classes]",
            Self::Fastestdet => "[1, 5 + classes, rows, columns]",
        }
    }

    /// The number of classes that outputs of these shapes speak of; `None` when the shapes do not tell.
    ///
    /// # Errors
    /// When the shapes are not the head's.
    pub fn classes(self, outputs: &[TensorShape]) -> Result<Option<usize>, ShapeMismatch> {
        let classes = match self {
            Self::Classification => classify::classes(outputs).map(Some),
            Self::Yolov5 => yolo::classes_v5(outputs).map(Some),
            Self::Yolov8 => yolo::classes_v8(outputs).map(Some),
            Self::End2end => end2end::fits(outputs).then_some(None),
            Self::Ssd => ssd::Layout::find(outputs).map(|layout| Some(layout.classes)),
            Self::Fastestdet => fastestdet::classes(outputs).map(Some),
        };
        classes.ok_or_else(|| ShapeMismatch { head: self, found: outputs.to_vec() })
    }

    /// The head that outputs of these shapes are of, as far as the shapes and the number of labels tell.
    ///
    /// Without labels, YOLO's heads are told apart by anchors being more than channels, and a grid may be anything.
    pub fn infer(outputs: &[TensorShape], labels: Option<usize>) -> Option<Self> {
        let fitting = |head: &Self| match (head.classes(outputs), labels) {
            (Ok(Some(classes)), Some(labels)) => labels == classes || *head == Self::Ssd,
            (Ok(Some(_)), None) => match (head, outputs[0].shape.as_slice()) {
                (Self::Yolov5, &[_, n, channels]) => n > channels,
                (Self::Yolov8, &[_, channels, n]) => n >= channels,
                (Self::Fastestdet, _) => false,
                _ => true,
            },
            (Ok(None), _) => true,
            (Err(_), _) => false,
        };
        Self::ALL.into_iter().find(fitting)
    }
}

/// A tensor's name and shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorShape {
    /// The name in the ONNX graph.
    pub name: String,
    /// The extent of each axis.
    pub shape: Vec<usize>,
}

impl fmt::Display for TensorShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.name, self.shape)
    }
}

/// Outputs whose shapes are not those of the head.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("output {} came, expected {} for head {:?}", list(found), head.expects(), head.as_str())]
pub struct ShapeMismatch {
    head: Head,
    found: Vec<TensorShape>,
}

/// Writes tensors as `"boxes" [1, 10, 4], "scores" [1, 10, 80]`.
pub(crate) fn list(tensors: &[TensorShape]) -> String {
    tensors.iter().map(TensorShape::to_string).collect::<Vec<_>>().join(", ")
}

/// An output tensor of one run.
#[derive(Clone, Copy, Debug)]
pub struct Tensor<'a> {
    /// The extent of each axis.
    pub shape: &'a [usize],
    /// The values, last axis fastest.
    pub values: &'a [f32],
}

/// The class of the highest score, the first of equals, with that score; scores that are no number are passed over.
pub(crate) fn best(scores: impl Iterator<Item = f32>) -> Option<(u32, f32)> {
    let mut best: Option<(u32, f32)> = None;
    for (class, score) in (0u32..).zip(scores) {
        if !score.is_nan() && best.is_none_or(|(_, highest)| score > highest) {
            best = Some((class, score));
        }
    }
    best
}

#[cfg(test)]
pub(crate) fn shapes(shapes: &[&[usize]]) -> Vec<TensorShape> {
    let shape = |(i, shape): (usize, &&[usize])| TensorShape {
        name: format!("output{i}"),
        shape: shape.to_vec(),
    };
    shapes.iter().enumerate().map(shape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_told_by_their_shapes() {
        type Case<'a> = (&'a [&'a [usize]], Option<usize>, Option<Head>);
        let cases: [Case<'_>; 16] = [
            (&[&[1, 84, 8400]], Some(80), Some(Head::Yolov8)),
            (&[&[1, 84, 8400]], None, Some(Head::Yolov8)),
            (&[&[1, 605, 525]], Some(601), Some(Head::Yolov8)),
            (&[&[1, 605, 525]], None, Some(Head::Yolov5)),
            (&[&[1, 84, 8400]], Some(79), None),
            (&[&[1, 25200, 85]], None, Some(Head::Yolov5)),
            (&[&[1, 25200, 6]], Some(1), Some(Head::Yolov5)),
            (&[&[1, 300, 6]], Some(80), Some(Head::End2end)),
            (&[&[1, 85, 22, 22]], Some(80), Some(Head::Fastestdet)),
            (&[&[1, 85, 22, 22]], None, None),
            (&[&[1, 21, 64, 96]], Some(21), None),
            (&[&[1, 21, 64, 96]], None, None),
            (&[&[1, 1000]], Some(1000), Some(Head::Classification)),
            (&[&[1, 4420, 2], &[1, 4420, 4]], None, Some(Head::Ssd)),
            (&[&[1, 116, 8400], &[1, 32, 160, 160]], Some(80), None),
            (&[&[1, 3, 640, 640, 2]], None, None),
        ];
        for (outputs, labels, head) in cases {
            assert_eq!(Head::infer(&shapes(outputs), labels), head, "{outputs:?}");
        }
    }

    #[test]
    fn a_mismatch_names_the_tensor_what_came_and_what_was_expected() {
        let error = Head::Yolov8.classes(&shapes(&[&[1, 1000]])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "output \"output0\" [1, 1000] came, expected [1, 4 + classes, n] for head \"yolov8\""
        );
    }
}
