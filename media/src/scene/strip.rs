//! The strip at the bottom: the frame number as a bar code, and the clock.
//!
//! The bar code has two rows of 22 cells. The first and last cell of each row are white and black (the other way
//! round in the second row) and tell the reader what white and black look like; the 40 cells between hold the
//! number, 32 bits, and its CRC-8, the highest bit first. All places are fractions of the picture, so that the
//! code is found at any scale.

use std::ops::Range;

use super::clock;
use super::raster::Canvas;
use crate::number::{self, coordinate, size};
use crate::picture::{Picture, RgbImage};

const ROWS: usize = 2;
const COLUMNS: usize = 22;
/// Part of the picture's height that the strip takes.
const HEIGHT: f64 = 1.0 / 11.0;
/// Part of the picture's width that the bar code takes; the clock has the rest.
const WIDTH: f64 = 0.75;
const BLACK: u8 = 16;
const WHITE: u8 = 235;
/// Least difference of white and black, below which there is no bar code.
const CONTRAST: f64 = 40.0;

/// Where things lie in a picture of a given size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    width: f64,
    height: f64,
}

impl Layout {
    pub(super) fn of(width: usize, height: usize) -> Self {
        Self { width: coordinate(width), height: coordinate(height) }
    }

    /// Upper edge of the strip.
    pub(super) fn top(&self) -> f64 {
        (self.height * (1.0 - HEIGHT)).floor()
    }

    /// Columns and rows of a cell without the part `margin` at each of its edges.
    fn cell(&self, row: usize, column: usize, margin: f64) -> (Range<usize>, Range<usize>) {
        let (width, height) =
            (self.width * WIDTH / coordinate(COLUMNS), self.height * HEIGHT / 2.0);
        let span = |start: f64, index: usize, length: f64| {
            let from = start + (coordinate(index) + margin) * length;
            let to = start + (coordinate(index) + 1.0 - margin) * length;
            number::index(from + 0.5)..number::index(to + 0.5)
        };
        (span(0.0, column, width), span(self.height * (1.0 - HEIGHT), row, height))
    }
}

/// Draws the strip.
pub(super) fn draw(canvas: &mut Canvas, layout: &Layout, frame_no: u64, pts: i64) {
    let (width, _) = canvas.size();
    let top = number::index(layout.top());
    canvas.y[top * width..].fill(BLACK);
    canvas.u[top / 2 * (width / 2)..].fill(128);
    canvas.v[top / 2 * (width / 2)..].fill(128);
    let number = u32::try_from(frame_no & u64::from(u32::MAX)).expect("32 bits");
    draw_bars(canvas, layout, number);
    draw_clock(canvas, layout, &clock::text(pts));
}

fn draw_bars(canvas: &mut Canvas, layout: &Layout, number: u32) {
    for (row, cells) in cells(number).iter().enumerate() {
        for (column, _) in cells.iter().enumerate().filter(|(_, white)| **white) {
            let (columns, rows) = layout.cell(row, column, 0.0);
            fill_white(canvas, columns, rows);
        }
    }
}

fn draw_clock(canvas: &mut Canvas, layout: &Layout, text: &str) {
    let (width, height) = canvas.size();
    let (left, top) = (number::index(layout.width * WIDTH) + 2, number::index(layout.top()));
    let (room, rows) = (width - left, height - top);
    let dot = (room / (clock::GLYPHS * clock::ADVANCE)).min(rows / (clock::ROWS + 1));
    let lowered = top + (rows - dot * clock::ROWS) / 2;
    for row in 0..clock::ROWS {
        for column in 0..clock::GLYPHS * clock::ADVANCE {
            if clock::is_inked(text, column, row) {
                let (x, y) = (left + column * dot, lowered + row * dot);
                fill_white(canvas, x..x + dot, y..y + dot);
            }
        }
    }
}

fn fill_white(canvas: &mut Canvas, columns: Range<usize>, rows: Range<usize>) {
    let (width, height) = canvas.size();
    for row in rows.start..rows.end.min(height) {
        canvas.y[row * width..][columns.clone()].fill(WHITE);
    }
}

/// The cells of a number; true is white.
fn cells(number: u32) -> [[bool; COLUMNS]; ROWS] {
    let message = u64::from(number) << 8 | u64::from(crc8(number));
    let mut cells = [[false; COLUMNS]; ROWS];
    for (row, cells) in cells.iter_mut().enumerate() {
        let first_bit = 39 - row * (COLUMNS - 2);
        for (index, cell) in cells[1..COLUMNS - 1].iter_mut().enumerate() {
            *cell = message >> (first_bit - index) & 1 == 1;
        }
    }
    cells[0][0] = true;
    cells[1][COLUMNS - 1] = true;
    cells
}

