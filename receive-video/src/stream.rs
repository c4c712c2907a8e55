//! One stream, from its source to its queues: `receive` keeps connecting, `play` is one connection.
//!
//! Guarantee: nothing that happens to this stream's source, spool or queue ends or delays another stream. A
//! connection that ends for whatever reason is one event, one epoch, and a wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use media::h264::support::check_unit;
use services::config::{ReceiveConfig, StreamConfig};
use services::{Clock, MediaTime};
use tokio::time::{timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::inbox::{Inbound, Inbox, Refused};
use crate::source::{
    Address, Arrival, Backoff, Incident, Sessions, Signs, Source, SourceError, SourceErrorKind,
    Watchdog,
};
use crate::status::{StreamBoard, StreamState};
use crate::store::Spool;

/// A source without a wall clock to watch: a file may be made to wait as long as it takes.
const NO_WATCH: Duration = Duration::from_secs(365 * 24 * 3_600);

/// What receiving a stream needs.
pub(crate) struct Receiver {
    pub(crate) config: StreamConfig,
    pub(crate) address: Address,
    pub(crate) bounds: ReceiveConfig,
    pub(crate) spool: Arc<Spool>,
    pub(crate) inbox: Inbox,
    pub(crate) board: StreamBoard,
    pub(crate) clock: Clock,
    pub(crate) shutdown: CancellationToken,
}

/// How a connection ended when nothing was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The file is at its end.
    Finished,
    /// We are to stop, or the stage has.
    Stopped,
}

impl Receiver {
    /// Connects again and again until a file has ended, the source is hopeless, or `shutdown` is cancelled.
    ///
    /// # Errors
    /// The source is hopeless.
    pub(crate) async fn receive(self) -> Result<(), SourceError> {
        let sessions = Sessions::default();
        let ended = self.keep_playing(&sessions).await;
        sessions.settle().await;
        ended
    }

    async fn keep_playing(&self, sessions: &Sessions) -> Result<(), SourceError> {
        let bounds = &self.bounds;
        let mut backoff =
            Backoff::new(bounds.backoff_min.duration(), bounds.backoff_max.duration());
        loop {
            self.board.state(StreamState::Connecting, format!("connecting to {}", self.address));
            let error = match self.play(sessions, &mut backoff).await {
                Ok(End::Finished) if self.config.repeat => continue,
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == SourceErrorKind::Hopeless => return Err(error),
                Err(error) => error,
            };
            let wait = match error.kind() {
                SourceErrorKind::Unauthorized | SourceErrorKind::Unsupported => {
                    bounds.backoff_unauthorized.duration()
                }
                _ => backoff.wait(rand::random()),
            };
            self.say_trouble(&error, wait).await;
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Ok(()),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// One connection; `backoff` is told how long it played.
    async fn play(&self, sessions: &Sessions, backoff: &mut Backoff) -> Result<End, SourceError> {
        let connecting = timeout(self.connect_timeout(), self.open(sessions));
        let opened = tokio::select! {
            biased;
            () = self.shutdown.cancelled() => return Ok(End::Stopped),
            opened = connecting => opened,
        };
        let timed_out = |_| SourceError::connect_timeout(self.connect_timeout());
        let (mut source, first) = opened.map_err(timed_out)??;
        let Some(first) = first else {
            return Err(SourceError::empty());
        };
        self.check(&first)?;
        self.board.state(StreamState::Playing, format!("playing {}", self.address));
        let mut feed = Feed::new(&self.inbox, self.is_live());
        if self.inbox.send(Inbound::Open).await.is_err() {
            return Ok(End::Stopped);
        }
        let began = Instant::now();
        let end = self.pass_on(&mut source, first, &mut feed).await;
        backoff.lived(began.elapsed());
        // A closed inbox means that the stage has ended, and its accounts with it.
        let _ = self.inbox.send(Inbound::Close { units: feed.units }).await;
        end
    }

    async fn open(&self, sessions: &Sessions) -> Result<(Source, Option<Arrival>), SourceError> {
        let mut source =
            Source::open(&self.address, self.config.paced, sessions, &self.clock).await?;
        let first = source.next().await?;
        Ok((source, first))
    }

    async fn pass_on(
        &self,
        source: &mut Source,
        first: Arrival,
        feed: &mut Feed<'_>,
    ) -> Result<End, SourceError> {
        let (silence, key_frames) = match self.address {
            Address::Rtsp(_) => {
                (self.config.silence.duration(), self.bounds.key_frame_timeout.duration())
            }
            _ => (NO_WATCH, NO_WATCH),
        };
        let watched = matches!(self.address, Address::Rtsp(_));
        let mut watchdog = Watchdog::new(silence, key_frames, Instant::now());
        let (mut next, mut media_time, mut signs) = (Some(first), MediaTime(0), Signs::default());
        while let Some(arrival) = next {
            let now = Instant::now();
            self.board.arrived(now);
            self.check(&arrival)?;
            media_time = media_time.max(arrival.media_time());
            let refreshed = signs.unit(&arrival);
            if watched {
                watchdog.unit(arrival.media_time(), arrival.unit.key || refreshed, now)?;
            }
            if !feed.give(arrival).await {
                return Ok(End::Stopped);
            }
            for incident in source.incidents().into_iter().chain(signs.incidents()) {
                self.note(incident).await;
            }
            next = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Ok(End::Stopped),
                next = timeout_at(watchdog.deadline().into(), source.next()) => match next {
                    Ok(next) => next?,
                    Err(_) => return Err(silent(&watchdog).into()),
                },
            };
        }
        if feed.key_frames == 0 {
            return Err(SourceError::no_key_frame(feed.units, media_time));
        }
        Ok(End::Finished)
    }

    /// Refuses what no decoder here takes, as soon as its parameter sets tell.
    fn check(&self, arrival: &Arrival) -> Result<(), SourceError> {
        let supported = check_unit(&arrival.unit, self.bounds.max_pixels);
        supported.map_err(|reason| match self.address {
            // What a camera sends may be set otherwise; a file stays as it is.
            Address::Rtsp(_) => SourceError::unsupported(&reason),
            _ => SourceError::hopeless(reason.to_string()),
        })
    }

    fn connect_timeout(&self) -> Duration {
        match self.address {
            Address::Rtsp(_) => self.bounds.connect_timeout.duration(),
            _ => NO_WATCH,
        }
    }

    fn is_live(&self) -> bool {
        self.address.is_live(self.config.paced)
    }

    async fn say_trouble(&self, error: &SourceError, wait: Duration) {
        let id = self.board.id();
        let words = format!("camera {id}: {error}; next try in {:.1} s", wait.as_secs_f64());
        self.board.state(StreamState::Waiting, words.clone());
        self.board.update(|status| status.last_error = Some(words.clone()));
        self.note(Incident { kind: error.event(), words }).await;
    }

    /// Counts, logs and keeps an event.
    async fn note(&self, incident: Incident) {
        let Incident { kind, words } = incident;
        tracing::warn!(stream = %self.board.id(), kind, "{words}");
        self.board.update(|status| status.events += 1);
        let (spool, at) = (Arc::clone(&self.spool), self.clock.now());
        let noted = tokio::task::spawn_blocking(move || spool.note(at, kind, &words)).await;
        if let Ok(Err(error)) = noted {
            tracing::warn!(stream = %self.board.id(), %error, "the event is not kept");
        }
    }
}

/// What is wrong when the deadline has passed without a unit.
fn silent(watchdog: &Watchdog) -> crate::source::Alarm {
    let now = Instant::now().max(watchdog.deadline());
    watchdog.alarm(now).expect("past its deadline a watchdog gives an alarm")
}

/// The way from a source to the stage.
struct Feed<'a> {
    inbox: &'a Inbox,
    live: bool,
    /// The stage was busy: what refers to what it missed is left out too.
    skipping: bool,
    units: u64,
    key_frames: u64,
}

