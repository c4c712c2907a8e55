//! Removes objects of frames that are too old or too many, oldest first, beside whoever puts and gets.
//!
//! A pass takes stock of the folder, decides which minutes' objects go, writes the boundary down, and removes them. A
//! kill anywhere in between leaves objects that may go and are there: they go at the next pass. What a message, a dead
//! letter or a spool names stays, and so does what is younger than [`FLOOR`]: its message may be on its way.

mod boundary;
mod cut;
mod held;
#[cfg(test)]
mod tests;
mod walk;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;

pub use self::boundary::Boundary;
pub(super) use self::boundary::why_gone;
pub use self::held::Held;

use self::cut::{Cut, Minute, Stock};
use self::walk::{Fate, Object, Walk};
use super::folder::remove_stale;
use crate::clock::Clock;
use crate::durable;
use crate::error::PortError;
use crate::keep::Keep;
use crate::sqlite::blocking;
use crate::time::CaptureTime;

/// What is younger stays: longer than it takes from an object that is stored to the message that names it.
pub const FLOOR: Duration = Duration::from_secs(600);
/// What of the store is objects of frames.
const FRAMES: &str = "frames";

/// What a pass found, did and left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Objects that were removed.
    pub removed: u64,
    /// Their bytes, by the lengths of their files.
    pub removed_bytes: u64,
    /// Objects that are left.
    pub kept: u64,
    /// Their bytes.
    pub kept_bytes: u64,
    /// When the oldest object that is left was stored, to the minute.
    pub oldest: Option<CaptureTime>,
    /// Folders and objects that could not be read or removed: the next pass tries them again.
    pub failed: u64,
    /// What went wrong with the first of them.
    pub failure: Option<String>,
}

/// Removes objects from one folder.
///
/// Any number of them may exist, in any number of processes: an OS lock lets one work at a time.
#[derive(Clone, Debug)]
pub struct ObjectKeeper {
    root: PathBuf,
    keep: Keep,
    clock: Clock,
}

impl ObjectKeeper {
    /// A keeper of the object store in the folder `root`.
    ///
    /// # Errors
    /// When the path cannot be made absolute.
    pub fn new(root: &Path, keep: Keep, clock: Clock) -> Result<Self, PortError> {
        Ok(Self { root: durable::absolute(root)?, keep, clock })
    }

    /// How much is kept.
    pub fn keep(&self) -> Keep {
        self.keep
    }

    /// Takes stock, and removes what is to go; `held` is asked which objects may not. Does nothing while another process
    /// does it. Leaves off soon after it is dropped.
    ///
    /// # Errors
    /// Those of `held`, or when the boundary cannot be read or written: nothing is removed then.
    pub async fn sweep(
        &self,
        held: impl FnOnce() -> Result<Held, PortError> + Send + 'static,
    ) -> Result<Option<Swept>, PortError> {
        let keeper = self.clone();
        let stop = CancellationToken::new();
        let _stop_when_dropped = stop.clone().drop_guard();
        let attempt = || format!("remove old objects from {:?}", self.root);
        blocking(attempt, move || keeper.pass(held, &stop)).await
    }

    fn pass(
        &self,
        held: impl FnOnce() -> Result<Held, PortError>,
        stop: &CancellationToken,
    ) -> Result<Option<Swept>, PortError> {
        let Some(_lock) = boundary::try_lock(&self.root)? else { return Ok(None) };
        // Before it is asked what is held: what is stored after that is younger than the floor.
        let now = self.clock.now();
        let held = held()?;
        let mut swept = Swept::default();
        let stock = self.take_stock(&held, now, stop, &mut swept);
        (swept.kept, swept.kept_bytes) = (stock.objects, stock.bytes);
        let mut oldest = stock.oldest_loose();
        if let Some(cut) = stock.cut(&self.keep, now).filter(|_| !stop.is_cancelled()) {
            Boundary::advance(&self.root, cut.boundary())?;
            let left = self.remove(cut, &held, stop, &mut swept);
            oldest = left.into_iter().chain(stock.oldest_loose_from(cut.whole)).min();
        }
        swept.oldest = oldest.into_iter().chain(stock.oldest_held).min().map(Minute::begin);
        boundary::make_spare(&self.root);
        remove_stale(&self.root, SystemTime::now());
        Ok(Some(swept))
    }

    fn take_stock(
        &self,
        held: &Held,
        now: CaptureTime,
        stop: &CancellationToken,
        swept: &mut Swept,
    ) -> Stock {
        let mut stock = Stock::default();
        let mut walk = Walk::new(stop, false, |object: &Object<'_>| {
            stock.enter(object.bytes, stored_at(object, now)?, held.holds(object.key));
            Ok(Fate::Stays)
        });
        walk.below(&self.root, FRAMES);
        walk.failures.count_in(swept);
        stock
    }

    /// Removes what the cut takes; gives the minute of the oldest object that should have gone and is there.
    fn remove(
        &self,
        cut: Cut,
        held: &Held,
        stop: &CancellationToken,
        swept: &mut Swept,
    ) -> Option<Minute> {
        let (mut part, mut left) = (cut.part, None);
        let (mut removed, mut removed_bytes) = (0, 0);
        let mut walk = Walk::new(stop, true, |object: &Object<'_>| {
            let minute = Minute::of(object.stored_at);
            let is_taken = minute < cut.whole || (minute == cut.whole && part > 0);
            if !is_taken || held.holds(object.key) {
                return Ok(Fate::Stays);
            }
            if let Err(error) = durable::remove_if_there(object.path) {
                left = left.into_iter().chain([minute]).min();
                return Err(error);
            }
            if minute == cut.whole {
                part = part.saturating_sub(object.bytes);
            }
            removed += 1;
            removed_bytes += object.bytes;
            Ok(Fate::Gone)
        });
        walk.below(&self.root, FRAMES);
        walk.failures.count_in(swept);
        (swept.removed, swept.removed_bytes) = (removed, removed_bytes);
        swept.kept = swept.kept.saturating_sub(removed);
        swept.kept_bytes = swept.kept_bytes.saturating_sub(removed_bytes);
        left
    }
}

/// When an object was stored. One that a clock set forward has dated into the future would outlive all others: it gets
/// the date of the day on which it is found.
fn stored_at(object: &Object<'_>, now: CaptureTime) -> std::io::Result<CaptureTime> {
    let latest = CaptureTime(now.0.saturating_add(micros(FLOOR)));
    if object.stored_at <= latest {
        return Ok(object.stored_at);
    }
    let since_1970 = Duration::from_micros(u64::try_from(now.0).unwrap_or(0));
    fs::File::open(object.path)?.set_modified(SystemTime::UNIX_EPOCH + since_1970)?;
    Ok(now)
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}