/// CRC-8 with polynomial 0x07, started from all ones so that an empty strip is no message.
fn crc8(number: u32) -> u8 {
    number.to_be_bytes().into_iter().fold(0xff, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc, _| if crc & 0x80 == 0 { crc << 1 } else { crc << 1 ^ 0x07 })
    })
}

/// Reads the frame number from a picture's bar code; `None` when there is none or it is damaged.
pub fn read_frame_number(picture: &Picture) -> Option<u32> {
    let (luma, stride) = (&picture.planes().y, picture.luma_stride());
    read(picture.width(), picture.height(), |x, y| luma[y * stride + x])
}

/// Reads the frame number from the bar code of an RGB image; `None` when there is none or it is damaged.
pub fn read_frame_number_rgb(image: &RgbImage) -> Option<u32> {
    let width = size(image.width);
    read(image.width, image.height, |x, y| image.data[(y * width + x) * 3 + 1])
}

fn read(width: u32, height: u32, luma: impl Fn(usize, usize) -> u8) -> Option<u32> {
    let layout = Layout::of(size(width), size(height));
    let level = |row: usize, column: usize| {
        let (columns, rows) = layout.cell(row, column, 0.25);
        mean(columns, rows, &luma)
    };
    let white = level(0, 0)?.min(level(1, COLUMNS - 1)?);
    let black = level(1, 0)?.max(level(0, COLUMNS - 1)?);
    if white - black < CONTRAST {
        return None;
    }
    let mut message = 0_u64;
    for row in 0..ROWS {
        for column in 1..COLUMNS - 1 {
            message = message << 1 | u64::from(level(row, column)? > (white + black) / 2.0);
        }
    }
    let number = u32::try_from(message >> 8).ok()?;
    (message & 0xff == u64::from(crc8(number))).then_some(number)
}

/// Mean of a rectangle of samples; `None` when it is empty.
fn mean(
    columns: Range<usize>,
    rows: Range<usize>,
    sample: impl Fn(usize, usize) -> u8,
) -> Option<f64> {
    let count = columns.len() * rows.len();
    let places = rows.flat_map(|y| columns.clone().map(move |x| (x, y)));
    let sum: usize = places.map(|(x, y)| usize::from(sample(x, y))).sum();
    (count > 0).then(|| coordinate(sum) / coordinate(count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::{Scene, SceneConfig};

    fn rendered(width: u32, height: u32, frame_no: u64) -> Picture {
        let config = SceneConfig { width, height, ..SceneConfig::default() };
        Scene::new(config).unwrap().render(frame_no).picture
    }

    #[test]
    fn numbers_are_read_back_at_every_size() {
        for (width, height) in [(160, 90), (320, 180), (640, 360), (640, 480), (1_920, 1_080)] {
            for number in [0, 1, 0xdead_beef, u32::MAX] {
                let picture = rendered(width, height, u64::from(number));
                assert_eq!(read_frame_number(&picture), Some(number), "{width} × {height}");
                assert_eq!(read_frame_number_rgb(&picture.to_rgb()), Some(number));
            }
        }
    }

    #[test]
    fn numbers_survive_scaling() {
        for (width, height) in [(1_920, 1_080), (1_280, 720), (704, 576), (640, 360)] {
            for target in [320, 333, 416, 500, 640] {
                let picture = rendered(width, height, 123_456_789).scaled(target);
                assert_eq!(read_frame_number(&picture), Some(123_456_789), "{width} to {target}");
            }
        }
    }

    #[test]
    fn a_picture_without_a_bar_code_has_no_number() {
        let picture = rendered(640, 360, 5);
        let mut planes = picture.planes().clone();
        planes.y = vec![16; planes.y.len()].into();
        let blank = Picture::new(640, 360, planes, picture.colour(), 0).unwrap();
        assert_eq!(read_frame_number(&blank), None);
    }

    #[test]
    fn one_wrong_cell_is_noticed() {
        let picture = rendered(640, 360, 5);
        let layout = Layout::of(640, 360);
        for cell in 1..COLUMNS - 1 {
            let (columns, rows) = layout.cell(1, cell, 0.0);
            let mut planes = picture.planes().clone();
            let mut luma = planes.y.to_vec();
            for row in rows {
                luma[row * 640..][columns.clone()].iter_mut().for_each(|y| *y = 251 - *y);
            }
            planes.y = luma.into();
            let damaged = Picture::new(640, 360, planes, picture.colour(), 0).unwrap();
            assert_eq!(read_frame_number(&damaged), None, "cell {cell}");
        }
    }
}
