//! The sockets of one session: the library's, the camera's, and the camera's UDP ports, around the cores.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use services::config::Transport;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::{sleep_until, timeout};

use super::super::address::RtspAddress;
use super::breach::{Breach, LEAST_PACKET, MAX_DEAFNESS};
use super::client::{Client, greeted};
use super::conversation::{Conversation, Step};
use super::framing::{Framing, Item};
use super::head::Head;
use super::login::Login;
use super::marker::{Ends, Told};
use super::pace::Pace;
use super::payload::Part;
use super::reorder::Reorder;
use super::rtp::Rtp;
use super::udp::UdpPair;
use super::urls::Prefix;
use super::video::{Unfit, Video};
use super::{Notes, Unsettled, connect};

/// How long the library may take to connect.
const ARRIVAL: Duration = Duration::from_secs(10);
/// Datagrams taken at once.
const DATAGRAMS: usize = 64;
/// Bytes before an interleaved packet.
const INTERLEAVED: usize = 4;
/// The bit of an RTP packet's second byte that marks the last of its picture (RFC 6184 §5.1).
const MARKER: u8 = 0x80;
/// Bytes for the library at which no more datagrams are taken.
const OUTBOX: usize = 256 * 1_024;
/// The largest datagram.
const DATAGRAM: usize = 65_536;

/// One session.
pub(super) struct Link {
    camera: TcpStream,
    from_camera: Framing,
    conversation: Conversation,
    prefix: Prefix,
    video: Video,
    ends: Ends<Bytes>,
    pace: Pace,
    /// When the camera may be read again.
    ready_at: Instant,
    udp: Option<Udp>,
    /// What goes to the library.
    outbox: Vec<u8>,
    notes: Notes,
    unsettled: Unsettled,
    told_foreign: bool,
    told_damaged: bool,
    told_markers: bool,
    told_broken: bool,
}

/// Ports for a camera that sends by UDP.
struct Udp {
    pair: UdpPair,
    connected: bool,
    reorder: Reorder<Bytes>,
    datagram: Vec<u8>,
}

/// What is there to be done.
enum Event {
    FromClient(usize),
    FromCamera(usize),
    Datagrams,
    Time,
}

impl Link {
    /// A link to the camera that was connected to.
    pub(super) fn new(
        camera: TcpStream,
        address: &RtspAddress,
        prefix: Prefix,
        (notes, unsettled): (Notes, Unsettled),
    ) -> Result<Self, Breach> {
        let failed = |error| Breach::io("open UDP ports", &error);
        let udp = match address.transport {
            Transport::Tcp => None,
            Transport::Udp => {
                let ip = camera.local_addr().map_err(failed)?.ip();
                let (pair, reorder) = (UdpPair::bind(ip).map_err(failed)?, Reorder::default());
                Some(Udp { pair, connected: false, reorder, datagram: vec![0; DATAGRAM] })
            }
        };
        let ports = udp.as_ref().map(|udp| udp.pair.ports());
        let login = Login::new(address.credentials.clone());
        let now = now();
        Ok(Self {
            camera,
            from_camera: Framing::default(),
            conversation: Conversation::new(prefix.clone(), address.url.clone(), login, ports),
            prefix,
            video: Video::new(now),
            ends: Ends::default(),
            pace: Pace::new(now),
            ready_at: now,
            udp,
            outbox: Vec::new(),
            notes,
            unsettled,
            told_foreign: false,
            told_damaged: false,
            told_markers: false,
            told_broken: false,
        })
    }

    /// Relays until one side closes its connection.
    ///
    /// # Errors
    /// The bound that the camera broke.
    pub(super) async fn run(mut self, listener: TcpListener) -> Result<(), Breach> {
        let Ok(Some((mut client, first))) =
            timeout(ARRIVAL, greeted(&listener, &self.prefix)).await
        else {
            return Ok(());
        };
        drop(listener);
        self.ask(first).await?;
        loop {
            match self.next_event(&mut client).await? {
                Event::FromClient(0) | Event::FromCamera(0) => return Ok(()),
                Event::FromClient(_) => self.take_requests(&mut client).await?,
                Event::FromCamera(_) => self.take_answers().await?,
                Event::Datagrams => self.take_datagrams()?,
                Event::Time => self.expire()?,
            }
            if !self.outbox.is_empty() {
                // Whoever went away needs no answer.
                if client.stream.write_all(&self.outbox).await.is_err() {
                    return Ok(());
                }
                self.outbox.clear();
            }
        }
    }

