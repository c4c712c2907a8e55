//! An RTSP server's H.264 → arrivals, by retina: one session, from DESCRIBE to its end.

use std::mem::discriminant;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::StreamExt as _;
use media::AccessUnit;
use media::h264::ParameterSets;
use media::h264::nal::nal_units;
use media::h264::support::{Unsupported, check_sets};
use retina::client::{
    Demuxed, Described, PlayOptions, Session, SessionGroup, SessionOptions, SetupOptions,
    TcpTransportOptions, Transport,
};
use retina::codec::{CodecItem, FrameFormat, ParametersRef, VideoFrame};
use retina::rtcp::ReceivedCompoundPacket;
use services::stop::TEARDOWN;
use services::{CaptureTime, MediaTime, Seq, Stamp};
use url::Url;

use super::address::RtspAddress;
use super::clock_map::{ClockMap, Verdict, utc};
use super::error::SourceError;
use super::offer::{Offer, choose};
use super::relay::{MAX_UNIT, Relay};
use super::{Arrival, Incident};

/// One stream's sessions, so that the old one is torn down before the program ends.
#[derive(Clone, Default)]
pub(crate) struct Sessions(Arc<SessionGroup>);

impl Sessions {
    /// Waits a little for the goodbyes under way.
    pub(crate) async fn settle(&self) {
        // A server that does not answer forgets the session by its own timeout.
        let _ = tokio::time::timeout(TEARDOWN, self.0.await_teardown()).await;
    }
}

/// A session that plays.
pub(crate) struct RtspSource {
    session: Pin<Box<Demuxed>>,
    relay: Relay,
    address: RtspAddress,
    /// The session's stream that is received.
    video: usize,
    clock_rate: i64,
    sets: ParameterSets,
    first: Option<i64>,
    next_seq: u64,
    clock: ClockMap,
    verdict: Option<Verdict>,
    incidents: Vec<Incident>,
    reports: u64,
}

impl RtspSource {
    /// Connects and starts to play.
    pub(crate) async fn open(
        address: &RtspAddress,
        sessions: &Sessions,
    ) -> Result<Self, SourceError> {
        let mut relay = Relay::start(address).await?;
        match begin(relay.url(), sessions).await {
            Ok((session, video)) => Ok(Self::playing(session, video, relay, address)),
            Err(NotBegun::Unfit(error)) => Err(error),
            Err(NotBegun::Failed(error)) => Err(ended(&mut relay, address, Some(&error)).await),
        }
    }

    fn playing(session: Demuxed, video: usize, relay: Relay, address: &RtspAddress) -> Self {
        Self {
            clock_rate: i64::from(session.streams()[video].clock_rate_hz()).max(1),
            session: Box::pin(session),
            relay,
            address: address.clone(),
            video,
            sets: ParameterSets::default(),
            first: None,
            next_seq: 0,
            clock: ClockMap::new(address.clock_bound),
            verdict: None,
            incidents: Vec::new(),
            reports: 0,
        }
    }

    /// What the description announces that cannot be decoded, of pictures that may have so many pixels.
    pub(crate) fn announced(&self, max_pixels: u64) -> Option<Unsupported> {
        match self.session.streams()[self.video].parameters()? {
            ParametersRef::Video(video) => check_sets(video.extra_data(), max_pixels).err(),
            _ => None,
        }
    }

