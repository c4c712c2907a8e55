//! The connection to the camera: as it is, or in TLS.

use std::io;
use std::net::IpAddr;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use url::Url;

use super::super::address::RtspAddress;
use super::breach::Breach;
use super::metered::Metered;
use super::tls::handshake;

/// RTSP's port where a URL names none (RFC 2326 §3.2), and its port in TLS (RFC 7826 §4.2).
const PORT: u16 = 554;
const TLS_PORT: u16 = 322;

/// A connection.
pub(super) enum Camera {
    Plain(TcpStream),
    Secure(Box<TlsStream<Metered>>),
}

impl Camera {
    /// Connects to where a URL points, which is the address's, or where that led to.
    pub(super) async fn connect(url: &Url, address: &RtspAddress) -> Result<Self, Breach> {
        let is_secure = url.scheme() == "rtsps";
        let port = url.port().unwrap_or(if is_secure { TLS_PORT } else { PORT });
        let host = url.host_str().unwrap_or_default();
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let failed = |error| Breach::io(&format!("unable to connect to {host}:{port}"), &error);
        let tcp = TcpStream::connect((name, port)).await.map_err(failed)?;
        tcp.set_nodelay(true).map_err(failed)?;
        if !is_secure {
            return Ok(Self::Plain(tcp));
        }
        let secure = handshake(Metered::new(tcp, address.max_rate), name, port, &address.trust);
        Ok(Self::Secure(Box::new(secure.await?)))
    }

    /// Reads what has come; nothing at the end.
    ///
    /// # Cancel safety
    /// A dropped call has read nothing.
    pub(super) async fn read(&mut self, room: &mut BytesMut) -> Result<usize, Breach> {
        let read = match self {
            Self::Plain(tcp) => tcp.read_buf(room).await,
            Self::Secure(tls) => tls.read_buf(room).await,
        };
        match read {
            // Not all say goodbye in TLS; a message or packet that breaks off is none.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            read => read.map_err(|error| Breach::within("read from the camera", error)),
        }
    }

    /// Writes all of it.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), Breach> {
        let written = match self {
            Self::Plain(tcp) => tcp.write_all(bytes).await,
            Self::Secure(tls) => match tls.write_all(bytes).await {
                Ok(()) => tls.flush().await,
                failed => failed,
            },
        };
        written.map_err(|error| Breach::within("write to the camera", error))
    }

    /// Our address towards it, and its own, for what is to be done.
    pub(super) fn addresses(&self, what: &str) -> Result<(IpAddr, IpAddr), Breach> {
        let tcp = match self {
            Self::Plain(tcp) => tcp,
            Self::Secure(tls) => tls.get_ref().0.tcp(),
        };
        let failed = |error| Breach::io(what, &error);
        Ok((tcp.local_addr().map_err(failed)?.ip(), tcp.peer_addr().map_err(failed)?.ip()))
    }
}
