//! Access units → access units as openh264 has to see them: parameter sets disguised, checked and not repeated, and a
//! recovery point made a beginning.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::decode::DecodeError;
use super::entry::Entry;
use super::nal::{Nal, NalType, nal_units, push_nal};
use super::profile::{disguised, with_gaps};
use super::slice::SliceReader;
use super::sps::Sps;
use super::support::check;
use crate::access_unit::AccessUnit;

/// What a stream has told so far of how it is coded.
#[derive(Default)]
pub(super) struct Sequence {
    max_pixels: u64,
    slices: SliceReader,
    known: BTreeMap<u8, Known>,
    /// Where decoding began, if that was no IDR picture.
    entry: Option<Entry>,
}

/// A sequence parameter set that the decoder has.
struct Known {
    bytes: Vec<u8>,
    sps: Sps,
}

/// An access unit as the decoder is to see it.
pub(super) struct Prepared<'a> {
    pub(super) data: Cow<'a, [u8]>,
    /// The parameter set of its picture.
    pub(super) sps: Sps,
}

impl Sequence {
    /// A stream that has told nothing yet, of pictures that may have so many pixels.
    pub(super) fn new(max_pixels: u64) -> Self {
        Self { max_pixels, ..Self::default() }
    }

    /// Prepares an access unit at which decoding begins.
    ///
    /// # Errors
    /// Its parameter sets are missing, damaged, or of what the decoder cannot decode.
    pub(super) fn begin<'a>(&mut self, unit: &'a AccessUnit) -> Result<Prepared<'a>, DecodeError> {
        self.entry = None;
        if unit.sps().is_none() {
            return Err(DecodeError::Damaged("key frame without parameter set"));
        }
        self.observe(unit, true)?;
        let (sps, first) = self.parameter_set(unit)?;
        if !unit.is_idr() {
            self.entry = Some(Entry::at(&self.slices, first).ok_or(CUT_OFF_SLICE)?);
        }
        let entry = self.entry;
        let data = rewritten(unit, |nal| match (nal.unit_type(), entry) {
            (NalType::Sps, None) => Ok(Some(disguised(nal.bytes()).ok_or(CUT_OFF_SET)?.into())),
            (NalType::Sps, Some(_)) => {
                // Pictures that are left out after the entry have numbers too: what is missing is seen here.
                let sps = with_gaps(nal.bytes()).and_then(|sps| disguised(&sps));
                Ok(Some(sps.ok_or(CUT_OFF_SET)?.into()))
            }
            (NalType::Slice, Some(entry)) => {
                Ok(Some(entry.as_idr(&self.slices, nal).ok_or(CUT_OFF_SLICE)?.into()))
            }
            _ => Ok(Some(nal.bytes().into())),
        })?;
        Ok(Prepared { data: data.into(), sps })
    }

    /// Prepares an access unit that goes on where the last one ended.
    ///
    /// # Errors
    /// It changes a parameter set of the sequence, a picture is missing before it, or it is damaged.
    pub(super) fn go_on<'a>(&mut self, unit: &'a AccessUnit) -> Result<Prepared<'a>, DecodeError> {
        let has_sps = self.observe(unit, false)?;
        let (sps, first) = self.parameter_set(unit)?;
        self.check_gap(first)?;
        let entry = self.entry;
        if !has_sps && entry.is_none() {
            return Ok(Prepared { data: Cow::Borrowed(&unit.data), sps });
        }
        let data = rewritten(unit, |nal| match (nal.unit_type(), entry) {
            // The decoder has it; it would take its repetition for the beginning of another sequence.
            (NalType::Sps, _) => Ok(None),
            (NalType::Slice, Some(entry)) => {
                Ok(Some(entry.rebased(&self.slices, nal).ok_or(CUT_OFF_SLICE)?.into()))
            }
            _ => Ok(Some(nal.bytes().into())),
        })?;
        Ok(Prepared { data: data.into(), sps })
    }

    /// Takes notice of an access unit that is not decoded.
    ///
    /// # Errors
    /// As [`go_on`](Self::go_on).
    pub(super) fn pass_over(&mut self, unit: &AccessUnit) -> Result<(), DecodeError> {
        self.observe(unit, false)?;
        let (_, first) = self.parameter_set(unit)?;
        self.check_gap(first)
    }

    fn check_gap(&mut self, first: Nal<'_>) -> Result<(), DecodeError> {
        let Some(entry) = &mut self.entry else { return Ok(()) };
        if entry.is_gap_before(&self.slices, first).ok_or(CUT_OFF_SLICE)? {
            return Err(DecodeError::Damaged("it refers to a picture that is lost"));
        }
        Ok(())
    }

    /// Takes notice of an access unit's parameter sets; tells whether there are any of sequences.
    fn observe(&mut self, unit: &AccessUnit, begins: bool) -> Result<bool, DecodeError> {
        let mut has_sps = false;
        for nal in nal_units(&unit.data) {
            match nal.unit_type() {
                NalType::Sps => {
                    has_sps = true;
                    self.observe_sequence(nal, begins)?;
                }
                NalType::Pps => self.slices.observe(nal),
                _ => {}
            }
        }
        Ok(has_sps)
    }

    fn observe_sequence(&mut self, nal: Nal<'_>, begins: bool) -> Result<(), DecodeError> {
        let sps = Sps::from_nal(nal.bytes())?;
        check(&sps, self.max_pixels)?;
        let known = self.known.get(&sps.id);
        if known.is_some_and(|known| known.bytes == nal.bytes()) {
            return Ok(());
        }
        if !begins {
            // Allowed at IDR pictures only (ITU-T H.264 §7.4.1.2.1).
            return Err(DecodeError::Damaged("its parameter set changes where no sequence begins"));
        }
        self.slices.observe(nal);
        self.known.insert(sps.id, Known { bytes: nal.bytes().to_vec(), sps });
        Ok(())
    }

    /// The parameter set of an access unit's picture, and its first slice.
    fn parameter_set<'a>(&self, unit: &'a AccessUnit) -> Result<(Sps, Nal<'a>), DecodeError> {
        let first = nal_units(&unit.data).find(|nal| nal.is_slice());
        let first = first.ok_or(DecodeError::Damaged("it has no picture"))?;
        let id = self.slices.parameter_set_of(first);
        let known = match id {
            Some(id) => self.known.get(&id),
            // Where there is one only, it needs no naming.
            None => self.known.values().next().filter(|_| self.known.len() == 1),
        };
        let never_came = DecodeError::Damaged("it refers to a parameter set that never came");
        Ok((known.ok_or(never_came)?.sps.clone(), first))
    }
}

const CUT_OFF_SET: DecodeError = DecodeError::Damaged("its parameter set is cut off");
const CUT_OFF_SLICE: DecodeError = DecodeError::Damaged("its slice header cannot be read");

/// An access unit with each NAL unit as `rewrite` gives it, or without it.
fn rewritten<'a>(
    unit: &'a AccessUnit,
    rewrite: impl Fn(Nal<'a>) -> Result<Option<Cow<'a, [u8]>>, DecodeError>,
) -> Result<Vec<u8>, DecodeError> {
    let mut data = Vec::with_capacity(unit.data.len() + 32);
    for nal in nal_units(&unit.data) {
        if let Some(bytes) = rewrite(nal)? {
            push_nal(&mut data, &bytes);
        }
    }
    Ok(data)
}
