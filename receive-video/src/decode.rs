//! Access units in → the pictures that are asked for out. Decodes from the key frame up to the picture asked for
//! and no further, leaving out what nothing refers to and nobody wants.

use std::collections::{BTreeMap, VecDeque};

use media::h264::{DecodeError, Decoder};
use media::{AccessUnit, Picture};
use services::Seq;

/// Most bytes of access units held back undecoded; past it, the oldest are decoded ahead of need.
const MAX_HELD_BYTES: usize = 8 << 20;

/// Why a picture cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Undecodable {
    /// The decoder refused it, or one that it builds on.
    #[error("decode picture: {0}")]
    Refused(#[from] DecodeError),
    /// The decoder took everything and gave no such picture.
    #[error("decode picture: the decoder gave none for this access unit")]
    Absent,
}

/// A decoder that works when it is asked and no sooner.
pub(crate) struct LazyDecoder<D> {
    decoder: D,
    held: VecDeque<Held>,
    held_bytes: usize,
    fed: BTreeMap<i64, Seq>,
    pictures: BTreeMap<Seq, Picture>,
    flushed: bool,
}

#[derive(Debug)]
struct Held {
    seq: Seq,
    unit: AccessUnit,
    unwanted: bool,
}

impl<D: Decoder> LazyDecoder<D> {
    /// Wraps a decoder.
    pub(crate) fn new(decoder: D) -> Self {
        Self {
            decoder,
            held: VecDeque::new(),
            held_bytes: 0,
            fed: BTreeMap::new(),
            pictures: BTreeMap::new(),
            flushed: true,
        }
    }

    /// Takes the next unit in decode order; where decoding `begins`, at a key frame, what was before it is forgotten.
    ///
    /// # Errors
    /// Too much was held, decoding ahead was needed, and the decoder refused.
    pub(crate) fn push(
        &mut self,
        seq: Seq,
        unit: AccessUnit,
        begins: bool,
    ) -> Result<(), Undecodable> {
        if begins {
            self.forget();
            self.decoder.skip_to_key();
        }
        self.held_bytes += unit.data.len();
        self.held.push_back(Held { seq, unit, unwanted: false });
        while self.held_bytes > MAX_HELD_BYTES && self.held.len() > 1 {
            self.feed_next()?;
        }
        Ok(())
    }

    /// Tells that nobody will ask for this unit's picture.
    pub(crate) fn release(&mut self, seq: Seq) {
        self.pictures.remove(&seq);
        self.fed.retain(|_, fed| *fed != seq);
        if let Some(held) = self.held.iter_mut().rfind(|held| held.seq == seq) {
            held.unwanted = true;
        }
    }

    /// Gives a unit's picture.
    ///
    /// # Errors
    /// It cannot be decoded; nothing more can be before the next key frame.
    pub(crate) fn picture(&mut self, seq: Seq) -> Result<Picture, Undecodable> {
        let picture = self.decode_up_to(seq);
        if picture.is_err() {
            self.forget();
        }
        picture
    }

    fn decode_up_to(&mut self, seq: Seq) -> Result<Picture, Undecodable> {
        while self.held.front().is_some_and(|held| held.seq <= seq) {
            self.feed_next()?;
        }
        if !self.pictures.contains_key(&seq) {
            self.flush()?;
        }
        self.pictures.get(&seq).cloned().ok_or(Undecodable::Absent)
    }

    fn feed_next(&mut self) -> Result<(), Undecodable> {
        let Some(next) = self.held.pop_front() else { return Ok(()) };
        self.held_bytes -= next.unit.data.len();
        if next.unwanted && !next.unit.referenced {
            return Ok(());
        }
        if !next.unwanted {
            self.fed.insert(next.unit.pts, next.seq);
        }
        self.flushed = false;
        let pictures = self.decoder.decode(&next.unit)?;
        self.keep(pictures);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Undecodable> {
        if !self.flushed {
            let pictures = self.decoder.flush()?;
            self.keep(pictures);
            self.flushed = true;
        }
        Ok(())
    }

    fn keep(&mut self, pictures: Vec<Picture>) {
        for picture in pictures {
            if let Some(seq) = self.fed.remove(&picture.pts) {
                self.pictures.insert(seq, picture);
            }
        }
    }

    fn forget(&mut self) {
        self.held.clear();
        self.held_bytes = 0;
        self.fed.clear();
        self.pictures.clear();
        if !self.flushed {
            // What the decoder still has, or why it fails to give it, concerns nobody any more.
            let _ = self.decoder.flush();
            self.flushed = true;
        }
    }
}