impl<'a> Feed<'a> {
    fn new(inbox: &'a Inbox, live: bool) -> Self {
        Self { inbox, live, skipping: false, units: 0, key_frames: 0 }
    }

    /// Passes a unit on; a live one is left out, up to the next key frame, when the stage is busy. False when the
    /// stage has ended.
    async fn give(&mut self, arrival: Arrival) -> bool {
        self.units = arrival.seq + 1;
        self.key_frames += u64::from(arrival.unit.key);
        if !self.live {
            return self.inbox.send(Inbound::Unit(Box::new(arrival))).await.is_ok();
        }
        if self.skipping && !arrival.unit.key {
            return true;
        }
        let given = self.inbox.try_send(Box::new(arrival));
        self.skipping = given == Err(Refused::Full);
        given != Err(Refused::Ended)
    }
}

#[cfg(test)]
mod tests {
    use media::AccessUnit;
    use services::{CaptureClock, CaptureTime};
    use tokio::sync::mpsc;

    use super::*;
    use crate::inbox::{Held, inbox};

    fn arrival(seq: u64, key: bool) -> Arrival {
        let unit = AccessUnit { data: vec![1].into(), pts: 0, dts: 0, key, referenced: true };
        let (captured_at, clock) = (CaptureTime(0), CaptureClock::Arrival);
        Arrival { seq, captured_at, clock, loss: false, unit }
    }

    fn seqs(inbox: &mut mpsc::Receiver<Held>) -> Vec<u64> {
        let mut seqs = Vec::new();
        while let Ok(Held { inbound: Inbound::Unit(arrival), .. }) = inbox.try_recv() {
            seqs.push(arrival.seq);
        }
        seqs
    }

    #[tokio::test]
    async fn a_live_source_leaves_out_up_to_the_next_key_frame_when_the_stage_is_busy() {
        let (sender, mut inbox) = inbox(2, 1 << 20);
        let mut feed = Feed::new(&sender, true);
        for seq in 0..3 {
            assert!(feed.give(arrival(seq, seq == 0)).await);
        }
        assert_eq!(seqs(&mut inbox), [0, 1]);
        for seq in 3..6 {
            assert!(feed.give(arrival(seq, seq == 4)).await);
        }
        assert_eq!(seqs(&mut inbox), [4, 5]);
        assert_eq!(feed.units, 6);
        drop(inbox);
        assert!(!feed.give(arrival(6, true)).await);
    }
}
