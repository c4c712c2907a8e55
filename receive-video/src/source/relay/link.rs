//! The sockets of one session: the library's, the camera's, and the camera's UDP ports, around the cores.

use std::time::{Duration, Instant};

use services::config::Transport;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::{sleep_until, timeout};

use super::super::address::RtspAddress;
use super::breach::{Breach, LEAST_PACKET, MAX_DEAFNESS};
use super::camera::Camera;
use super::client::{Client, greeted};
use super::conversation::{Conversation, Step};
use super::datagrams::Datagrams;
use super::framing::{Framing, Item};
use super::head::Head;
use super::login::Login;
use super::passage::Passage;
use super::urls::Prefix;
use super::{Notes, Unsettled};

/// How long the library may take to connect.
const ARRIVAL: Duration = Duration::from_secs(10);

/// One session.
pub(super) struct Link {
    address: RtspAddress,
    camera: Camera,
    from_camera: Framing,
    conversation: Conversation,
    prefix: Prefix,
    passage: Passage,
    udp: Option<Datagrams>,
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
        camera: Camera,
        address: &RtspAddress,
        prefix: Prefix,
        (notes, unsettled): (Notes, Unsettled),
    ) -> Result<Self, Breach> {
        let udp = match address.transport {
            Transport::Tcp => None,
            Transport::Udp => {
                let (ours, _) = camera.addresses("open UDP ports")?;
                Some(Datagrams::bind(ours)?)
            }
        };
        let ports = udp.as_ref().map(Datagrams::ports);
        let login = Login::new(address.credentials.clone());
        Ok(Self {
            address: address.clone(),
            camera,
            from_camera: Framing::default(),
            conversation: Conversation::new(prefix.clone(), address.url.clone(), login, ports),
            prefix,
            passage: Passage::new(address.max_rate, notes, unsettled, now()),
            udp,
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
                Event::Time => self.passage.expire(now())?,
            }
            if !self.passage.outbox.is_empty() {
                // Whoever went away needs no answer.
                if client.stream.write_all(&self.passage.outbox).await.is_err() {
                    return Ok(());
                }
                self.passage.outbox.clear();
            }
        }
    }

    async fn next_event(&mut self, client: &mut Client) -> Result<Event, Breach> {
        let ready_at = self.passage.ready_at();
        let may_read = ready_at <= now();
        let waits = [(!may_read).then_some(ready_at), self.passage.deadline()];
        let wake = waits.into_iter().flatten().min();
        let udp = self.udp.as_ref().filter(|_| may_read && self.conversation.is_playing());
        tokio::select! {
            biased;
            read = client.stream.read_buf(client.framing.room()) => Ok(Event::FromClient(read.unwrap_or(0))),
            read = self.camera.read(self.from_camera.room()), if may_read => read.map(Event::FromCamera),
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
        let written = timeout(MAX_DEAFNESS, self.camera.write(bytes)).await;
        written.unwrap_or(Err(Breach::Deaf))
    }

    async fn take_answers(&mut self) -> Result<(), Breach> {
        let now = now();
        while let Some(item) = self.from_camera.next()? {
            match item {
                Item::Packet(channel, packet) => self.passage.interleaved(channel, packet, now)?,
                Item::Message(head, body) => self.message(head, &body).await?,
            }
        }
        Ok(())
    }

    async fn message(&mut self, head: Head, body: &[u8]) -> Result<(), Breach> {
        self.passage.charge(body.len() + LEAST_PACKET, now())?;
        if head.status().is_none() {
            let refusal = self.conversation.refuse(&head);
            return self.tell_camera(&refusal).await;
        }
        match self.conversation.answer(head, body)? {
            Step::Answer(bytes) => {
                self.passage.channels = self.conversation.channels();
                self.connect_udp().await?;
                self.passage.outbox.extend_from_slice(&bytes);
                Ok(())
            }
            Step::Ask(bytes) => self.tell_camera(&bytes).await,
            Step::Move(url) => {
                self.camera = Camera::connect(&url, &self.address).await?;
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
        let (_, theirs) = self.camera.addresses("connect UDP ports")?;
        udp.connect(peer, theirs).await
    }

    fn take_datagrams(&mut self) -> Result<(), Breach> {
        match &mut self.udp {
            Some(udp) => udp.take(&mut self.passage, now()),
            None => Ok(()),
        }
    }
}

/// Waits for a datagram.
async fn readable(udp: Option<&Datagrams>) {
    if let Some(udp) = udp {
        udp.readable().await;
    }
}

fn now() -> Instant {
    Instant::now()
}
