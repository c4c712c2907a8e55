//! Units that are there already (a file, the scene) → arrivals, as fast as they are wanted or at their own pace.

use std::thread::JoinHandle;
use std::time::Duration;

use media::AccessUnit;
use services::{CaptureClock, CaptureTime, Clock, MediaTime, Seq, Stamp};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::error::SourceError;
use super::units::Units;
use super::{Arrival, Incident};
use crate::retry::Panicked;

/// Units read ahead.
const READ_AHEAD: usize = 8;

/// Units read by a thread of their own.
#[derive(Debug)]
pub(crate) struct TimelineSource {
    units: mpsc::Receiver<Result<AccessUnit, SourceError>>,
    reader: Option<JoinHandle<()>>,
    pending: Option<AccessUnit>,
    began_at: CaptureTime,
    pace: Option<Instant>,
    next_seq: u64,
    incidents: Vec<Incident>,
}

impl TimelineSource {
    /// Starts to read; `paced` gives each unit when its time has come.
    pub(crate) fn start(units: Units, paced: bool, clock: &Clock) -> Self {
        let (sender, receiver) = mpsc::channel(READ_AHEAD);
        let reader = std::thread::spawn(move || {
            for unit in units {
                if sender.blocking_send(unit).is_err() {
                    return;
                }
            }
        });
        Self {
            units: receiver,
            reader: Some(reader),
            pending: None,
            began_at: clock.now(),
            pace: paced.then(Instant::now),
            next_seq: 0,
            incidents: Vec::new(),
        }
    }

    /// With what is known of the file already.
    pub(crate) fn telling(self, incidents: Vec<Incident>) -> Self {
        Self { incidents, ..self }
    }

    /// Gives what happened since the last call.
    pub(crate) fn incidents(&mut self) -> Vec<Incident> {
        std::mem::take(&mut self.incidents)
    }

    /// Gives the next access unit; `None` at the end.
    ///
    /// # Cancel safety
    /// A dropped call loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Option<Arrival>, SourceError> {
        if self.pending.is_none() {
            self.pending = self.units.recv().await.transpose()?;
        }
        if self.pending.is_none() {
            self.end_of_reader()?;
        }
        if let (Some(unit), Some(start)) = (&self.pending, self.pace) {
            tokio::time::sleep_until(start + since_start(unit.dts)).await;
        }
        Ok(self.pending.take().map(|unit| self.arrival(unit)))
    }

    /// Tells an end of the file from a reader that panicked: its thread is done, or about to be.
    fn end_of_reader(&mut self) -> Result<(), SourceError> {
        match self.reader.take().map(JoinHandle::join) {
            Some(Err(panic)) => {
                Err(SourceError::hopeless(Panicked::new("its reader", &*panic).to_string()))
            }
            _ => Ok(()),
        }
    }

    fn arrival(&mut self, unit: AccessUnit) -> Arrival {
        let (seq, media_time) = (Seq(self.next_seq), MediaTime(unit.pts));
        self.next_seq += 1;
        let captured_at = self.began_at.after(media_time);
        let stamp = Stamp { seq, media_time, captured_at, clock: CaptureClock::File };
        Arrival { stamp, loss: false, unit }
    }
}

fn since_start(dts: i64) -> Duration {
    let micros = MediaTime(dts).as_micros();
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units() -> Units {
        let unit = |n: i64| AccessUnit::from_annex_b(vec![0, 0, 1, 0x65, 1], n * 9_000, n * 9_000);
        Box::new((0..5).map(move |n| Ok(unit(n))))
    }

    async fn times(source: &mut TimelineSource) -> Vec<(u64, i64)> {
        let mut times = Vec::new();
        while let Some(arrival) = source.next().await.unwrap() {
            let Stamp { seq, captured_at, .. } = arrival.stamp;
            times.push((seq.0, captured_at.0 - source.began_at.0));
        }
        times
    }

    #[tokio::test]
    async fn capture_times_follow_the_timeline() {
        let mut source = TimelineSource::start(units(), false, &Clock::system());
        let expected = [0, 1, 2, 3, 4].map(|n: i64| (n.unsigned_abs(), n * 100_000));
        assert_eq!(times(&mut source).await, expected);
    }

    #[tokio::test]
    async fn a_reader_that_panics_is_no_end_of_file() {
        let broken = units().chain(std::iter::from_fn(|| panic!("a box of -1 bytes")));
        let mut source = TimelineSource::start(Box::new(broken), false, &Clock::system());
        for _ in 0..5 {
            assert!(source.next().await.unwrap().is_some());
        }
        let error = source.next().await.unwrap_err();
        assert_eq!(error.to_string(), "its reader panicked: a box of -1 bytes");
    }

    #[tokio::test]
    async fn a_paced_source_takes_as_long_as_its_timeline() {
        let began = Instant::now();
        let mut source = TimelineSource::start(units(), true, &Clock::system());
        assert_eq!(times(&mut source).await.len(), 5);
        assert!(began.elapsed() >= Duration::from_millis(400), "{:?}", began.elapsed());
    }
}
