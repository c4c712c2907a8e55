//! The box structure of MP4 (ISO/IEC 14496-12 §4.2), read from memory without trust in any length.

/// A box: its type and what it holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mp4Box<'a> {
    pub(super) kind: [u8; 4],
    pub(super) body: &'a [u8],
}

/// The length of a box, by its first 16 bytes (or fewer, at the end of a file).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: [u8; 4],
    /// Bytes before the body.
    pub(super) header: u64,
    /// Bytes of header and body; `None` when the box goes on to the end.
    pub(super) total: Option<u64>,
}

impl Header {
    /// Reads a box header; `None` when it is cut off or its length is less than its own.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let kind = bytes.get(4..8)?.try_into().ok()?;
        let (header, total) = match u32_at(bytes, 0)? {
            0 => (8, None),
            1 => (16, Some(u64_at(bytes, 8)?)),
            size => (8, Some(u64::from(size))),
        };
        if total.is_some_and(|total| total < header) {
            return None;
        }
        Some(Self { kind, header, total })
    }
}

/// Iterates over the boxes that a box holds, up to the first that does not fit.
pub(super) fn children(body: &[u8]) -> impl Iterator<Item = Mp4Box<'_>> {
    let mut rest = body;
    std::iter::from_fn(move || {
        let header = Header::read(rest)?;
        let start = usize::try_from(header.header).ok()?;
        let end = match header.total {
            Some(total) => usize::try_from(total).ok()?,
            None => rest.len(),
        };
        let body = rest.get(start..end)?;
        rest = &rest[end..];
        Some(Mp4Box { kind: header.kind, body })
    })
}

/// The body of the box at the end of a path of box types.
pub(super) fn find<'a>(body: &'a [u8], path: &[&[u8; 4]]) -> Option<&'a [u8]> {
    path.iter().try_fold(body, |body, kind| {
        children(body).find(|child| child.kind == **kind).map(|child| child.body)
    })
}

/// The version of a full box.
pub(super) fn version(body: &[u8]) -> u8 {
    body.first().copied().unwrap_or(0)
}

/// The flags of a full box.
pub(super) fn flags(body: &[u8]) -> u32 {
    u32_at(body, 0).unwrap_or(0) & 0x00ff_ffff
}

/// The rows of a table of `N` columns of 32 bits, whose count stands at `at` and whose rows follow it; rows that the
/// box is too short for are left out.
pub(super) fn rows<const N: usize>(body: &[u8], at: usize) -> impl Iterator<Item = [u32; N]> + '_ {
    let count = usize::try_from(u32_at(body, at).unwrap_or(0)).unwrap_or(usize::MAX);
    let rows = body.get(at + 4..).unwrap_or_default();
    rows.chunks_exact(4 * N).take(count).map(|row| {
        std::array::from_fn(|column| u32_at(row, 4 * column).expect("a row has N columns"))
    })
}

/// A big-endian number of 16 bits.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

/// A big-endian number of 32 bits.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// A big-endian number of 64 bits.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_are_found_by_their_path() {
        let inner = [0, 0, 0, 9, b'l', b'e', b'a', b'f', 7];
        let mut outer = vec![0, 0, 0, 8, b'f', b'r', b'e', b'e', 0, 0, 0, 17];
        outer.extend(b"node");
        outer.extend(inner);
        assert_eq!(find(&outer, &[b"node", b"leaf"]), Some(&[7][..]));
        assert_eq!(find(&outer, &[b"leaf"]), None);
    }

    #[test]
    fn lengths_that_do_not_fit_end_the_reading() {
        assert_eq!(children(&[0, 0, 0, 4, b'f', b'r', b'e', b'e']).count(), 0);
        assert_eq!(children(&[0, 0, 0, 9, b'f', b'r', b'e', b'e']).count(), 0);
        assert_eq!(children(&[0, 0, 0, 0, b'm', b'd', b'a', b't', 1, 2]).count(), 1);
    }

    #[test]
    fn a_table_is_no_longer_than_its_box() {
        let body = [0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0];
        assert_eq!(rows::<2>(&body, 4).collect::<Vec<_>>(), [[1, 2]]);
    }
}
