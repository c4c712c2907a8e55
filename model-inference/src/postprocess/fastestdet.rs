//! FastestDet's grid: `[1, 5 + classes, rows, columns]`, per cell objectness, box, classes
//! (<https://github.com/dog-qiuqiu/FastestDet>).

use super::{Candidate, Tensor, TensorShape, best};

/// The number of classes, when the outputs are `[1, 5 + classes, rows, columns]`.
pub fn classes(outputs: &[TensorShape]) -> Option<usize> {
    let [TensorShape { shape, .. }] = outputs else { return None };
    match shape.as_slice() {
        &[1, channels, rows, columns] if channels > 5 && rows > 1 && columns > 1 => {
            Some(channels - 5)
        }
        _ => None,
    }
}

/// Reads the cells over `threshold`, in pixels of an input of `size`.
pub fn candidates(output: Tensor<'_>, size: (f32, f32), threshold: f32) -> Vec<Candidate> {
    let (rows, columns) = (output.shape[2], output.shape[3]);
    let cells = rows * columns;
    let read = |cell: usize| {
        let channel = |i: usize| output.values[i * cells + cell];
        let (class_id, class_score) = best((5..output.shape[1]).map(channel))?;
        let score = channel(0).powf(0.6) * class_score.powf(0.4);
        let centred = || {
            let cx = ((cell % columns) as f32 + channel(1).tanh()) / columns as f32;
            let cy = ((cell / columns) as f32 + channel(2).tanh()) / rows as f32;
            let (w, h) = (sigmoid(channel(3)), sigmoid(channel(4)));
            Candidate::centred(class_id, score, [cx * size.0, cy * size.1, w * size.0, h * size.1])
        };
        (score > threshold).then(centred)
    };
    (0..cells).filter_map(read).collect()
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_gives_a_box_around_its_corner() {
        let mut values = vec![0.0; 7 * 4];
        let cell = 3;
        values[cell] = 1.0;
        values[6 * 4 + cell] = 1.0;
        let found =
            candidates(Tensor { shape: &[1, 7, 2, 2], values: &values }, (100.0, 80.0), 0.5);
        let expected = Candidate { class_id: 1, score: 1.0, corners: [25.0, 20.0, 75.0, 60.0] };
        assert_eq!(found, [expected]);
    }
}