    async fn next_event(&mut self, client: &mut Client) -> Result<Event, Breach> {
        let may_read = self.ready_at <= now();
        let waits = [
            (!may_read).then_some(self.ready_at),
            self.udp.as_ref().and_then(|udp| udp.reorder.deadline()),
            self.ends.deadline(),
        ];
        let wake = waits.into_iter().flatten().min();
        let udp = self.udp.as_ref().filter(|_| may_read && self.conversation.is_playing());
        tokio::select! {
            biased;
            read = client.stream.read_buf(client.framing.room()) => Ok(Event::FromClient(read.unwrap_or(0))),
            read = self.camera.read_buf(self.from_camera.room()), if may_read => {
                read.map(Event::FromCamera).map_err(|error| Breach::io("read from the camera", &error))
            }
            () = readable(udp), if udp.is_some() => Ok(Event::Datagrams),
            () = sleep_until(wake.unwrap_or_else(now).into()), if wake.is_some() => Ok(Event::Time),
        }
    }

    async fn take_requests(&mut self, client: &mut Client) -> Result<(), Breach> {
        while let Some(item) = client.framing.next()? {
            if let Item::Message(request, _) = item {
                self.ask(request).await?;
            }
        }
        Ok(())
    }

    async fn ask(&mut self, request: Head) -> Result<(), Breach> {
        // The library's own answers are to requests that it never gets.
        if request.status().is_none() {
            let bytes = self.conversation.request(request);
            self.tell_camera(&bytes).await?;
        }
        Ok(())
    }

    async fn tell_camera(&mut self, bytes: &[u8]) -> Result<(), Breach> {
        match timeout(MAX_DEAFNESS, self.camera.write_all(bytes)).await {
            Ok(written) => written.map_err(|error| Breach::io("write to the camera", &error)),
            Err(_) => Err(Breach::Deaf),
        }
    }

    async fn take_answers(&mut self) -> Result<(), Breach> {
        while let Some(item) = self.from_camera.next()? {
            match item {
                Item::Packet(channel, packet) => self.packet(channel, &packet)?,
                Item::Message(head, body) => self.message(head, &body).await?,
            }
        }
        Ok(())
    }

    async fn message(&mut self, head: Head, body: &[u8]) -> Result<(), Breach> {
        self.charge(body.len() + LEAST_PACKET)?;
        if head.status().is_none() {
            let refusal = self.conversation.refuse(&head);
            return self.tell_camera(&refusal).await;
        }
        match self.conversation.answer(head, body)? {
            Step::Answer(bytes) => {
                self.connect_udp().await?;
                self.outbox.extend_from_slice(&bytes);
                Ok(())
            }
            Step::Ask(bytes) => self.tell_camera(&bytes).await,
            Step::Move(url) => {
                self.camera = connect(&url).await?;
                self.from_camera = Framing::default();
                let again = self.conversation.again();
                self.tell_camera(&again).await
            }
            Step::Ignore => Ok(()),
        }
    }

    /// Connects the UDP ports once the camera has named its own.
    async fn connect_udp(&mut self) -> Result<(), Breach> {
        let (Some(udp), Some(peer)) = (&mut self.udp, self.conversation.peer()) else {
            return Ok(());
        };
        if udp.connected {
            return Ok(());
        }
        let failed = |error| Breach::io("connect UDP ports", &error);
        let ip = match peer.address {
            Some(address) => address,
            None => self.camera.peer_addr().map_err(failed)?.ip(),
        };
        let (rtp, rtcp) = (SocketAddr::new(ip, peer.rtp), SocketAddr::new(ip, peer.rtcp));
        udp.pair.connect(rtp, rtcp).await.map_err(failed)?;
        udp.connected = true;
        Ok(())
    }

    fn packet(&mut self, channel: u8, packet: &Bytes) -> Result<(), Breach> {
        match self.conversation.channels() {
            Some((rtp, _)) if channel == rtp => match self.video.hear(packet, now())? {
                Ok(_) => self.pass_rtp(packet),
                Err(unfit) => self.leave_out(packet, unfit),
            },
            Some((_, rtcp)) if channel == rtcp => self.pass_rtcp(packet),
            _ => self.charge(packet.len().max(LEAST_PACKET)),
        }
    }

    fn pass_rtp(&mut self, packet: &Bytes) -> Result<(), Breach> {
        let Some(Rtp { timestamp, marker, payload, .. }) = Rtp::parse(packet) else {
            return self.leave_out(packet, Unfit::Damaged);
        };
        let (told, mut ready) = (Told { timestamp, marker, part: Part::of(payload) }, Vec::new());
        self.ends.push(told, packet.clone(), now(), |packet, ends| ready.push((packet, ends)));
        if self.ends.are_wrong() {
            self.notes.once(
                "marker-bits",
                "it marks packets in mid-picture as the last ones of their picture: pictures are taken to end where \
                 timestamps change, and come one picture later",
                &mut self.told_markers,
            );
        }
        ready.iter().try_for_each(|(packet, ends)| self.pass_marked(packet, *ends))
    }

