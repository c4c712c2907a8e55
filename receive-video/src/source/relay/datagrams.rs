//! A camera's RTP and RTCP by UDP: what comes to our two ports.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bytes::Bytes;
use tokio::net::UdpSocket;

use super::breach::Breach;
use super::conversation::Peer;
use super::passage::Passage;
use super::udp::UdpPair;

/// Datagrams taken at once.
const DATAGRAMS: usize = 64;
/// Bytes for the library at which no more datagrams are taken.
const OUTBOX: usize = 256 * 1_024;
/// The largest datagram.
const DATAGRAM: usize = 65_536;

/// Ports for a camera that sends by UDP.
pub(super) struct Datagrams {
    pair: UdpPair,
    connected: bool,
    datagram: Vec<u8>,
}

impl Datagrams {
    /// Binds two ports at `ip`.
    pub(super) fn bind(ip: IpAddr) -> Result<Self, Breach> {
        let pair = UdpPair::bind(ip).map_err(|error| Breach::io("open UDP ports", &error))?;
        Ok(Self { pair, connected: false, datagram: vec![0; DATAGRAM] })
    }

    /// Our two ports.
    pub(super) fn ports(&self) -> (u16, u16) {
        self.pair.ports()
    }

    /// Takes packets of the ports that the camera has named, the first time; those of `camera` where it names no other.
    pub(super) async fn connect(&mut self, peer: Peer, camera: IpAddr) -> Result<(), Breach> {
        if self.connected {
            return Ok(());
        }
        let ip = peer.address.unwrap_or(camera);
        let (rtp, rtcp) = (SocketAddr::new(ip, peer.rtp), SocketAddr::new(ip, peer.rtcp));
        let connected = self.pair.connect(rtp, rtcp).await;
        connected.map_err(|error| Breach::io("connect UDP ports", &error))?;
        self.connected = true;
        Ok(())
    }

    /// Waits for a datagram.
    pub(super) async fn readable(&self) {
        async fn ready(socket: &UdpSocket) {
            // An error is found when it is read.
            socket.readable().await.ok();
        }
        tokio::select! {
            () = ready(&self.pair.rtp) => {}
            () = ready(&self.pair.rtcp) => {}
        }
    }

    /// Takes what has come.
    pub(super) fn take(&mut self, passage: &mut Passage, now: Instant) -> Result<(), Breach> {
        for _ in 0..DATAGRAMS {
            if passage.outbox.len() > OUTBOX {
                break;
            }
            let Ok(len) = self.pair.rtp.try_recv(&mut self.datagram) else { break };
            passage.rtp(Bytes::copy_from_slice(&self.datagram[..len]), now)?;
        }
        for _ in 0..DATAGRAMS {
            let Ok(len) = self.pair.rtcp.try_recv(&mut self.datagram) else { break };
            passage.rtcp(&self.datagram[..len], now)?;
        }
        Ok(())
    }
}
