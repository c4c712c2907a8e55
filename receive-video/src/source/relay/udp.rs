//! The two UDP ports that a camera sends RTP and RTCP to (RFC 3550 §11).

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::UdpSocket;

/// How many random ports are tried for an even one with a free neighbour.
const TRIES: usize = 64;
/// Packets that mean nothing to a camera, and open the way from it through a firewall: RTP without a payload, and a
/// report of no receiver.
const OPENING_RTP: [u8; 12] = [0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const OPENING_RTCP: [u8; 8] = [0x80, 201, 0, 1, 0, 0, 0, 0];

/// Two bound sockets.
#[derive(Debug)]
pub(super) struct UdpPair {
    pub(super) rtp: UdpSocket,
    pub(super) rtcp: UdpSocket,
    ports: (u16, u16),
}

impl UdpPair {
    /// Binds two neighbouring ports at `ip`.
    pub(super) fn bind(ip: IpAddr) -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..TRIES {
            match Self::try_bind(ip) {
                Ok(pair) => return Ok(pair),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn try_bind(ip: IpAddr) -> io::Result<Self> {
        let rtp = socket(ip, 0)?;
        let port = rtp.local_addr()?.port();
        if !port.is_multiple_of(2) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        Ok(Self { rtp, rtcp: socket(ip, port + 1)?, ports: (port, port + 1) })
    }

    /// The two ports.
    pub(super) fn ports(&self) -> (u16, u16) {
        self.ports
    }

    /// Takes packets of these addresses only, and opens the way from there.
    pub(super) async fn connect(&self, rtp: SocketAddr, rtcp: SocketAddr) -> io::Result<()> {
        self.rtp.connect(rtp).await?;
        self.rtcp.connect(rtcp).await?;
        // Lost like any other packet, if it is.
        self.rtp.send(&OPENING_RTP).await.ok();
        self.rtcp.send(&OPENING_RTCP).await.ok();
        Ok(())
    }
}

fn socket(ip: IpAddr, port: u16) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind((ip, port))?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}
