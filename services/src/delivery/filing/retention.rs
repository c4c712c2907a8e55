//! Retention: the oldest hours leave the table when they are older, or the table is larger, than it is to be.
//!
//! Hours leave whole, oldest first, and never one that is under way or of which a row is buffered. Four steps, each
//! durable before the next begins:
//!
//! 1. count: the frames whose only rows are in these hours, and that no message names,
//! 2. leave: one transaction adds them to what is retired, and the files leave,
//! 3. copy: what is retired is written beside the buffer ([`retired`]),
//! 4. [sweep](Work::sweep): the files are removed when nobody reads them.
//!
//! A crash before the second changes nothing; after it, the next pass goes on. A file that is missing or damaged is not
//! counted and does not leave: it stays in the list, where queries and the audit name it, until somebody repairs the table.
//! One that the system cannot read now may have frames of its hour and those beside it: these stay until it can be read.

use std::ops::RangeInclusive;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::work::{Files, Work};
use crate::delivery::columns::Hour;
use crate::delivery::list::{self, FiledPart};
use crate::delivery::retired::{self, RetiredFrames};
use crate::error::PortError;
use crate::keep::Keep;
use crate::time::CaptureTime;

/// How long an hour stays after its end, at least: messages whose rows came in its last moments are acknowledged by then.
const SETTLED: Duration = Duration::from_secs(600);
/// Hours leave together while their rows are not more than this.
const STEP_ROWS: u64 = 1_000_000;

/// Tells whether the oldest hour is due: its end is so long ago, or the table's files are more bytes, `held`, than are kept and
/// it is [`SETTLED`].
fn is_due(keep: Keep, hour: Hour, held: u64, now: CaptureTime) -> bool {
    let end = Hour(hour.0.saturating_add(1)).begin();
    let age = u64::try_from(now.0.saturating_sub(end.0)).ok().map(Duration::from_micros);
    let is_past = |most| age.is_some_and(|age| age >= most);
    is_past(SETTLED)
        && (keep.age.is_some_and(is_past) || keep.bytes.is_some_and(|most| held > most))
}

/// What left in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left {
    /// Rows of hours before this one.
    pub(super) before: Hour,
    pub(super) files: u64,
    pub(super) rows: u64,
    pub(super) frames: u64,
}

/// Hours that are due, and the rest of the table.
#[derive(Debug, Default)]
pub(super) struct Due {
    pub(super) hours: Vec<Hour>,
    pub(super) parts: Vec<FiledPart>,
    pub(super) rows: u64,
    pub(super) others: Vec<FiledPart>,
}

/// How the counting of frames ended.
pub(super) enum Counted {
    Whole(Vec<RetiredFrames>),
    /// A file cannot be read: it stays as it is.
    Unfit(String),
    /// Frames of these hours may lie in a file that cannot be read now.
    Unclear(RangeInclusive<Hour>),
    Stopped,
}

impl Work {
    /// Has the oldest hours leave that are due; whoever calls holds the filing lock. Gives none when no hour is due, or
    /// `stop` was cancelled before it was done.
    pub(super) fn retire_some(&self, stop: &CancellationToken) -> Result<Option<Left>, PortError> {
        retired::even_out(&self.database, &self.table, self.clock.now())?;
        self.remove_drafts()?;
        let mut unclear = Vec::new();
        while let Some((last, due)) = self.due(&unclear)? {
            match self.count(&due, stop)? {
                Counted::Whole(frames) => {
                    let left = self.retire(last, &due, &frames)?;
                    let Left { before, files, rows, frames } = left;
                    tracing::info!(%before, files, rows, frames, "rows left the table with their time");
                    retired::even_out(&self.database, &self.table, self.clock.now())?;
                    return Ok(Some(left));
                }
                Counted::Unfit(path) => self.leave_alone(path),
                Counted::Unclear(hours) => unclear.push(hours),
                Counted::Stopped => break,
            }
        }
        Ok(None)
    }

    /// The oldest hours, as many as leave together, but for those of which it is not clear what is in them.
    pub(super) fn due(
        &self,
        unclear: &[RangeInclusive<Hour>],
    ) -> Result<Option<(Hour, Due)>, PortError> {
        let keep = self.policy.keep;
        if keep.is_all() {
            return Ok(None);
        }
        let now = self.clock.now();
        let Files { mut closed, open, unfit } = self.files()?;
        let bytes = |parts: &[FiledPart]| parts.iter().map(|part| part.bytes).sum::<u64>();
        let mut held = bytes(&open) + closed.values().map(|parts| bytes(parts)).sum::<u64>();
        let mut due = Due { others: [open, unfit].concat(), ..Due::default() };
        while let Some((hour, parts)) = closed.pop_first() {
            if unclear.iter().any(|hours| hours.contains(&hour)) {
                due.others.extend(parts);
                continue;
            }
            let rows = due.rows + parts.iter().map(|part| part.rows).sum::<u64>();
            if !is_due(keep, hour, held, now) || (!due.hours.is_empty() && rows > STEP_ROWS) {
                due.others.extend(parts);
                break;
            }
            held -= bytes(&parts);
            due.rows = rows;
            due.hours.push(hour);
            due.parts.extend(parts);
        }
        due.others.extend(closed.into_values().flatten());
        Ok(due.hours.last().copied().map(|last| (last, due)))
    }

    /// Has files leave whose frames are counted, in one step.
    pub(super) fn retire(
        &self,
        last: Hour,
        due: &Due,
        frames: &[RetiredFrames],
    ) -> Result<Left, PortError> {
        let now = self.clock.now();
        self.database.write("retire rows of", |transaction| {
            retired::add(transaction, last, frames)?;
            due.parts.iter().try_for_each(|part| list::leave(transaction, &part.path, now))
        })?;
        Ok(Left {
            before: Hour(last.0.saturating_add(1)),
            files: due.parts.len() as u64,
            rows: due.rows,
            frames: frames.iter().map(|of| of.frames).sum(),
        })
    }
}

#[cfg(test)]
mod tests;
