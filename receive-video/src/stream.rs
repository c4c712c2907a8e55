//! One stream, from its source to its queues: `receive` keeps connecting, `play` is one connection.
//!
//! Guarantee: nothing that happens to this stream's source, spool or queue ends or delays another stream. A
//! connection that ends for whatever reason is one event, one epoch, and a wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use media::h264::support::check_unit;
use services::config::{ReceiveConfig, StreamConfig};
use services::retry::Backoff;
use services::{Clock, Epoch, MediaTime};
use tokio::time::error::Elapsed;
use tokio::time::{timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::feed::Feed;
use crate::inbox::{Inbound, Inbox};
use crate::source::{
    Address, Arrival, Incident, Obstacle, Prospect, Sessions, Signs, Source, SourceError,
    SourceErrorKind, Watchdog,
};
use crate::status::{StreamBoard, StreamState};
use crate::store::Spool;

/// A source without a wall clock to watch: a file may be made to wait as long as it takes.
const NO_WATCH: Duration = Duration::from_secs(365 * 24 * 3_600);
/// How long what happens to a source may wait to be told while no unit comes.
const NEWS: Duration = Duration::from_secs(1);

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
        let (connecting, silence) = self.patience();
        let opening = Source::open(&self.address, self.config.paced, sessions, &self.clock);
        let Some(opened) = self.within(connecting, opening).await else { return Ok(End::Stopped) };
        let mut source = opened.map_err(|_| SourceError::connect_timeout(connecting))??;
        let announced = source.announced(self.bounds.max_pixels);
        let mut outlook = Outlook::of(self, Prospect::new(self.is_camera(), announced.as_ref()));
        outlook.say(StreamState::Connecting, Instant::now()).await;
        // A camera may send its pictures as rarely as its stream may be silent.
        let patience = silence.max(connecting);
        let until = Instant::now() + patience;
        let waiting = self.next_until(&mut source, until);
        let Some(first) = self.shutdown.run_until_cancelled(waiting).await else {
            return Ok(End::Stopped);
        };
        let none_came =
            || SourceError::no_picture(patience, source.hears(patience / 2), announced.as_ref());
        let Some(first) = first.ok_or_else(none_came)?? else { return Err(SourceError::empty()) };
        self.check(&first)?;
        let mut feed = Feed::new(&self.inbox, self.is_live());
        let Some(epoch) = self.shutdown.run_until_cancelled(self.name_epoch()).await else {
            return Ok(End::Stopped);
        };
        if self.inbox.send(Inbound::Open(epoch)).await.is_err() {
            return Ok(End::Stopped);
        }
        let began = Instant::now();
        let end = self.pass_on(&mut source, first, &mut feed, &mut outlook).await;
        backoff.lived(began.elapsed());
        // A closed inbox means that the stage has ended, and its accounts with it.
        let _ = self.inbox.send(Inbound::Close { units: feed.units }).await;
        end
    }

    /// Names the epoch that begins with the access unit that has just come. It has a name on a disk that takes none, too:
    /// only a crash and a clock that is set back could give the same one again then.
    async fn name_epoch(&self) -> Epoch {
        let epoch = self.spool.next_epoch(self.clock.now());
        let spool = Arc::clone(&self.spool);
        let saved = tokio::task::spawn_blocking(move || spool.save_epoch(epoch)).await;
        if let Ok(Err(error)) = saved {
            tracing::warn!(stream = %self.board.id(), %epoch, %error, "the epoch's name is not kept");
        }
        epoch
    }

    async fn pass_on(
        &self,
        source: &mut Source,
        first: Arrival,
        feed: &mut Feed<'_>,
        outlook: &mut Outlook<'_>,
    ) -> Result<End, SourceError> {
        let key_frames = match self.is_camera() {
            true => self.bounds.key_frame_timeout.duration(),
            false => NO_WATCH,
        };
        let (_, silence) = self.patience();
        let mut watchdog = Watchdog::new(silence, key_frames, Instant::now());
        let (mut next, mut media_time, mut signs) = (Some(first), MediaTime(0), Signs::default());
        while let Some(arrival) = next {
            let now = Instant::now();
            self.board.arrived(now);
            self.check(&arrival)?;
            media_time = media_time.max(arrival.stamp.media_time);
            outlook.prospect.unit(arrival.stamp.media_time, arrival.unit.key, now);
            outlook.say(StreamState::Playing, now).await;
            let refreshed = signs.unit(&arrival);
            self.note_all(signs.incidents()).await;
            if self.is_camera() {
                watchdog.unit(arrival.stamp.media_time, arrival.unit.key || refreshed, now)?;
            }
            if !feed.give(arrival).await {
                return Ok(End::Stopped);
            }
            next = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Ok(End::Stopped),
                next = next_of(source, &watchdog, outlook) => next?,
            };
        }
        if feed.key_frames == 0 {
            return Err(SourceError::no_key_frame(feed.units, media_time, false));
        }
        Ok(End::Finished)
    }

    /// Waits for the next unit until then; nothing when none came. Tells meanwhile what happens to the source, and what
    /// did before it ended.
    async fn next_until(
        &self,
        source: &mut Source,
        until: Instant,
    ) -> Option<Result<Option<Arrival>, SourceError>> {
        loop {
            let wake = until.min(Instant::now() + NEWS);
            let next = timeout_at(wake.into(), source.next()).await;
            self.note_all(source.incidents()).await;
            match next {
                Ok(next) => return Some(next),
                Err(_) if wake == until => return None,
                Err(_) => {}
            }
        }
    }

    /// What is awaited, but for no longer than that; nothing when we are to stop.
    async fn within<T>(
        &self,
        patience: Duration,
        awaited: impl Future<Output = T>,
    ) -> Option<Result<T, Elapsed>> {
        self.shutdown.run_until_cancelled(timeout(patience, awaited)).await
    }

    /// Refuses what no decoder here takes, as soon as its parameter sets tell.
    fn check(&self, arrival: &Arrival) -> Result<(), SourceError> {
        let supported = check_unit(&arrival.unit, self.bounds.max_pixels);
        supported.map_err(|reason| match self.is_camera() {
            // What a camera sends may be set otherwise; a file stays as it is.
            true => SourceError::unsupported(reason),
            false => SourceError::hopeless(reason.to_string()),
        })
    }

    /// How long connecting may take, and how long nothing may come after that.
    fn patience(&self) -> (Duration, Duration) {
        match self.is_camera() {
            true => (self.bounds.connect_timeout.duration(), self.config.silence.duration()),
            false => (NO_WATCH, NO_WATCH),
        }
    }

    fn is_camera(&self) -> bool {
        matches!(self.address, Address::Rtsp(_))
    }

    fn is_live(&self) -> bool {
        self.address.is_live(self.config.paced)
    }

    async fn say_trouble(&self, error: &SourceError, wait: Duration) {
        let id = self.board.id();
        let words = format!("camera {id}: {error}; next try in {:.1} s", wait.as_secs_f64());
        self.board.tell(StreamState::Waiting, Some(error.event()), words.clone());
        self.note(Incident { kind: error.event(), words }).await;
    }

    async fn note_all(&self, incidents: Vec<Incident>) {
        for incident in incidents {
            self.note(incident).await;
        }
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

/// Waits for the next unit; says what changes meanwhile.
async fn next_of(
    source: &mut Source,
    watchdog: &Watchdog,
    outlook: &mut Outlook<'_>,
) -> Result<Option<Arrival>, SourceError> {
    let silent = watchdog.deadline();
    loop {
        let news = outlook.prospect.deadline(Instant::now()).unwrap_or(silent).min(silent);
        if let Some(next) = outlook.receiver.next_until(source, news).await {
            return next;
        }
        let now = Instant::now().max(news);
        if now >= silent {
            let (_, silence) = outlook.receiver.patience();
            let alarm = watchdog.alarm(now).expect("past its deadline a watchdog gives an alarm");
            return Err(alarm.where_packets_come(source.hears(silence / 2)).into());
        }
        outlook.say(StreamState::Playing, now).await;
    }
}

/// A connection up to its first key frame, and what was said of it.
struct Outlook<'a> {
    receiver: &'a Receiver,
    prospect: Prospect,
    said: Option<(StreamState, Option<Obstacle>)>,
    is_noted: bool,
}

impl<'a> Outlook<'a> {
    fn of(receiver: &'a Receiver, prospect: Prospect) -> Self {
        Self { receiver, prospect, said: None, is_noted: false }
    }

    /// Says how the connection is by now, where that is another than what was said last.
    async fn say(&mut self, state: StreamState, now: Instant) {
        let how = (state, self.prospect.obstacle(now));
        if self.said.as_ref() == Some(&how) {
            return;
        }
        let Receiver { board, address, .. } = self.receiver;
        let doing = match state {
            StreamState::Playing => format!("playing {address}"),
            _ => format!("waiting for the first picture of {address}"),
        };
        let (_, obstacle) = self.said.insert(how);
        let Some(Obstacle { incident, lasts }) = obstacle else {
            board.state(state, doing);
            return;
        };
        board.tell(state, Some(incident.kind), format!("{doing}; {}", incident.words));
        if *lasts && !std::mem::replace(&mut self.is_noted, true) {
            self.receiver.note(incident.clone()).await;
        }
    }
}
