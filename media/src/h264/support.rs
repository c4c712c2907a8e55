//! What the decoder can decode, told from parameter sets alone: before anything is allocated or waited for.

use thiserror::Error;

use super::nal::{NalType, nal_units};
use super::sps::{Chroma, Sps};
use crate::access_unit::AccessUnit;

/// The most macroblocks of a picture that openh264 takes (`MAX_MB_SIZE`, level 5.2): 9.4 megapixels.
pub const MAX_MACROBLOCKS: u64 = 36_864;
/// Nor may a side have more than the square root of eight times as many (ITU-T H.264 §A.3.1).
const MAX_SIDE_MACROBLOCKS: u32 = 543;
/// Pixels by which a size in whole macroblocks may exceed that of the picture, in each direction.
const CROPPED_AT_MOST: u32 = 15;

/// Why a stream cannot be decoded, however well it arrives.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unsupported {
    /// Samples of more than 8 bits.
    #[error("{0} bit video is not supported: expected 8 bit")]
    BitDepth(u8),
    /// Colour is sampled more finely than 4:2:0.
    #[error("{0} video is not supported: expected 4:2:0")]
    Chroma(&'static str),
    /// Pictures may be fields.
    #[error("interlaced video is not supported: expected progressive")]
    Interlaced,
    /// The pictures would have more pixels than allowed.
    #[error(
        "{width} × {height} = {} pixels are more than the {max_pixels} allowed",
        u64::from(*.width) * u64::from(*.height)
    )]
    TooLarge {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// The bound.
        max_pixels: u64,
    },
    /// The pictures have more macroblocks than the decoder takes.
    #[error(
        "{width} × {height} has {} macroblocks, and the decoder takes {MAX_MACROBLOCKS} (9.4 megapixels) and \
         {MAX_SIDE_MACROBLOCKS} in a row",
        u64::from(width.div_ceil(16)) * u64::from(height.div_ceil(16))
    )]
    TooManyMacroblocks {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// Pictures without colour whose size is no whole number of macroblocks, which the decoder crops wrongly.
    #[error("monochrome video of {width} × {height} is not supported: expected multiples of 16")]
    CroppedMonochrome {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// A profile with tools that the decoder does not have.
    #[error("profile {profile} ({codec}) is not supported: expected Baseline, Main or High")]
    Profile {
        /// `profile_idc`.
        profile: u8,
        /// Codec string.
        codec: String,
    },
}

/// Tells whether a stream with this parameter set can be decoded.
///
/// # Errors
/// Why it cannot.
pub fn check(sps: &Sps, max_pixels: u64) -> Result<(), Unsupported> {
    check_samples(sps)?;
    check_size(sps, max_pixels)?;
    // Baseline, Main, Extended, High, the base layers of the scalable ones, and what says High 10 or 4:2:2 of
    // samples that are High's.
    if !matches!(sps.profile, 66 | 77 | 83 | 86 | 88 | 100 | 110 | 122) {
        return Err(Unsupported::Profile { profile: sps.profile, codec: sps.codec.clone() });
    }
    Ok(())
}

/// Tells whether what an access unit's parameter sets describe can be decoded, all of them; those that cannot be read
/// are not asked.
///
/// # Errors
/// Why it cannot.
pub fn check_unit(unit: &AccessUnit, max_pixels: u64) -> Result<(), Unsupported> {
    check_sets(&unit.data, max_pixels)
}

/// As [`check_unit`], of parameter sets in Annex B form.
///
/// # Errors
/// Why what they describe cannot be decoded.
pub fn check_sets(annex_b: &[u8], max_pixels: u64) -> Result<(), Unsupported> {
    let mut sets = nal_units(annex_b).filter(|nal| nal.unit_type() == NalType::Sps);
    sets.try_for_each(|nal| {
        Sps::from_nal(nal.bytes()).map_or(Ok(()), |sps| check(&sps, max_pixels))
    })
}

fn check_samples(sps: &Sps) -> Result<(), Unsupported> {
    match sps.chroma {
        Chroma::Half => return Err(Unsupported::Chroma("4:2:2")),
        Chroma::Full => return Err(Unsupported::Chroma("4:4:4")),
        Chroma::Monochrome | Chroma::Quarter => {}
    }
    if sps.bit_depth > 8 {
        return Err(Unsupported::BitDepth(sps.bit_depth));
    }
    if sps.interlaced {
        return Err(Unsupported::Interlaced);
    }
    Ok(())
}

fn check_size(sps: &Sps, max_pixels: u64) -> Result<(), Unsupported> {
    let Sps { width, height, coded: (across, down), .. } = *sps;
    let pixels = |width: u32, height: u32| u64::from(width) * u64::from(height);
    if pixels(width, height) > max_pixels {
        return Err(Unsupported::TooLarge { width, height, max_pixels });
    }
    // What is allocated is the size before cropping.
    if pixels(across - CROPPED_AT_MOST, down - CROPPED_AT_MOST) > max_pixels {
        return Err(Unsupported::TooLarge { width: across, height: down, max_pixels });
    }
    if pixels(across, down) / 256 > MAX_MACROBLOCKS || across.max(down) / 16 > MAX_SIDE_MACROBLOCKS
    {
        return Err(Unsupported::TooManyMacroblocks { width, height });
    }
    if sps.chroma == Chroma::Monochrome && (width, height) != sps.coded {
        return Err(Unsupported::CroppedMonochrome { width, height });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::colour::Colour;

    fn sps(width: u32, height: u32) -> Sps {
        Sps {
            id: 0,
            width,
            height,
            coded: (width.next_multiple_of(16), height.next_multiple_of(16)),
            profile: 100,
            codec: "avc1.640033".into(),
            interlaced: false,
            chroma: Chroma::Quarter,
            bit_depth: 8,
            colour: Colour::of_size(width, height),
            frame_rate: None,
            reorder: None,
        }
    }

    fn words(sps: &Sps) -> String {
        check(sps, 8_192 * 4_320).unwrap_err().to_string()
    }

    #[test]
    fn more_macroblocks_than_the_decoder_takes_are_said_to_be_too_many() {
        assert_eq!(check(&sps(4_096, 2_304), 8_192 * 4_320), Ok(()));
        assert_eq!(
            words(&sps(7_680, 4_320)),
            "7680 × 4320 has 129600 macroblocks, and the decoder takes 36864 (9.4 megapixels) and 543 in a row"
        );
        assert!(matches!(
            check(&sps(8_704, 16), 1 << 30),
            Err(Unsupported::TooManyMacroblocks { .. })
        ));
    }

    #[test]
    fn a_large_picture_cropped_to_a_small_one_is_as_large_as_it_was() {
        let cropped = Sps { coded: (4_096, 2_304), ..sps(320, 180) };
        let refused = Unsupported::TooLarge { width: 4_096, height: 2_304, max_pixels: 57_600 };
        assert_eq!(check(&cropped, 57_600), Err(refused));
        assert_eq!(check(&sps(320, 180), 57_600), Ok(()));
    }

    #[test]
    fn each_kind_of_sample_that_is_not_decoded_is_named() {
        let plain = sps(320, 192);
        let deep = Sps { bit_depth: 10, profile: 110, ..plain.clone() };
        assert_eq!(words(&deep), "10 bit video is not supported: expected 8 bit");
        let fine = Sps { chroma: Chroma::Half, ..plain.clone() };
        assert_eq!(words(&fine), "4:2:2 video is not supported: expected 4:2:0");
        let finest = Sps { chroma: Chroma::Full, profile: 244, ..plain.clone() };
        assert_eq!(words(&finest), "4:4:4 video is not supported: expected 4:2:0");
        let fields = Sps { interlaced: true, ..plain.clone() };
        assert_eq!(words(&fields), "interlaced video is not supported: expected progressive");
        let grey = Sps { chroma: Chroma::Monochrome, ..plain.clone() };
        assert_eq!(check(&grey, 1 << 30), Ok(()));
        let cropped = Sps { height: 180, ..grey };
        assert!(words(&cropped).starts_with("monochrome video of 320 × 180"));
        let other = Sps { profile: 128, codec: "avc1.80001E".into(), ..plain };
        assert!(words(&other).starts_with("profile 128 (avc1.80001E) is not supported"));
    }
}
