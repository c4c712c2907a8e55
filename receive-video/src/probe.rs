//! What a source sends, found out by looking at it for a while.

use std::fmt;
use std::time::Duration;

use media::h264::Sps;
use media::h264::support::{Unsupported, check_unit};
use services::config::{ReceiveConfig, StreamConfig};
use services::{Clock, MediaTime};
use tokio::time::{Instant, timeout_at};

use crate::source::{Address, Alarm, Arrival, Prospect, Sessions, Signs, Source, SourceError};

/// How much media time is looked at.
const LOOK: MediaTime = MediaTime(10 * MediaTime::HZ);
/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// A source whose timestamps do not move is not looked at for ever.
const LOOK_AT_MOST: Duration = Duration::from_secs(12);
/// A source that sends nothing for so long, up to the end of the look, is told of.
const SILENCE: Duration = Duration::from_secs(2);
/// The deepest reordering that H.264 allows (ITU-T H.264 §A.3.1).
const REORDERED: usize = 16;

/// What a source sends.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProbeReport {
    /// Codec string (RFC 6381): `avc1.64001F`.
    pub codec: String,
    /// H.264 profile, in words.
    pub profile: &'static str,
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// Access units looked at.
    pub units: u64,
    /// Access units per second, by their timestamps.
    pub fps: f64,
    /// Longest time from one key frame to the next, in seconds; none when only one came.
    pub key_frame_seconds: Option<f64>,
    /// Pictures come in another order than they are shown in.
    pub b_frames: bool,
    /// Bits per second.
    pub bitrate: f64,
    /// Sender reports that came; none for files.
    pub sender_reports: Option<u64>,
    /// Seconds that the camera's clock is ahead of ours, its delay included; none when its reports are not believed.
    pub clock_ahead_seconds: Option<f64>,
    /// Seconds for which nothing had come any more when the look ended; none when it still sent.
    pub silent_seconds: Option<f64>,
    /// What whoever sets up models on it should know, in words.
    pub warnings: Vec<String>,
}

/// Looks at a source for ten seconds of its time; a camera may send nothing for as long as its stream may be silent.
///
/// # Errors
/// In words for whoever looks after the camera; never with the password.
pub async fn probe(stream: &StreamConfig) -> Result<ProbeReport, SourceError> {
    let address = Address::of(stream)?;
    let sessions = Sessions::default();
    let report = look_at(&address, stream.silence.duration(), &sessions).await;
    sessions.settle().await;
    report
}

async fn look_at(
    address: &Address,
    silence: Duration,
    sessions: &Sessions,
) -> Result<ProbeReport, SourceError> {
    let began = Instant::now();
    let clock = Clock::system();
    let opened = timeout_at(began + PATIENCE, Source::open(address, false, sessions, &clock)).await;
    let mut source = opened.map_err(|_| SourceError::connect_timeout(PATIENCE))??;
    let is_camera = matches!(address, Address::Rtsp(_));
    let look = Look::new(is_camera, source.announced(max_pixels()));
    let looked = look_into(&mut source, look, began, silence).await;
    let told = source.incidents();
    let (report, warnings) = looked.map_err(|error| error.after(&told))?;
    let warnings = warnings.into_iter().chain(told.into_iter().map(|one| one.words)).collect();
    Ok(ProbeReport { warnings, ..report })
}

/// Looks at a source that is open, and that was begun to be opened at `began`; gives its warnings apart.
async fn look_into(
    source: &mut Source,
    mut look: Look,
    began: Instant,
    silence: Duration,
) -> Result<(ProbeReport, Vec<String>), SourceError> {
    let opened = Instant::now();
    let first = timeout_at((began + PATIENCE).max(opened + silence), source.next()).await;
    let none_came = |_| {
        let waited = opened.elapsed();
        SourceError::no_picture(waited, source.hears(waited / 2), look.announced.as_ref())
    };
    let first = first.map_err(none_came)??;
    let began = Instant::now();
    let (mut next, mut came) = (Some(first.ok_or_else(SourceError::empty)?), began);
    while let Some(arrival) = next {
        came = Instant::now();
        look.unit(&arrival, came);
        if look.is_enough(came - began, silence) {
            break;
        }
        let waiting = timeout_at(began + PATIENCE.max(silence), source.next());
        let Ok(waited) = waiting.await else { break };
        next = waited?;
    }
    let signs = look.signs.incidents().into_iter().map(|one| one.words);
    let mut warnings: Vec<String> = look.obstacles().chain(signs).collect();
    let (silent, packets_come) = (came.elapsed(), source.hears(came.elapsed() / 2));
    if silent >= SILENCE && packets_come {
        warnings.push(Alarm::NoPicture(silent).to_string());
    }
    let silent = (silent >= SILENCE && !packets_come).then_some(silent);
    Ok((look.report(source, silent)?, warnings))
}

/// Most pixels that pictures may have where nothing else is configured.
fn max_pixels() -> u64 {
    ReceiveConfig::default().max_pixels
}

/// What was seen so far.
#[derive(Debug)]
struct Look {
    is_camera: bool,
    signs: Signs,
    /// Why what was sent cannot be decoded.
    unsupported: Option<Unsupported>,
    /// Why what its description announces cannot be.
    announced: Option<Unsupported>,
    prospect: Prospect,
    /// What was to be said before its first key frame, at last.
    keyless: Option<String>,
    sps: Option<Sps>,
    units: u64,
    bytes: u64,
    times: Vec<MediaTime>,
    newest: MediaTime,
    last_key: Option<MediaTime>,
    longest_group: Option<MediaTime>,
    b_frames: bool,
}