    /// Passes an RTP packet on that is marked as the last of its picture, or is not.
    fn pass_marked(&mut self, packet: &Bytes, ends: bool) -> Result<(), Breach> {
        let cost = match self.video.pass(packet, ends)? {
            Ok(cost) => cost,
            Err(unfit) => return self.leave_out(packet, unfit),
        };
        if self.video.has_broken_units() {
            self.notes.once(
                "broken-units",
                "it leaves out parts of NAL units without a gap in its packets' numbers: their pictures count as lost",
                &mut self.told_broken,
            );
        }
        let begins = self.outbox.len();
        self.pass(|(rtp, _)| rtp, packet, cost)?;
        if let Some([_, second, high, low, ..]) = self.outbox.get_mut(begins + INTERLEAVED..) {
            *second = *second & !MARKER | if ends { MARKER } else { 0 };
            let number = u16::from_be_bytes([*high, *low]);
            [*high, *low] = self.video.number(number).to_be_bytes();
        }
        Ok(())
    }

    fn pass_rtcp(&mut self, packet: &[u8]) -> Result<(), Breach> {
        match self.video.report(packet) {
            Ok(cost) => self.pass(|(_, rtcp)| rtcp, packet, cost),
            Err(_) => self.charge(packet.len().max(LEAST_PACKET)),
        }
    }

    /// Passes a packet on to the library, interleaved (RFC 2326 §10.12).
    fn pass(
        &mut self,
        channel: impl Fn((u8, u8)) -> u8,
        packet: &[u8],
        cost: usize,
    ) -> Result<(), Breach> {
        let Some(channels) = self.conversation.channels() else { return Ok(()) };
        // A datagram is no longer than that, and a packet that came interleaved had its length in two bytes.
        if let Ok(len) = u16::try_from(packet.len()) {
            let [high, low] = len.to_be_bytes();
            self.outbox.extend_from_slice(&[b'$', channel(channels), high, low]);
            self.outbox.extend_from_slice(packet);
            self.unsettled.add(INTERLEAVED + packet.len())?;
        }
        self.charge(cost)
    }

    fn leave_out(&mut self, packet: &[u8], unfit: Unfit) -> Result<(), Breach> {
        match unfit {
            Unfit::Foreign => self.notes.once(
                "foreign-source",
                "packets of another RTP source (SSRC) come with its own: they are left out",
                &mut self.told_foreign,
            ),
            Unfit::Damaged => self.notes.once(
                "damaged-packets",
                "it sends damaged RTP packets: they are left out, and count as lost",
                &mut self.told_damaged,
            ),
        }
        self.charge(packet.len().max(LEAST_PACKET))
    }

    fn charge(&mut self, cost: usize) -> Result<(), Breach> {
        self.ready_at = self.pace.take(cost, now())?;
        Ok(())
    }

    fn take_datagrams(&mut self) -> Result<(), Breach> {
        let Some(mut udp) = self.udp.take() else { return Ok(()) };
        let taken = self.datagrams_of(&mut udp);
        self.udp = Some(udp);
        taken
    }

    fn datagrams_of(&mut self, udp: &mut Udp) -> Result<(), Breach> {
        for _ in 0..DATAGRAMS {
            if self.outbox.len() > OUTBOX {
                break;
            }
            let Ok(len) = udp.pair.rtp.try_recv(&mut udp.datagram) else { break };
            let packet = Bytes::copy_from_slice(&udp.datagram[..len]);
            let now = now();
            match self.video.hear(&packet, now)? {
                Ok(seq) => {
                    let mut ready = Vec::new();
                    udp.reorder.push(seq, packet, now, |packet| ready.push(packet));
                    self.pass_all(&ready)?;
                }
                Err(unfit) => self.leave_out(&packet, unfit)?,
            }
        }
        for _ in 0..DATAGRAMS {
            let Ok(len) = udp.pair.rtcp.try_recv(&mut udp.datagram) else { break };
            self.pass_rtcp(&udp.datagram[..len])?;
        }
        Ok(())
    }

    fn pass_all(&mut self, ready: &[Bytes]) -> Result<(), Breach> {
        ready.iter().try_for_each(|packet| self.pass_rtp(packet))
    }

    fn expire(&mut self) -> Result<(), Breach> {
        let mut ready = Vec::new();
        if let Some(udp) = &mut self.udp {
            udp.reorder.expire(now(), |packet| ready.push(packet));
        }
        self.pass_all(&ready)?;
        let mut waited = None;
        self.ends.expire(now(), |packet, ends| waited = Some((packet, ends)));
        waited.map_or(Ok(()), |(packet, ends)| self.pass_marked(&packet, ends))
    }
}

/// Waits for a datagram.
async fn readable(udp: Option<&Udp>) {
    async fn ready(socket: &UdpSocket) {
        // An error is found when it is read.
        socket.readable().await.ok();
    }
    if let Some(udp) = udp {
        tokio::select! {
            () = ready(&udp.pair.rtp) => {}
            () = ready(&udp.pair.rtcp) => {}
        }
    }
}

fn now() -> Instant {
    Instant::now()
}
