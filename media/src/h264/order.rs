//! Puts pictures that come in decoding order into presentation order.

use std::collections::VecDeque;

use crate::picture::Picture;

/// How many pictures may precede one in decoding order and follow it in presentation order, at most (level limits).
const MOST: usize = 16;

/// Pictures that wait for others which are shown before them.
#[derive(Default)]
pub(super) struct PresentationOrder {
    /// How many pictures have to wait before the first of them may leave.
    depth: usize,
    /// In presentation order.
    waiting: Vec<Picture>,
    /// Times of the pictures decoded last.
    decoded: VecDeque<i64>,
}

impl PresentationOrder {
    /// Begins a sequence of which is known, or is not, how far pictures are reordered.
    ///
    /// What is not known is learnt: one picture waits at first, and more when the order shows that they must.
    pub(super) fn begin(&mut self, reorder: Option<u32>) {
        self.depth = reorder.map_or(1, |depth| crate::number::size(depth).min(MOST));
        self.decoded.clear();
    }

    /// Takes the next picture in decoding order and gives those that may leave.
    pub(super) fn push(&mut self, picture: Picture) -> Vec<Picture> {
        let overtaken = self.decoded.iter().filter(|&&pts| pts > picture.pts).count();
        self.depth = self.depth.max(overtaken);
        self.decoded.push_back(picture.pts);
        if self.decoded.len() > MOST {
            self.decoded.pop_front();
        }
        let place = self.waiting.partition_point(|waiting| waiting.pts <= picture.pts);
        self.waiting.insert(place, picture);
        let leaving = self.waiting.len().saturating_sub(self.depth);
        self.waiting.drain(..leaving).collect()
    }

    /// Gives all pictures that wait.
    pub(super) fn drain(&mut self) -> Vec<Picture> {
        std::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::colour::Colour;
    use crate::picture::Planes;

    fn picture(pts: i64) -> Picture {
        let pixel = || vec![0].into();
        let planes = Planes { y: pixel(), u: pixel(), v: pixel() };
        Picture::new(1, 1, planes, Colour::JPEG, pts).unwrap()
    }

    /// What leaves after each picture, and what waits at the end.
    fn order(reorder: Option<u32>, times: &[i64]) -> Vec<Vec<i64>> {
        let mut order = PresentationOrder::default();
        order.begin(reorder);
        let times_of = |pictures: Vec<Picture>| pictures.iter().map(|p| p.pts).collect();
        let mut left: Vec<Vec<i64>> =
            times.iter().map(|&pts| times_of(order.push(picture(pts)))).collect();
        left.push(times_of(order.drain()));
        left
    }

    #[test]
    fn without_reordering_each_picture_leaves_at_once() {
        assert_eq!(order(Some(0), &[0, 1, 2]), [vec![0], vec![1], vec![2], vec![]]);
    }

    #[test]
    fn known_depth_keeps_as_many_back() {
        let times = [0, 4, 2, 1, 3, 8, 6, 5, 7];
        let left = order(Some(2), &times).concat();
        assert_eq!(left, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        let first = order(Some(2), &times)[..4].concat();
        assert_eq!(first, [0, 1]);
    }

    #[test]
    fn unknown_depth_is_learnt() {
        let left = order(None, &[0, 3, 1, 2, 6, 4, 5]).concat();
        assert_eq!(left, [0, 1, 2, 3, 4, 5, 6]);
    }
}
