//! Counts the frames whose only rows are in files that leave.
//!
//! A frame that was delivered twice, or whose rows came on both sides of an hour's end, has rows in two hours: it counts
//! with the last of them that leaves. So the frames in the table and those that are retired are as many after files left
//! as before, each counted once. A frame that a message names, waiting or dead, counts as that and is not retired: it may be
//! answered again.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::ops::RangeInclusive;
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use tokio_util::sync::CancellationToken;

use super::retention::{Counted, Due};
use super::work::{CHUNK_ROWS, Work};
use crate::delivery::buffer;
use crate::delivery::columns::Hour;
use crate::delivery::list::FiledPart;
use crate::delivery::parquet::{Bounds, PartReader};
use crate::delivery::retired::{FramesOf, RetiredFrames};
use crate::error::{ErrorKind, PortError};
use crate::id::{Epoch, Seq};

/// Rows whose frames are in memory at once, some 40 MB; what is more is read again for each share of it.
const SHARE_ROWS: u64 = 1_000_000;

/// Why the reading of a file came to no end.
enum Stop {
    /// It cannot be read.
    Unfit(Unfit),
    Asked,
    Failed(PortError),
}

struct Unfit {
    path: String,
    /// Whether it is missing or damaged, and not only out of the system's reach.
    is_gone: bool,
    /// Whether its footer was read: some of its rows lie between the bounds then.
    is_open: bool,
}

/// The frames of one share.
struct Share {
    number: u64,
    of: u64,
    state: RandomState,
    frames: HashMap<FramesOf, HashSet<Seq>>,
}

impl Share {
    fn is_mine(&self, of: &FramesOf, seq: Seq) -> bool {
        self.of == 1 || self.state.hash_one((of, seq)) % self.of == self.number
    }

    fn add(&mut self, of: &FramesOf, seq: Seq) {
        if !self.is_mine(of, seq) {
            return;
        }
        match self.frames.get_mut(of) {
            Some(frames) => frames.insert(seq),
            None => self.frames.entry(of.clone()).or_default().insert(seq),
        };
    }

    fn remove(&mut self, of: &FramesOf, seq: Seq) {
        if let Some(frames) = self.frames.get_mut(of) {
            frames.remove(&seq);
        }
    }
}

impl Work {
    /// Counts the frames that have rows in what is due and in no other part of the table, and that no message names.
    pub(super) fn count(&self, due: &Due, stop: &CancellationToken) -> Result<Counted, PortError> {
        self.count_in_shares(due, due.rows.div_ceil(SHARE_ROWS), stop)
    }

    pub(super) fn count_in_shares(
        &self,
        due: &Due,
        shares: u64,
        stop: &CancellationToken,
    ) -> Result<Counted, PortError> {
        let mut counts = HashMap::<FramesOf, u64>::new();
        let state = RandomState::new();
        for number in 0..shares {
            let frames = HashMap::new();
            let mut share = Share { number, of: shares, state: state.clone(), frames };
            match self.fill(&mut share, due, stop) {
                Ok(None) => {}
                Ok(Some(unclear)) => return Ok(Counted::Unclear(unclear)),
                Err(Stop::Unfit(Unfit { path, .. })) => return Ok(Counted::Unfit(path)),
                Err(Stop::Asked) => return Ok(Counted::Stopped),
                Err(Stop::Failed(error)) => return Err(error),
            }
            for (of, frames) in share.frames {
                *counts.entry(of).or_default() += frames.len() as u64;
            }
        }
        let counted = counts.into_iter().filter(|(_, frames)| *frames > 0);
        Ok(Counted::Whole(counted.map(|(of, frames)| RetiredFrames { of, frames }).collect()))
    }

