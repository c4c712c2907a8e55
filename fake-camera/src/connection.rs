//! One RTSP connection: its socket, its UDP ports and its viewer around a [`Conversation`].
//!
//! Requests in, answers and packets out, in one task. The connection ends when the client closes it, sends
//! what is no RTSP, doesn't read for [`WRITE_LIMIT`], is silent for the session's timeout, or by a fault.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use rtsp_types::{Message, ParseError, Request, Response};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::camera::Camera;
use crate::rtsp::{Conversation, Directory, Effect, Lane, Secrets, View, mount_of};
use crate::udp::UdpPair;
use crate::viewer::Viewer;

/// A client that does not read for this long is disconnected.
const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// How often reports, timeouts and what came by UDP are looked after.
const TICK: Duration = Duration::from_millis(50);

/// Bytes of a request, or of requests that a frozen camera does not answer.
const MAX_INBOX: usize = 64 * 1_024;

/// All cameras by mount.
pub(crate) type Cameras = BTreeMap<String, Arc<Camera>>;

/// Why a connection ended, other than by the client's wish.
#[derive(Debug, Error)]
pub(crate) enum Hangup {
    #[error("talk to client")]
    Io(#[from] io::Error),
    #[error("read request: not RTSP")]
    NotRtsp,
    #[error("read request: more than {MAX_INBOX} bytes")]
    TooLong,
    #[error("wait for client: nothing heard from it")]
    Silent,
    #[error("send to client: it does not read")]
    Stuck,
    #[error("close connection: as the fault has it")]
    Fault,
}

/// One client's connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    client: SocketAddr,
    local: IpAddr,
    nth: u64,
    inbox: BytesMut,
    cameras: Arc<Cameras>,
    conversation: Conversation,
    first_seq: u16,
    /// The camera that was named first.
    camera: Option<Arc<Camera>>,
    closings: Option<watch::Receiver<u64>>,
    udp: Option<UdpPair>,
    watching: Option<Watching>,
}

#[derive(Debug)]
struct Watching {
    viewer: Viewer,
    lane: Lane,
    since: Instant,
}

