//! One viewer of a camera: the camera's units in, this viewer's packets out, with the camera's faults on them.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::Instant;

use crate::camera::{Attendance, Camera, LiveUnit};
use crate::fault::{Faults, Marked};
use crate::impair::Line;
use crate::rtp::{NtpTime, Numbering, Payload};

/// From one sender report to the next; the first goes out before the first packet.
const REPORT_PERIOD: Duration = Duration::from_secs(1);

/// One viewer, from PLAY to the end of its session.
#[derive(Debug)]
pub(crate) struct Viewer {
    attendance: Attendance,
    units: broadcast::Receiver<Arc<LiveUnit>>,
    numbering: Numbering,
    line: Line,
    /// Units were missed, and nothing before a key frame is of use.
    wants_key: bool,
    next_report: Instant,
}

impl Viewer {
    /// Lets a client watch. `nth` tells its line's faults from those of other viewers.
    pub(crate) fn new(camera: &Arc<Camera>, first_seq: u16, nth: u64, now: Instant) -> Self {
        let (attendance, units) = camera.attend();
        Self {
            attendance,
            units,
            numbering: Numbering::new(camera.ssrc, first_seq),
            line: Line::new(camera.feed.seed.wrapping_add(nth)),
            wants_key: false,
            next_report: now,
        }
    }

    /// Waits for the next unit and gives its packets: none for a unit that this viewer does not get.
    ///
    /// `None` when the camera is gone.
    ///
    /// # Cancel safety
    /// Cancel safe: a unit is either given or still to be given.
    pub(crate) async fn next(&mut self) -> Option<Vec<Vec<u8>>> {
        match self.units.recv().await {
            Ok(unit) => Some(self.packets(&unit)),
            Err(RecvError::Lagged(missed)) => {
                self.wants_key = true;
                self.camera().counters.skipped.fetch_add(missed, Relaxed);
                Some(Vec::new())
            }
            Err(RecvError::Closed) => None,
        }
    }

    /// Gives the sender report, when it is time for one.
    pub(crate) fn report(&mut self, now: Instant) -> Option<Vec<u8>> {
        let faults = self.camera().faults();
        if faults.freeze || now < self.next_report {
            return None;
        }
        self.next_report = now + REPORT_PERIOD;
        let ntp = NtpTime::new(SystemTime::now(), faults.ntp_jump_seconds);
        Some(self.numbering.report(ntp, self.camera().timestamp_at(now)))
    }

    fn camera(&self) -> &Camera {
        &self.attendance.0
    }

    fn packets(&mut self, unit: &LiveUnit) -> Vec<Vec<u8>> {
        let faults = self.camera().faults();
        if !self.gets(unit, &faults) {
            return Vec::new();
        }
        let packet = |payload: &Payload| {
            let marker = payload.marker || faults.mark.is_some_and(|every| every.marks(payload));
            let payload = Payload { marker, ..payload.clone() };
            self.numbering.packet(&payload, unit.timestamp)
        };
        let sent = unit.payloads.iter().filter(|_| !self.line.omits(&faults));
        let packets = sent.map(packet).collect();
        let lost = self.line.lost();
        let packets = self.line.pass(packets, &faults);
        let counters = &self.camera().counters;
        counters.lost.fetch_add(self.line.lost() - lost, Relaxed);
        counters.packets.fetch_add(packets.len() as u64, Relaxed);
        packets
    }

    fn gets(&mut self, unit: &LiveUnit, faults: &Faults) -> bool {
        if faults.freeze {
            self.wants_key = true;
        } else if unit.key {
            self.wants_key = false;
        }
        let hidden = faults.no_key_frames && unit.key;
        !self.wants_key && !hidden
    }
}

impl Marked {
    /// Whether a payload is one of those that are marked.
    fn marks(self, payload: &Payload) -> bool {
        self == Self::Packet || payload.ends_slice()
    }
}
