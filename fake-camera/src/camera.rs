//! One camera: a live timeline that all its viewers share.
//!
//! Access units in (from [`Footage`]), RTP payloads out, in real time. While nobody watches, no pictures are
//! made, but the RTP clock goes on; the first viewer starts a file over and goes on with the scene. A viewer
//! that falls behind by [`BACKLOG`] access units loses the oldest of them, and harms no other.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use media::AccessUnit;
use media::h264::nal::nal_units;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::config::Feed;
use crate::error::{FaultError, SourceError};
use crate::fault::{Fault, Faults};
use crate::rtp::{Payload, RtpClock, TICKS_PER_SECOND, packetise};
use crate::rtsp::{StreamFacts, View};
use crate::source::{Footage, Preview};

/// Access units that a viewer may fall behind: two to three seconds of video.
const BACKLOG: usize = 64;

/// Access units made before their time.
const LOOKAHEAD: usize = 2;

/// Bytes of RTP payload: fits an Ethernet frame with UDP, IPv6 and a tunnel around it.
const MAX_PAYLOAD: usize = 1_380;

/// After a source that failed, the next try.
const RETRY: Duration = Duration::from_secs(1);

/// What a source's thread makes.
type Units = mpsc::Receiver<Result<AccessUnit, SourceError>>;

/// One access unit, ready for all viewers.
#[derive(Debug)]
pub(crate) struct LiveUnit {
    pub(crate) timestamp: u32,
    pub(crate) key: bool,
    pub(crate) payloads: Vec<Payload>,
}

/// What a camera has done so far.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Access units made.
    pub(crate) units: AtomicU64,
    /// RTP packets sent, to all viewers.
    pub(crate) packets: AtomicU64,
    /// RTP packets left out as a fault.
    pub(crate) lost: AtomicU64,
    /// Access units that slow viewers missed.
    pub(crate) skipped: AtomicU64,
}

/// One camera.
#[derive(Debug)]
pub(crate) struct Camera {
    pub(crate) name: String,
    pub(crate) feed: Feed,
    pub(crate) ssrc: u32,
    pub(crate) counters: Counters,
    footage: Arc<Footage>,
    facts: Mutex<StreamFacts>,
    reorder_ticks: i64,
    clock: RtpClock,
    faults: watch::Sender<Faults>,
    closings: watch::Sender<u64>,
    viewers: watch::Sender<usize>,
    units: broadcast::Sender<Arc<LiveUnit>>,
}

impl Camera {
    /// Makes a camera of a source that has been looked into.
    pub(crate) fn new(
        name: String,
        feed: Feed,
        (footage, preview): (Footage, Preview),
    ) -> Result<Self, FaultError> {
        let camera = Self {
            name,
            ssrc: rand::random(),
            counters: Counters::default(),
            footage: Arc::new(footage),
            facts: Mutex::new(preview.facts),
            reorder_ticks: preview.reorder_ticks,
            clock: RtpClock::new(Instant::now(), rand::random()),
            faults: watch::Sender::new(Faults::default()),
            closings: watch::Sender::new(0),
            viewers: watch::Sender::new(0),
            units: broadcast::Sender::new(BACKLOG),
            feed,
        };
        camera.feed.faults.iter().try_for_each(|fault| camera.set_fault(fault))?;
        Ok(camera)
    }

    /// Puts a fault on the camera.
    pub(crate) fn set_fault(&self, fault: &Fault) -> Result<(), FaultError> {
        if matches!(fault, Fault::Resolution { .. }) && !self.footage.can_resize() {
            return Err(FaultError::new("a file's pictures have one size only"));
        }
        let mut faults = self.faults.borrow().clone();
        faults.add(fault)?;
        self.faults.send_replace(faults);
        if *fault == (Fault::Close { every_seconds: None }) {
            self.closings.send_modify(|closings| *closings += 1);
        }
        Ok(())
    }

    /// Takes all faults off the camera.
    pub(crate) fn clear_faults(&self) {
        self.faults.send_replace(Faults::default());
    }

    /// What is wrong now.
    pub(crate) fn faults(&self) -> Faults {
        self.faults.borrow().clone()
    }

    /// Changes with each close of all connections.
    pub(crate) fn closings(&self) -> watch::Receiver<u64> {
        self.closings.subscribe()
    }

    /// Counts the viewers.
    pub(crate) fn viewers(&self) -> usize {
        *self.viewers.borrow()
    }

    /// Gives what a request must know.
    pub(crate) fn view(&self, now: Instant) -> View {
        let oldest = self.ticks_at(now) - self.reorder_ticks;
        View {
            login: self.feed.login.clone(),
            transports: self.feed.transports,
            faults: self.faults(),
            facts: self.facts.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            ssrc: self.ssrc,
            timestamp: self.clock.timestamp(oldest),
        }
    }

    /// The RTP time at `now`, as a sender report tells it.
    pub(crate) fn timestamp_at(&self, now: Instant) -> u32 {
        self.clock.timestamp(self.ticks_at(now))
    }

    /// Counts one more viewer until the attendance is dropped.
    pub(crate) fn attend(self: &Arc<Self>) -> (Attendance, broadcast::Receiver<Arc<LiveUnit>>) {
        let units = self.units.subscribe();
        self.viewers.send_modify(|viewers| *viewers += 1);
        (Attendance(Arc::clone(self)), units)
    }