impl Look {
    fn new(is_camera: bool, announced: Option<Unsupported>) -> Self {
        Self {
            is_camera,
            signs: Signs::default(),
            unsupported: None,
            announced,
            prospect: Prospect::new(is_camera, None),
            keyless: None,
            sps: None,
            units: 0,
            bytes: 0,
            times: Vec::new(),
            newest: MediaTime(0),
            last_key: None,
            longest_group: None,
            b_frames: false,
        }
    }

    /// Whether all is seen after so long; a first key frame is waited for a little longer.
    fn is_enough(&self, elapsed: Duration, silence: Duration) -> bool {
        let is_seen = self.newest >= LOOK || elapsed >= LOOK_AT_MOST.max(silence);
        is_seen && (self.sps.is_some() || elapsed >= PATIENCE.max(silence))
    }

    /// What keeps it from being decoded, in words.
    fn obstacles(&mut self) -> impl Iterator<Item = String> + use<> {
        let sent = self.unsupported.take();
        // What is sent goes for what is announced.
        let announced = self.announced.as_ref().filter(|reason| sent.as_ref() != Some(reason));
        let announced = announced.map(|reason| format!("its description announces this: {reason}"));
        let sent = sent.map(|reason| format!("it cannot be decoded: {reason}"));
        sent.into_iter().chain(announced).chain(self.keyless.take())
    }

    fn unit(&mut self, arrival: &Arrival, now: Instant) {
        let time = arrival.stamp.media_time;
        self.signs.unit(arrival);
        self.prospect.unit(time, arrival.unit.key, now.into_std());
        let obstacle = self.prospect.obstacle(now.into_std()).map(|one| one.incident.words);
        self.keyless = obstacle.or(self.keyless.take());
        let refused = check_unit(&arrival.unit, max_pixels()).err();
        self.unsupported = self.unsupported.take().or(refused);
        self.units += 1;
        self.times.push(time);
        self.bytes += arrival.unit.data.len() as u64;
        self.b_frames |= time < self.newest;
        self.newest = self.newest.max(time);
        if arrival.unit.key {
            self.sps = arrival.unit.sps().and_then(Result::ok).or(self.sps.take());
            let group = self.last_key.map(|last| time - last);
            self.longest_group = self.longest_group.max(group);
            self.last_key = Some(time);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of ten seconds")]
    fn report(self, source: &Source, silent: Option<Duration>) -> Result<ProbeReport, SourceError> {
        let undecodable = || match &self.announced {
            Some(reason) => SourceError::unsupported(reason),
            None => SourceError::no_key_frame(self.units, self.newest, self.is_camera),
        };
        let sps = self.sps.ok_or_else(undecodable)?;
        let seconds = self.newest.as_seconds();
        let rate = |n: f64| if seconds > 0.0 { n / seconds } else { 0.0 };
        let (sender_reports, ahead) = match source {
            Source::Rtsp(rtsp) => (Some(rtsp.reports()), rtsp.camera_ahead()),
            Source::Timeline(_) => (None, None),
        };
        Ok(ProbeReport {
            size: (sps.width, sps.height),
            profile: profile(sps.profile),
            codec: sps.codec,
            units: self.units,
            fps: frames_per_second(self.times),
            key_frame_seconds: self.longest_group.map(MediaTime::as_seconds),
            b_frames: self.b_frames,
            bitrate: rate(self.bytes as f64 * 8.0),
            sender_reports,
            clock_ahead_seconds: ahead.map(|micros| micros as f64 / 1e6),
            warnings: Vec::new(),
            silent_seconds: silent.map(|silent| silent.as_secs_f64()),
        })
    }
}

/// Pictures per second, by presentation times in decode order.
#[expect(clippy::cast_precision_loss, reason = "a count of ten seconds")]
fn frames_per_second(mut times: Vec<MediaTime>) -> f64 {
    times.sort();
    // Some of the pictures before the last ones may not have come yet.
    times.truncate(times.len().saturating_sub(REORDERED).max(times.len().min(2)));
    match times[..] {
        [first, .., last] if last > first => (times.len() - 1) as f64 / (last - first).as_seconds(),
        _ => 0.0,
    }
}

/// The profiles' names (ITU-T H.264 annex A).
fn profile(idc: u8) -> &'static str {
    match idc {
        66 => "Baseline",
        77 => "Main",
        88 => "Extended",
        100 => "High",
        110 => "High 10",
        122 => "High 4:2:2",
        244 => "High 4:4:4",
        _ => "unknown",
    }
}

impl fmt::Display for ProbeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (width, height) = self.size;
        let b_frames = if self.b_frames { "yes" } else { "no" };
        writeln!(f, "codec            H.264 {} ({})", self.profile, self.codec)?;
        writeln!(f, "size             {width} × {height}")?;
        writeln!(f, "frame rate       {:.2} per second", self.fps)?;
        writeln!(f, "bit rate         {:.0} kbit/s", self.bitrate / 1e3)?;
        match self.key_frame_seconds {
            Some(seconds) => writeln!(f, "key frames       every {seconds:.2} s")?,
            None => writeln!(f, "key frames       fewer than two in {} access units", self.units)?,
        }
        write!(f, "b-frames         {b_frames}")?;
        if let Some(reports) = self.sender_reports {
            write!(f, "\nsender reports   {reports}")?;
        }
        if let Some(ahead) = self.clock_ahead_seconds {
            write!(f, "\ncamera's clock   {ahead:+.3} s from ours, its delay included")?;
        }
        if let Some(silent) = self.silent_seconds {
            write!(f, "\nsilence          it has sent nothing for {silent:.0} s")?;
        }
        self.warnings.iter().try_for_each(|words| write!(f, "\nwarning          {words}"))
    }
}
