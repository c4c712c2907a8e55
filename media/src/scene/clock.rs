//! The frame's time as text, `mm:ss.mmm`, in a font of 5 × 7 dots.

/// Dots per glyph: five of ink and one of space.
pub(super) const ADVANCE: usize = 6;
/// Rows of dots.
pub(super) const ROWS: usize = 7;
/// Glyphs in a clock.
pub(super) const GLYPHS: usize = 9;

/// Writes a time as `mm:ss.mmm`; minutes start again after 99.
pub(super) fn text(pts: i64) -> String {
    let millis = pts.max(0) / 90;
    let (minutes, seconds) = (millis / 60_000 % 100, millis / 1_000 % 60);
    format!("{minutes:02}:{seconds:02}.{:03}", millis % 1_000)
}

/// Tells whether a dot of the text is inked.
pub(super) fn is_inked(text: &str, column: usize, row: usize) -> bool {
    let Some(&glyph) = text.as_bytes().get(column / ADVANCE) else {
        return false;
    };
    let bits = font(glyph).get(row).copied().unwrap_or(0);
    column % ADVANCE < 5 && bits >> (4 - column % ADVANCE) & 1 == 1
}

/// Rows of a glyph, the leftmost dot in bit 4.
fn font(glyph: u8) -> [u8; ROWS] {
    match glyph {
        b'0' => [0b01110, 0b10001, 0b10011, 0b10101, 0b11001, 0b10001, 0b01110],
        b'1' => [0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110],
        b'2' => [0b01110, 0b10001, 0b00001, 0b00110, 0b01000, 0b10000, 0b11111],
        b'3' => [0b11111, 0b00010, 0b00100, 0b00010, 0b00001, 0b10001, 0b01110],
        b'4' => [0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010],
        b'5' => [0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110],
        b'6' => [0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110],
        b'7' => [0b11111, 0b00001, 0b00010, 0b00100, 0b01000, 0b01000, 0b01000],
        b'8' => [0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110],
        b'9' => [0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100],
        b':' => [0, 0b00100, 0b00100, 0, 0b00100, 0b00100, 0],
        b'.' => [0, 0, 0, 0, 0, 0b01100, 0b01100],
        _ => [0; ROWS],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_written_to_the_millisecond() {
        assert_eq!(text(0), "00:00.000");
        assert_eq!(text(90_000 * 61 + 45_000), "01:01.500");
        assert_eq!(text(90_000 * 6_000), "00:00.000");
        assert_eq!(text(0).len(), GLYPHS);
    }

    #[test]
    fn a_one_is_drawn_as_a_one() {
        let drawn: Vec<String> = (0..ROWS)
            .map(|row| (0..5).map(|x| if is_inked("1", x, row) { '#' } else { ' ' }).collect())
            .collect();
        assert_eq!(drawn, ["  #  ", " ##  ", "  #  ", "  #  ", "  #  ", "  #  ", " ### "]);
    }
}
