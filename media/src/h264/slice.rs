//! What slice headers tell: where one picture ends and the next begins, and in which order they are shown.

use h264_reader::Context;
use h264_reader::nal::NalHeader;
use h264_reader::nal::pps::{PicParamSetId, PicParameterSet};
use h264_reader::nal::slice::{FieldPic, PicOrderCountLsb, SliceHeader};
use h264_reader::nal::sps::{PicOrderCntType, SeqParameterSet};
use h264_reader::rbsp::{BitRead, BitReader, ByteReader};

use super::bits::{Places, Tracked};
use super::nal::{Nal, NalType, nal_units};
use super::sps;

/// Reads slice headers with the parameter sets seen so far.
#[derive(Default)]
pub(super) struct SliceReader {
    context: Context,
}

/// What a slice header tells about its picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    /// It holds the picture's first macroblock.
    pub(super) first: bool,
    /// The rest of the header; `None` when its parameter sets are missing or it is damaged.
    pub(super) header: Option<Header>,
}

/// The parts of a slice header in which two pictures that follow each other differ (ITU-T H.264 §7.4.1.2.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    frame_num: u16,
    parameter_set: u8,
    field: u8,
    referenced: bool,
    idr_pic_id: Option<u32>,
    order: Order,
}

/// A slice header with the place of each field.
pub(super) struct SlicePlaces<'a> {
    pub(super) places: Places,
    pub(super) frame_num: u16,
    pub(super) sps: &'a SeqParameterSet,
    pub(super) pps: &'a PicParameterSet,
}

/// Tells whether a slice refers to no other picture: an I slice (ITU-T H.264 table 7-6).
pub(crate) fn is_intra(slice: Nal<'_>) -> bool {
    let mut bits = BitReader::new(ByteReader::skipping_h264_header(slice.bytes()));
    let kind = bits.read_ue("first_mb_in_slice").and_then(|_| bits.read_ue("slice_type"));
    kind.is_ok_and(|kind| matches!(kind, 2 | 7))
}

/// How the picture's place in presentation order is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// By its lower bits (type 0), of which there are so many values.
    LowerBits { lsb: u32, delta: i32, values: u32 },
    /// By differences from what is expected (type 1).
    Differences([i32; 2]),
    /// It is the order of decoding (type 2).
    Decoding,
}

impl Header {
    pub(super) fn order(&self) -> &Order {
        &self.order
    }

    pub(super) fn is_referenced(&self) -> bool {
        self.referenced
    }
}

impl SliceReader {
    /// Takes notice of a parameter set; a damaged one is passed over.
    pub(super) fn observe(&mut self, nal: Nal<'_>) {
        match nal.unit_type() {
            NalType::Sps => {
                if let Ok(sps) = sps::parse(nal.bytes()) {
                    self.context.put_seq_param_set(sps);
                }
            }
            NalType::Pps => {
                let bits = BitReader::new(ByteReader::skipping_h264_header(nal.bytes()));
                if let Ok(pps) = PicParameterSet::from_bits(&self.context, bits) {
                    self.context.put_pic_param_set(pps);
                }
            }
            _ => {}
        }
    }

    /// The number of the sequence parameter set that the first slice of an access unit refers to, by the parameter
    /// sets that the access unit carries.
    pub(super) fn first_parameter_set(annex_b: &[u8]) -> Option<u8> {
        let mut reader = Self::default();
        nal_units(annex_b).for_each(|nal| reader.observe(nal));
        reader.parameter_set_of(nal_units(annex_b).find(|nal| nal.is_slice())?)
    }

    /// The number of the sequence parameter set that a slice refers to.
    pub(super) fn parameter_set_of(&self, slice: Nal<'_>) -> Option<u8> {
        let mut bits = BitReader::new(ByteReader::skipping_h264_header(slice.bytes()));
        bits.read_ue("first_mb_in_slice").ok()?;
        bits.read_ue("slice_type").ok()?;
        let id = PicParamSetId::from_u32(bits.read_ue("pic_parameter_set_id").ok()?).ok()?;
        Some(self.context.pps_by_id(id)?.seq_parameter_set_id.id())
    }

