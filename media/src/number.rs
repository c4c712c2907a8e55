//! The few conversions between number types that pixel work needs, each with what happens at its bounds.

/// Rounds to the nearest pixel value; what lies outside 0 to 255 becomes the nearer bound.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float saturates when cast"
)]
pub(crate) fn pixel(value: f64) -> u8 {
    (value + 0.5) as u8
}

/// Clamps to a pixel value.
pub(crate) fn clamp(value: i32) -> u8 {
    value.clamp(0, 255).to_le_bytes()[0]
}

/// Rounds down to an index; a negative value becomes 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float saturates when cast"
)]
pub(crate) fn index(value: f64) -> usize {
    value as usize
}

/// Rounds to the nearest integer; what does not fit becomes the nearer bound.
#[expect(clippy::cast_possible_truncation, reason = "a float saturates when cast")]
pub(crate) fn round(value: f64) -> i32 {
    value.round() as i32
}

/// Turns a count of pixels into a coordinate, exactly: no picture has 2^52 pixels in a row.
#[expect(clippy::cast_precision_loss, reason = "exact below 2^52")]
pub(crate) fn coordinate(count: usize) -> f64 {
    count as f64
}

/// Turns a coordinate in 0..1 into the precision in which boxes are told.
#[expect(clippy::cast_possible_truncation, reason = "24 bits place a box to 1/1000 of a pixel")]
pub(crate) fn fraction(value: f64) -> f32 {
    value as f32
}

/// Turns a picture's dimension into an index.
pub(crate) fn size(dimension: u32) -> usize {
    usize::try_from(dimension).expect("usize has at least 32 bits")
}

/// Turns a presentation time into seconds.
#[expect(clippy::cast_precision_loss, reason = "2^53 ticks are 3,000 years")]
pub(crate) fn seconds(pts: i64) -> f64 {
    pts as f64 / 90_000.0
}

/// Narrows an amount that the caller knows to be at most 65,535.
pub(crate) fn small(amount: usize) -> u16 {
    u16::try_from(amount).expect("at most 65,535 by its caller's bounds")
}