    /// Fills a share; gives hours, instead, whose frames may lie in a file that the system cannot read now.
    fn fill(
        &self,
        share: &mut Share,
        due: &Due,
        stop: &CancellationToken,
    ) -> Result<Option<RangeInclusive<Hour>>, Stop> {
        let mut bounds = Vec::with_capacity(due.parts.len());
        for part in &due.parts {
            let add = |of: &FramesOf, seq| share.add(of, seq);
            bounds.push(self.each_frame(part, None, stop, add)?);
        }
        let within = bounds.into_iter().reduce(|all, part| Some(all?.and(&part?))).flatten();
        for part in &due.others {
            let remove = |of: &FramesOf, seq| share.remove(of, seq);
            match self.each_frame(part, within.as_ref(), stop, remove) {
                Ok(_) => {}
                Err(Stop::Unfit(unfit)) => {
                    if let Some(unclear) = due.unclear(&unfit) {
                        return Ok(Some(unclear));
                    }
                }
                Err(other) => return Err(other),
            }
        }
        self.each_waiting(|of, seq| share.remove(of, seq)).map_err(Stop::Failed)?;
        let buffered = buffer::each_row(&self.database, |row| {
            let (stream, epoch, model) = (row.stream, row.epoch, row.model);
            share.remove(&FramesOf { stream, epoch, model }, row.stamp.seq);
        });
        buffered.map(|()| None).map_err(Stop::Failed)
    }

    /// Calls `with` for each row of a file that may lie between bounds, and gives those of its own rows.
    fn each_frame(
        &self,
        part: &FiledPart,
        within: Option<&Bounds>,
        stop: &CancellationToken,
        mut with: impl FnMut(&FramesOf, Seq),
    ) -> Result<Option<Bounds>, Stop> {
        let path = self.table.join(&part.path);
        let unfit = |is_open, error: PortError| {
            tracing::warn!(file = part.path, %error, "a file of rows is not counted, and stays");
            let is_gone = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound);
            Stop::Unfit(Unfit { path: part.path.clone(), is_gone, is_open })
        };
        let odd = |cause: String| {
            PortError::because(ErrorKind::Corrupt, format!("count frames of {path:?}"), cause)
        };
        let reader = PartReader::open(&path).map_err(|error| unfit(false, error))?;
        let unfit = |error| unfit(true, error);
        let (bounds, mut rows) = (reader.bounds(), 0);
        for batch in reader.frames(within, CHUNK_ROWS as usize).map_err(unfit)? {
            if stop.is_cancelled() {
                return Err(Stop::Asked);
            }
            let batch = batch.map_err(unfit)?;
            rows += batch.num_rows() as u64;
            each_of(&batch, &mut with).map_err(|cause| unfit(odd(cause)))?;
        }
        if within.is_none() && rows != part.rows {
            return Err(unfit(odd(format!("it has {rows} rows, {} are listed", part.rows))));
        }
        Ok(bounds)
    }
}

impl Due {
    /// The hours, some of them due, whose frames may lie in a file that the system cannot read now: frames that are answered
    /// twice are so in hours side by side, as a rule. What is missing or damaged is no part of the table's answers either.
    fn unclear(&self, unfit: &Unfit) -> Option<RangeInclusive<Hour>> {
        let hours = if unfit.is_open {
            *self.hours.first()?..=*self.hours.last()?
        } else {
            let Hour(hour) = Hour::of_path(Path::new(&unfit.path))?;
            Hour(hour.saturating_sub(1))..=Hour(hour.saturating_add(1))
        };
        (!unfit.is_gone && self.hours.iter().any(|hour| hours.contains(hour))).then_some(hours)
    }
}

/// Calls `with` for each row's frame; or says what is wrong with one.
fn each_of(batch: &RecordBatch, with: &mut impl FnMut(&FramesOf, Seq)) -> Result<(), String> {
    let column = |name| batch.column_by_name(name).expect("the file has the table's columns");
    let (streams, models) =
        (column("stream").as_string::<i32>(), column("model").as_string::<i32>());
    let (epochs, seqs) =
        (column("epoch").as_primitive::<Int64Type>(), column("seq").as_primitive::<Int64Type>());
    let number = |name, value| {
        u64::try_from(value).map_err(|_| format!("{name} is {value}, expected 0 or more"))
    };
    let mut last = None::<FramesOf>;
    for row in 0..batch.num_rows() {
        let (stream, model) = (streams.value(row), models.value(row));
        let epoch = Epoch(number("epoch", epochs.value(row))?);
        let is_same = |of: &FramesOf| {
            of.epoch == epoch && of.stream.as_str() == stream && of.model.as_str() == model
        };
        let of = match last.take() {
            Some(of) if is_same(&of) => of,
            _ => FramesOf {
                stream: stream.parse().map_err(|error| format!("{error}"))?,
                epoch,
                model: model.parse().map_err(|error| format!("{error}"))?,
            },
        };
        with(&of, Seq(number("seq", seqs.value(row))?));
        last = Some(of);
    }
    Ok(())
}
