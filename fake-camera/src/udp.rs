//! A pair of UDP ports of the server: RTP on the even one, RTCP on the next (RFC 3550 §11).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;

/// Packets sent at once, and the pause after them: a key frame must not overflow the client's socket buffer.
const BURST: usize = 16;
const PAUSE: Duration = Duration::from_millis(1);

/// How many random ports are tried for an even one with a free neighbour.
const TRIES: usize = 64;

/// Two bound sockets.
#[derive(Debug)]
pub(crate) struct UdpPair {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    ports: (u16, u16),
}

impl UdpPair {
    /// Binds two neighbouring ports at `ip`.
    pub(crate) fn bind(ip: IpAddr) -> io::Result<Self> {
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
        let rtcp = socket(ip, port + 1)?;
        Ok(Self { rtp, rtcp, ports: (port, port + 1) })
    }

    /// The two ports.
    pub(crate) fn ports(&self) -> (u16, u16) {
        self.ports
    }

    /// Sends RTP packets.
    pub(crate) async fn send_rtp(&self, packets: &[Vec<u8>], to: SocketAddr) {
        for (i, packet) in packets.iter().enumerate() {
            send(&self.rtp, packet, to).await;
            if (i + 1).is_multiple_of(BURST) {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Sends an RTCP packet.
    pub(crate) async fn send_rtcp(&self, packet: &[u8], to: SocketAddr) {
        send(&self.rtcp, packet, to).await;
    }

    /// Throws away what the client sent (reports, and packets that open firewalls); true when there was any.
    pub(crate) fn drain(&self) -> bool {
        let mut heard = false;
        let mut buffer = [0; 1_500];
        for socket in [&self.rtp, &self.rtcp] {
            while socket.try_recv(&mut buffer).is_ok() {
                heard = true;
            }
        }
        heard
    }
}

fn socket(ip: IpAddr, port: u16) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind((ip, port))?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// Sends one packet; what does not arrive is lost, as UDP has it.
async fn send(socket: &UdpSocket, packet: &[u8], to: SocketAddr) {
    if let Err(error) = socket.send_to(packet, to).await {
        tracing::trace!(%to, %error, "lose packet");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[tokio::test]
    async fn pairs_are_even_neighbours_and_differ() {
        let ip = IpAddr::from(Ipv4Addr::LOCALHOST);
        let (one, two) = (UdpPair::bind(ip).unwrap(), UdpPair::bind(ip).unwrap());
        for (rtp, rtcp) in [one.ports(), two.ports()] {
            assert_eq!((rtp % 2, rtcp), (0, rtp + 1));
        }
        assert_ne!(one.ports(), two.ports());
    }
}