    /// Gives the next access unit.
    pub(crate) async fn next(&mut self) -> Result<Arrival, SourceError> {
        loop {
            match self.session.next().await {
                Some(Ok(CodecItem::VideoFrame(frame))) => {
                    self.relay.settle();
                    return self.arrival(frame);
                }
                Some(Ok(CodecItem::Rtcp(packet))) => self.report(&packet),
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    return Err(ended(&mut self.relay, &self.address, Some(&error)).await);
                }
                None => return Err(ended(&mut self.relay, &self.address, None).await),
            }
        }
    }

    /// Whether packets that made no access unit yet came within so long.
    pub(crate) fn hears(&self, within: Duration) -> bool {
        self.relay.heard().is_some_and(|heard| heard.elapsed() <= within)
    }

    /// Gives what happened since the last call.
    pub(crate) fn incidents(&mut self) -> Vec<Incident> {
        self.incidents.extend(self.relay.incidents());
        std::mem::take(&mut self.incidents)
    }

    /// How many sender reports came.
    pub(crate) fn reports(&self) -> u64 {
        self.reports
    }

    /// How far the camera's clock is ahead of ours, in microseconds, as far as its reports are believed.
    pub(crate) fn camera_ahead(&self) -> Option<i64> {
        self.clock.camera_ahead()
    }

    fn arrival(&mut self, frame: VideoFrame) -> Result<Arrival, SourceError> {
        check_size(frame.data().len())?;
        let arrived_at = wall(frame.end_ctx());
        let first = *self.first.get_or_insert(frame.timestamp().timestamp());
        let media_time = self.ticks(frame.timestamp().timestamp() - first);
        let (captured_at, clock) = self.clock.unit(media_time, arrived_at);
        let changes = frame.has_new_parameters();
        let loss = frame.loss() > 0 || begins_in_mid_picture(frame.data());
        if changes || self.next_seq == 0 {
            self.observe_parameter_sets();
        }
        let mut unit = AccessUnit::from_annex_b(frame.into_data(), media_time.0, media_time.0);
        // Packets lost before a key frame may have been its own first ones.
        unit.key &= !begins_in_mid_picture(&unit.data);
        if unit.key || changes {
            unit = unit.with_parameter_sets(&self.sets);
        }
        let stamp = Stamp { seq: Seq(self.next_seq), media_time, captured_at, clock };
        self.next_seq += 1;
        Ok(Arrival { stamp, loss, unit })
    }

    /// Keeps the parameter sets that the RTSP library has now: it takes all out of the units, remembers one of each kind,
    /// and puts those before IDR pictures alone.
    fn observe_parameter_sets(&mut self) {
        if let Some(ParametersRef::Video(video)) = self.session.streams()[self.video].parameters() {
            nal_units(video.extra_data()).for_each(|nal| self.sets.observe(nal));
        }
    }

    fn report(&mut self, packet: &ReceivedCompoundPacket) {
        let Some(timestamp) = packet.rtp_timestamp() else { return };
        let Some(Ok(Some(report))) = packet.pkts().next().map(|first| first.as_sender_report())
        else {
            return;
        };
        self.reports += 1;
        let Some(first) = self.first else { return };
        let media_time = self.ticks(timestamp.timestamp() - first);
        let arrival = wall(packet.ctx());
        let ntp = utc(report.ntp_timestamp().0, arrival);
        let verdict = self.clock.report(media_time, ntp, arrival);
        let before = self.verdict.replace(verdict);
        self.incidents.extend(incident(verdict, before));
    }

    fn ticks(&self, timestamp: i64) -> MediaTime {
        MediaTime(timestamp.saturating_mul(MediaTime::HZ) / self.clock_rate)
    }
}

/// What a verdict on the camera's clock means for capture times, where it is not what was said before.
fn incident(verdict: Verdict, before: Option<Verdict>) -> Option<Incident> {
    // How far off a clock is differs by microseconds from one report to the next.
    let same = before.is_some_and(|before| discriminant(&before) == discriminant(&verdict));
    let seconds = |micros: i64| MediaTime(micros / 100 * 9);
    let (kind, words) = match verdict {
        Verdict::Believed => return None,
        Verdict::Jumped(by) => {
            ("clock-jump", format!("its clock jumped by {}: capture times follow", seconds(by)))
        }
        _ if same => return None,
        Verdict::Implausible(off) => (
            "clock-implausible",
            format!(
                "its clock is {} from ours, more than clock_bound: capture times go by arrival",
                seconds(off)
            ),
        ),
        Verdict::Detached(off) => (
            "clock-detached",
            format!(
                "its sender reports are {} from its pictures: capture times go by arrival",
                seconds(off)
            ),
        ),
        Verdict::Distrusted => (
            "clock-distrusted",
            "its clock jumped too often within an hour: capture times go by arrival".to_owned(),
        ),
    };
    Some(Incident { kind, words })
}

fn choose_video(session: &Session<Described>) -> Result<usize, SourceError> {
    let streams = session.streams().iter();
    let offers = streams.map(|s| Offer { media: s.media(), encoding: s.encoding_name() });
    choose(&offers.collect::<Vec<_>>()).map_err(SourceError::unsupported)
}