    /// Makes pictures for as long as there are viewers, until `stop`.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let _ = stop.run_until_cancelled(self.shoot_when_watched()).await;
    }

    async fn shoot_when_watched(&self) {
        let mut viewers = self.viewers.subscribe();
        while viewers.wait_for(|viewers| *viewers > 0).await.is_ok() {
            debug!(camera = self.name, "start pictures");
            if let Err(error) = self.shoot().await {
                warn!(
                    camera = self.name,
                    error = &error as &dyn std::error::Error,
                    "lose pictures"
                );
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    /// Shows one roll, until nobody watches or the size changes.
    async fn shoot(&self) -> Result<(), SourceError> {
        let size = self.faults.borrow().resolution;
        let mut units = develop(&self.name, &self.footage, size)?;
        let mut pace: Option<Pace> = None;
        while self.viewers() > 0 && self.faults.borrow().resolution == size {
            let Some(unit) = units.recv().await.transpose()? else { break };
            let now = Instant::now();
            let pace = pace.get_or_insert_with(|| Pace::new(unit.dts, now));
            let due = pace.due(unit.dts, now);
            sleep_until(due).await;
            self.show(&unit, due);
        }
        Ok(())
    }

    fn show(&self, unit: &AccessUnit, due: Instant) {
        if let Some(facts) = unit.key.then(|| StreamFacts::of_key_frame(&unit.data)).flatten() {
            let mut known = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
            let frame_rate = known.frame_rate.take();
            *known = StreamFacts { frame_rate, ..facts };
        }
        let nals: Vec<Bytes> =
            nal_units(&unit.data).map(|nal| unit.data.slice_ref(nal.bytes())).collect();
        let ticks = self.ticks_at(due) + unit.pts - unit.dts - self.reorder_ticks;
        let timestamp = self.clock.timestamp(ticks);
        let payloads = packetise(&nals, MAX_PAYLOAD);
        self.counters.units.fetch_add(1, Relaxed);
        // An error says that the last viewer has just left.
        let _ = self.units.send(Arc::new(LiveUnit { timestamp, key: unit.key, payloads }));
    }

    /// The RTP clock's ticks at `at`, with all its jumps.
    fn ticks_at(&self, at: Instant) -> i64 {
        let jump = self.faults.borrow().rtp_jump_seconds * TICKS_PER_SECOND_F64;
        #[allow(
            clippy::cast_possible_truncation,
            reason = "jumps are bounded to a billion seconds"
        )]
        let jump = jump.round() as i64;
        self.clock.ticks_at(at) + jump
    }
}

#[allow(clippy::cast_precision_loss, reason = "a small constant")]
const TICKS_PER_SECOND_F64: f64 = TICKS_PER_SECOND as f64;

/// A viewer that counts until it is dropped.
#[derive(Debug)]
pub(crate) struct Attendance(pub(crate) Arc<Camera>);

impl Drop for Attendance {
    fn drop(&mut self) {
        self.0.viewers.send_modify(|viewers| *viewers -= 1);
    }
}

/// Makes units in a thread of their own, a little ahead of their time.
fn develop(
    name: &str,
    footage: &Arc<Footage>,
    size: Option<(u32, u32)>,
) -> Result<Units, SourceError> {
    let (made, units) = mpsc::channel(LOOKAHEAD);
    let footage = Arc::clone(footage);
    let work = move || match footage.roll(size) {
        Ok(mut roll) => while roll.next().is_some_and(|unit| made.blocking_send(unit).is_ok()) {},
        // Nobody is told when nobody waits any more.
        Err(error) => drop(made.blocking_send(Err(error))),
    };
    let thread = std::thread::Builder::new().name(format!("camera-{name}"));
    thread.spawn(work).map_err(SourceError::Thread)?;
    Ok(units)
}

/// When each unit is due: by decoding time, from the first one on.
#[derive(Debug)]
struct Pace {
    anchor: Instant,
    first_dts: i64,
}

impl Pace {
    /// A unit that is made later than this after its time moves all that follow.
    const MAX_LATENESS: Duration = Duration::from_secs(2);

    fn new(first_dts: i64, now: Instant) -> Self {
        Self { anchor: now, first_dts }
    }

    fn due(&mut self, dts: i64, now: Instant) -> Instant {
        let ticks = u64::try_from(dts - self.first_dts).unwrap_or(0);
        // 90,000 ticks are 10^9 ns.
        let due = self.anchor + Duration::from_nanos(ticks * 100_000 / 9);
        if now.saturating_duration_since(due) <= Self::MAX_LATENESS {
            return due;
        }
        *self = Self::new(dts, now);
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_due_by_their_decoding_time() {
        let start = Instant::now();
        let mut pace = Pace::new(-7_200, start);
        assert_eq!(pace.due(-7_200, start), start);
        assert_eq!(pace.due(-3_600, start), start + Duration::from_millis(40));
        assert_eq!(pace.due(82_800, start), start + Duration::from_secs(1));
    }

    #[test]
    fn a_late_unit_keeps_its_time_and_a_very_late_one_moves_the_rest() {
        let start = Instant::now();
        let mut pace = Pace::new(0, start);
        let late = start + Duration::from_secs(1);
        assert_eq!(pace.due(0, late), start);
        let very_late = start + Duration::from_secs(10);
        assert_eq!(pace.due(3_600, very_late), very_late);
        assert_eq!(pace.due(7_200, very_late), very_late + Duration::from_millis(40));
    }
}