    /// Reads the header of a slice with the place of each field, given its payload.
    pub(super) fn places(&self, slice: Nal<'_>, payload: &[u8]) -> Option<SlicePlaces<'_>> {
        let mut places = Places::default();
        let header = NalHeader::new(slice.bytes()[0]).ok()?;
        let mut bits = Tracked::new(payload, &mut places);
        let (slice, sps, pps) = SliceHeader::from_bits(&self.context, &mut bits, header).ok()?;
        Some(SlicePlaces { places, frame_num: slice.frame_num, sps, pps })
    }

    /// Reads the header of a slice.
    pub(super) fn read(&self, nal: Nal<'_>) -> Slice {
        let bits = || BitReader::new(ByteReader::skipping_h264_header(nal.bytes()));
        let first = bits().read_ue("first_mb_in_slice").is_ok_and(|number| number == 0);
        Slice { first, header: self.header(nal, &mut bits()) }
    }

    fn header(&self, nal: Nal<'_>, bits: &mut impl BitRead) -> Option<Header> {
        let nal_header = NalHeader::new(nal.bytes()[0]).ok()?;
        let (slice, sps, pps) = SliceHeader::from_bits(&self.context, bits, nal_header).ok()?;
        let order = match (&sps.pic_order_cnt, slice.pic_order_cnt_lsb) {
            (
                PicOrderCntType::TypeZero { log2_max_pic_order_cnt_lsb_minus4 },
                Some(PicOrderCountLsb::Frame(lsb)),
            ) => {
                Order::LowerBits { lsb, delta: 0, values: 16 << log2_max_pic_order_cnt_lsb_minus4 }
            }
            (
                PicOrderCntType::TypeZero { log2_max_pic_order_cnt_lsb_minus4 },
                Some(PicOrderCountLsb::FieldsAbsolute {
                    pic_order_cnt_lsb: lsb,
                    delta_pic_order_cnt_bottom: delta,
                }),
            ) => Order::LowerBits { lsb, delta, values: 16 << log2_max_pic_order_cnt_lsb_minus4 },
            (_, Some(PicOrderCountLsb::FieldsDelta(differences))) => {
                Order::Differences(differences)
            }
            _ => Order::Decoding,
        };
        Some(Header {
            frame_num: slice.frame_num,
            parameter_set: pps.pic_parameter_set_id.id(),
            field: field(&slice.field_pic),
            referenced: nal.ref_idc() != 0,
            idr_pic_id: slice.idr_pic_id,
            order,
        })
    }
}

fn field(field_pic: &FieldPic) -> u8 {
    match field_pic {
        FieldPic::Frame => 0,
        FieldPic::Field(h264_reader::nal::slice::Field::Top) => 1,
        FieldPic::Field(h264_reader::nal::slice::Field::Bottom) => 2,
    }
}

impl Slice {
    /// Tells whether this slice begins another picture than the slice before it.
    pub(super) fn begins_picture(&self, previous: &Self) -> bool {
        match (&self.header, &previous.header) {
            (Some(header), Some(previous)) => header != previous,
            _ => self.first,
        }
    }
}

/// Follows the picture order count through a coded video sequence (ITU-T H.264 §8.2.1.1).
#[derive(Clone, Debug, Default)]
pub(super) struct OrderCount {
    previous_msb: i64,
    previous_lsb: i64,
}

impl OrderCount {
    /// The picture order count of the next picture, given its lower bits.
    pub(super) fn next(&mut self, lsb: u32, values: u32, idr: bool, referenced: bool) -> i64 {
        if idr {
            *self = Self::default();
        }
        let (lsb, values) = (i64::from(lsb), i64::from(values));
        let msb = if lsb < self.previous_lsb && self.previous_lsb - lsb >= values / 2 {
            self.previous_msb + values
        } else if lsb > self.previous_lsb && lsb - self.previous_lsb > values / 2 {
            self.previous_msb - values
        } else {
            self.previous_msb
        };
        if referenced {
            (self.previous_msb, self.previous_lsb) = (msb, lsb);
        }
        msb + lsb
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_count_goes_on_where_its_lower_bits_wrap() {
        let mut count = OrderCount::default();
        let given =
            [(0, true), (8, true), (4, false), (14, true), (12, false), (4, true), (2, false)];
        let counted: Vec<i64> = given
            .iter()
            .enumerate()
            .map(|(index, &(lsb, referenced))| count.next(lsb, 16, index == 0, referenced))
            .collect();
        assert_eq!(counted, [0, 8, 4, 14, 12, 20, 18]);
    }
}