/// Why a session does not play.
enum NotBegun {
    /// The RTSP library failed.
    Failed(retina::Error),
    /// What the camera has is not what is wanted.
    Unfit(SourceError),
}

impl From<retina::Error> for NotBegun {
    fn from(error: retina::Error) -> Self {
        Self::Failed(error)
    }
}

/// Has a camera play: gives the session, and which of its streams is the video.
async fn begin(url: &Url, sessions: &Sessions) -> Result<(Demuxed, usize), NotBegun> {
    let options = SessionOptions::default()
        .user_agent(concat!("millrace/", env!("CARGO_PKG_VERSION")).to_owned())
        .session_group(Arc::clone(&sessions.0));
    let mut session = Session::describe(url.clone(), options).await?;
    let video = choose_video(&session).map_err(NotBegun::Unfit)?;
    // Whatever the camera does, from the relay it comes by TCP.
    let setup = SetupOptions::default()
        .transport(Transport::Tcp(TcpTransportOptions::default()))
        .frame_format(FrameFormat::SIMPLE);
    session.setup(video, setup).await?;
    let playing = session.play(PlayOptions::default()).await?;
    Ok((playing.demuxed()?, video))
}

/// Why a session ended: the bound that was broken, if it was, is the cause of what the library says.
async fn ended(
    relay: &mut Relay,
    address: &RtspAddress,
    error: Option<&retina::Error>,
) -> SourceError {
    let status = error.and_then(retina::Error::status_code);
    if status.is_none()
        && let Some(breach) = relay.breach().await
    {
        return breach.into();
    }
    let Some(error) = error else { return SourceError::end_of_stream() };
    let text = address.hidden_in(&relay.hidden_in(&error.to_string()));
    SourceError::rtsp(status, address.credentials.is_some(), &text)
}

/// Refuses what the relay should have refused.
fn check_size(bytes: usize) -> Result<(), SourceError> {
    if bytes > MAX_UNIT { Err(SourceError::too_large(bytes)) } else { Ok(()) }
}

fn wall(context: &retina::PacketContext) -> CaptureTime {
    CaptureTime::from_system(SystemTime::from(context.received_wall()))
}

/// Tells whether the first slice is not a picture's first, whose `first_mb_in_slice` is 0, coded as a single 1 bit
/// (ITU-T H.264 §7.3.3, §9.1).
fn begins_in_mid_picture(annex_b: &[u8]) -> bool {
    let first = nal_units(annex_b).find(|nal| nal.is_slice());
    first.is_some_and(|nal| nal.bytes().get(1).is_none_or(|byte| byte & 0x80 == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_clock_is_told_once_and_each_jump() {
        let verdicts = [
            Verdict::Implausible(-7_000_000),
            Verdict::Implausible(-7_000_001),
            Verdict::Detached(40_000_000),
            Verdict::Detached(41_000_000),
            Verdict::Believed,
            Verdict::Jumped(3_000_000),
            Verdict::Jumped(3_000_000),
            Verdict::Distrusted,
            Verdict::Distrusted,
        ];
        let mut before = None;
        let told =
            verdicts.iter().filter_map(|&verdict| incident(verdict, before.replace(verdict)));
        let kinds: Vec<&str> = told.map(|incident| incident.kind).collect();
        let expected =
            ["clock-implausible", "clock-detached", "clock-jump", "clock-jump", "clock-distrusted"];
        assert_eq!(kinds, expected);
    }

    #[test]
    fn an_access_unit_larger_than_a_file_may_hold_is_refused() {
        assert!(check_size(MAX_UNIT).is_ok());
        let error = check_size(MAX_UNIT + 1).unwrap_err();
        let words = "it sent an access unit of 8388609 bytes, more than 8388608";
        assert_eq!((error.event(), &*error.to_string()), ("too-large", words));
    }

    #[test]
    fn a_key_frame_without_its_first_slice_is_none() {
        assert!(!begins_in_mid_picture(&[0, 0, 1, 0x67, 1, 0, 0, 1, 0x65, 0x88]));
        assert!(begins_in_mid_picture(&[0, 0, 1, 0x67, 1, 0, 0, 1, 0x65, 0x28]));
        assert!(!begins_in_mid_picture(&[0, 0, 1, 0x67, 1]));
    }
}
