//! A relay of our own between the RTSP library and a camera: bytes are bounded before the library sees them.
//!
//! The library opens its connection itself, bounds neither a message nor an access unit, and reads what does not end
//! anew at each read. So it is given an address on this machine, behind which everything that a camera sends has its
//! bound ([`breach`]); what breaks one ends the session with an error that says which. The relay also does what the
//! library cannot: it proves the login, which the library never gets, follows redirects, puts packets in
//! order, speaks TLS, and leaves out marks in mid-picture.
//!
//! `framing`, `conversation`, `passage`, `video`, `reorder`, `marker` and `pace` decide without I/O; `link`, `camera` and
//! `datagrams` hold the sockets.

mod breach;
mod camera;
mod client;
mod conversation;
mod datagrams;
mod framing;
mod head;
mod link;
mod login;
mod marker;
mod metered;
mod pace;
mod passage;
mod payload;
mod reorder;
mod rtp;
mod scan;
mod tls;
mod udp;
mod urls;
mod video;

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;
use url::Url;

use super::Incident;
use super::address::RtspAddress;
use super::error::SourceError;
pub(super) use breach::MAX_UNIT;
use breach::{Breach, MAX_UNSETTLED};
use camera::Camera;
use link::Link;
use urls::Prefix;

/// How long a relay whose connection has ended may take to say why.
const LAST_WORDS: Duration = Duration::from_millis(250);
/// Bytes on their way to the library that the system keeps on our side.
const SEND_BUFFER: u32 = 256 * 1_024;

/// A relay that runs until the library closes its connection, or the camera does, or breaks a bound.
#[derive(Debug)]
pub(super) struct Relay {
    prefix: Prefix,
    url: Url,
    notes: Notes,
    unsettled: Unsettled,
    ended: JoinHandle<Result<(), Breach>>,
}

/// What happened to a session without ending it.
#[derive(Clone, Debug, Default)]
struct Notes(Arc<Mutex<Vec<Incident>>>);

impl Notes {
    /// Takes note of something.
    fn add(&self, kind: &'static str, words: &str) {
        let incident = Incident { kind, words: words.to_owned() };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(incident);
    }
}

/// What came since the library made an access unit last.
#[derive(Clone, Debug, Default)]
struct Unsettled {
    /// Bytes of packets that the library was given.
    bytes: Arc<AtomicUsize>,
    /// When a packet of video came, whether it was passed on or left out.
    heard: Arc<Mutex<Option<Instant>>>,
}

impl Unsettled {
    /// Takes note of a packet that came.
    fn hear(&self, now: Instant) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    fn settle(&self) {
        self.bytes.store(0, Ordering::Relaxed);
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Counts a packet.
    ///
    /// # Errors
    /// There are too many: the library keeps all of them.
    fn add(&self, bytes: usize) -> Result<(), Breach> {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > MAX_UNSETTLED { Err(Breach::NoUnit) } else { Ok(()) }
    }
}

impl Relay {
    /// Connects to a camera, and waits for the library.
    ///
    /// # Errors
    /// The camera cannot be connected to.
    pub(super) async fn start(address: &RtspAddress) -> Result<Self, SourceError> {
        let camera = Camera::connect(&address.url, address).await?;
        let here = |error| Breach::io("open a port for the relay", &error);
        let listener = listen().map_err(here)?;
        let port = listener.local_addr().map_err(here)?.port();
        let prefix = Prefix::new(port, &format!("{:032x}", rand::random::<u128>()));
        let local = Url::parse(&prefix.before(address.url.as_str()));
        let url = local.map_err(|error| Breach::Io(format!("name the relay: {error}")))?;
        let notes = Notes::default();
        let unsettled = Unsettled::default();
        let shared = (notes.clone(), unsettled.clone());
        let link = Link::new(camera, address, prefix.clone(), shared)?;
        let ended = tokio::spawn(link.run(listener));
        Ok(Self { prefix, url, notes, unsettled, ended })
    }

    /// What the library connects to.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// A text of the library in which the camera's URLs are as the camera has them.
    pub(super) fn hidden_in(&self, text: &str) -> String {
        self.prefix.hidden_in(text)
    }

    /// Tells that the library has given an access unit: it keeps nothing of what came before.
    pub(super) fn settle(&self) {
        self.unsettled.settle();
    }

    /// When a packet of video came last, if one did since the library gave an access unit.
    pub(super) fn heard(&self) -> Option<Instant> {
        *self.unsettled.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives what happened since the last call.
    pub(super) fn incidents(&self) -> Vec<Incident> {
        std::mem::take(&mut *self.notes.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Why the relay ended the session, if it did: asked when the library has lost its connection.
    pub(super) async fn breach(&mut self) -> Option<Breach> {
        match tokio::time::timeout(LAST_WORDS, &mut self.ended).await {
            Ok(Ok(ended)) => ended.err(),
            Ok(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Ok(Err(_)) | Err(_) => None,
        }
    }
}

/// Listens for the library, with a small buffer towards it.
fn listen() -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    socket.listen(16)
}

#[cfg(test)]
mod cost;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_that_make_no_access_unit_are_refused_at_their_bound_whatever_they_are() {
        let unsettled = Unsettled::default();
        for _ in 0..2 {
            assert_eq!(unsettled.add(MAX_UNSETTLED), Ok(()));
            assert_eq!(unsettled.add(1), Err(Breach::NoUnit));
            unsettled.settle();
        }
    }
}