impl Connection {
    /// Takes an accepted connection, the `nth` of this server.
    pub(crate) fn new(stream: TcpStream, nth: u64, cameras: Arc<Cameras>) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let secrets = Secrets {
            nonce: format!("{:016x}", rand::random::<u64>()),
            session: format!("{:08x}", rand::random::<u32>()),
            first_seq: rand::random(),
        };
        Ok(Self {
            client: stream.peer_addr()?,
            local: stream.local_addr()?.ip(),
            stream,
            nth,
            inbox: BytesMut::new(),
            cameras,
            first_seq: secrets.first_seq,
            conversation: Conversation::new(secrets, Instant::now()),
            camera: None,
            closings: None,
            udp: None,
            watching: None,
        })
    }

    /// Serves the client until it closes the connection.
    ///
    /// # Errors
    /// Why the connection was ended from this side.
    pub(crate) async fn run(mut self) -> Result<(), Hangup> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            self.inbox.reserve(4_096);
            tokio::select! {
                biased;
                () = closed(&mut self.closings) => return Err(Hangup::Fault),
                read = self.stream.read_buf(&mut self.inbox) => {
                    if read? == 0 {
                        return Ok(());
                    }
                }
                packets = next_packets(&mut self.watching) => match packets {
                    Some(packets) => self.send(&packets).await?,
                    None => return Ok(()),
                },
                now = ticks.tick() => self.look_after(now).await?,
            }
            self.answer_requests().await?;
        }
    }

    /// Answers what is complete in the inbox, unless the camera is frozen.
    async fn answer_requests(&mut self) -> Result<(), Hangup> {
        while !self.inbox.is_empty() {
            let (message, len) = match Message::<Vec<u8>>::parse(&self.inbox) {
                Ok(parsed) => parsed,
                Err(ParseError::Incomplete(_)) if self.inbox.len() > MAX_INBOX => {
                    return Err(Hangup::TooLong);
                }
                Err(ParseError::Incomplete(_)) => return Ok(()),
                Err(ParseError::Error) => return Err(Hangup::NotRtsp),
            };
            if let Message::Request(request) = &message {
                self.meet_camera(request);
            }
            if self.is_frozen() {
                let full = self.inbox.len() > MAX_INBOX;
                return if full { Err(Hangup::TooLong) } else { Ok(()) };
            }
            self.inbox.advance(len);
            match message {
                Message::Request(request) => self.answer(&request).await?,
                // Receiver reports, and answers to nothing: signs of life.
                Message::Data(_) | Message::Response(_) => self.conversation.heard(Instant::now()),
            }
        }
        Ok(())
    }

    /// From its first mention on, the camera's faults are those of this connection.
    fn meet_camera(&mut self, request: &Request<Vec<u8>>) {
        if self.camera.is_none() {
            let mount = request.request_uri().and_then(mount_of);
            self.camera = mount.and_then(|mount| self.cameras.get(mount)).cloned();
            self.closings = self.camera.as_ref().map(|camera| camera.closings());
        }
    }

    fn is_frozen(&self) -> bool {
        self.camera.as_ref().is_some_and(|camera| camera.faults().freeze)
    }

    async fn answer(&mut self, request: &Request<Vec<u8>>) -> Result<(), Hangup> {
        let now = Instant::now();
        let Self { cameras, local, udp, .. } = self;
        let mut desk = Desk { cameras, local: *local, udp, now };
        let reply = self.conversation.handle(request, &mut desk, now);
        if let Some(response) = &reply.response {
            self.write_response(response).await?;
        }
        match reply.effect {
            Some(Effect::Play(mount, lane)) => self.play(&mount, lane, now),
            Some(Effect::Pause) => self.watching = None,
            Some(Effect::End) => (self.watching, self.udp) = (None, None),
            Some(Effect::Reset) => {
                self.stream.set_zero_linger()?;
                return Err(Hangup::Fault);
            }
            None => {}
        }
        Ok(())
    }

    fn play(&mut self, mount: &str, lane: Lane, now: Instant) {
        let watches = self.watching.is_some();
        if let Some(camera) = self.cameras.get(mount).filter(|_| !watches) {
            let viewer = Viewer::new(camera, self.first_seq, self.nth, now);
            self.watching = Some(Watching { viewer, lane, since: now });
        }
    }

    /// Sends a report when it is time, and ends what has gone on for too long.
    async fn look_after(&mut self, now: Instant) -> Result<(), Hangup> {
        if self.udp.as_ref().is_some_and(UdpPair::drain) {
            self.conversation.heard(now);
        }
        if self.conversation.is_expired(now) {
            return Err(Hangup::Silent);
        }
        if self.is_to_close(now) {
            return Err(Hangup::Fault);
        }
        self.send_report(now).await
    }

    fn is_to_close(&self, now: Instant) -> bool {
        let every = self.camera.as_ref().and_then(|camera| camera.faults().close_every_seconds);
        let watched = self.watching.as_ref().map(|w| now.saturating_duration_since(w.since));
        every.zip(watched).is_some_and(|(every, watched)| watched.as_secs_f64() >= every)
    }

    async fn send_report(&mut self, now: Instant) -> Result<(), Hangup> {
        let Some(watching) = &mut self.watching else { return Ok(()) };
        let (Some(report), lane) = (watching.viewer.report(now), watching.lane) else {
            return Ok(());
        };
        match (lane, &self.udp) {
            (Lane::Interleaved(_, channel), _) => {
                self.write(&interleaved(channel, &[report])).await
            }
            (Lane::Udp { client, .. }, Some(udp)) => {
                udp.send_rtcp(&report, SocketAddr::new(self.client.ip(), client.1)).await;
                Ok(())
            }
            (Lane::Udp { .. }, None) => Ok(()),
        }
    }

    /// Sends one access unit's packets, after a report that is due.
    async fn send(&mut self, packets: &[Vec<u8>]) -> Result<(), Hangup> {
        if packets.is_empty() {
            return Ok(());
        }
        self.send_report(Instant::now()).await?;
        match (self.watching.as_ref().map(|watching| watching.lane), &self.udp) {
            (Some(Lane::Interleaved(channel, _)), _) => {
                self.write(&interleaved(channel, packets)).await
            }
            (Some(Lane::Udp { client, .. }), Some(udp)) => {
                udp.send_rtp(packets, SocketAddr::new(self.client.ip(), client.0)).await;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn write_response(&mut self, response: &Response<Vec<u8>>) -> Result<(), Hangup> {
        let mut bytes = Vec::new();
        response.write(&mut bytes).expect("writing into memory does not fail");
        self.write(&bytes).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Hangup> {
        let written = timeout(WRITE_LIMIT, self.stream.write_all(bytes)).await;
        Ok(written.map_err(|_| Hangup::Stuck)??)
    }
}

/// Waits for the next close of all connections of the camera.
async fn closed(closings: &mut Option<watch::Receiver<u64>>) {
    let changed = match closings {
        Some(closings) => closings.changed().await.is_ok(),
        None => false,
    };
    if !changed {
        std::future::pending().await
    }
}

async fn next_packets(watching: &mut Option<Watching>) -> Option<Vec<Vec<u8>>> {
    match watching {
        Some(watching) => watching.viewer.next().await,
        None => std::future::pending().await,
    }
}

/// Frames packets for the RTSP connection (RFC 2326 §10.12).
fn interleaved(channel: u8, packets: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(packets.iter().map(|packet| packet.len() + 4).sum());
    for packet in packets {
        let len = u16::try_from(packet.len()).expect("a packet fits an Ethernet frame");
        bytes.extend_from_slice(&[b'$', channel]);
        bytes.extend_from_slice(&len.to_be_bytes());
        bytes.extend_from_slice(packet);
    }
    bytes
}

/// What the conversation asks its surroundings.
struct Desk<'a> {
    cameras: &'a Cameras,
    local: IpAddr,
    udp: &'a mut Option<UdpPair>,
    now: Instant,
}

impl Directory for Desk<'_> {
    fn view(&self, mount: &str) -> Option<View> {
        self.cameras.get(mount).map(|camera| camera.view(self.now))
    }

    fn open_udp(&mut self) -> Option<(u16, u16)> {
        let pair = UdpPair::bind(self.local).inspect_err(|error| {
            tracing::warn!(%error, "bind two UDP ports");
        });
        *self.udp = pair.ok();
        self.udp.as_ref().map(UdpPair::ports)
    }
}
