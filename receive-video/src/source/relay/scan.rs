//! The bytes of NAL units as the RTSP library reads them: where further units begin within a payload, and what it ends
//! the session for.

use super::video::Unfit;

/// The bit of a NAL unit's first byte that must not be set.
pub(super) const FORBIDDEN: u8 = 0x80;

/// Reads a NAL unit behind its header, in one part or several.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// How many bytes of 0 came last.
    zeros: usize,
    /// A start code came last: some cameras put them between units within a payload.
    begins: bool,
}

impl Scan {
    /// Reads on; gives how many further units begin.
    ///
    /// # Errors
    /// There is what no NAL unit may hold: `00 00 02`, and `00 00 00` but before a start code or at the end (ITU-T H.264
    /// §7.4.1.1). Nobody can tell what stood there before.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Result<usize, Unfit> {
        let mut begun = 0;
        loop {
            if self.zeros == 0 && !self.begins {
                let Some(at) = memchr::memchr(0, bytes) else { return Ok(begun) };
                bytes = &bytes[at + 1..];
                self.zeros = 1;
            }
            let Some((&byte, rest)) = bytes.split_first() else { return Ok(begun) };
            bytes = rest;
            match byte {
                _ if std::mem::take(&mut self.begins) => {
                    if byte & FORBIDDEN != 0 {
                        return Err(Unfit::Damaged);
                    }
                    begun += 1;
                }
                0 => self.zeros += 1,
                1 if self.zeros >= 2 => (self.zeros, self.begins) = (0, true),
                2 if self.zeros >= 2 => return Err(Unfit::Forbidden),
                _ if self.zeros >= 3 => return Err(Unfit::Forbidden),
                _ => self.zeros = 0,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads bytes in one part, and in two wherever they are cut: what is found is the same.
    fn read(bytes: &[u8]) -> Result<usize, Unfit> {
        let whole = Scan::default().read(bytes);
        for cut in 0..bytes.len() {
            let mut scan = Scan::default();
            let parts = scan.read(&bytes[..cut]).and_then(|n| Ok(n + scan.read(&bytes[cut..])?));
            assert_eq!(parts, whole, "{bytes:?} cut at {cut}");
        }
        whole
    }

    #[test]
    fn what_a_unit_may_hold_is_passed_over() {
        for bytes in [
            &[][..],
            &[0x88, 1, 2, 3],
            &[0x88, 0, 2, 0, 1, 0, 3],
            &[0x88, 0, 0, 3, 2, 0, 0, 4],
            &[0x88, 0, 0, 3, 0, 0, 3, 0],
            &[0x88, 0, 0, 0, 0],
        ] {
            assert_eq!(read(bytes), Ok(0), "{bytes:?}");
        }
    }

    #[test]
    fn units_begin_behind_start_codes_of_any_length() {
        assert_eq!(read(&[5, 0, 0, 1, 6, 0, 0, 0, 0, 1, 0x65, 0x88]), Ok(2));
        assert_eq!(read(&[5, 0, 0, 1]), Ok(0), "nothing behind it");
        assert_eq!(read(&[5, 0, 0, 1, 0, 0, 1, 7]), Ok(1), "a header is one of any kind");
    }

    #[test]
    fn what_no_unit_may_hold_is_found() {
        assert_eq!(read(&[0x88, 0, 0, 2, 1]), Err(Unfit::Forbidden));
        assert_eq!(read(&[0x88, 0, 0, 0, 2]), Err(Unfit::Forbidden));
        assert_eq!(read(&[0x88, 0, 0, 0, 3]), Err(Unfit::Forbidden));
        assert_eq!(read(&[0x88, 0, 0, 0, 0, 0x65]), Err(Unfit::Forbidden));
        assert_eq!(read(&[0x88, 0, 0, 1, 0xe5]), Err(Unfit::Damaged));
    }
}
