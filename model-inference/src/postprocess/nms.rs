//! Non-maximum suppression: of boxes that say the same thing, the surest.

use std::cmp::Ordering;

/// A box that a head found, in pixels of the model's input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The class's index.
    pub class_id: u32,
    /// The confidence.
    pub score: f32,
    /// Left, top, right, bottom.
    pub corners: [f32; 4],
}

impl Candidate {
    /// Makes a candidate of a box given as centre x, centre y, width, height.
    pub fn centred(class_id: u32, score: f32, [cx, cy, w, h]: [f32; 4]) -> Self {
        let corners = [cx - w / 2.0, cy - h / 2.0, cx + w / 2.0, cy + h / 2.0];
        Self { class_id, score, corners }
    }

    fn is_sound(&self) -> bool {
        let [x1, y1, x2, y2] = self.corners;
        self.score.is_finite()
            && self.corners.iter().all(|edge| edge.is_finite())
            && x2 > x1
            && y2 > y1
            && self.area().is_finite()
    }

    fn area(&self) -> f32 {
        let [x1, y1, x2, y2] = self.corners;
        (x2 - x1) * (y2 - y1)
    }

    /// Intersection over union with another box.
    pub fn iou(&self, other: &Self) -> f32 {
        let ([ax1, ay1, ax2, ay2], [bx1, by1, bx2, by2]) = (self.corners, other.corners);
        let width = (ax2.min(bx2) - ax1.max(bx1)).max(0.0);
        let height = (ay2.min(by2) - ay1.max(by1)).max(0.0);
        let intersection = width * height;
        let union = self.area() + other.area() - intersection;
        if union > 0.0 { intersection / union } else { 0.0 }
    }

    /// The surest first; equals in an order that depends on nothing but themselves.
    fn rank(&self, other: &Self) -> Ordering {
        let edges = |candidate: &Self| candidate.corners;
        let by_edges = || {
            let pairs = edges(self).into_iter().zip(edges(other));
            pairs
                .map(|(a, b)| a.total_cmp(&b))
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        };
        other
            .score
            .total_cmp(&self.score)
            .then(self.class_id.cmp(&other.class_id))
            .then_with(by_edges)
    }
}

/// The rules of a suppression.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Suppression {
    /// Two boxes that overlap more than this are one.
    pub iou: f32,
    /// Whether only boxes of the same class suppress each other.
    pub class_aware: bool,
    /// Most boxes that are kept.
    pub max_detections: usize,
}

/// What a suppression left.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    /// The boxes, the surest first.
    pub candidates: Vec<Candidate>,
    /// Candidates dropped because their score or box is not finite, or the box is empty.
    pub unsound: usize,
}

/// Most candidates that are compared with each other, the surest of all: bounds the time of a model that says
/// yes to everything.
const MOST_CANDIDATES: usize = 30_000;

impl Suppression {
    /// Keeps the surest of the boxes that overlap. The order of `candidates` does not matter.
    pub fn apply(&self, candidates: Vec<Candidate>) -> Kept {
        let Kept { candidates, unsound } = ranked(candidates);
        let mut kept: Vec<Candidate> = Vec::new();
        for candidate in candidates.into_iter().take(MOST_CANDIDATES) {
            if kept.len() >= self.max_detections {
                break;
            }
            if !kept.iter().any(|better| self.same(better, &candidate)) {
                kept.push(candidate);
            }
        }
        Kept { candidates: kept, unsound }
    }

    fn same(&self, a: &Candidate, b: &Candidate) -> bool {
        (!self.class_aware || a.class_id == b.class_id) && a.iou(b) > self.iou
    }
}

/// Sorts candidates, the surest first, without those that are not finite or empty.
pub fn ranked(mut candidates: Vec<Candidate>) -> Kept {
    let came = candidates.len();
    candidates.retain(Candidate::is_sound);
    let unsound = came - candidates.len();
    candidates.sort_by(Candidate::rank);
    Kept { candidates, unsound }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULES: Suppression = Suppression { iou: 0.45, class_aware: true, max_detections: 300 };

    fn square(class_id: u32, score: f32, x: f32) -> Candidate {
        Candidate { class_id, score, corners: [x, 0.0, x + 10.0, 10.0] }
    }

    #[test]
    fn the_surest_of_a_class_is_kept() {
        let kept = RULES.apply(vec![square(0, 0.5, 1.0), square(0, 0.9, 0.0), square(1, 0.4, 0.0)]);
        assert_eq!(kept.candidates, [square(0, 0.9, 0.0), square(1, 0.4, 0.0)]);
    }

    #[test]
    fn without_class_awareness_one_box_is_one_thing() {
        let rules = Suppression { class_aware: false, ..RULES };
        let kept = rules.apply(vec![square(0, 0.9, 0.0), square(1, 0.4, 0.0)]);
        assert_eq!(kept.candidates, [square(0, 0.9, 0.0)]);
    }

    #[test]
    fn what_is_not_finite_or_empty_is_dropped_and_counted() {
        let empty = Candidate { class_id: 0, score: 0.9, corners: [5.0, 5.0, 5.0, 9.0] };
        let huge = Candidate { class_id: 0, score: 0.9, corners: [-3e38, -3e38, 3e38, 3e38] };
        let kept = RULES.apply(vec![
            square(0, f32::NAN, 0.0),
            square(0, f32::INFINITY, 0.0),
            square(0, 0.5, f32::NAN),
            empty,
            huge,
        ]);
        assert_eq!(kept, Kept { candidates: vec![], unsound: 5 });
    }

    fn any_candidate() -> impl Strategy<Value = Candidate> {
        let edge = prop_oneof![20 => -50f32..50.0, 1 => any::<f32>()];
        let score = prop_oneof![20 => 0f32..1.0, 1 => any::<f32>()];
        (0..3u32, score, edge.clone(), edge, 0f32..40.0, 0f32..40.0).prop_map(
            |(class_id, score, x, y, w, h)| Candidate {
                class_id,
                score,
                corners: [x, y, x + w, y + h],
            },
        )
    }

    fn bits(candidate: &Candidate) -> (u32, u32, [u32; 4]) {
        (candidate.class_id, candidate.score.to_bits(), candidate.corners.map(f32::to_bits))
    }

    proptest! {
        #[test]
        fn a_second_suppression_changes_nothing(candidates in prop::collection::vec(any_candidate(), 0..60)) {
            let once = RULES.apply(candidates).candidates;
            prop_assert_eq!(&RULES.apply(once.clone()).candidates, &once);
        }

        #[test]
        fn no_two_kept_boxes_of_a_class_overlap(candidates in prop::collection::vec(any_candidate(), 0..60)) {
            let came = candidates.len();
            let kept = RULES.apply(candidates);
            prop_assert!(kept.candidates.len() + kept.unsound <= came);
            for (i, a) in kept.candidates.iter().enumerate() {
                prop_assert!(a.is_sound());
                for b in &kept.candidates[..i] {
                    prop_assert!(a.class_id != b.class_id || a.iou(b) <= RULES.iou);
                }
            }
        }

        #[test]
        fn order_of_arrival_does_not_matter(
            (candidates, shuffled) in prop::collection::vec(any_candidate(), 0..60)
                .prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle()))
        ) {
            let kept = |candidates| RULES.apply(candidates).candidates.iter().map(bits).collect::<Vec<_>>();
            prop_assert_eq!(kept(candidates), kept(shuffled));
        }
    }
}
