//! NAL units in, RTP payloads out (RFC 6184, packetization-mode 1): parameter sets together in one
//! aggregation packet, small units alone, large ones in fragments. The last payload carries the marker.

use bytes::{BufMut, Bytes, BytesMut};

const STAP_A: u8 = 24;
const FU_A: u8 = 28;
const FU_START: u8 = 0x80;
const FU_END: u8 = 0x40;
const REF_IDC: u8 = 0x60;
const NAL_TYPE: u8 = 0x1F;

/// One packet's payload; the last of an access unit has the marker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Payload {
    pub(crate) bytes: Bytes,
    pub(crate) marker: bool,
}

impl Payload {
    /// Whether a slice ends with it.
    pub(crate) fn ends_slice(&self) -> bool {
        match self.bytes[..] {
            [indicator, header, ..] if indicator & NAL_TYPE == FU_A => {
                header & FU_END != 0 && matches!(header & NAL_TYPE, 1..=5)
            }
            [header, ..] => matches!(header & NAL_TYPE, 1..=5),
            [] => false,
        }
    }
}

/// Packs one access unit's NAL units (without start codes) into payloads of at most `max` bytes.
pub(crate) fn packetise(nals: &[Bytes], max: usize) -> Vec<Payload> {
    let mut payloads = Vec::new();
    let mut small = Vec::new();
    for nal in nals.iter().filter(|nal| !nal.is_empty()) {
        if is_parameter_set(nal) && aggregate_len(&small) + 2 + nal.len() <= max {
            small.push(nal.clone());
            continue;
        }
        flush(&mut small, &mut payloads);
        if nal.len() <= max {
            payloads.push(nal.clone());
        } else {
            fragment(nal, max, &mut payloads);
        }
    }
    flush(&mut small, &mut payloads);
    let last = payloads.len().wrapping_sub(1);
    let marked = |(i, bytes)| Payload { bytes, marker: i == last };
    payloads.into_iter().enumerate().map(marked).collect()
}

/// Sequence and picture parameter sets, and the supplemental information that goes before a picture.
fn is_parameter_set(nal: &[u8]) -> bool {
    matches!(nal[0] & NAL_TYPE, 6..=8)
}

/// Length of the aggregation packet of `nals` (RFC 6184 §5.7.1).
fn aggregate_len(nals: &[Bytes]) -> usize {
    1 + nals.iter().map(|nal| 2 + nal.len()).sum::<usize>()
}

fn flush(small: &mut Vec<Bytes>, payloads: &mut Vec<Bytes>) {
    match small.len() {
        0 => {}
        1 => payloads.append(small),
        _ => payloads.push(aggregate(&std::mem::take(small))),
    }
}

fn aggregate(nals: &[Bytes]) -> Bytes {
    let importance = nals.iter().map(|nal| nal[0] & REF_IDC).max().unwrap_or(0);
    let mut payload = BytesMut::with_capacity(aggregate_len(nals));
    payload.put_u8(importance | STAP_A);
    for nal in nals {
        payload.put_u16(u16::try_from(nal.len()).expect("an aggregated unit fits one packet"));
        payload.extend_from_slice(nal);
    }
    payload.freeze()
}

/// Splits one NAL unit (RFC 6184 §5.8); its header byte travels in the two bytes before each part.
fn fragment(nal: &[u8], max: usize, payloads: &mut Vec<Bytes>) {
    let (header, body) = (nal[0], &nal[1..]);
    let parts = body.chunks(max.saturating_sub(2).max(1));
    let last = parts.len() - 1;
    for (i, part) in parts.enumerate() {
        let start = if i == 0 { FU_START } else { 0 };
        let end = if i == last { FU_END } else { 0 };
        let mut payload = BytesMut::with_capacity(2 + part.len());
        payload.put_u8((header & !NAL_TYPE) | FU_A);
        payload.put_u8(start | end | (header & NAL_TYPE));
        payload.extend_from_slice(part);
        payloads.push(payload.freeze());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The other direction, as RFC 6184 tells a receiver.
    fn depacketise(payloads: &[Payload]) -> Vec<Vec<u8>> {
        let mut nals: Vec<Vec<u8>> = Vec::new();
        for Payload { bytes, .. } in payloads {
            match bytes[0] & NAL_TYPE {
                STAP_A => {
                    let mut rest = &bytes[1..];
                    while let [high, low, tail @ ..] = rest {
                        let (nal, after) =
                            tail.split_at(usize::from(u16::from_be_bytes([*high, *low])));
                        nals.push(nal.to_vec());
                        rest = after;
                    }
                }
                FU_A if bytes[1] & FU_START != 0 => {
                    let header = (bytes[0] & !NAL_TYPE) | (bytes[1] & NAL_TYPE);
                    nals.push([&[header], &bytes[2..]].concat());
                }
                FU_A => nals.last_mut().unwrap().extend_from_slice(&bytes[2..]),
                _ => nals.push(bytes.to_vec()),
            }
        }
        nals
    }

    fn nal(header: u8, len: usize) -> Bytes {
        let mut bytes = vec![header];
        bytes.extend((1..len).map(|i| u8::try_from(i % 251).unwrap()));
        bytes.into()
    }

    #[test]
    fn parameter_sets_share_a_packet_and_the_picture_ends_with_the_marker() {
        let payloads = packetise(&[nal(0x67, 20), nal(0x68, 4), nal(0x65, 50)], 100);
        let kinds: Vec<_> = payloads.iter().map(|p| (p.bytes[0], p.marker)).collect();
        assert_eq!(kinds, [(0x60 | STAP_A, false), (0x65, true)]);
    }

    #[test]
    fn a_large_picture_goes_in_fragments_with_first_and_last_marked() {
        let payloads = packetise(&[nal(0x65, 251)], 102);
        let heads: Vec<_> = payloads.iter().map(|p| (p.bytes[0], p.bytes[1], p.marker)).collect();
        assert_eq!(heads, [(0x7C, 0x85, false), (0x7C, 0x05, false), (0x7C, 0x45, true)]);
    }

    #[test]
    fn no_units_give_no_packets() {
        assert!(packetise(&[], 100).is_empty());
        assert!(packetise(&[Bytes::new()], 100).is_empty());
    }

    proptest! {
        #[test]
        fn what_was_packed_comes_out_again(
            units in prop::collection::vec((1u8..24, 0u8..4, 1usize..900), 1..12),
            max in 64usize..400,
        ) {
            let nals: Vec<Bytes> =
                units.iter().map(|&(kind, idc, len)| nal((idc << 5) | kind, len)).collect();
            let payloads = packetise(&nals, max);
            prop_assert!(payloads.iter().all(|p| p.bytes.len() <= max));
            prop_assert_eq!(payloads.iter().filter(|p| p.marker).count(), 1);
            prop_assert!(payloads.last().unwrap().marker);
            prop_assert_eq!(depacketise(&payloads), nals);
        }
    }
}
